"""The share of each class that is held back: what it may be, before any image is read."""

from __future__ import annotations

from spaces.errors import InputError

SHARE = 0.25
"""Held back where a share is needed and none is asked for."""
MOST = 0.5


def check_share(share: float) -> None:
    """Raise InputError unless `share` is 0, or a share of a class that can be held back."""
    if not 0 <= share <= MOST:
        raise InputError(
            f"--hold-back is {share:g}, but must be 0, or a share of each class of at most {MOST:g}"
        )
