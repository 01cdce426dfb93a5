"""Files and folders that are written whole or not at all, and names that may become theirs."""

from __future__ import annotations

import argparse
import errno
import json
import os
import re
import shutil
import sqlite3
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spaces.errors import InputError
from trainable.basics.terminal import command, os_reason, printable

_UNREACHED = {
    errno.EACCES: "choose another place, or have its owner let you in",
    errno.EPERM: "choose another place, or have its owner let you in",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "its links lead in a circle: choose another place",
}
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LONGEST_NAME = 255  # bytes, on Linux and macOS
_REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)
_SQLITE_REFUSED = (
    "database or disk is full", "disk I/O error", "attempt to write a readonly database",
)  # fmt: skip


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to, which takes the name `path` once the block has ended well.

    A reader sees the old file or the new one, never a part, also after a power cut; two writers at
    once do not mix. If the block raises, `path` stays as it was and the part is removed.

    Raises:
        OSError: the file cannot be written or renamed.
    """
    part = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}.part")
    try:
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def path_argument(text: str) -> Path:
    """A path on a command line: an empty one is refused, which would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("is empty")
    return Path(text)


def check_text(flag: str, path: str | Path) -> None:
    """Raise InputError unless the bytes of a path are UTF-8, which is all that databases keep."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{flag} is {printable(str(path))}, whose name is not valid UTF-8, so no database "
            "can store it; rename it, or give a link to it: "
            f"{command('ln', '-s', path, 'images')}"
        ) from error


def check_file(flag: str, path: Path | None) -> None:
    """Raise InputError unless the file that `flag` names can be read, and reading it will end.

    None is a flag that was not given.
    """
    if path is None:
        return
    try:
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise InputError(f"{flag} {path} cannot be read: it is a pipe or a device")
        path.open("rb").close()
    except OSError as error:
        raise InputError(f"{flag} {path} cannot be read: {error.strerror}") from error


def check_new_folder(flag: str, path: Path) -> None:
    """Raise InputError unless the folder that `flag` names is absent, or empty."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{flag} {path} exists already; choose another folder, or remove it")


def write_whole(path: Path, content: str | bytes) -> None:
    """Write `content` to `path`, text as UTF-8, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    with whole_file(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


def read_json(flag: str, path: Path) -> Any:
    """What the JSON file that `flag` names holds; a byte order mark, as Windows' editors write it,
    is passed over.

    Raises:
        InputError: it cannot be read, or gives a key of an object twice.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_once)
    except OSError as error:
        raise InputError(f"{flag} {path} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{flag} {path} is not valid JSON ({error})") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    known = dict(pairs)
    if len(known) < len(pairs):
        twice = next(key for place, (key, _) in enumerate(pairs) if key in dict(pairs[:place]))
        raise ValueError(f"it gives {twice!r} twice")
    return known


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder beside `path` to fill, which takes its name once the block has ended well.

    `path` is absent or an empty folder: of two who fill it at once, the second fails and leaves
    what the first made. If the block raises, the part is removed.

    Raises:
        OSError: the folder cannot be written or renamed, or `path` is no longer empty.
    """
    path = path.resolve()  # a link to an empty folder may be filled
    part = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        part.mkdir()
        yield part
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """As `whole_folder`, in place of what was at `path`, which stays until the new one is whole.

    Only for folders that are the caller's own. What a killed process left beside `path` is removed
    once the new one stands.
    """
    path = path.resolve()
    old = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}.part")
    try:
        with whole_folder(path) as part:
            yield part
            if path.exists():
                path.rename(old)
    except BaseException:
        if old.exists():
            old.rename(path)
        raise
    for left in path.parent.glob(f".{path.name[:100]}.*.part"):
        shutil.rmtree(left, ignore_errors=True)


def name_fault(name: str) -> str | None:
    """Why a file or folder must not be called `name`, which others chose; None if it may.

    It would lead elsewhere, here or on another system, or cannot be written or would not be seen.
    """
    if not name:
        return "is empty"
    if set(name) & set("/\\\0") or name == "..":
        return "leads to another folder"
    if name.startswith("."):
        return "is hidden"
    try:
        return "is too long" if len(name.encode()) > _LONGEST_NAME else None
    except UnicodeEncodeError:
        return "is not text"


def check_folder_name(name: str, flag: str) -> None:
    """Raise InputError unless a folder, a database and MLflow take a `name` that `flag` gave."""
    if not _PLAIN.fullmatch(name):
        raise InputError(
            f"{flag} is {name!r}, but must be letters a to z, digits, '.', '_' and '-', and begin "
            "with a letter or a digit, as it names a folder"
        )


def path_fault(error: BaseException) -> str | None:
    """What is wrong with a path that somebody gave, if the system refused to look there."""
    if not isinstance(error, OSError) or error.filename is None:
        return None
    remedy = _UNREACHED.get(error.errno or 0)
    return None if remedy is None else f"{os_reason(error)}; {remedy}"


def disk_fault(error: BaseException | None) -> str | None:
    """Why a disk refused a write, if that is what an error comes from: it is full, or read-only."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _REFUSED:
            return os_reason(error)
        if isinstance(error, sqlite3.OperationalError) and str(error) in _SQLITE_REFUSED:
            return str(error)
        if os.strerror(errno.ENOSPC) in str(error):  # said by a library or another process
            return os.strerror(errno.ENOSPC)
        error = error.__cause__ or error.__context__
    return None
