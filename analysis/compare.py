"""`python -m analysis.compare A B …`: studies of the same images side by side.

Left, the best FID that each study had within a training time; right, where its trials ended, and
what its winners score on fresh images, if it has any, with 95 % intervals: those of one generator
each. What is said of two studies' winners allows for the noise between trainings of one
configuration as well.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from analysis.command import add_stores, begin
from spaces.errors import InputError
from trainable.basics.command import command_line
from trainable.basics.parser import Parser, program
from trainable.basics.progress import stage


@command_line()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, or 2 for bad input."""
    args = parser().parse_args(argv)
    if len(set(args.studies)) < 2:
        raise InputError(f"a comparison needs two studies, but {args.studies[0]} is one")
    console = begin(args)
    with stage(console, "starting"):
        from analysis.figures.compare import compare

    compare(args, console)
    return 0


def parser() -> Parser:
    """The command line's."""
    p = Parser(prog=program("analysis.compare"), description=__doc__)
    p.add_argument("studies", nargs="+", metavar="NAME", help="two or more studies")
    add_stores(p, Path("runs/figures"), "runs/figures")
    return p


if __name__ == "__main__":
    sys.exit(main())
