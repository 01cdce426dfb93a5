"""`python -m analysis.learning_curves --study NAME`: FID of every trial as it trained.

Shows where ASHA compared trials, how many got to each rung, and the curve with the least FID at its
end.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from analysis.command import draw_figure, figure_parser
from trainable.basics.command import command_line

parser = partial(figure_parser, "learning_curves", __doc__)


@command_line()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, or 2 for bad input."""
    return draw_figure("learning_curves", parser().parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
