"""Durations and counts as users write and read them."""

from __future__ import annotations

import re

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


def format_duration(seconds: float) -> str:
    """A duration to read: ``45 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def counted(number: int, what: str) -> str:
    """``1 node``, ``3 nodes``."""
    return f"{number} {what}{'' if number == 1 else 's'}"
