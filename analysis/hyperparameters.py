"""`python -m analysis.hyperparameters --study NAME`: what matters, and which way.

Above, each hyperparameter's importance for FID, at the first rung, which every trial was to reach,
and at the last that enough reached. Below, FID at the first rung and seconds an epoch against the
values of the most important ones. Scores after different amounts of training are never compared.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from analysis.command import draw_figure, figure_parser
from trainable.basics.command import command_line

parser = partial(figure_parser, "hyperparameters", __doc__)


@command_line()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, or 2 for bad input."""
    return draw_figure("hyperparameters", parser().parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
