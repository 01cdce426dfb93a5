"""How far long work is, and bars that show it: on terminals only, and gone at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


Progress = Callable[[int, int], None]
"""Called with how much is done, and with how much there is."""
Stage = Callable[[str], AbstractContextManager[Progress]]
"""Begins a part of some work, by its name; `partial(stage, console)` is one that shows."""


@contextmanager
def silent(label: str) -> Iterator[Progress]:
    """A stage that nobody watches."""
    yield unseen


def unseen(done: int, total: int) -> None:
    """Progress that nobody watches."""


@contextmanager
def stage(
    console: Console, label: str, total: int | None = None, done: int = 0
) -> Iterator[Progress]:
    """Show that a block is at work, and how far it is if it says so by calling what it is given.

    Lines that are printed on `console` meanwhile appear above. Only one may be live on a
    console. `done` of the `total` was done before: no time is reckoned for that.
    """
    if not console.is_interactive:
        yield unseen
        return
    from trainable.basics.bars import Display, columns  # rich is slow to import

    with Display(*columns(), console=console, transient=True) as display:
        task = display.add_task(label, total=total, completed=done, before=done)
        yield lambda now, of: display.update(task, completed=now, total=of)
