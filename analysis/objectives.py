"""`python -m analysis.objectives --study NAME`: do the best by FID make the best classifier?

FID against the error of classifiers that learned from generated images and are tested on real ones
that no generator saw (1 less the classification accuracy score): all trials, the Pareto front of
those that no other beats in both, the best of each side by side, and how far the two rankings
agree. For studies that held images back: ``--objective classifier`` does, or ``--hold-back``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from analysis.command import draw_figure, parser
from trainable.basics.command import command_line


@command_line()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, or 2 for bad input."""
    return draw_figure("objectives", parser("objectives", __doc__).parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
