"""What a trial learned to draw, as a figure and as a film of its training.

In the figure above, the same latents at evaluations from the first to the last. Below, if the
trial's generator was kept, as those of trials are that were scored on fresh images: between two
latents of a class, and between two classes of a latent.
"""

from __future__ import annotations

import argparse
import textwrap
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from analysis.figures.style import Drawn, canvas
from analysis.study.artifacts import fetch_generator, fetch_grids, why_absent
from analysis.study.table import StudyTable
from analysis.study.trials import best
from spaces.errors import InputError
from trainable.data.film import FILM, draw_frames, film, short_name
from trainable.data.sheets import draw_grid, spread
from trainable.generators.saved import SavedGenerator

EPOCHS = 6
COLUMNS = 8
_STEPS = COLUMNS
_LATENTS = 2
_WIDE = 110  # letters of a line of the title
_RIGHTWARD = "\u200e"
_SEED = 0


@dataclass(frozen=True)
class Strip:
    """A row of images.

    Attributes:
        name: what it shows.
        picture: the images side by side.
    """

    name: str
    picture: Image.Image


def shown_trial(table: StudyTable, asked: int | None) -> int:
    """The trial that was asked for, or the first winner; without one the best of those scored on
    fresh images, and without these the best by its last FID.

    Raises:
        InputError: there is no such trial, or none that was scored.
    """
    if asked is not None:
        if asked not in table.runs:
            raise InputError(
                f"--trial is {asked}, but study {table.name} has the trials 0 to {max(table.runs)}"
            )
        return asked
    found = best(table)
    if found is None:
        raise InputError(f"--study {table.name}: every trial broke down; name one with --trial")
    return found[0]


@lru_cache(maxsize=1)
def _grids(table: StudyTable, number: int) -> dict[int, Image.Image]:
    """The trial's grids, for figure and film: a remote store sends each picture by itself."""
    return fetch_grids(table, number)


def progress(table: StudyTable, number: int) -> list[Strip]:
    """The trial's grids at some of its evaluations, first and last among them."""
    grids = _grids(table, number)
    chosen = spread(sorted(grids), EPOCHS)
    fids = _fids(table, number)
    return [
        Strip(f"epoch {e}" + (f"\nFID {fids[e]:.1f}" if e in fids else ""), grids[e])
        for e in chosen
    ]


@torch.inference_mode()
def between(start: SavedGenerator) -> list[Strip]:
    """Interpolations of a generator: along the sphere between latents of a class (Shoemake 1985),
    and straight between the one-hot vectors of two classes."""
    images, classes, latent = start.image_generator()
    rng = torch.Generator().manual_seed(_SEED)
    ends = torch.randn(2 * _LATENTS, latent, generator=rng)
    share = torch.linspace(0, 1, _STEPS)
    strips = []
    for index, name in enumerate(classes):
        z = _arc(ends[0], ends[1], share)
        y = torch.eye(len(classes))[index].expand(_STEPS, -1)
        grid = draw_grid(images(z, y).numpy(), _STEPS)
        strips.append(Strip(f"{_short(name)}\nbetween latents", grid))
    if len(classes) > 1:
        one, other = torch.eye(len(classes))[:2]
        for k in range(_LATENTS):
            y = one + share[:, None] * (other - one)
            z = ends[k].expand(_STEPS, -1)
            strips.append(
                Strip(
                    f"{_short(classes[0])}\nto {_short(classes[1])}",
                    draw_grid(images(z, y).numpy(), _STEPS),
                )
            )
    return strips


def _short(name: str) -> str:
    short = short_name(name)
    # Marks without a width, or names written to the left would turn the order of the rows around.
    leftward = any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in name)
    return f"{_RIGHTWARD}{short}{_RIGHTWARD}" if leftward else short


def _arc(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """Spherical interpolation: latents half-way between two draws are as long as draws are."""
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=0)
    angle = torch.arccos(cosine.clamp(-0.9999, 0.9999))
    left, right = torch.sin((1 - share) * angle), torch.sin(share * angle)
    return (left[:, None] * a + right[:, None] * b) / torch.sin(angle)


def frames(table: StudyTable, number: int) -> list[Image.Image]:
    """The frames of the film of the trial's training; none if it has no pictures."""
    grids = _grids(table, number)
    return draw_frames(grids, list(table.counts), _fids(table, number)) if grids else []


def _fids(table: StudyTable, number: int) -> dict[int, float]:
    """The trial's FID by epoch."""
    own = table.curves[table.curves["number"] == number]
    return dict(zip(own["epoch"].tolist(), own["fid"].tolist(), strict=True))


def draw(table: StudyTable, number: int) -> tuple[Figure, str]:
    """The figure, and what could not be drawn.

    Raises:
        InputError: the trial has no pictures.
    """
    strips = progress(table, number)
    if not strips:
        otherwise = (
            f"MLflow has no sample grids of trial {number}; it keeps those of trials that "
            "reached the second rung or were scored on fresh images"
        )
        raise InputError(f"--study {table.name}: {why_absent(table, number, otherwise)}")
    more, note = _between(table, number)
    heights = [
        8.0 * strip.picture.height / strip.picture.width + 0.08 for strip in (*strips, *more)
    ]
    title = _title(table, number, bool(more))
    above = 0.3 + 0.2 * len(title)  # in inches
    figure = canvas(9.6, sum(heights) + above + 0.2, loose=True)
    figure.subplots_adjust(0.19, 0.01, 0.99, 1 - above / figure.get_figheight(), hspace=0.03)
    axes = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, strip in zip(axes, (*strips, *more), strict=True):
        grey = strip.picture.mode == "L"
        # With its limits: grey would be stretched to what the picture has.
        ax.imshow(
            strip.picture, cmap="gray" if grey else None, vmin=0, vmax=255, interpolation="nearest"
        )
        ax.set_xticks([])
        ax.set_yticks([])
        ax.text(-0.01, 0.5, strip.name, transform=ax.transAxes, ha="right", va="center", fontsize=8)
        for side in ax.spines.values():
            side.set_visible(False)
    figure.suptitle(
        "\n".join(title), x=0.01, y=1 - 0.15 / figure.get_figheight(), ha="left", va="top",
        fontsize=10,
    )  # fmt: skip
    return figure, note


def _title(table: StudyTable, number: int, more: bool) -> list[str]:
    """In lines that the figure is wide enough for, however many classes there are."""
    classes = f" ({', '.join(map(_short, table.counts))})" if table.counts else ""
    said = (
        f"{table.name}, trial {number}: the same latents as it trained, a row a class{classes}"
        + ("; below, between latents and classes" if more else "")
    )
    return [*textwrap.wrap(said, _WIDE, break_on_hyphens=False), f"{table.score}; generated images"]


def _between(table: StudyTable, number: int) -> tuple[list[Strip], str]:
    """The interpolations, or why there are none."""
    try:
        start = fetch_generator(table, number)
        if start is not None:
            return between(start), ""
        otherwise = "only generators of trials that were scored on fresh images are kept"
        why = why_absent(table, number, otherwise)
    except InputError as error:
        why = str(error)
    return [], f"nothing between latents and classes, as {why}"


def drawn(table: StudyTable, args: argparse.Namespace) -> Drawn:
    """The figure of `python -m analysis.samples`, and the film."""
    number = shown_trial(table, args.trial)
    figure, note = draw(table, number)
    files = {FILM: lambda: film(frames(table, number), "GIF")}
    return Drawn(figure, [f"trial {number}", note], files)
