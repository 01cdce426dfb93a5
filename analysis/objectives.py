"""`python -m analysis.objectives --study NAME`: do the best by FID make the best classifier?

FID against the error of classifiers that learned from generated images and are tested on real ones
that no generator saw (1 less the classification accuracy score): all trials, the Pareto front of
those that no other beats in both, the best of each side by side, and how far the two rankings
agree at the first rung. For studies that held images back: ``--objective classifier`` does, or
``--hold-back``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from analysis.command import draw_figure, figure_parser
from trainable.basics.command import command_line

parser = partial(figure_parser, "objectives", __doc__)


@command_line()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, or 2 for bad input."""
    return draw_figure("objectives", parser().parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
