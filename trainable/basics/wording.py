"""Durations, counts and names as users write and read them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from spaces.errors import InputError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MOST = 10_000 * _UNITS["d"]


def parse_duration(text: str, flag: str) -> float:
    """Seconds in the text that `flag` was given, such as ``90s``, ``10m``, ``1h30m`` or ``2h``.

    Raises:
        InputError: the text is no such duration.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not parts or "".join(n + u for n, u in parts) != text:
        raise InputError(f"{flag} is {text!r}, but must be like 90s, 10m, 2h or 1h30m")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds > _MOST:
        raise InputError(f"{flag} is {text!r}, but must be at most {_MOST // _UNITS['d']}d")
    return seconds


def duration_text(seconds: float) -> str:
    """The inverse of `parse_duration`, to the millisecond: ``1h30m``, ``45s``, ``0.5s``."""
    left, found = round(seconds, 3), ""
    for unit in ("h", "m"):
        whole, left = divmod(left, _UNITS[unit])
        found += f"{whole:.0f}{unit}" if whole else ""
    return f"{found}{left:.3f}".rstrip("0").rstrip(".") + "s" if left or not found else found


def format_duration(seconds: float) -> str:
    """A duration to read: ``45 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def counted(number: int, what: str) -> str:
    """``1 node``, ``3 nodes``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def did_you_mean(word: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """``; did you mean trials?`` for the one of the `known` that is most like `word`, or nothing
    where none is by `likeness`, a share of the letters."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=likeness)
    return f"; did you mean {close[0]}?" if close else ""


def times(elapsed: float, left: float | None) -> str:
    """Seconds of work that have gone and, where that is known, are left, in words."""
    said = f"{format_duration(elapsed)} elapsed"
    return said if left is None else f"{said}, about {format_duration(left)} left"


def time_left(elapsed: float, done: float, total: float | None, before: float) -> float | None:
    """Seconds at the speed so far, if that is known; `before` of what is done was done before."""
    if total is None or done <= before:
        return None
    return elapsed * max(0.0, total - done) / (done - before)
