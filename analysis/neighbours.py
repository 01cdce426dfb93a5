"""`python -m analysis.neighbours --study NAME [--trial N]`: has a generator copied its images?

Its images beside the training images that they resemble most, shifted or mirrored too: those
of all its images that come nearest to one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from analysis.command import draw_figure, figure_parser
from trainable.basics.command import command_line
from trainable.basics.parser import Parser


@command_line()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, or 2 for bad input."""
    return draw_figure("neighbours", parser().parse_args(argv))


def parser() -> Parser:
    """The command line's."""
    p = figure_parser("neighbours", __doc__)
    p.add_argument(
        "--trial", type=int, metavar="N", help="(default: the first winner; without one, the best)"
    )
    p.add_argument("--data", help="where the training images are (default: where they were)")
    p.add_argument("--labels", metavar="CSV", help="and their labels (default: where they were)")
    return p


if __name__ == "__main__":
    sys.exit(main())
