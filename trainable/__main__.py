"""``python -m trainable``: one run without Ray, to replay a winner, to train it on, or to try."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from trainable.basics.command import command_line
from trainable.basics.progress import stage
from trainable.basics.terminal import make_console
from trainable.single.flags import check_flags, parser
from trainable.single.recipe import read_recipe


@command_line("everything up to its last score is kept; the same command resumes")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 2 for a user's mistake, 1 for a broken run, 130
    after Ctrl-C, 143 after SIGTERM."""
    args = parser().parse_args(argv)
    check_flags(args)
    recipe = read_recipe(args)
    console = make_console()
    with stage(console, "starting"):  # PyTorch takes seconds to import
        from trainable.single.run import run_single

    return run_single(args, recipe, console)


if __name__ == "__main__":
    sys.exit(main())
