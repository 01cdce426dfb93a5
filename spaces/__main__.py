"""``python -m spaces``: list the spaces, or show what one of them searches."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from spaces import presets
from spaces.catalog import SPACES, Space, get_space
from spaces.describe import describe, starting_point
from spaces.errors import InputError
from spaces.recorder import show
from spaces.task import Task
from trainable.basics.command import command_line
from trainable.basics.parser import Parser, program
from trainable.basics.terminal import make_console

PIPED_WIDTH = 200  # a file or a pipe has no width of its own, and should not wrap


@command_line()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 2 for a user's mistake, else 0."""
    options = parser().parse_args(argv)
    terminal = sys.stdout is not None and sys.stdout.isatty()  # None: closed
    console = make_console(width=None if terminal else PIPED_WIDTH)
    task = _task(options)
    if options.space is None:
        _list(console, task)
    else:
        _show(console, options.space, get_space(options.space), task)
    return 0


def parser() -> Parser:
    """The command line's."""
    p = Parser(prog=program("spaces"), description=__doc__)
    p.add_argument(
        "space", nargs="?", help="a space's name, or package.module:function; none lists them all"
    )
    for flag, default, metavar, about in (
        ("--image-size", 64, "PIXELS", "side of the images"),
        ("--images", 200, "N", "number of training images"),
        ("--classes", 2, "K", "number of classes"),
    ):
        p.add_argument(
            flag, type=int, default=default, metavar=metavar, help=f"{about} (default: {default})"
        )
    p.add_argument(
        "--channels", type=int, default=1, choices=(1, 3), help="1: grey, 3: colour (default: 1)"
    )
    p.add_argument(
        "--backbone", default=presets.BACKBONE, metavar="NAME",
        help=f"none, or a network's name, as for a search (default: {presets.BACKBONE})",
    )  # fmt: skip
    return p


def _task(options: argparse.Namespace) -> Task:
    size = options.image_size
    if size < 4 or size & (size - 1):
        raise InputError(f"--image-size is {size}, but must be a power of two from 4")
    for flag, value in (("--images", options.images), ("--classes", options.classes)):
        if value < 1:
            raise InputError(f"{flag} is {value}, but must be at least 1")
    return Task(size, options.channels, options.classes, options.images, options.backbone)


def _list(console: Console, task: Task) -> None:
    table = _table("space", "parameters", "searches")
    for name, space in SPACES.items():
        table.add_row(name, str(len(describe(space, task))), _doc(space).partition("\n")[0])
    console.print(table)


def _show(console: Console, name: str, space: Space, task: Task) -> None:
    preset = presets.default(task)
    parameters = describe(space, task)
    table = _table("parameter", "range", "searched", "default")
    for parameter in parameters:
        default = preset.get(parameter.name)
        table.add_row(
            parameter.name,
            str(parameter.distribution),
            parameter.condition or "always",
            "" if default is None else show(default),
        )
    console.print(f"{name}: {_doc(space)}")
    console.print(table)
    within = starting_point(space, task, preset) is not None
    first = "The default is one of its draws" if within else "The default lies outside"
    console.print(
        f"{len(parameters)} parameters with --backbone {task.backbone}. {first} of this space."
    )


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column)
    return table


def _doc(space: Space) -> str:
    return inspect.getdoc(space) or "(no docstring)"


if __name__ == "__main__":
    sys.exit(main())
