"""Ctrl-C, and what kills politely: a command ends in order, says so at once, and cleans up."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from trainable.basics.terminal import make_console, say


class Stopped(KeyboardInterrupt):  # it is no error
    """A signal ended the work; its number is the argument."""


def say_stopped(error: KeyboardInterrupt, kept: str) -> int:
    """Say on standard error that a command was stopped and what is `kept`; returns its exit code.

    That is 130 for Ctrl-C, 143 for SIGTERM and 129 for SIGHUP, as shells have it.
    """
    with suppress(OSError):  # the terminal is gone
        say(make_console(stderr=True), f"\nstopped; {kept}")  # below the ^C
    number, _last.number = _last.number, None
    if isinstance(error, Stopped):
        number = error.args[0]
    return 128 + (number or signal.SIGINT)


@dataclass
class Stop:
    """Whether the work was asked to stop: false until it was.

    Attributes:
        number: the signal that asked, or None.
    """

    number: int | None = None

    def __bool__(self) -> bool:
        """It was."""
        return self.number is not None

    @property
    def code(self) -> int:
        """The exit code of what stopped so, as shells have it."""
        return 128 + (self.number or 0)


_last = Stop()
"""The signal that ends the work: Ray raises a KeyboardInterrupt of its own in `Stopped`'s place."""


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """In the block SIGTERM and SIGHUP raise `Stopped`, as Ctrl-C does, so that it cleans up."""

    def stop(number: int, frame: object) -> None:
        _last.number = number
        raise Stopped(number)

    _last.number = None  # of earlier work in this process, whose end others told of
    with _handled(stop, signal.SIGINT, signal.SIGTERM, signal.SIGHUP), _raised_again():
        yield


@contextmanager
def stopped_gently(ask: Callable[[], None], tell: Callable[[], None]) -> Iterator[Stop]:
    """In the block the first Ctrl-C or SIGTERM calls both, and the next one raises `Stopped`.

    `ask` must end the block soon; it interrupts whatever the block is at, so it takes no lock.
    `tell` says so: in a thread, as the block may be at writing. SIGHUP raises at once: with the
    terminal, other processes of the work are gone.
    """
    stop = Stop()

    def handle(number: int, frame: object) -> None:
        _last.number = number
        if stop:
            raise Stopped(number)
        stop.number = number
        ask()
        telling.start()

    telling = threading.Thread(target=_quietly, args=(tell,), daemon=True, name="stopping")
    with _handled(handle, signal.SIGINT, signal.SIGTERM):
        yield stop
    _last.number = None  # whoever asked is the caller's to tell of
    if stop:
        telling.join(1.0)  # lest it speaks after what comes next


@contextmanager
def _raised_again() -> Iterator[None]:
    """A signal that falls into a finaliser is sent once more: Python drops what is raised there."""
    before = sys.unraisablehook

    def hook(dropped: Any) -> None:
        if not isinstance(dropped.exc_value, Stopped):
            before(dropped)
            return
        again = threading.Timer(0.05, os.kill, (os.getpid(), dropped.exc_value.args[0]))
        again.daemon = True
        again.start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _quietly(act: Callable[[], None]) -> None:
    with suppress(OSError):  # the terminal is gone
        act()


@contextmanager
def _handled(handler: Callable[[int, Any], None], *signals: signal.Signals) -> Iterator[None]:
    """Signals that the process was started to ignore, as by nohup, stay ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python hands signals to the main thread alone
        return
    caught = [s for s in signals if s == signal.SIGINT or signal.getsignal(s) != signal.SIG_IGN]
    before = [signal.signal(number, handler) for number in caught]
    try:
        yield
    finally:
        for number, old in zip(caught, before, strict=True):
            signal.signal(number, old)
