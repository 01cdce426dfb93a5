"""`python -m search.run`: one command from labelled images to ranked winners in MLflow."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time

from rich.console import Console

from search.study.flags import parser
from search.study.settings_file import read_flags
from spaces.errors import InputError
from trainable.basics.command import command_line
from trainable.basics.progress import stage
from trainable.basics.terminal import make_console


@command_line("nothing was started or changed")
def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns 0, 2 for bad input, or 130 after Ctrl-C."""
    began = time.time()  # a time budget is the user's, imports and reading images included
    return start(read_flags(parser(), argv), began)


def start(args: argparse.Namespace, began: float) -> int:
    """Do what the flags ask for; a time budget counts from `began`, in seconds since 1970.

    Returns the exit code.

    Raises:
        InputError: something that they ask for cannot be done.
    """
    console = _console(args)
    from search.study.asked import check_flags  # NumPy, which --help need not wait for

    check_flags(args)
    # Ray reads this when it is imported. Its three lines on a dead worker are our one.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "A worker died or was killed")
    logging.getLogger("ray.widgets").setLevel(logging.ERROR)  # which notebooks might install
    with stage(console, "starting"):  # PyTorch, Ray and MLflow take seconds to import
        from search.session import run_session

    return run_session(args, console, began)


def _console(args: argparse.Namespace) -> Console:
    """Where the search speaks, settling ``--progress``: only a live one moves, bars included.

    Raises:
        InputError: it is to be live, and there is no terminal.
    """
    console = make_console()
    if args.progress is None:
        args.progress = "live" if console.is_terminal else "plain"
    if args.progress != "live":
        return make_console(force_terminal=False)
    if not console.is_terminal:
        raise InputError("--progress is live, but this is not a terminal; use plain or none")
    return console


if __name__ == "__main__":
    sys.exit(main())
