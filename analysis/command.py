"""The command line of every figure: its flags, and the way from a study to files.

pandas, Matplotlib and MLflow take seconds to import: flags are checked before.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from rich.console import Console

from spaces.errors import InputError
from trainable.basics.parser import Parser, program
from trainable.basics.progress import stage
from trainable.basics.terminal import make_console, say
from trainable.tracking.client import TRACKING, check_tracking


def figure_parser(name: str, about: str | None) -> Parser:
    """The flags of every figure; `about` is its module's docstring."""
    p = Parser(prog=program(f"analysis.{name}"), description=about)
    p.add_argument("--study", required=True, metavar="NAME", help="the study's name")
    add_stores(p, None, "runs/NAME/figures")
    return p


def add_stores(p: Parser, out: Path | None, shown: str) -> None:
    """The flags that say where studies are read from, and where figures go: to `out`, `shown` as
    the default."""
    p.add_argument("--tracking-uri", default=TRACKING, help=f"MLflow's store (default: {TRACKING})")
    p.add_argument(
        "--out", type=Path, metavar="DIR", default=out,
        help=f"folder of the figures (default: {shown})",
    )  # fmt: skip


def begin(args: argparse.Namespace) -> Console:
    """Check what `add_stores` added; returns where the command speaks.

    Raises:
        InputError: there is no such store, or figures cannot be written to a file's place.
    """
    if args.out is not None and args.out.exists() and not args.out.is_dir():
        raise InputError(
            f"--out {args.out} cannot be written to (it is a file); choose another folder"
        )
    check_tracking(args.tracking_uri)
    return make_console()


def draw_figure(name: str, args: argparse.Namespace) -> int:
    """Read the study, draw what `analysis.figures.NAME` draws of it, write, and say; returns 0."""
    console = begin(args)
    with stage(console, "starting"):
        from analysis.figures.style import folder, legible, save
        from analysis.study.table import load_study

        drawn = import_module(f"analysis.figures.{name}").drawn
    with stage(console, "reading trials") as progress:
        table = load_study(args.study, args.tracking_uri, progress)
    with stage(console, "drawing"):
        figure, said, files = drawn(table, args)
        said = [*said, legible(figure)]
        paths = save(figure, folder(args.out, table.name), name, files)
    for line in filter(None, [table.note, *paths, *said]):
        say(console, str(line))
    return 0
