"""Sheets of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def spread(epochs: list[int], most: int) -> list[int]:
    """At most `most` of `epochs`, evenly spread, the first and the last among them."""
    if len(epochs) <= most:
        return epochs
    return [epochs[round(i * (len(epochs) - 1) / (most - 1))] for i in range(most)]


def grid_file(trial: Path, epoch: int) -> Path:
    """Where the folder of a trial has the sample grid of an epoch."""
    return trial / f"samples_{epoch:06d}.png"


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
