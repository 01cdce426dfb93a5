"""`cgan-search`, or `python -m search`: every command of the project under one name."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from search.commands import COMMANDS, listing
from spaces.errors import InputError
from trainable.basics.command import command_line
from trainable.basics.parser import Parser, called
from trainable.basics.terminal import NAME, make_console, say
from trainable.basics.wording import did_you_mean


@command_line()
def main(argv: Sequence[str] | None = None, prog: str = NAME) -> int:
    """Run the command line; returns what the command that it names does, or 2 for bad input."""
    words = list(sys.argv[1:] if argv is None else argv)
    for count in (1, 2):
        name = " ".join(words[:count]).replace("_", "-")
        if name in COMMANDS:
            with called(f"{prog} {name}"):
                return import_module(COMMANDS[name].module).main(words[count:])
    if words[:1] == ["figures"] and words[1:] in (["--help"], ["-h"]):
        words = []  # the list of all has them
    if words and words[0][:1] != "-":
        raise InputError(_unknown(words, prog))
    parser(prog).parse_args(words)
    parser(prog).print_help()
    return 0


def parser(prog: str = NAME) -> Parser:
    """The parser of what is no command."""
    p = Parser(
        prog=prog,
        usage="%(prog)s COMMAND [flags]",
        description=f"{listing()}\n\n{prog} COMMAND --help shows a command's flags.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    return p


class _Version(argparse.Action):
    """Prints the version, for which git is asked."""

    def __call__(self, parser: Any, *_: Any) -> None:
        from trainable.distributed.code import code_version

        say(make_console(), f"{NAME} {code_version()['version']}")
        parser.exit()


def _unknown(words: list[str], prog: str) -> str:
    """What to say of words that begin with no command."""
    figures = [name.removeprefix("figures ") for name in COMMANDS if name.startswith("figures ")]
    given = words[0].replace("_", "-")
    if given == "figures":
        which = f"there is no figure {words[1]}" if words[1:] else "figures needs a name"
        return f"{which}; there are {', '.join(figures)}"
    if given in figures:
        return f"{given} is a figure; use {prog} figures {given}"
    hint = did_you_mean(given, [*COMMANDS, "figures"])
    return f"there is no command {words[0]}{hint or f'; {prog} --help lists them'}"


if __name__ == "__main__":
    sys.exit(main(prog="python -m search"))
