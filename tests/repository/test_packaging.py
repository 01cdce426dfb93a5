"""What a wheel holds, and a refusal to run on other packages of the same names."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from cgan_search import PACKAGES
from tests.helpers import ROOT
from tests.helpers.refusals import tells
from trainable.distributed.code import copy_code

BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"


@pytest.fixture
def installed(tmp_path) -> Path:
    """A folder with the project's code, as site-packages has it."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    copy_code(folder)
    return folder


def ended(folder: Path, path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, as what it imports is decided by where it starts."""
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env={"PYTHONPATH": str(path), "PATH": ""},
        capture_output=True, text=True,
    )  # fmt: skip


def test_the_wheel_holds_the_packages_and_their_data_and_nothing_else(tmp_path):
    """Built in a process and a folder of its own: setuptools leaves files in both."""
    copy_code(tmp_path)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    code = {
        path.relative_to(tmp_path).as_posix()
        for path in tmp_path.rglob("*")
        if path.is_file() and path.parent != tmp_path
    }
    (tmp_path / "tests").mkdir()  # a checkout has more packages
    (tmp_path / "tests" / "__init__.py").touch()
    subprocess.run(
        [sys.executable, "-c", BUILD, "dist"], cwd=tmp_path, check=True, capture_output=True
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        held = {name for name in file.namelist() if ".dist-info/" not in name}
        (entry,) = (n for n in file.namelist() if n.endswith("entry_points.txt"))
        assert "cgan-search = cgan_search:main" in file.read(entry).decode()
    assert held == code | {"cgan_search.py"}
    assert {"analysis/figures/report.html", *(f"{p}/py.typed" for p in PACKAGES)} <= held


COMMAND = ("-c", "import sys, cgan_search; sys.exit(cgan_search.main())", "--version")


def test_the_command_runs_beside_files_that_have_its_packages_names(installed, tmp_path):
    """An installed script does not import from the current folder."""
    for name in PACKAGES:
        (tmp_path / f"{name}.py").touch()
    script = tmp_path / "bin" / "cgan-search"
    script.parent.mkdir()
    script.write_text(COMMAND[1])
    done = ended(tmp_path, installed, str(script), "--version")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", PACKAGES)
@pytest.mark.parametrize("how", ["replaced", "removed", "before it"])
def test_another_package_of_the_same_name_is_refused(installed, tmp_path, name, how):
    """`pip install spaces` replaces files; so does its removal; a path before ours hides them."""
    own, other = installed / name / "__init__.py", tmp_path / f"{name}.py"
    if how == "replaced":
        own.write_text("raise SystemExit('imported')")
    elif how == "removed":
        own.unlink()
    else:
        other.touch()
    done = ended(tmp_path, installed, *COMMAND)  # -c looks in the current folder first
    assert done.returncode == 2
    assert tells(done.stderr, "error:", f"`import {name}`", "environment")
    if how != "removed":  # then another installation of the project may be found
        assert tells(done.stderr, own if how == "replaced" else other)
    assert done.stderr.count("\n") == 1


def test_a_file_in_the_current_folder_is_refused_by_each_package(installed, tmp_path):
    (tmp_path / "spaces.py").touch()
    for module in ("trainable", "search.run", "analysis.report"):
        done = ended(tmp_path, installed, "-m", module, "--help")
        assert done.returncode == 2
        assert tells(done.stderr, tmp_path / "spaces.py")
        assert done.stderr.count("\n") == 1
