"""How a search ends before its work is done: what it says, and what it returns."""

from __future__ import annotations

import argparse
import os
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import NoReturn

from rich.console import Console

from search.study.config import StudyConfig
from search.study.database import load_study, open_storage
from search.study.flags import resume_flags, run_flags
from search.study.folder import StudyFolder
from search.study.records import read_records
from spaces.errors import InputError
from trainable.basics.files import disk_fault
from trainable.basics.stopping import say_stopped
from trainable.basics.terminal import say
from trainable.distributed.cluster import ray_lost
from trainable.tracking.client import reason

HALTED = 1
"""Exit code of a search that could not go on, such as on a full disk."""
PATIENCE = 40.0
"""Seconds without an answer of Ray's head after which it is lost; after 60 Ray ends the process."""
_PAUSE = 5.0  # seconds between looks at it


class EndedError(Exception):
    """A search has ended, and said all that there is to say; `code` is its exit code."""

    def __init__(self, code: int):
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Ending:
    """Says how a search ended whose work is not done, and how to go on."""

    args: argparse.Namespace
    config: StudyConfig
    console: Console

    @property
    def _folder(self) -> StudyFolder:
        return StudyFolder.of(self.args, self.config.name)

    def say(self, fault: str | None = None) -> None:
        """Say the fault for which the search had to stop, if it did not stop at a user's wish, and
        how to go on, if its study has begun."""
        if fault is not None:
            say(self.console, f"the search had to stop: {fault}")
        if self._folder.began:
            say(self.console, f"stopped; {self.how_to_go_on()}")

    @contextmanager
    def said_at_once(self) -> Iterator[None]:
        """Say what ends the block before it is left: to let go of Ray takes seconds, or for ever.

        Raises:
            EndedError: it was said; before the study has begun, the error itself is raised.
        """
        try:
            yield
        except BaseException as error:
            quiet = isinstance(error, InputError | SystemExit | EndedError)
            if quiet or not self._folder.began:
                raise
            raise EndedError(self._broken_off(error)) from error

    def head_watched(self, address: str) -> AbstractContextManager[None]:
        """In the block, end the process in order once Ray's head at `address` is lost."""
        return watched(address, lambda: self._end_without_head(address))

    def how_to_go_on(self) -> str:
        """How many trials ran, and the command that resumes the study."""
        config, again = (
            self.config,
            self._folder.command("resume", resume_flags(self.config, run_flags(self.args))),
        )
        ran = ""
        with suppress(Exception):  # its database may be what failed
            storage = open_storage(self._folder.database_url)
            records = read_records(load_study(config.name, storage))
            ended = sum(record.ended is not None for record in records)
            begun = len(records) - ended
            ran = f"{ended} of {config.trials} trials ended"
            ran += f", {begun} interrupted; " if begun else "; "
        return f"{ran}all training is kept. To resume:\n  {again}"

    def _broken_off(self, error: BaseException) -> int:
        """Say what ended a search whose study has begun; returns the exit code."""
        if isinstance(error, KeyboardInterrupt):
            return say_stopped(error, self.how_to_go_on())
        fault = disk_fault(error)
        if fault is None and ray_lost(error):
            fault = f"Ray does not answer ({reason(error)})"
        if fault is None:
            traceback.print_exception(error)
        self.say(fault or reason(error))
        return HALTED

    def _end_without_head(self, address: str) -> NoReturn:
        """End the process, whose other threads may wait for the head for ever."""
        try:
            self.say(f"Ray's head at {address} does not answer")
            self.console.show_cursor()  # which a live screen hides
        finally:
            os._exit(HALTED)


@contextmanager
def watched(
    address: str, lost: Callable[[], None], *, patience: float = PATIENCE, pause: float = _PAUSE
) -> Iterator[None]:
    """In the block, call `lost` from a thread once nothing listens at `address` for `patience`.

    Ray itself would end the process from its own code, which no exception of Python's announces.
    """
    over = threading.Event()

    def watch() -> None:
        heard = time.monotonic()
        while not over.wait(pause):
            now = time.monotonic()
            if _listens(address, pause):
                heard = now
            elif now - heard > patience:
                lost()
                return

    threading.Thread(target=watch, daemon=True, name="head-watch").start()
    try:
        yield
    finally:
        over.set()


def _listens(address: str, limit: float) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), limit).close()
    except OSError:
        return False
    return True
