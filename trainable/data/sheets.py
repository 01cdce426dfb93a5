"""Sheets of images: a grid of samples; generated images beside the training images like them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from spaces.errors import InputError

COLUMNS = 4
SIDE = 128
"""Least side of an image on the sheet, in pixels: smaller ones are shown enlarged."""
HEAD, CAPTION, GAP, SEAM = 52, 20, 16, 2
"""Heights of the heading and of the line under a pair; space between pairs and within one."""
_TEXT = 13


def spread(epochs: list[int], most: int) -> list[int]:
    """At most `most` of `epochs`, evenly spread, the first and the last among them."""
    if len(epochs) <= most:
        return epochs
    return [epochs[round(i * (len(epochs) - 1) / (most - 1))] for i in range(most)]


def grid_file(trial: Path, epoch: int) -> Path:
    """Where the folder of a trial has the sample grid of an epoch."""
    return trial / f"samples_{epoch:06d}.png"


def grid_files(trial: Path) -> dict[int, Path]:
    """The sample grids in the folder of a trial, by epoch."""
    return {int(p.stem.rpartition("_")[2]): p for p in sorted(trial.glob("samples_*.png"))}


def draw_grid(images: np.ndarray, columns: int) -> Image.Image:
    """Lay images uint8 [n, C, S, S], C 1 or 3, row by row on a sheet of `columns` columns.

    A pixel of black separates neighbours. Places left over in the last row stay black.
    """
    n, channels, size, _ = images.shape
    rows = -(-n // columns)
    cell = size + 1
    sheet = np.zeros((rows * cell - 1, columns * cell - 1, channels), np.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * cell, i % columns * cell
        sheet[top : top + size, left : left + size] = image.transpose(1, 2, 0)
    return Image.fromarray(sheet.squeeze(2) if channels == 1 else sheet)


def check_place(path: Path, folders: Sequence[Path]) -> None:
    """Raise InputError unless a PNG can be written to `path`, outside of the image `folders`."""
    if path.suffix.lower() != ".png":
        raise InputError(f"--neighbours {path} must end in .png")
    try:
        whole = path.resolve()
        inside = next((f for f in folders if whole.is_relative_to(f.resolve())), None)
        if inside is not None:
            raise InputError(
                f"--neighbours {path} lies in {inside}, where it would count as one of the "
                "images; choose another folder"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists()
        path.open("ab").close()
        if new:
            path.unlink()
    except OSError as error:
        raise InputError(f"--neighbours {path} cannot be written: {error.strerror}") from error


def corners(index: int, side: int) -> tuple[int, int, int]:
    """Where pair `index` lies, with images `side` pixels wide: both lefts, and the top."""
    row, column = divmod(index, COLUMNS)
    left = GAP + column * (2 * side + SEAM + GAP)
    return left, left + side + SEAM, HEAD + row * (side + CAPTION)


def draw_pairs(
    generated: np.ndarray, training: np.ndarray, similarity: np.ndarray, threshold: float
) -> Image.Image:
    """The sheet of images uint8 [n, C, S, S], C 1 or 3: generated left, training right.

    Pairs stand in the order given, `COLUMNS` in a row; under each its similarity, float [n], and
    whether that passes `threshold` and counts as a copy.
    """
    scale = -(-SIDE // generated.shape[-1])
    side = scale * generated.shape[-1]
    right = corners(COLUMNS - 1, side)[1]
    bottom = corners(len(generated) - 1, side)[2] + side
    sheet = Image.new("RGB", (right + side + GAP, bottom + CAPTION))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT)
    pen.text(
        (GAP, 8),
        "Generated images (left), and the training image that each resembles most (right), shifted "
        f"or mirrored too. Similarity above {threshold:.3f} counts as a copy.",
        font=font,
    )
    for index, value in enumerate(similarity):
        left, right, top = corners(index, side)
        if index < COLUMNS:
            pen.text((left, top - 18), "generated", font=font)
            pen.text((right, top - 18), "training", font=font)
        sheet.paste(_picture(generated[index], scale), (left, top))
        sheet.paste(_picture(training[index], scale), (right, top))
        copied = value > threshold
        text = f"similarity {value:.3f}{': a copy' if copied else ''}"
        pen.text((left, top + side + 2), text, fill="orange" if copied else "white", font=font)
    return sheet


def _picture(image: np.ndarray, scale: int) -> Image.Image:
    pixels = np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0)
    return Image.fromarray(pixels.repeat(scale, 0).repeat(scale, 1))
