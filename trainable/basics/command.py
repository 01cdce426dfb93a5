"""What every command does around its own work: exit codes, bad input, Ctrl-C, pipes, full disks."""

from __future__ import annotations

import functools
import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec

from spaces.errors import InputError
from trainable.basics.files import disk_fault, path_fault
from trainable.basics.stopping import say_stopped, stopped_by_signals
from trainable.basics.terminal import make_console, say, say_error

INPUT_ERROR = 2
"""Exit code for bad input, as argparse has it."""
_P = ParamSpec("_P")


def command_line(
    stopped: str = "run the same command to start again",
) -> Callable[[Callable[_P, int]], Callable[_P, int]]:
    """Have a ``main`` run by `run_command`; `stopped` is what is said of its work on Ctrl-C."""

    def decorate(main: Callable[_P, int]) -> Callable[_P, int]:
        @functools.wraps(main)
        def command(*args: _P.args, **kwargs: _P.kwargs) -> int:
            return run_command(lambda: main(*args, **kwargs), stopped)

        return command

    return decorate


def run_command(main: Callable[[], int], stopped: str) -> int:
    """The exit code of `main`: 2 for bad input, 130 after Ctrl-C, 1 on a full disk; each is said.

    There is no traceback for any of these, nor where the reader of a pipe has enough. Letters that
    the terminal's encoding lacks are escaped.
    """
    for stream in filter(None, (sys.stdout, sys.stderr)):  # None: closed by who started it
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with stopped_by_signals():
            try:
                return main()
            finally:  # of --help too, which ends in a SystemExit
                _flush()
    except InputError as error:
        say_error(error)
        return INPUT_ERROR
    except KeyboardInterrupt as error:
        return say_stopped(error, stopped)
    except BrokenPipeError:  # as by `| head`
        _lead_nowhere()
        return 1
    except Exception as error:
        if (path := path_fault(error)) is not None:
            say_error(InputError(path))
            return INPUT_ERROR
        if (fault := disk_fault(error)) is None:
            raise
        with suppress(OSError):
            say(make_console(stderr=True), f"error: {fault}; free some space, then run it again")
        try:
            _flush()
        except OSError:
            _lead_nowhere()
        return 1


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _lead_nowhere() -> None:
    """Have standard output take all, for the flush at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
