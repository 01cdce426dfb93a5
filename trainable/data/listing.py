"""What a folder of images holds, by name."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from spaces.errors import InputError
from trainable.data.decode import SUFFIXES

# What systems leave beside images: nobody misses these. Synology keeps thumbnails in @eaDir.
_NOISE = {"__macosx", "@eadir", "thumbs.db", "ehthumbs.db", "desktop.ini"}
_MASKS = {"mask", "masks"}  # of segmentations, as in the COVID-19 Radiography Database


def visible(folder: Path) -> list[Path]:
    """Everything in `folder` but hidden names and what systems leave there, sorted.

    Raises:
        InputError: it cannot be listed.
    """
    try:
        return sorted(p for p in folder.iterdir() if not _is_noise(p.name))
    except OSError as error:
        raise InputError(f"{folder} cannot be listed: {error.strerror}") from error


def folders(folder: Path) -> list[Path]:
    """Visible folders in `folder`, without links back to it or to what it lies in."""
    above = (folder.resolve() / "-").parents
    return [p for p in visible(folder) if p.is_dir() and p.resolve() not in above]


def is_image(path: Path) -> bool:
    """Whether `path` is named like an image file.

    A dangling link, a pipe or a device counts, to be told; a folder does not, whatever its name.
    """
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def image_files(folder: Path) -> tuple[list[str], Counter[str]]:
    """The images in `folder` and below, and how many other files are there, by reason.

    Links to folders are followed, but no folder is read twice, so that loops end. A link or a
    special file with an image's name counts as one: reading it says what is wrong.

    Returns:
        Paths relative to `folder`, posix, sorted; and counts such as ``{".dcm files": 3}``.

    Raises:
        InputError: a folder cannot be listed.
    """
    found: list[str] = []
    left_out: Counter[str] = Counter()
    read = {_identity(path) for path in (folder, *folder.resolve().parents)}
    for here, inside, names in os.walk(folder, onerror=_refuse, followlinks=True):
        inner = Path(here).relative_to(folder)
        masks = any(part.lower() in _MASKS for part in inner.parts)
        for name in names:
            if _is_noise(name):
                continue
            suffix = Path(name).suffix.lower()
            if suffix not in SUFFIXES:
                left_out[f"{suffix} files" if suffix else "files without a suffix"] += 1
            elif masks:
                left_out["images in folders of masks"] += 1
            else:
                found.append((inner / name).as_posix())
        entered = []
        for name in sorted(inside):
            if _is_noise(name):
                continue
            if (identity := _identity(Path(here, name))) in read:
                left_out["links to folders read already"] += 1
                continue
            read.add(identity)
            entered.append(name)
        inside[:] = entered
    return sorted(found), left_out


def _is_noise(name: str) -> bool:
    return name.startswith(".") or name.lower() in _NOISE


def _identity(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        _refuse(error)
        raise
    return status.st_dev, status.st_ino


def _refuse(error: OSError) -> None:
    raise InputError(f"{error.filename} cannot be listed: {error.strerror}") from error
