"""`python -m analysis.report --study NAME`: a study as one HTML file that needs no network.

The answer in a few sentences, FID against training time with a gallery behind each point, the
leaderboard, and every figure. Images are kept small: WebP, and as many trials' as `--megabytes`
holds, winners first and then the best.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

from analysis.command import begin, figure_parser
from spaces.errors import InputError
from trainable.basics.command import command_line
from trainable.basics.parser import Parser
from trainable.basics.progress import stage


@command_line()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, or 2 for bad input."""
    args = parser().parse_args(argv)
    if not 0 <= args.megabytes < math.inf:
        raise InputError(f"--megabytes is {args.megabytes:g}, but must be a number from 0")
    console = begin(args)
    with stage(console, "starting"):
        from analysis.figures.report import report

    report(args, console)
    return 0


def parser() -> Parser:
    """The command line's."""
    p = figure_parser("report", __doc__)
    p.add_argument(
        "--megabytes", type=float, default=10.0, help="of images in the gallery (default: 10)"
    )
    return p


if __name__ == "__main__":
    sys.exit(main())
