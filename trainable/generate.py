"""A synthetic data set, in a folder for each class.

    python -m trainable.generate --model models:/NAME@champion --per-class 500 --out DIR

An image follows from its class and its seed alone; ``manifest.csv`` lists both, and the registered
model draws the very same image from them.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console

from spaces.errors import InputError
from trainable.basics.files import name_fault, whole_folder
from trainable.basics.progress import stage
from trainable.basics.ranges import MOST_SEED, check_range
from trainable.basics.stopping import run_command, say_stopped
from trainable.basics.terminal import make_console, say, say_command, say_error
from trainable.generators.image_generator import ImageGenerator
from trainable.generators.saved import SavedGenerator
from trainable.tracking.registry import load_generator

FORMATS = {"png": {}, "jpeg": {"quality": 95}}
ABOUT, MANIFEST = "generated.json", "manifest.csv"
MOST_IMAGES = 10**6
"""Of a class: more in one folder than file systems and viewers bear."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, 2 for bad input, or 130 after Ctrl-C."""
    args = _parser().parse_args(argv)
    console = make_console()
    try:
        folder = _generate(args, console)
    except InputError as error:
        say_error(error)
        return 2
    except KeyboardInterrupt as stop:
        return say_stopped(stop, "nothing was written; the same command starts again")
    about = json.loads((folder / ABOUT).read_text())
    say(console, f"{folder}: synthetic images, {about['synthetic']}; next:")
    picture = folder.absolute().with_name(f"{folder.absolute().name}.png")
    say_command(console, "python", "-m", "trainable.data", "show", folder, "--out", picture)
    # As its training images were read: larger real ones have detail that it never saw.
    size = ("--image-size", str(about["image_size"]))
    real = Path(about["settings"].get("data") or "")  # of a study before paths were kept whole
    if real.is_absolute() and real.is_dir():
        say_command(console, "python", "-m", "trainable.metrics", real, folder, *size)
    return 0


def _generate(args: argparse.Namespace, console: Console) -> Path:
    check_range("--per-class", args.per_class, 1, MOST_IMAGES)
    check_range("--seed", args.seed, 0, MOST_SEED)
    taken = f"--out {args.out} exists already; choose another folder, or remove it"
    if args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):
        raise InputError(taken)
    start = load_generator(args.model, args.tracking_uri, flag="--model")
    images, classes, latent = start.image_generator()
    _check_classes(classes, f"--model {args.model}")
    torch.set_num_threads(1)  # at one image, threads waiting for each other cost up to 50x
    try:
        total, rows = len(classes) * args.per_class, []
        with whole_folder(args.out) as part, stage(console, "drawing", total) as progress:
            for index, name in enumerate(classes):
                _make_folder(part / name, f"--model {args.model}")
                for k in range(args.per_class):
                    seed = image_seed(args.seed, index, k)
                    file = f"{name}/{k:05d}.{args.format}"
                    image = draw(images, latent, index, len(classes), seed)
                    Image.fromarray(image).save(part / file, **FORMATS[args.format])
                    rows.append((file, name, seed))
                    progress(len(rows), total)
            _describe(part, args, start, rows)
    except OSError as error:
        if args.out.is_dir() and any(args.out.iterdir()):  # another was faster
            raise InputError(taken) from error
        raise InputError(f"--out {args.out} cannot be written to: {error.strerror}") from error
    return args.out


def _check_classes(classes: list[str], model: str) -> None:
    """Raise InputError unless each class, as somebody's file calls it, can have its own folder."""
    own = {name.casefold() for name in (ABOUT, MANIFEST)}
    for place, name in enumerate(classes):
        fault = name_fault(name)
        if name in classes[:place]:
            fault = "names two classes"
        elif name.casefold() in own:
            fault = "is a file of the set"
        if fault:
            raise _no_folder(model, name, fault)


def _make_folder(folder: Path, model: str) -> None:
    try:
        folder.mkdir()
    except FileExistsError as error:
        raise _no_folder(model, folder.name, "is that of another class on this disk") from error


def _no_folder(model: str, name: str, fault: str) -> InputError:
    return InputError(
        f"{model}: its class {name!r} cannot have a folder of that name, which {fault}; take a "
        "generator whose classes are named as folders can be"
    )


def image_seed(seed: int, index: int, k: int) -> int:
    """The seed of the k-th image of a class in the set of `seed`: no two sets share images."""
    return int(np.random.SeedSequence([seed, index, k]).generate_state(1)[0])


@torch.inference_mode()
def draw(images: ImageGenerator, latent: int, index: int, classes: int, seed: int) -> np.ndarray:
    """One image, uint8 [S, S] if grey or [S, S, 3]; as the registered model draws it."""
    z = torch.randn(1, latent, generator=torch.Generator().manual_seed(seed))
    y = torch.zeros(1, classes)
    y[0, index] = 1
    pixels = images(z, y)[0].permute(1, 2, 0).numpy()
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels


def _describe(
    folder: Path, args: argparse.Namespace, start: SavedGenerator, rows: list[tuple[str, str, int]]
) -> None:
    with (folder / MANIFEST).open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(("file", "class", "seed"))
        out.writerows(rows)
    of_patients = start.about.get("of_patients", True)  # older records do not say
    limits = "; not images of patients, not for diagnosis" if of_patients else ""
    about: dict[str, Any] = {
        "synthetic": f"drawn by a generator{limits}",
        "model": args.model,
        "weights_sha256": start.sha256,
        "seed": args.seed,
        "per_class": args.per_class,
        "image_size": start.about["task"]["image_size"],
        "study": start.about.get("study"),
        "trial": start.about.get("trial"),
        "settings": start.about.get("settings", {}),
    }
    (folder / ABOUT).write_text(json.dumps(about, indent=2) + "\n")


def _parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m trainable.generate",
        description="Write a synthetic data set, in a folder for each class, with a manifest.",
    )
    p.add_argument(
        "--model", required=True, help="models:/NAME@champion, or a winner's generator.safetensors"
    )
    p.add_argument("--per-class", type=int, required=True, metavar="N", help="images of each class")
    p.add_argument("--out", type=Path, required=True, help="a folder that does not exist yet")
    p.add_argument("--seed", type=int, default=0, help="of the whole set (default: 0)")
    p.add_argument("--format", choices=tuple(FORMATS), default="png", help="(default: png)")
    p.add_argument(
        "--tracking-uri", default="sqlite:///runs/mlflow.db", help="MLflow, for models:/"
    )
    return p


if __name__ == "__main__":
    sys.exit(run_command(main))
