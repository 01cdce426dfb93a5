"""`python -m analysis.augmentation --model models:/NAME@champion --data DIR`: do synthetic images
help a classifier, from what real training-set size on, and at what price in errors?
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from analysis.augmentation.flags import check_flags, parser
from trainable.basics.command import command_line
from trainable.basics.progress import stage
from trainable.basics.terminal import make_console


@command_line("finished cells are kept; the same command resumes from here")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, 1 if MLflow lacks it, 2 for bad input, 130 after Ctrl-C."""
    args = parser().parse_args(argv)
    check_flags(args)
    console = make_console()
    with stage(console, "starting"):  # PyTorch and the rest take seconds to import
        from analysis.augmentation.command import run_study

    return run_study(args, console)


if __name__ == "__main__":
    sys.exit(main())
