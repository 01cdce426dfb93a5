"""`python -m analysis.hyperparameters --study NAME`: what matters, and which way.

Above, each hyperparameter's importance for FID, at the first rung, which every trial was to reach,
and at the last that enough reached, if trials were stopped by the same score. Below, FID at the
first rung and seconds an epoch against the values of the most important ones. Scores after
different amounts of training are never compared.
With --score classifier, the error of classifiers that learned from the images takes FID's place.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from analysis.command import draw_figure, figure_parser
from trainable.basics.command import command_line
from trainable.basics.parser import Parser


def parser() -> Parser:
    """The flags."""
    p = figure_parser("hyperparameters", __doc__)
    p.add_argument(
        "--score",
        choices=("fid", "classifier"),
        default="fid",
        help="what matters for (default: fid)",
    )
    return p


@command_line()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, or 2 for bad input."""
    return draw_figure("hyperparameters", parser().parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
