"""`python -m analysis.samples --study NAME [--trial N]`: what a trial learned to draw.

A figure, and a film of the training (training.gif). In the figure above, the same latents at
evaluations from the first to the last. Below, if the trial's generator was kept, as those of trials
are that were scored on fresh images: between two latents of a class, and between two classes of a
latent.
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
    return draw_figure("samples", parser().parse_args(argv))


def parser() -> Parser:
    """The command line's."""
    p = figure_parser("samples", __doc__)
    p.add_argument(
        "--trial", type=int, metavar="N", help="(default: the first winner; without one, the best)"
    )
    return p


if __name__ == "__main__":
    sys.exit(main())
