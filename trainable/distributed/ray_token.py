"""The token by which Ray knows who may run code: a file that this user alone may read.

Ray writes it with the user's umask, which as a rule lets everybody on the machine read it.
"""

from __future__ import annotations

import os
import secrets
import stat
import uuid
from collections.abc import Callable
from pathlib import Path

from spaces.errors import InputError

_OTHERS = 0o077
_GROUP_READS = 0o040
_REMEDY = "or name another file with RAY_AUTH_TOKEN_PATH"


def guard_token(say: Callable[[str], None], *, make: bool) -> None:
    """See to it that nobody else can read the file that Ray is about to read its token from.

    One of this user that others can read is taken from them, and `say` is told. Where there is none
    it is made, if `make`; a cluster's token is to come from there.

    Raises:
        InputError: others can read it and that cannot be changed; or it is no file with a token.
    """
    path = _token_file()
    if path is None:
        return
    try:
        if make and not os.path.lexists(path):
            _make(path)
        if os.path.lexists(path):
            _guard(path, say, make=make)
        elif os.environ.get("RAY_AUTH_MODE") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
            raise InputError(f"Ray's token {path} does not exist; copy the cluster's token there")
    except OSError as error:
        raise InputError(
            f"Ray's token {path} cannot be read or written ({error.strerror}); fix that, {_REMEDY}"
        ) from error


def has_token() -> str:
    """Where there is a token for Ray, for a reader; empty if there is none."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return "RAY_AUTH_TOKEN"
    path = _token_file()
    return str(path) if path is not None and path.exists() else ""


def _token_file() -> Path | None:
    """The file that holds the token, or None where the token is elsewhere or none is wanted."""
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        return None
    if os.environ.get("RAY_AUTH_TOKEN"):
        return None
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return Path(named) if named else _default()


def _default() -> Path:
    return Path.home() / ".ray" / "auth_token"


def _make(path: Path) -> None:
    """Write a new token, unless another process was faster: all go by the first one."""
    if path == _default():  # the folder of a path that is named is there, or the path misspelt
        path.parent.mkdir(mode=0o700, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
        try:
            os.link(part, path)
        except FileExistsError:
            pass
        except OSError:  # not every file system knows hard links
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _guard(path: Path, say: Callable[[str], None], *, make: bool) -> None:
    if path.is_symlink() and not path.exists():
        raise InputError(f"Ray's token {path} is a broken link; remove it, {_REMEDY}")
    file = path.stat()
    if not stat.S_ISREG(file.st_mode):
        raise InputError(f"Ray's token {path} is not a file; remove it, {_REMEDY}")
    _refuse_of_others(path, file)
    if not path.read_bytes().strip():
        if not make:
            raise InputError(f"Ray's token {path} is empty; copy the cluster's token there")
        path.unlink()
        _make(path)
    elif file.st_uid == os.geteuid() and file.st_mode & _OTHERS:
        path.chmod(0o600)
        if path.stat().st_mode & _OTHERS:
            raise InputError(
                f"Ray's token {path} is readable by others, and its file system does not store "
                f"permissions; move it, {_REMEDY}"
            )
        say(
            f"Ray's token {path} was readable by others; its permissions are fixed now. If "
            "others use this machine, remove it to get a new one, which every machine of a "
            "cluster then needs"
        )


def _refuse_of_others(path: Path, file: os.stat_result) -> None:
    """Root's file may be there for a group; of another user's, or one that he may put there, none.

    Raises:
        InputError: it is such a file.
    """
    mine = {os.geteuid(), 0}
    if {file.st_uid, path.lstat().st_uid} - mine:
        raise InputError(f"Ray's token {path} belongs to another user; remove it, {_REMEDY}")
    if file.st_uid != os.geteuid() and file.st_mode & _OTHERS & ~_GROUP_READS:
        raise InputError(
            f"Ray's token {path} is readable by others, and only root can change that: chmod o= "
            f"on it, {_REMEDY}"
        )
    for folder in {path.parent, path.resolve().parent}:
        mode = folder.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise InputError(
                f"Ray's token {path} can be replaced by others: chmod o-w {folder}, {_REMEDY}"
            )
