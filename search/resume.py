"""`cgan-search resume NAME`: `python -m search.run --resume NAME`, with a help of its own."""

from __future__ import annotations

import time

from search.run import start
from search.study.flags import resume_parser as parser
from search.study.settings_file import read_flags
from trainable.basics.command import command_line

__all__ = ["main", "parser"]


@command_line("nothing was started or changed")
def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns 0, 2 for bad input, or 130 after Ctrl-C."""
    began = time.time()
    return start(read_flags(parser(), argv), began)


if __name__ == "__main__":
    raise SystemExit(main())
