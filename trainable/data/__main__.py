"""`python -m trainable.data small` builds a small set; `... show` draws and describes a set."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from spaces.errors import InputError
from trainable.basics.command import command_line
from trainable.basics.files import path_argument
from trainable.basics.parser import Parser, program
from trainable.basics.terminal import NAME, make_console, say, say_command, say_error
from trainable.data.dataset import check_image_size
from trainable.data.folders.listing import reasons
from trainable.data.folders.splits import SPLITS
from trainable.data.labelling import AS_FOLDERS, Labelling, add_labelling
from trainable.data.reading import BACKGROUNDS, FITS, USUAL, Reading
from trainable.data.show import check_picture, data_table, grid, small_table
from trainable.data.small import build_small
from trainable.data.sources import EMBEDDED, check_source, load

if TYPE_CHECKING:
    from rich.console import Console

    from trainable.basics.progress import Stage


@command_line()
def main(argv: list[str] | None = None) -> int:
    """Run one command; exit code 2 for a user's mistake, 1 if a file cannot be written."""
    args = parser().parse_args(argv)
    try:
        return args.run(args)
    except BrokenPipeError:
        raise
    except OSError as error:  # a full disk, a folder without write permission
        say_error(error)
        return 1


def parser() -> Parser:
    """The command line's."""
    p = Parser(prog=program("trainable.data"), description=__doc__)
    commands = p.add_subparsers(required=True, metavar="COMMAND")

    small = commands.add_parser("small", help="draw a small, balanced set of similar images")
    small.add_argument(
        "--source", type=path_argument, required=True, help="folder of class folders to draw from"
    )
    small.add_argument(
        "--out",
        type=path_argument,
        required=True,
        help="folder to create; must be empty or not exist",
    )
    small.add_argument(
        "--per-class", type=int, default=100, help="images per class (default: %(default)s)"
    )
    small.add_argument(
        "--target-kb",
        type=float,
        default=50.0,
        help="file size to stay near, in KB (default: %(default)g)",
    )
    small.add_argument(
        "--seed", type=int, default=0, help="seed of the draw (default: %(default)s)"
    )
    small.add_argument("--split", choices=SPLITS, default="train", help="(%(default)s)")
    small.set_defaults(run=_small)

    show = commands.add_parser("show", help="draw a grid of images and print what the files are")
    show.add_argument("data", metavar="DATA", help=f"{', '.join(EMBEDDED)} or a folder")
    show.add_argument(
        "--out", type=Path, help="PNG file to write (default: the data's name and -grid.png, here)"
    )
    add_labelling(show)
    show.add_argument(
        "--image-size", type=int, default=64, help="side in pixels (default: %(default)s)"
    )
    show.add_argument(
        "--per-class", type=int, default=10, help="images per class (default: %(default)s)"
    )
    show.add_argument("--fit", choices=FITS, default="crop", help="(%(default)s)")
    show.add_argument(
        "--background",
        default="black",
        help=f"colour behind transparent pixels: {BACKGROUNDS} (default: %(default)s)",
    )
    show.add_argument("--split", choices=SPLITS, default="train", help="(%(default)s)")
    show.add_argument(
        "--seed", type=int, default=0, help="seed of the phantoms (default: %(default)s)"
    )
    show.set_defaults(run=_show)
    return p


def _small(args: argparse.Namespace) -> int:
    console, stage = _screen()
    report = build_small(
        args.source, args.out, args.per_class, args.target_kb, args.seed, args.split, stage
    )
    console.print(small_table(report))
    for c in report.classes:
        if c.pool == c.available:
            say(
                console,
                f"{c.name}: only {c.pool} images, too few to select by file size, so all were "
                "used; lower --per-class for a more uniform set",
            )
    for reason in reasons(report.left_out):
        say(console, f"{reason} left out")
    if report.duplicates:
        say(console, f"{report.duplicates} duplicates dropped")
    for source, reason in report.skipped:
        say(console, f"skipped {source}: {reason}")
    total, out = len(report.classes) * report.per_class, Path(args.out)
    say(console, f"{total} images and manifest.csv in {out}; next:")
    picture = out.absolute().with_name(f"{out.absolute().name}.png")
    say_command(console, NAME, "data", "show", out, "--out", picture)
    return 0


def _show(args: argparse.Namespace) -> int:
    if args.out is not None:
        check_picture(args.out)
    check_image_size(args.image_size)
    if args.per_class < 1:
        raise InputError(f"--per-class is {args.per_class}, but must be at least 1")
    if args.seed < 0:
        raise InputError(f"--seed is {args.seed}, but must be 0 or more")
    how, labelling = Reading(args.fit, args.background), Labelling.of(vars(args))
    check_source(args.data, labelling)
    console, stage = _screen()
    with stage("reading images") as progress:
        data = load(
            args.data, args.image_size, how=how, labelling=labelling, split=args.split,
            seed=args.seed, progress=progress,
        )  # fmt: skip
    out = args.out or Path(f"{data.name}-grid.png")
    check_picture(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    grid(data, args.per_class).save(out)
    root = None if args.data in EMBEDDED else Path(args.data)
    with stage("reading headers") as progress:
        table = data_table(data, root, args.split, labelling, progress)
    console.print(table)
    say(console, f"{data.report} ({data.report.layout})")
    for source, reason in data.report.skipped:
        say(console, f"skipped {source}: {reason}")
    say(console, f"grid in {out}; next:")
    usual = {"fit": USUAL.fit, "background": USUAL.background, **AS_FOLDERS.settings}
    flags = [
        part
        for name, value in usual.items()
        if (given := getattr(args, name)) != value
        for part in (f"--{name.replace('_', '-')}", Path(given) if name == "labels" else given)
    ]
    data = args.data if root is None else root
    say_command(console, NAME, "run", "--data", data, *flags, "--dry-run")
    return 0


def _screen() -> tuple[Console, Stage]:
    """Where a command speaks, and what shows how far it is."""
    from trainable.basics.progress import stage

    console = make_console()
    return console, partial(stage, console)


if __name__ == "__main__":
    sys.exit(main())
