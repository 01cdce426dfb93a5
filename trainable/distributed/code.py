"""The project's code: which it is, and as it travels to a cluster's nodes to run there."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

from cgan_search import PACKAGES

ROOT = Path(__file__).resolve().parents[2]


def _files(root: Path) -> list[Path]:
    found = (path for package in PACKAGES for path in (root / package).rglob("*"))
    files = (p for p in found if p.is_file() and "__pycache__" not in p.parts)
    return sorted([root / "cgan_search.py", *files])


def copy_code(folder: Path, root: Path = ROOT) -> None:
    """Copy the packages into `folder`: half a megabyte, whatever else lies around in a checkout."""
    for path in _files(root):
        place = folder / path.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


def code_digest(root: Path = ROOT) -> str:
    """The start of the SHA-256 of all files' names and contents: equal where the code is."""
    found = hashlib.sha256()
    for path in _files(root):
        content = path.read_bytes()
        found.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return found.hexdigest()[:16]


@cache
def code_version() -> dict[str, str]:
    """``version``, such as ``0.1.0+8338a01c.dirty``, and ``commit`` in full; asked once a process.

    Without git, or where the project is installed and no checkout of its own, there is no commit.
    Dirty are changes of tracked files.
    """
    try:
        version = metadata.version("cgan-search")
    except metadata.PackageNotFoundError:  # its folder alone is on the path
        version = "unknown"
    if not (ROOT / ".git").exists():  # git would find that of a project around a virtualenv
        return {"version": version}
    command = "git --no-optional-locks status --porcelain=v2 --branch --untracked-files=no"
    try:
        said = subprocess.run(
            command.split(), cwd=ROOT, capture_output=True, text=True, timeout=10, check=True
        ).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return {"version": version}
    commit = next(line.split()[2] for line in said if line.startswith("# branch.oid "))
    if commit == "(initial)":
        return {"version": version}
    dirty = ".dirty" if any(not line.startswith("#") for line in said) else ""
    return {"version": f"{version}+{commit[:8]}{dirty}", "commit": commit}
