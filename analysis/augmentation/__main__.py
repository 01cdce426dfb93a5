"""`python -m analysis.augmentation --model models:/NAME@champion --data DIR`: do synthetic images
help a classifier, from what real training-set size on, and at what price in errors?
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from analysis.augmentation.flags import parser
from spaces.errors import InputError
from trainable.basics.stopping import run_command, say_stopped
from trainable.basics.terminal import make_console, say_error


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, 1 if MLflow lacks it, 2 for bad input, 130 after Ctrl-C."""
    args = parser().parse_args(argv)
    console = make_console()
    try:
        from analysis.augmentation.command import run_study  # seconds, which --help need not cost

        return run_study(args, console)
    except InputError as error:
        say_error(error)
        return 2
    except KeyboardInterrupt as stop:
        return say_stopped(stop, "finished cells are kept; the same command goes on from here")


if __name__ == "__main__":
    sys.exit(run_command(main))
