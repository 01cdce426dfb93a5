"""How far long work is: bars on terminals, gone at the end, and elsewhere a line a minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from trainable.basics.terminal import say
from trainable.basics.wording import time_left, times

if TYPE_CHECKING:
    from rich.console import Console

SILENCE = 60.0
"""Seconds after which a log hears of work that goes on."""

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
        with _lines(console, label, total, done) as progress:
            yield progress
        return
    from trainable.basics.bars import Display, columns  # rich is slow to import

    with Display(*columns(), console=console, transient=True) as display:
        task = display.add_task(label, total=total, completed=done, before=done)
        yield lambda now, of: display.update(task, completed=now, total=of)


@contextmanager
def _lines(console: Console, label: str, total: int | None, before: int) -> Iterator[Progress]:
    began, ended = time.monotonic(), threading.Event()
    far, gone = (before, total), False

    def progress(done: int, of: int) -> None:
        nonlocal far
        far = done, of

    def tell() -> None:
        nonlocal gone
        try:
            while not ended.wait(SILENCE):
                done, of = far
                count = "" if of is None else f" {done} of {of},"
                elapsed = time.monotonic() - began
                left = time_left(elapsed, done, of, before)
                say(console, f"{label}:{count} {times(elapsed, left)}")
        except SystemExit:  # so rich says that a pipe's reader has gone
            gone = True
        except OSError:  # a full disk, say: the work does not end for these lines
            pass

    teller = threading.Thread(target=tell, name="progress", daemon=True)
    teller.start()
    try:
        yield progress
    finally:
        ended.set()
        teller.join()
    if gone:
        raise SystemExit(1)
