"""A mark in the trials' folder that asks all who train there to save and stop.

A driver cannot speak to a worker that trains; both see this folder. Where trials are in an object
store, they do not.
"""

from __future__ import annotations

from pathlib import Path

_MARK = ".stop"


def ask_to_stop(trials: Path) -> None:
    """Ask; OSError if the folder cannot be written to."""
    (trials / _MARK).touch()


def take_back(trials: Path) -> None:
    """Ask no more, as a search begins or has ended."""
    (trials / _MARK).unlink(missing_ok=True)


def asked_to_stop(trials: Path) -> bool:
    """Whether a trial is to save and stop."""
    return (trials / _MARK).exists()
