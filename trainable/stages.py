"""How long work says how far it is; `trainable.bars` shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Progress = Callable[[int, int], None]
"""Called with how much is done, and with how much there is."""
Stage = Callable[[str], AbstractContextManager[Progress]]
"""Begins a part of some work, by its name; `partial(bar, console)` is one that shows."""


@contextmanager
def silent(label: str) -> Iterator[Progress]:
    """A stage that nobody watches."""
    yield unseen


def unseen(done: int, total: int) -> None:
    """Progress that nobody watches."""
