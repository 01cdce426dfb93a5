"""Has a generator copied its images?

Its images beside the training images that they resemble most, shifted or mirrored too: those
of all its images that come nearest to one.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from matplotlib.figure import Figure

from analysis.figures.samples import shown_trial
from analysis.figures.style import Drawn, canvas
from analysis.study.artifacts import fetch_generator, why_absent
from analysis.study.table import StudyTable
from spaces.errors import InputError
from trainable.data.dataset import Dataset
from trainable.data.sheets import draw_pairs
from trainable.metrics.pixels import Copies, pixel_copies
from trainable.trial.identity import RunIdentity
from trainable.trial.inputs import Images

PER_CLASS, PAIRS = 250, 16
_BATCH = 50
_DPI = 150


def training_images(table: StudyTable, named: str | None, labels: str | None = None) -> Dataset:
    """The study's images, from where it had them or from `named`; its table of labels likewise.

    Raises:
        InputError: they are not there, or others.
    """
    if not {"data", "image_size"} <= table.settings.keys():
        raise InputError(f"--study {table.name} does not record its images")
    moved = {name: path for name, path in (("data", named), ("labels", labels)) if path}
    wanted = RunIdentity.of({**table.settings, **moved})
    try:
        data = Images.read(wanted).data
    except InputError as error:
        raise InputError(
            f"the images of study {table.name} cannot be read: {error}; give their place with "
            "--data" + (", or that of their labels with --labels" if wanted.labels else "")
        ) from error
    if data.digest != wanted.data_digest:
        raise InputError(
            f"{wanted.data} does not hold the images that study {table.name} was trained on; give "
            "their place with --data"
        )
    return data


@torch.inference_mode()
def nearest(table: StudyTable, number: int, data: Dataset) -> tuple[np.ndarray, Copies]:
    """Images of the trial's generator, uint8 [n, C, S, S], and what they resemble most in `data`.

    Raises:
        InputError: the trial kept no generator.
    """
    start = fetch_generator(table, number)
    if start is None:
        otherwise = (
            f"the generator of trial {number} was not kept; only trials scored on fresh images "
            "keep theirs"
        )
        raise InputError(f"--study {table.name}: {why_absent(table, number, otherwise)}")
    images, classes, latent = start.image_generator()
    rng = torch.Generator().manual_seed(0)
    found = []
    for index in range(len(classes)):
        y = torch.eye(len(classes))[index].expand(_BATCH, -1)
        for _ in range(PER_CLASS // _BATCH):
            found.append(images(torch.randn(_BATCH, latent, generator=rng), y))
    generated = torch.cat(found)
    return generated.numpy(), pixel_copies(torch.tensor(data.images), generated)


def draw(generated: np.ndarray, copies: Copies, data: Dataset) -> Figure:
    """The figure: the pairs that are most alike."""
    best = copies.similarity.argsort(descending=True, stable=True)[:PAIRS].numpy()
    similarity, where = copies.similarity.numpy()[best], copies.nearest.numpy()[best]
    sheet = draw_pairs(generated[best], data.images[where], similarity, copies.threshold)
    figure = canvas(sheet.width / _DPI, sheet.height / _DPI, loose=True)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.imshow(sheet)
    ax.axis("off")
    return figure


def drawn(table: StudyTable, args: argparse.Namespace) -> Drawn:
    """The figure of `python -m analysis.neighbours`."""
    number = shown_trial(table, args.trial)
    data = training_images(table, args.data, args.labels)
    generated, copies = nearest(table, number, data)
    said = (
        f"trial {number}: of {len(generated)} generated images {copies.rate:.1%} count as copies "
        f"(similarity above {copies.threshold:.3f}); drawn are the {PAIRS} nearest to one"
    )
    return Drawn(draw(generated, copies, data), [said])
