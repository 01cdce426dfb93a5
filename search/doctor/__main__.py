"""`python -m search.doctor`: one page of facts and verdicts before a long search.

Takes the flags of `search.run`, and looks at all that such a search would use; it trains for a
second to tell how long it would take, and leaves nothing behind.
"""

from __future__ import annotations

import sys

from search.study import flags
from search.study.locate import resume_placed
from search.study.settings_file import read_flags
from trainable.basics.command import command_line
from trainable.basics.parser import Parser
from trainable.basics.progress import stage
from trainable.basics.terminal import make_console


@command_line()
def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns 0, 1 if something would break the search, 2 for bad input."""
    args = read_flags(parser(), argv)
    resume_placed(args)
    flags.check_stores(args)
    console = make_console()
    with stage(console, "starting"):  # PyTorch, Ray and MLflow take seconds to import
        from search.doctor.examine import examine

    return examine(args, console)


def parser() -> Parser:
    """The command line's: a search's flags."""
    return flags.parser(
        "search.doctor",
        "Check what a search with the same flags would meet, and what would stop it.",
    )


if __name__ == "__main__":
    sys.exit(main())
