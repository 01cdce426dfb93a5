"""`python -m search.completion bash`: what a shell needs to complete `cgan-search` at TAB.

A script that is made once and knows all words: the shell completes without starting Python.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

from search.__main__ import parser as root_parser
from search.commands import COMMANDS
from search.study.config import FLAGS
from trainable.basics.command import command_line
from trainable.basics.files import path_argument
from trainable.basics.parser import Parser, program
from trainable.basics.terminal import NAME

SHELLS = ("bash", "zsh", "fish")
_PATHS = ("config", "data", "held_out", "model", "init_from", "labels", "storage", "test")
"""Flags that may be given a path, besides those that take nothing else."""
_KNOWN = "find runs -maxdepth 2 -name study.json 2>/dev/null | cut -d/ -f2"
"""Prints the names of studies, in any shell."""


@command_line()
def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns 0, or 2 for bad input."""
    args = parser().parse_args(argv)
    import shtab

    sys.stdout.write(shtab.complete(all_commands(), args.shell) + "\n")
    return 0


def parser() -> Parser:
    """The command line's."""
    p = Parser(
        prog=program("search.completion"),
        description=f"Print a script by which a shell completes {NAME}. Write it, for bash, to "
        f"~/.local/share/bash-completion/completions/{NAME}; for zsh, to _{NAME} in a folder of "
        f"$fpath; for fish, to ~/.config/fish/completions/{NAME}.fish.",
    )
    p.add_argument("shell", choices=SHELLS, help="of these shells")
    return p


def all_commands() -> Parser:
    """One parser of all commands, each with its own flags."""
    root = root_parser()
    within = {"": root.add_subparsers()}
    for name, command in COMMANDS.items():
        group, _, last = name.rpartition(" ")
        if group not in within:
            within[group] = (
                within[""].add_parser(group, help=f"{group} of a study").add_subparsers()
            )
        found: Parser = import_module(command.module).parser()
        _mark(found)
        within[group].add_parser(last, parents=[found], add_help=False, help=command.about)
    return root


def _mark(p: argparse.ArgumentParser) -> None:
    """Tell shtab which flags take paths or a study's name, and what the others may be."""
    import shtab

    # With --resume beside it, --study names a new one.
    studies = ("resume",) if any(a.dest == "resume" for a in p._actions) else ("study", "studies")
    for action in p._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                _mark(inner)
            continue
        if action.dest in studies:
            action.complete = shtab.cmd(_KNOWN)  # type: ignore[attr-defined]
        elif action.type in (Path, path_argument) or action.dest in _PATHS:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.dest in FLAGS and FLAGS[action.dest].options:
            action.choices = FLAGS[action.dest].options


if __name__ == "__main__":
    sys.exit(main())
