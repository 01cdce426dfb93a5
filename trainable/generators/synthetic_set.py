"""A synthetic data set as files: a folder for each class, ``manifest.csv``, and what drew it.

An image follows from its class and its seed alone; the manifest lists both, and the registered
model draws the very same image from them.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, TypedDict

import numpy as np
import torch
from PIL import Image
from rich.console import Console

from spaces.errors import InputError
from trainable.basics.files import check_new_folder, name_fault, whole_folder
from trainable.basics.progress import stage
from trainable.generators.image_generator import ImageGenerator
from trainable.generators.saved import SavedGenerator

MANIFEST = "manifest.csv"
ABOUT = "generated.json"
_OPTIONS = {"png": {}, "jpeg": {"quality": 95}}


class SetRecord(TypedDict):
    """What is known of a set: what the images are, what drew them, and how often.

    ``generated.json`` says the same, but of whole paths the last name alone: it goes to others.

    Keys:
        synthetic: what they are, in words.
        model, weights_sha256: the generator, as the user named it, and its checksum.
        seed, per_class: as given.
        image_size: side in pixels.
        study, trial: where the generator was trained, if known.
        settings: the generator's own, see `GeneratorRecord`.
    """

    synthetic: str
    model: str
    weights_sha256: str
    seed: int
    per_class: int
    image_size: int
    study: str | None
    trial: int | None
    settings: Mapping[str, Any]


def write_set(start: SavedGenerator, args: argparse.Namespace, console: Console) -> SetRecord:
    """Write the set that the flags ask for, whole or not at all; returns what is known of it.

    Raises:
        InputError: a class cannot have a folder, or the set cannot be written.
    """
    images, classes, latent = start.image_generator()
    folders = [name.replace("/", "_").replace("\\", "_") for name in classes]  # N/A, from a table
    _check_folders(folders, f"--model {args.model}")
    torch.set_num_threads(1)  # at one image, threads waiting for each other cost up to 50x
    try:
        total, rows = len(classes) * args.per_class, []
        with whole_folder(args.out) as part, stage(console, "drawing", total) as progress:
            for index, name in enumerate(classes):
                folder = folders[index]
                _make_folder(part / folder, f"--model {args.model}")
                for k, seed in enumerate(image_seeds(args.seed, index, args.per_class)):
                    file = f"{folder}/{k:05d}.{args.format}"
                    image = draw(images, latent, index, len(classes), seed)
                    Image.fromarray(image).save(part / file, **_OPTIONS[args.format])
                    rows.append((file, name, seed))
                    progress(len(rows), total)
            return _describe(part, args, start, rows)
    except OSError as error:
        check_new_folder("--out", args.out)  # another was faster
        raise InputError(f"--out {args.out} cannot be written to: {error.strerror}") from error


def _check_folders(folders: list[str], model: str) -> None:
    """Raise InputError unless each class, as somebody's file calls it, can have its own folder."""
    own = {name.casefold() for name in (ABOUT, MANIFEST)}
    for place, name in enumerate(folders):
        fault = name_fault(name)
        if name in folders[:place]:
            fault = "names two classes"
        elif name.casefold() in own:
            fault = "is a file of the set"
        if fault:
            raise _no_folder(model, name, fault)


def _make_folder(folder: Path, model: str) -> None:
    try:
        folder.mkdir()
    except FileExistsError as error:
        raise _no_folder(model, folder.name, "is another class's on this disk") from error


def _no_folder(model: str, name: str, fault: str) -> InputError:
    return InputError(
        f"{model}: class {name!r} cannot have a folder of that name, which {fault}; use a "
        "generator whose class names can be folder names"
    )


def image_seeds(seed: int, index: int, n: int) -> Iterator[int]:
    """The seeds of `n` images of a class in the set of `seed`, none of them twice.

    PyTorch's generator takes 32 bits of a seed, so that two sets of n images share n^2 / 2^32 of
    them on average: none of 10,000, two of 100,000.
    """
    used: set[int] = set()
    for k in range(n):
        states = np.random.SeedSequence([seed, index, k]).generate_state(8).tolist()
        chosen = next(state for state in states if state not in used)
        used.add(chosen)
        yield chosen


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
) -> SetRecord:
    with (folder / MANIFEST).open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(("file", "class", "seed"))
        out.writerows(rows)
    of_patients = start.about.get("of_patients", True)  # older records do not say
    limits = "; not images of patients, not for diagnosis" if of_patients else ""
    about: SetRecord = {
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
    settings = {key: _last_name(value) for key, value in about["settings"].items()}
    shared = {**about, "model": _last_name(args.model), "settings": settings}
    (folder / ABOUT).write_text(json.dumps(shared, indent=2) + "\n")
    return about


def _last_name(value: object) -> object:
    """Of a whole path the last name: the folders above may be called after users or patients."""
    if not isinstance(value, str):
        return value
    paths = (PurePosixPath(value), PureWindowsPath(value))
    return next((path.name for path in paths if path.is_absolute()), value)
