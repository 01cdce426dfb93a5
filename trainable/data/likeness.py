"""What of an image survives another size, JPEG and exposure: area means, and their differences."""

from __future__ import annotations

import numpy as np

_GREY = np.array([19595.0, 38470.0, 7471.0])  # ITU-R 601 times 65536, as Pillow has it
_BLOCK = 64  # images at a time: 32 MB at 256 pixels


def difference_bits(images: np.ndarray, rows: int) -> np.ndarray:
    """Whether each of `rows` x `rows` areas is brighter than the one to its left: bool [n, rows^2].

    The grey image is averaged to `rows` rows of `rows` + 1 means; from the upper left, row by row.

    Args:
        images: uint8 [n, C, S, S], C is 1 or 3.
        rows: of areas.
    """
    means = area_means(images, rows, rows + 1)
    return (means[:, :, 1:] > means[:, :, :-1]).reshape(len(images), rows * rows)


def area_means(images: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Area averages of the grey images, up to a factor: float64 [n, rows, columns], whole numbers.

    A pixel that straddles two areas counts in both by its share.
    """
    size = images.shape[-1]
    down, across = _areas(size, rows), _areas(size, columns).T
    weights = _GREY if images.shape[1] == 3 else _GREY.sum(keepdims=True)
    means = np.empty((len(images), rows, columns))
    for start in range(0, len(images), _BLOCK):
        block = images[start : start + _BLOCK]
        means[start : start + _BLOCK] = down @ np.einsum("c,ncyx->nyx", weights, block) @ across
    return means


def _areas(size: int, parts: int) -> np.ndarray:
    """How much of each of `size` pixels lies in each of `parts` areas: whole numbers."""
    edges, pixels = np.arange(parts + 1) * size, np.arange(size + 1) * parts
    ends = np.minimum(edges[1:, None], pixels[None, 1:])
    return np.clip(ends - np.maximum(edges[:-1, None], pixels[None, :-1]), 0, None).astype(float)
