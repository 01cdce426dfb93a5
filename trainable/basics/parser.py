"""The parser of every command: a mistyped flag costs one line, with the likely flag, not a page."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Real
from typing import Any, NoReturn

from spaces.errors import InputError
from trainable.basics.wording import did_you_mean, parse_duration

Word = str | float | bool | os.PathLike[str] | None
"""What a flag may be given from a file or from Python; None is a flag that is not given."""
_VALUES = (str, Real, os.PathLike)
_CALLED = ContextVar("called", default="")
_LIKE = 0.78  # all flags have two dashes in common
_KINDS = {"int": "a whole number", "float": "a number"}


def program(module: str) -> str:
    """What the user typed to reach the command of `module`, for its usage line and errors."""
    return _CALLED.get() or f"python -m {module}"


@contextmanager
def called(name: str) -> Iterator[None]:
    """In the block, commands go by `name`, such as ``cgan-search run``."""
    token = _CALLED.set(name)
    try:
        yield
    finally:
        _CALLED.reset(token)


class Duration(argparse.Action):
    """Keeps a flag's duration, such as 10m, in seconds."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        """Raise InputError for a text that is none."""
        setattr(namespace, self.dest, parse_duration(values, self.option_strings[0]))


class Parser(argparse.ArgumentParser):
    """Raises InputError where argparse would print the usage and exit; `run_command` does the rest.

    It takes no words but its own: what is left over is an error here, also of a subcommand, whose
    parser knows its flags.
    """

    _given: Sequence[str] = ()

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, args: Any = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """As argparse does; nothing is left over.

        Raises:
            InputError: a word cannot be understood, or one is missing.
        """
        self._given = sys.argv[1:] if args is None else list(args)
        found, extra = super().parse_known_args(self._given, namespace)
        if extra:
            self.error(f"unexpected {' '.join(extra)!r}: a flag begins with --")
        return found, extra

    def words(self, given: Mapping[str, object], source: str) -> list[str]:
        """Flags by name, with - or _ between words, as they would be typed.

        Raises:
            InputError: there is no such flag, or it does not take such a value; `source` is named.
        """
        known = {
            flag[2:]: a for a in self._actions for flag in a.option_strings if flag[:2] == "--"
        }
        found: dict[str, list[str]] = {}
        for key, value in given.items():
            name = key.replace("_", "-")
            if name not in known or name == "help":
                hint = did_you_mean(name, known) or f"; {self.prog} --help lists all"
                raise InputError(f"{source}: there is no setting {key!r}{hint}")
            if name in found:
                raise InputError(f"{source} gives {name!r} twice; remove one")
            switch = known[name].nargs == 0
            if isinstance(value, bool) and switch:
                found[name] = [f"--{name}"] * value
            elif not (switch or isinstance(value, bool)) and isinstance(value, _VALUES):
                found[name] = [f"--{name}={value}"]
            elif value is None:
                found[name] = []
            else:
                must = "true or false" if switch else "one text or number"
                raise InputError(f"{source}: {key} is {value!r}, but must be {must}")
        return [word for words in found.values() for word in words]

    def error(self, message: str) -> NoReturn:
        """Raise InputError with argparse's message, put as ours are, or of the first unknown flag,
        if there is one: whatever else is wrong may come of it."""
        unknown = next((word for word in self._flags_given() if not self._knows(word)), None)
        if unknown is not None:
            known = [flag for flag in self._option_string_actions if flag.startswith("--")]
            message = f"there is no flag {unknown}{did_you_mean(unknown, known, _LIKE)}"
        else:
            message = _as_ours(message)
        see = " See" if message.endswith("?") else "; see"
        raise InputError(f"{message}{see} {self.prog} --help")

    def _flags_given(self) -> Iterator[str]:
        """The words that look like flags, without their values; not those of a subcommand."""
        for word in self._given:
            if word == "--" or (self._subparsers is not None and word[:1] != "-"):
                return
            if word[:1] == "-" and word != "-" and not self._negative_number_matcher.match(word):
                yield word.partition("=")[0]

    def _knows(self, flag: str) -> bool:
        """Whether it is a flag, or the beginning of one, which argparse takes for it."""
        flags = self._option_string_actions
        return flag in flags or (flag[:2] == "--" and any(f.startswith(flag) for f in flags))


def _as_ours(message: str) -> str:
    """One of argparse's messages: the flag, its value, the rule."""
    if found := re.fullmatch(r"argument (\S+): invalid (.+) value: (.+)", message):
        flag, kind, value = found.groups()
        return f"{flag} is {value}, but must be {_KINDS.get(kind, kind)}"
    if found := re.fullmatch(
        r"argument (\S+): invalid choice: '(.*)' \(choose from (.+)\)", message
    ):
        flag, value, options = found[1], found[2], found[3].replace("'", "")
        hint = did_you_mean(value, options.split(", "))
        return f"{flag} is {value!r}, but must be one of {options}{hint}"
    if found := re.fullmatch(r"argument (\S+): expected one argument", message):
        return f"{found[1]} needs a value"
    return message
