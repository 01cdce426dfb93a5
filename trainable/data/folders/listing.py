"""What a folder of images holds, by name."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from spaces.errors import InputError
from trainable.data.folders import decode, dicom

SUFFIXES = (*decode.SUFFIXES, *dicom.SUFFIXES)
# What systems leave beside images, which is ignored. Synology keeps thumbnails in @eaDir.
_NOISE = {"__macosx", "@eadir", "thumbs.db", "ehthumbs.db", "desktop.ini"}
_ARCHIVES = (
    ".zip", ".tar", ".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".7z", ".rar",
)  # fmt: skip
_SHOWN = 6
_MASKS = {"mask", "masks"}  # of segmentations, as in the COVID-19 Radiography Database


def check_folder(folder: Path) -> None:
    """Raise InputError unless `folder` is a folder."""
    try:
        folder.stat()
    except FileNotFoundError as error:
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(folder)):
            raise InputError(
                f"{str(folder).replace(':/', '://', 1)} is a URL; download the data and give the "
                "folder"
            ) from error
        raise InputError(f"{folder} does not exist; give a folder of images") from error
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}") from error
    if is_archive(folder):
        raise InputError(f"{folder} is an archive; unpack it and give the folder inside")
    if not folder.is_dir():
        raise InputError(f"{folder} is a file, not a folder of images")


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
    try:
        return [p for p in visible(folder) if p.is_dir() and p.resolve() not in above]
    except OSError as error:  # the folder may be listed, but not entered
        _refuse(error)
        raise


def is_image(path: Path) -> bool:
    """Whether `path` is named like an image file.

    A dangling link, a pipe or a device counts, to be told; a folder does not, whatever its name.
    """
    return path.suffix.lower() in SUFFIXES and not os.path.isdir(path)  # noqa: PTH112  (never raises)


def is_archive(path: Path) -> bool:
    """Whether `path` is named like a file that holds others."""
    return path.suffix.lower() in _ARCHIVES and path.is_file()


def image_files(folder: Path, mixed: bool = False) -> tuple[list[str], Counter[str]]:
    """The images in `folder` and below, and how many other files are there, by reason.

    Links to folders are followed, but no folder is read twice, so that loops end. A link or a
    special file with an image's name counts as one: reading it says what is wrong. DICOM files
    beside images of other kinds are left out, as those may be copies of them, unless `mixed`.

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
                left_out[kind(suffix)] += 1
            elif masks:
                left_out["images in folders of masks"] += 1
            else:
                found.append((inner / name).as_posix())
        entered = []
        for name in sorted(inside):
            if _is_noise(name):
                continue
            if (identity := _identity(Path(here, name))) in read:
                left_out["links to folders already read"] += 1
                continue
            read.add(identity)
            entered.append(name)
        inside[:] = entered
    scans = {name for name in found if name.lower().endswith(dicom.SUFFIXES)}
    if not mixed and len(scans) < len(found):
        left_out.update(kind(Path(name).suffix.lower()) for name in scans)
        found = [name for name in found if name not in scans]
    return sorted(found), left_out


def kind(suffix: str) -> str:
    """What files are that are left out for their suffix, in small letters."""
    return f"{suffix} files" if suffix else "files without a suffix"


def reasons(left_out: Mapping[str, int]) -> list[str]:
    """Why files were left out, such as ``3 .dcm files``: the `_SHOWN` most common, and the rest."""
    common = Counter(left_out).most_common()
    shown = [f"{count} {reason}" for reason, count in common[:_SHOWN]]
    rest = sum(count for _, count in common[_SHOWN:])
    return [*shown, f"{rest} of other kinds"] if rest else shown


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
