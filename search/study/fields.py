"""How the fields of a `StudyConfig` are declared: each with the flag that a user sets it by.

A field's flag has a value when it is not given, a help text, and a rule for its value: bounds or
options. Of fields that follow from the images, or from other flags, there are none.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spaces.errors import InputError
from trainable.basics.ranges import check_range
from trainable.basics.wording import duration_text, parse_duration

DURATION = "duration"


@dataclass(frozen=True)
class Flag:
    """How a user sets one setting.

    Attributes:
        default: its value where the flag is not given; None where the help text says what then.
        about: what the flag is for, in its help.
        bounds: least and greatest value of a number.
        options: what it may be.
        kind: ``int``, ``float``, ``str``, `AUTO` (a whole number, or None), or `DURATION`, in
            seconds; empty for the field's own type.
        name: of the setting, with underscores; empty for the field's.
    """

    default: Any
    about: str
    bounds: tuple[float, float] | None = None
    options: tuple[str, ...] = ()
    kind: str = ""
    name: str = ""

    def __str__(self) -> str:
        """As users type it."""
        return f"--{self.name.replace('_', '-')}"

    def add_to(self, group: argparse._ActionsContainer) -> None:
        """To a parser, which leaves it None unless it is given, so that --resume sees those."""
        said = "" if self.default is None else f" (default: {self.default})"
        kinds = {"int": int, "float": float, _whole.__name__: _whole}
        shown = {DURATION: "TIME", **dict.fromkeys(kinds, "N")}.get(self.kind)
        group.add_argument(
            str(self), type=kinds.get(self.kind, str), metavar=shown, help=self.about + said
        )

    def value(self, given: Any) -> Any:
        """The setting, from what the parser left.

        Raises:
            InputError: it is no duration, but must be one.
        """
        if given is None:
            return self.default
        return parse_duration(given, str(self)) if self.kind == DURATION else given

    def word(self, value: Any) -> str | int | float:
        """The inverse of `value`, of one that is not None."""
        return duration_text(value) if self.kind == DURATION else value

    def check(self, value: Any) -> None:
        """Raise InputError for a value that breaks the rule; None is one that was left open."""
        if value is None:
            return
        if self.bounds is not None:
            check_range(str(self), value, *self.bounds)
        if self.options and value not in self.options:
            known = ", ".join(self.options)
            raise InputError(f"{self} is {value!r}, but must be one of {known}")
        if self.kind == DURATION and not value > 0:
            raise InputError(f"{self} is {value} s, but must be above 0")


def flag(default: Any, about: str, **rule: Any) -> Any:
    """A field that is set by one flag of its own name; `rule` are the rest of `Flag`."""
    return flags(Flag(default, about, **rule))


def flags(*given: Flag) -> Any:
    """A field that follows from several flags."""
    return field(metadata={"flags": given})


def flags_of(cls: type) -> dict[str, Flag]:
    """The flags of a class's fields, by the settings' names, in order."""
    found = {}
    for spec in dataclasses.fields(cls):
        for given in spec.metadata.get("flags", ()):
            kind = given.kind or str(spec.type).removesuffix(" | None")
            whole = dataclasses.replace(given, kind=kind, name=given.name or spec.name)
            found[whole.name] = whole
    return found


def check(flags: Mapping[str, Flag], values: Mapping[str, Any]) -> None:
    """Raise InputError for the first of `values` that breaks its flag's rule; others are passed
    over."""
    for name, given in flags.items():
        given.check(values.get(name))


def _whole(text: str) -> int | None:
    return None if text == "auto" else int(text)


# `Parser` names the type in its message: "--epochs is 'x', but must be a whole number or auto".
_whole.__name__ = AUTO = "a whole number or auto"
