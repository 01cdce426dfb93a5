"""`python -m analysis.interactions --study NAME`: which hyperparameters depend on one another.

For the strongest pairs, a table of FID at the first rung, where all trials had trained equally
long: the median of the trials in each cell, and how many those are.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from analysis.command import draw_figure, figure_parser
from trainable.basics.command import command_line

parser = partial(figure_parser, "interactions", __doc__)


@command_line()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, or 2 for bad input."""
    return draw_figure("interactions", parser().parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
