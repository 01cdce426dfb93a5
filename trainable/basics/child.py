"""A helper process that runs an object's methods outside this interpreter.

Not `multiprocessing`, which would run a user's own script a second time where the script calls us
without the guard that it asks for.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
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
_GRACE = 1.0  # seconds to clean up in, once it is to end


class ChildError(Exception):
    """What was called failed; the message is the reason, in a line."""


class ClosedError(Exception):
    """The `Child` was closed, and is not to be called any more."""


class Child:
    """An object that is made and called in a process of its own; callers take turns.

    The process starts at once, and anew with the first call after it was lost. Ctrl-C does not
    reach it, and it ends when this process does, however that ends.
    """

    def __init__(self, make: Callable[..., Any], *args: Any, say_why: Callable[[Exception], str]):
        """The object is ``make(*args)``; all must be picklable.

        `say_why` gives, in one line, the reason for an exception raised there.
        """
        self._recipe = pickle.dumps((make, args, say_why))
        self._folder = Path.cwd()  # which may be another for a while, when a new one starts
        self._turn = threading.Lock()
        self._closed = False
        self._process: subprocess.Popen[bytes] | None = None
        self._link = self._start()

    def call(self, name: str, *args: Any) -> Any:
        """What the object's method `name` returns.

        Raises:
            InputError: the method raised one.
            ChildError: the method raised anything else.
            ConnectionError: the process was lost.
            ClosedError: it was closed, maybe meanwhile.
        """
        with self._turn:
            if self._process is None or self._process.poll() is not None:
                self._drop()
                self._link = self._start()
            answer = self._ask(name, args)
        if answer is None:
            if self._closed:
                raise ClosedError
            raise ConnectionError("the helper process was lost")
        fault, result = answer
        if fault is not None:
            raise fault(result)
        return result

    def close(self) -> None:
        """End the process, whatever it is at; for any thread."""
        self._closed = True
        if self._process is not None:
            self._process.terminate()
        if self._turn.acquire(blocking=False):  # else who has it sees the end of the process
            try:
                self._drop()
            finally:
                self._turn.release()

    def _start(self) -> Connection:
        if self._closed:
            raise ClosedError
        ours, theirs = socket.socketpair()
        with theirs:
            # What is sent, addresses with passwords among it, shows in no list of processes.
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, str(_ROOT), str(theirs.fileno())],
                cwd=self._folder, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        link = Connection(ours.detach())
        with suppress(OSError):  # it is lost already: the first call finds that
            link.send(sys.path)
            link.send(self._recipe)
        if self._closed:  # meanwhile, so that who closed it may have seen no process
            self._process.terminate()
        return link

    def _ask(self, name: str, args: tuple[Any, ...]) -> tuple[type[Exception] | None, Any] | None:
        """The answer; None if the process was lost."""
        try:
            self._link.send((name, args))
            return self._link.recv()
        except (OSError, EOFError):
            self._drop()
            return None
        except BaseException:  # of an interrupt: what comes later must not be taken for an answer
            self._drop()
            raise

    def _drop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._link.close()


def _leave(*_: object) -> None:
    """Clean up, undisturbed by a second signal: parent and `listen` may both send one."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit()


def serve(descriptor: int) -> None:
    """Do in this process what a `Child` in another asks for, until that one ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # though only who names this process can send it
    signal.signal(signal.SIGTERM, _leave)
    link = Connection(descriptor)
    sys.path[:] = dict.fromkeys([sys.path[0], *link.recv()])
    asked: queue.Queue[Any] = queue.Queue()

    def listen() -> None:
        try:
            while True:
                asked.put(link.recv())
        finally:  # at once, and not after the call under way: its store may hang
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(_GRACE)
            os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    recipe, made, say_why = asked.get(), None, str
    while True:
        name, given = asked.get()
        try:
            if made is None:
                make, args, say_why = pickle.loads(recipe)  # from our own parent
                made = make(*args)
            answer = pickle.dumps((None, getattr(made, name)(*given)))
        except Exception as error:
            kind = InputError if isinstance(error, InputError) else ChildError
            answer = pickle.dumps((kind, say_why(error)))
        link.send_bytes(answer)
