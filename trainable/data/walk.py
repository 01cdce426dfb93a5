"""The image files below a folder, found by name, and safe access to what a name leads to."""

from __future__ import annotations

import os
import stat
from collections import Counter
from io import BufferedReader
from pathlib import Path

from spaces.errors import InputError
from trainable.data.decode import SUFFIXES, UnreadableError

MAX_BYTES = 2**28
"""Of a file. 67 million pixels of 32 bits, uncompressed."""
# What systems leave beside images: nobody misses these. Synology keeps thumbnails in @eaDir.
_NOISE = {"__macosx", "@eadir", "thumbs.db", "ehthumbs.db", "desktop.ini"}
_MASKS = {"mask", "masks"}  # of segmentations, as in the COVID-19 Radiography Database
_KINDS = {
    stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device", stat.S_IFDIR: "a folder",
}  # fmt: skip


def is_noise(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or something that systems leave behind."""
    return name.startswith(".") or name.lower() in _NOISE


def is_image(name: str) -> bool:
    """Whether the name says that it is an image."""
    return Path(name).suffix.lower() in SUFFIXES


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
    for here, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        inner = Path(here).relative_to(folder)
        masks = inner.name.lower() in _MASKS
        for name in names:
            if is_noise(name):
                continue
            if not is_image(name):
                suffix = Path(name).suffix.lower()
                left_out[f"{suffix} files" if suffix else "files without a suffix"] += 1
            elif masks:
                left_out["images in folders of masks"] += 1
            else:
                found.append((inner / name).as_posix())
        entered = []
        for name in sorted(folders):
            identity = _identity(Path(here, name))
            if is_noise(name):
                continue
            if identity in read:
                left_out["links to folders read already"] += 1
                continue
            read.add(identity)
            entered.append(name)
        folders[:] = entered
    return sorted(found), left_out


def is_loop(folder: Path) -> bool:
    """Whether it is a link to a folder that it lies in."""
    return folder.resolve() in folder.parent.resolve().joinpath("-").parents


def opened(path: Path) -> BufferedReader:
    """The file `path`, or what it links to, open for reading, if it is a regular one.

    A pipe would hang and a device never end: neither is opened.

    Raises:
        UnreadableError: it is no regular file, too large, or cannot be read.
    """
    try:
        _check(path.stat())
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        file = os.fdopen(os.open(path, flags), "rb")
    except OSError as error:
        raise UnreadableError(error.strerror or str(error)) from error
    try:
        _check(os.fstat(file.fileno()))  # it may have been replaced meanwhile
    except UnreadableError:
        file.close()
        raise
    return file


def _check(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableError(f"{_KINDS.get(stat.S_IFMT(status.st_mode), 'something')}, not a file")
    if status.st_size > MAX_BYTES:
        raise UnreadableError(
            f"{status.st_size / 2**20:.0f} MiB, but at most {MAX_BYTES / 2**20:.0f} are read"
        )


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _refuse(error: OSError) -> None:
    raise InputError(f"{error.filename} cannot be listed: {error.strerror}") from error
