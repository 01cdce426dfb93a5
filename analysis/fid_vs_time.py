"""`python -m analysis.fid_vs_time --study NAME`: what image quality costs in training time.

Draws each trial's last FID against the seconds it trained, the best FID to be had within a given
time (the Pareto front), and what the scores are held against.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from analysis.command import draw_figure, figure_parser
from trainable.basics.command import command_line
from trainable.basics.parser import Duration, Parser


@command_line()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, or 2 for bad input."""
    return draw_figure("fid_vs_time", parser().parse_args(argv))


def parser() -> Parser:
    """The command line's."""
    p = figure_parser("fid_vs_time", __doc__)
    p.add_argument(
        "--within", action=Duration, metavar="TIME",
        help="also print what is best within this training time, such as 10m",
    )  # fmt: skip
    return p


if __name__ == "__main__":
    sys.exit(main())
