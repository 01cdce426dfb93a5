"""Addresses of stores: SQLite files by any path, and no password where people can read it."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from spaces.errors import InputError

_SQLITE = re.compile(r"(sqlite(?:\+\w+)?:///)([^?]+)(\?.*)?", re.DOTALL)
_MARKS = re.compile(r"\?|%[0-9A-Fa-f]{2}")
# To the last @ before any options, or of all; what may be a port and a path with an @ counts too.
_LOGIN = re.compile(r"://(?:[^\s/:]*:(?:[^\s?]*@|\S*@)|[^\s/@]*@)")
_SECRET = re.compile(
    r"([?&;][\w.%-]*(?:pass|pwd|token|secret|key|credential|signature)[\w.%-]*=)[^&;#\s'\"]+", re.I
)


def sqlite_address(path: Path) -> str:
    """The address of a SQLite file, for Optuna and SQLAlchemy, and for MLflow after `check_mlflow`.

    There a ``?`` begins options, and a ``%`` may begin an escape.
    """
    return f"sqlite:///{_escaped(str(path))}"


def sqlite_file(address: str) -> Path | None:
    """The file of a SQLite address; None where it has none, or is another database's."""
    found = _SQLITE.fullmatch(address)
    if found is None or found[2] == ":memory:" or found[2].startswith("file:"):
        return None
    return Path(unquote(found[2]))


def check_mlflow(flag: str, path: Path) -> None:
    """Raise InputError if MLflow would not find a SQLite file at `path`.

    It reads an address twice, and of ``%3F`` in one makes a folder of that name beside the right
    one.
    """
    if found := _MARKS.search(str(path)):
        raise InputError(
            f"{flag}: {path} contains {found[0]!r}, which MLflow reads as part of an address; "
            "choose another folder, or name a store elsewhere with --tracking-uri"
        )


def absolute_address(address: str) -> str:
    """An address that names the same store from any folder: a SQLite file by its whole path."""
    path, found = sqlite_file(address), _SQLITE.fullmatch(address)
    if path is None or found is None:
        return address
    return f"{found[1]}{_escaped(str(path.absolute()))}{found[3] or ''}"


def check_address(flag: str, address: str) -> None:
    """Raise InputError for an address whose login would be misread, and parts of it shown."""
    if sqlite_file(address) is not None or "://" not in address:
        return
    rest = address.partition("://")[2]
    web = address.startswith(("http://", "https://"))
    if web:
        misread = "@" not in urlsplit(address).netloc and _LOGIN.search(address) is not None
    else:  # as SQLAlchemy reads it
        misread = re.match(r"(?:[^:/]*(?::[^@]*)?@)[^/:?]*@", rest) is not None
    if misread or any(character.isspace() for character in address):
        raise InputError(
            f"{flag} contains a character that must be escaped: in a user name or password, "
            "write @ as %40, / as %2F, : as %3A, a space as %20"
        )


def pasted(address: str, instead: str) -> str:
    """A store's address as a printed command has it: `instead` of one that holds a password."""
    hidden = without_password(address) != address
    return instead if hidden else absolute_address(address)


def without_password(text: str) -> str:
    """An address, or a line with addresses in it, as it may be shown and logged.

    Logins are left out whole, as a password may hold ``@``, ``/`` and ``:``, and so are the values
    of options such as ``?password=`` and ``&token=``.
    """
    return _SECRET.sub(r"\1***", _LOGIN.sub("://", text))


def hides_secrets(address: str) -> bool:
    """Whether an address has options such as ``?secret_key=``."""
    return _SECRET.search(address) is not None


def _escaped(path: str) -> str:
    return _MARKS.sub(lambda found: quote(found[0][0]) + found[0][1:], path)
