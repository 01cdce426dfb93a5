"""A synthetic data set, in a folder for each class.

python -m trainable.generate --model models:/NAME@champion --per-class 500 --out DIR
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from trainable.basics.command import command_line
from trainable.basics.files import check_new_folder
from trainable.basics.parser import Parser, program
from trainable.basics.progress import stage
from trainable.basics.ranges import MOST_SEED, check_range
from trainable.basics.terminal import NAME, make_console, say, say_command
from trainable.data.folders.entries import MIN_PER_CLASS
from trainable.data.labelling import AS_FOLDERS
from trainable.tracking.client import TRACKING, check_generator

MOST_IMAGES = 10**6
"""Of a class: more in one folder than file systems and viewers bear."""


@command_line("nothing was written; run the same command to start again")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, 2 for bad input, or 130 after Ctrl-C."""
    args = parser().parse_args(argv)
    check_range("--per-class", args.per_class, 1, MOST_IMAGES)
    check_range("--seed", args.seed, 0, MOST_SEED)
    check_new_folder("--out", args.out)
    check_generator("--model", args.model, args.tracking_uri)
    console = make_console()
    with stage(console, "starting"):  # PyTorch takes seconds to import
        from trainable.generators.synthetic_set import write_set
        from trainable.tracking.registry import load_generator

    about = write_set(load_generator(args.model, args.tracking_uri, "--model"), args, console)
    said = f"{args.out}: synthetic images, {about['synthetic']}"
    if args.per_class < MIN_PER_CLASS:
        say(console, f"{said}; a data set to other commands from {MIN_PER_CLASS} a class on")
        return 0
    say(console, f"{said}; next:")
    folder = args.out.absolute()
    picture = folder.with_name(f"{folder.name}.png")
    say_command(console, NAME, "data", "show", args.out, "--out", picture)
    # As its training images were read: larger real ones have detail that it never saw.
    settings = about["settings"]
    size = ["--image-size", str(about["image_size"])]
    if (background := settings.get("background", "black")) != "black":
        size += ["--background", str(background)]
    real = Path(settings.get("data") or "")  # of a study before paths were kept whole
    # The folder has these classes only, and the command reads images so.
    alone = not any(settings.get(name) for name in AS_FOLDERS.settings)
    alike = alone and settings.get("fit", "crop") == "crop"
    if alike and real.is_absolute() and real.is_dir():
        say_command(console, NAME, "metrics", real, args.out, *size)
    return 0


def parser() -> Parser:
    """The command line's."""
    p = Parser(
        prog=program("trainable.generate"),
        description="Write a synthetic data set, in a folder for each class, with a manifest.",
    )
    p.add_argument(
        "--model", required=True, help="models:/NAME@champion, or a winner's generator.safetensors"
    )
    p.add_argument("--per-class", type=int, required=True, metavar="N", help="images per class")
    p.add_argument("--out", type=Path, required=True, help="a folder that does not exist yet")
    p.add_argument("--seed", type=int, default=0, help="seed of the whole set (default: 0)")
    p.add_argument("--format", choices=("png", "jpeg"), default="png", help="(default: png)")
    p.add_argument("--tracking-uri", default=TRACKING, help="MLflow, for models:/")
    return p


if __name__ == "__main__":
    sys.exit(main())
