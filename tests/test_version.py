"""Which code trains, as it is recorded: version, commit, and whether files were changed."""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from search import version

VERSION = metadata.version("cgan-search")


def git(folder: Path, *command: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *who, *command], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def ask(monkeypatch):
    """What would be said of the code in a folder."""

    def asked(folder: Path) -> dict[str, str]:
        monkeypatch.setattr(version, "ROOT", folder)
        return version.code_version.__wrapped__()

    return asked


@pytest.fixture
def checkout(tmp_path) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "a.py").write_text("1\n")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "--quiet", "-m", "a")
    return tmp_path


def test_a_checkout_has_its_commit(ask, checkout):
    commit = git(checkout, "rev-parse", "HEAD")
    said = {"version": f"{VERSION}+{commit[:8]}", "commit": commit}
    (checkout / "untracked.py").touch()
    assert ask(checkout) == said
    (checkout / "a.py").write_text("2\n")
    dirty = {**said, "version": f"{VERSION}+{commit[:8]}.dirty"}
    assert ask(checkout) == dirty
    git(checkout, "add", "a.py")
    assert ask(checkout) == dirty


def test_an_installed_copy_does_not_take_the_commit_of_what_is_around_it(ask, checkout):
    inside = checkout / ".venv" / "site-packages"
    inside.mkdir(parents=True)
    assert ask(inside) == {"version": VERSION}


@pytest.mark.parametrize("fault", ["no git", "no commit", "broken"])
def test_without_a_commit_the_version_stands_alone(ask, tmp_path, monkeypatch, fault):
    if fault == "broken":
        (tmp_path / ".git").mkdir()
    else:
        git(tmp_path, "init", "--quiet")
    if fault == "no git":
        monkeypatch.setenv("PATH", "")
    assert ask(tmp_path) == {"version": VERSION}


def test_git_is_asked_once(monkeypatch):
    first = version.code_version()
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: pytest.fail("asked again"))
    assert version.code_version() == first
