"""`python -m analysis.parallel --study NAME`: which configurations the good trials have.

An axis for each of the most important hyperparameters, a line for each trial, coloured by its FID
at the first rung, where all trials had trained equally long; the best tenth there is strong. Who is
best there need not be so in the end: the winner is drawn in black.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from analysis.command import draw_figure, figure_parser
from trainable.basics.command import command_line

parser = partial(figure_parser, "parallel", __doc__)


@command_line()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, or 2 for bad input."""
    return draw_figure("parallel", parser().parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
