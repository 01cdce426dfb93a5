"""Numbers that users give, and their bounds."""

from __future__ import annotations

from spaces.errors import InputError


def check_range(flag: str, value: float, least: float, most: float) -> None:
    """Raise InputError unless `value` lies between `least` and `most`, both included."""
    if not value >= least:
        raise InputError(f"{flag} is {value}, but must be at least {least}")
    if value > most:
        raise InputError(f"{flag} is {value}, but must be at most {most}")
