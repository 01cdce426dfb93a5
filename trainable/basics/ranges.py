"""Numbers that users give, and their bounds."""

from __future__ import annotations

from spaces.errors import InputError

MOST_SEED = 2**63 - 1
"""Of what users give: PyTorch takes one more bit, and some draws add to it."""


def check_range(flag: str, value: float, least: float, most: float) -> None:
    """Raise InputError unless `value` lies between `least` and `most`, both included."""
    if not value >= least:
        raise InputError(f"{flag} is {value}, but must be at least {least}")
    if value > most:
        raise InputError(f"{flag} is {value}, but must be at most {most}")
