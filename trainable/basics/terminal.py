"""The terminal: text of users as it is, and commands that work when they are pasted.

rich is imported only where it is used: text is escaped where nothing is shown, too.
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainable.basics.addresses import without_password

if TYPE_CHECKING:  # what needs no terminal need not wait for rich
    from rich.console import Console

NAME = "cgan-search"
"""The command that has all others. What is printed to be typed next begins with it: unlike
``python -m``, it also works where the project has an environment of its own, as by pipx."""


def make_console(**options: Any) -> Console:
    """A console that reads no markup and no emoji in what it prints; `options` are rich's own.

    Names of classes, files and studies are users' text: rich would read ``[ap]`` in them as a style
    and ``:x:`` as a picture. A notebook gets plain text: it cannot move a cursor, though its
    variables claim a terminal (FORCE_COLOR), and of each line rich would make a block of HTML.
    """
    from rich.console import Console

    if type(sys.stdout).__module__.startswith("ipykernel."):
        options = {"force_terminal": False, **options}
    return Console(highlight=False, markup=False, emoji=False, force_jupyter=False, **options)


def printable(text: str) -> str:
    """`text` with what a terminal would obey or cannot encode as backslash escapes.

    These are control characters, and the bytes of file names that are not UTF-8, which Python
    keeps as lone surrogates.
    """
    return re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]", _escape, text)


def one_line(name: str) -> str:
    """`printable`, for names: a file's may hold a line break."""
    return printable(name).replace("\n", "\\n")


def say(console: Console, text: str) -> None:
    """Print a line, however long, in one piece and as it is, but for passwords in addresses."""
    from rich.text import Text

    console.print(Text(printable(without_password(text))), soft_wrap=True)


def say_error(error: Exception) -> None:
    """Say on standard error what the user must mend."""
    reason = os_reason(error) if isinstance(error, OSError) else error
    say(make_console(stderr=True), f"error: {reason}")


def os_reason(error: OSError) -> str:
    """Why the system refused something, and for which file, without its number for that."""
    if error.strerror is None:
        return str(error) or type(error).__name__
    return f"{error.strerror}: {error.filename}" if error.filename else error.strerror


def command(*words: str | Path) -> str:
    """A command line to be pasted into a POSIX shell, in any folder: each word is quoted where it
    must be, and paths are made absolute."""
    absolute = (str(word.absolute()) if isinstance(word, Path) else word for word in words)
    return " ".join(map(_quoted, absolute))


def say_command(console: Console, *words: str | Path, note: str = "") -> None:
    """Print a command on a line of its own, indented, with a comment behind it."""
    say(console, f"  {command(*words)}" + (f"   # {note}" if note else ""))


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # surrogateescape: the byte itself
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _quoted(word: str) -> str:
    if all(map(_plain, word)):
        return shlex.quote(word)
    octets = (c if _plain(c) and c not in "\\'" else _octets(c) for c in word)
    return f"$'{''.join(octets)}'"  # bash and zsh read escapes so


def _plain(character: str) -> bool:
    """Whether it can be printed as it is, in the encoding of standard output."""
    try:
        character.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return character != "\n" and printable(character) == character


def _octets(character: str) -> str:
    """It as a file name has it, byte by byte."""
    lone = "surrogateescape" if 0xDC80 <= ord(character) <= 0xDCFF else "surrogatepass"
    return "".join(f"\\x{octet:02x}" for octet in character.encode("utf-8", lone))
