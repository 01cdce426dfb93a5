"""What a folder of images holds, by name."""

from __future__ import annotations

from pathlib import Path

from spaces.errors import InputError
from trainable.data.decode import SUFFIXES


def visible(folder: Path) -> list[Path]:
    """Everything in `folder` but hidden names, sorted.

    Raises:
        InputError: it cannot be listed.
    """
    try:
        return sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    except OSError as error:
        raise InputError(f"{folder} cannot be listed: {error.strerror}") from error


def folders(folder: Path) -> list[Path]:
    """Visible folders in `folder`, without what macOS leaves in zip files."""
    return [p for p in visible(folder) if p.is_dir() and p.name != "__MACOSX"]


def is_image(path: Path) -> bool:
    """Whether `path` is named like an image file; one that is a dangling link counts, to be told.

    A folder is none, whatever its name.
    """
    return path.suffix.lower() in SUFFIXES and (path.is_file() or path.is_symlink())
