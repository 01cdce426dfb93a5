"""`python -m analysis.neighbours --study NAME [--trial N]`: has a generator copied its images?

Its images beside the training images that they resemble most, shifted or mirrored too: those
of all its images that come nearest to one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from analysis.command import draw_figure, parser
from trainable.basics.command import command_line


@command_line()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, or 2 for bad input."""
    p = parser("neighbours", __doc__)
    p.add_argument(
        "--trial", type=int, metavar="N", help="(default: the first winner; without one, the best)"
    )
    p.add_argument("--data", help="where the training images are (default: where they were)")
    p.add_argument("--labels", metavar="CSV", help="and their labels (default: where they were)")
    args = p.parse_args(argv)
    return draw_figure("neighbours", args)


if __name__ == "__main__":
    sys.exit(main())
