"""The project's code as it travels to a cluster's nodes, so that all run what the driver runs."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("spaces", "trainable", "search", "analysis")


def _files(root: Path) -> list[Path]:
    found = (path for package in PACKAGES for path in (root / package).rglob("*"))
    return sorted(p for p in found if p.is_file() and "__pycache__" not in p.parts)


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
