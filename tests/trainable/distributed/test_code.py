"""Which code trains, as it is recorded and as it travels: all of it, nothing else, and a digest."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from cgan_search import PACKAGES
from trainable.distributed import code
from trainable.distributed.code import code_digest, copy_code

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
        monkeypatch.setattr(code, "ROOT", folder)
        return code.code_version.__wrapped__()

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
    first = code.code_version()
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: pytest.fail("asked again"))
    assert code.code_version() == first


def test_a_copy_runs_alone_and_has_the_digest_of_its_original(tmp_path):
    copy_code(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*PACKAGES, "cgan_search.py"}
    assert code_digest(tmp_path) == code_digest()
    assert not list(tmp_path.rglob("__pycache__"))
    script = "from trainable.distributed import code; print(code.__file__, code.code_digest())"
    said = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.split()  # what runs there has left compiled files, which do not count
    assert said == [str(tmp_path / "trainable" / "distributed" / "code.py"), code_digest()]


def test_one_changed_byte_a_moved_file_or_a_new_one_are_seen(tmp_path):
    copy_code(tmp_path)
    path = tmp_path / "trainable" / "gan" / "losses.py"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b" ")
    assert code_digest(tmp_path) != code_digest()
    path.write_bytes(content)
    assert code_digest(tmp_path) == code_digest()
    path.rename(path.with_name("lost.py"))
    assert code_digest(tmp_path) != code_digest()
    path.with_name("lost.py").rename(path)
    (tmp_path / "spaces" / "extra.py").write_bytes(b"")
    assert code_digest(tmp_path) != code_digest()
