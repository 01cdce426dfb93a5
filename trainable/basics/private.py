"""Folders of this user alone, at names that others on the machine know beforehand."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from spaces.errors import InputError


def private_folder(place: Path) -> Path:
    """`place`, made if absent, where nobody else can look or write.

    In a folder such as ``/tmp`` others may have made it first, or a link of that name to elsewhere.

    Raises:
        InputError: it is not a folder of this user alone, or cannot be made.
    """
    try:
        with suppress(FileExistsError):
            place.mkdir(mode=0o700)
        there = place.lstat()
        fault = _fault(there)
        if fault is None:
            place.chmod(0o700)
    except OSError as error:
        fault = f"cannot be made ({error.strerror})"
    if fault is not None:
        raise InputError(
            f"{place} {fault}, but must be a folder that only you can write to; remove it, or "
            "set TMPDIR to a folder of your own"
        )
    return place


def _fault(there: os.stat_result) -> str | None:
    """Why others may have put something there, or None."""
    if stat.S_ISLNK(there.st_mode):
        return "is a link"
    if not stat.S_ISDIR(there.st_mode):
        return "is a file"
    if there.st_uid != os.geteuid():
        return "belongs to another user"
    if there.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "is writable by others"
    return None
