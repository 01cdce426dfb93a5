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
from pathlib import Path
from typing import NoReturn

import ray
from ray.exceptions import RaySystemError, RpcError
from rich.console import Console

from search.study.config import StudyConfig
from search.study.database import load_study, open_storage
from search.study.flags import run_flags
from search.study.folder import StudyFolder
from search.study.records import read_records
from spaces.errors import InputError
from trainable.basics.files import disk_fault
from trainable.basics.stopping import say_stopped
from trainable.basics.terminal import say
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


@contextmanager
def said_at_once(args: argparse.Namespace, config: StudyConfig, console: Console) -> Iterator[None]:
    """Say what ends the block before it is left: to let go of Ray takes seconds, or for ever.

    Raises:
        EndedError: it was said; before the study has begun, the error itself is raised.
    """
    try:
        yield
    except BaseException as error:
        quiet = isinstance(error, InputError | SystemExit | EndedError)
        if quiet or not StudyFolder(args.output / config.name).began:
            raise
        raise EndedError(broken_off(error, args, config, console)) from error


def broken_off(
    error: BaseException, args: argparse.Namespace, config: StudyConfig, console: Console
) -> int:
    """Say what ended a search whose study has begun, and how to go on; returns the exit code."""
    if isinstance(error, KeyboardInterrupt):
        return say_stopped(error, how_to_go_on(args, config))
    fault = disk_fault(error) or _ray_fault(error)
    if fault is None:
        traceback.print_exception(error)
    say(console, f"the search had to stop: {fault or reason(error)}")
    say(console, f"stopped; {how_to_go_on(args, config)}")
    return HALTED


def how_to_go_on(args: argparse.Namespace, config: StudyConfig) -> str:
    """How many trials ran, and the command that resumes the study."""
    again = StudyFolder.of(args, config.name).command("search.run --resume", run_flags(args))
    ran = ""
    with suppress(Exception):  # its database may be what failed
        folder: Path = args.output / config.name
        storage = open_storage(args.database or StudyFolder(folder).database_url)
        records = read_records(load_study(config.name, storage))
        ended = sum(record.ended is not None for record in records)
        begun = len(records) - ended
        ran = f"{ended} of {config.trials} trials ended"
        ran += f", {begun} interrupted; " if begun else "; "
    return f"{ran}what is trained is kept. To go on:\n  {again}"


def _ray_fault(error: BaseException) -> str | None:
    """Why Ray is lost, if that is what an error says."""
    lost = RaySystemError | RpcError | ConnectionError
    return f"Ray does not answer ({reason(error)})" if isinstance(error, lost) else None


def head_watched(
    args: argparse.Namespace, config: StudyConfig, console: Console
) -> AbstractContextManager[None]:
    """In the block, end the process in order once the head that it is connected to is lost."""
    address = ray.get_runtime_context().gcs_address
    return watched(address, lambda: _end_without_head(address, args, config, console))


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


def _end_without_head(
    address: str, args: argparse.Namespace, config: StudyConfig, console: Console
) -> NoReturn:
    """End the process, whose other threads may wait for the head for ever."""
    try:
        say(console, f"the search had to stop: Ray's head at {address} does not answer")
        if StudyFolder(args.output / config.name).began:
            say(console, f"stopped; {how_to_go_on(args, config)}")
        console.show_cursor()  # which a live screen hides
    finally:
        os._exit(HALTED)


def _listens(address: str, limit: float) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), limit).close()
    except OSError:
        return False
    return True
