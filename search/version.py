"""Which code trains: the package's version and, where it runs from a git checkout, the commit."""

from __future__ import annotations

import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


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
