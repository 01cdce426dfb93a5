"""A process of ours beside this one, which does an object's work without this interpreter.

Not `multiprocessing`, which would run a user's own script a second time where the script calls us
without the guard that it asks for.
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from spaces.errors import InputError

_ROOT = Path(__file__).resolve().parents[2]
# Our code first, and not the current folder, where a ``spaces.py`` of the user's may lie.
_START = (
    "import sys; sys.path[0] = sys.argv[1]; "
    "from trainable.basics.child import serve; serve(int(sys.argv[2]))"
)


class ChildError(Exception):
    """What was called failed; the message is the reason, in a line."""


class Child:
    """An object that is made and called in a process of its own; callers take turns.

    The process starts with the first call, or at `start`, and anew with the first call after it was
    lost. Ctrl-C does not reach it, and it ends at once when this process does, however that ends.
    """

    def __init__(self, make: Callable[..., Any], *args: Any, say_why: Callable[[Exception], str]):
        """The object is ``make(*args)``; all three must be importable there, or picklable.

        `say_why` has the reason, in a line, of what is raised there.
        """
        self._recipe = make, args, say_why
        self._process: subprocess.Popen[bytes] | None = None
        self._link: Connection | None = None
        self._turn = threading.Lock()

    def start(self) -> None:
        """Start the process, if it does not run; takes milliseconds, as nothing is waited for."""
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        ours, theirs = socket.socketpair()
        with theirs:
            # What is sent, addresses with passwords among it, shows in no list of processes.
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, str(_ROOT), str(theirs.fileno())],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        self._link = Connection(ours.detach())
        with suppress(OSError):  # it is lost already: the first call says so
            self._link.send(self._recipe)

    def call(self, name: str, *args: Any) -> Any:
        """What the object's method `name` returns.

        Raises:
            InputError: the method raised one.
            ChildError: the method raised anything else.
            ConnectionError: the process was lost.
        """
        with self._turn:
            self.start()
            link = self._link
            assert link is not None
            try:
                link.send((name, args))
                fault, result = link.recv()
            except (OSError, EOFError) as error:
                self.close()
                raise ConnectionError("the process that writes there was lost") from error
        if fault is not None:
            raise fault(result)
        return result

    def close(self) -> None:
        """End the process at once, whatever it is at; may be called from any thread."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
        link, self._link = self._link, None
        if link is not None:
            link.close()


def serve(descriptor: int) -> None:
    """Do in this process what a `Child` in another asks for, until that one ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    link = Connection(descriptor)
    asked: queue.Queue[Any] = queue.Queue()

    def listen() -> None:
        # At once, and not after the call under way: its store may hang.
        with suppress(OSError, EOFError):
            while True:
                asked.put(link.recv())
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    make, args, say_why = asked.get()
    made = None
    while True:
        name, given = asked.get()
        try:
            made = made or make(*args)
            answer = None, getattr(made, name)(*given)
        except Exception as error:
            kind = InputError if isinstance(error, InputError) else ChildError
            answer = kind, say_why(error)
        with suppress(OSError):
            link.send(answer)
