"""Safe access to the file that a name leads to."""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path

from trainable.data.folders.limits import UnreadableError

MAX_BYTES = 2**28
"""Of a file. 67 million pixels of 32 bits, uncompressed."""
_KINDS = {
    stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device", stat.S_IFDIR: "a folder",
}  # fmt: skip


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
