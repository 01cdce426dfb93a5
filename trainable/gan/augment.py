"""Differentiable augmentation of everything the discriminators see (Zhao et al. 2020).

Reals and fakes go through the same random family in both players' steps, so that the generator
never learns the augmentation itself. Draws are per image, from the caller's generator, on the
images' device: no host synchronisation. Flips are there to be asked for: a heart has a side.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

SHIFT = 1 / 8
"""Largest translation, as a share of the side."""
ZOOM = 1.2
"""Largest magnification, and reduction, of the sides."""
BRIGHTNESS = 0.2
"""Largest offset, as a share of the value range."""
CONTRAST = 0.25
"""Largest relative change of the distance from the image's own mean."""
CUTOUT = 1 / 4
"""Side of the square that is blanked, as a share of the side; an odd number of pixels, one less."""


def augment(
    x: Tensor, parts: tuple[str, ...], span: float, rng: Generator, probability: float | Tensor = 1
) -> Tensor:
    """Apply `parts` in their order to images x [B, C, S, S] whose values span `span`.

    Each image gets each part with `probability`, a number or a scalar on the images' device.
    """
    for part in parts:
        changed = _apply(x, part, span, rng)
        if isinstance(probability, Tensor) or probability < 1:
            draw = torch.rand(len(x), 1, 1, 1, device=x.device, generator=rng)
            changed = torch.where(draw < probability, changed, x)
        x = changed
    return x


def _apply(x: Tensor, part: str, span: float, rng: Generator) -> Tensor:
    match part:
        case "translation":
            return _translate(x, rng)
        case "zoom":
            return _zoom(x, rng)
        case "flip":
            mirrored = torch.rand(len(x), 1, 1, 1, device=x.device, generator=rng) < 0.5
            return torch.where(mirrored, x.flip(3), x)
        case "brightness":
            return x + _uniform(x, rng) * (BRIGHTNESS * span)
        case "contrast":
            mean = x.mean(dim=(1, 2, 3), keepdim=True)
            return (x - mean) * (1 + CONTRAST * _uniform(x, rng)) + mean
        case "cutout":
            return _cutout(x, rng)
    raise ValueError(f"unknown augmentation {part!r}")


def _uniform(x: Tensor, rng: Generator) -> Tensor:
    """A draw from U(-1, 1) for each image, shaped [B, 1, 1, 1]."""
    return torch.rand(len(x), 1, 1, 1, device=x.device, generator=rng) * 2 - 1


def _translate(x: Tensor, rng: Generator) -> Tensor:
    """Shift each image by whole pixels; what enters is the image's own reflection."""
    size = x.shape[2]
    reach = max(1, round(size * SHIFT))
    offset = torch.randint(-reach, reach + 1, (2, len(x), 1), device=x.device, generator=rng)
    rows, columns = offset + torch.arange(size, device=x.device, dtype=x.dtype)
    return _resampled(x, rows, columns)


def _zoom(x: Tensor, rng: Generator) -> Tensor:
    """Magnify or reduce each image about its centre; what enters is its own reflection."""
    factor = ZOOM ** _uniform(x, rng)[:, 0, 0]
    middle = (x.shape[2] - 1) / 2
    at = (torch.arange(x.shape[2], device=x.device) - middle) / factor + middle
    return _resampled(x, at, at)


def _resampled(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Images x at the source positions `rows` and `columns` [B, S], in pixels, bilinearly.

    Rows and columns are matrices of weights: two products, which forwards and backwards are twice
    as fast on a CPU as gathering pixels.
    """
    source = torch.arange(x.shape[2], device=x.device)
    down, across = (
        (1 - (_reflect(at, x.shape[2] - 1)[:, None, :, None] - source).abs()).clamp_(min=0)
        for at in (rows, columns)
    )
    return (down @ x @ across.mT).contiguous(memory_format=_layout(x))


def _reflect(at: Tensor, last: int) -> Tensor:
    """Positions outside [0, last] mirrored back into it."""
    at = at.abs()
    return last - (last - at).abs()


def _layout(x: Tensor) -> torch.memory_format:
    """Channels last if x is stored so."""
    last = x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def _cutout(x: Tensor, rng: Generator) -> Tensor:
    """Set a square of each image, at a random place that may hang over the edge, to 0: to the
    middle of a tanh's range, and to a sigmoid's black."""
    size = x.shape[2]
    half = max(1, round(size * CUTOUT / 2))
    centre = torch.randint(size, (2, len(x), 1), device=x.device, generator=rng)
    inside = (torch.arange(size, device=x.device) - centre).abs() < half
    hole = inside[0][:, :, None] & inside[1][:, None, :]
    return x.masked_fill(hole[:, None], 0.0)
