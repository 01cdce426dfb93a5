"""Differentiable augmentation of everything the discriminator sees (Zhao et al. 2020).

Reals and fakes go through the same random family in both players' steps, so that the generator
never learns the augmentation itself. Draws are per image, from the caller's generator, on the
images' device: no host synchronisation. Flips are left out on purpose: a heart has a side.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

SHIFT = 1 / 8
"""Largest translation, as a share of the side."""
BRIGHTNESS = 0.2
"""Largest offset, as a share of the value range."""
CONTRAST = 0.25
"""Largest relative change of the distance from the image's own mean."""
CUTOUT = 1 / 4
"""Side of the square that is blanked, as a share of the side."""


def augment(x: Tensor, parts: tuple[str, ...], span: float, rng: Generator) -> Tensor:
    """Apply `parts` in their order to images x [B, C, S, S] whose values span `span`."""
    for part in parts:
        match part:
            case "translation":
                x = _translate(x, rng)
            case "brightness":
                x = x + _uniform(x, rng) * (BRIGHTNESS * span)
            case "contrast":
                mean = x.mean(dim=(1, 2, 3), keepdim=True)
                x = (x - mean) * (1 + CONTRAST * _uniform(x, rng)) + mean
            case "cutout":
                x = _cutout(x, rng)
    return x


def _uniform(x: Tensor, rng: Generator) -> Tensor:
    """A draw from U(-1, 1) for each image, shaped [B, 1, 1, 1]."""
    return torch.rand(len(x), 1, 1, 1, device=x.device, generator=rng) * 2 - 1


def _translate(x: Tensor, rng: Generator) -> Tensor:
    """Shift each image by whole pixels; what enters is the image's own reflection."""
    size = x.shape[2]
    reach = max(1, round(size * SHIFT))
    padded = F.pad(x, (reach,) * 4, mode="reflect")
    offset = torch.randint(2 * reach + 1, (2, len(x), 1), device=x.device, generator=rng)
    rows, columns = offset + torch.arange(size, device=x.device)
    batch = torch.arange(len(x), device=x.device)[:, None, None]
    # Indexing NHWC keeps channels last in memory, which the convolutions want.
    return padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(
        0, 3, 1, 2
    )


def _cutout(x: Tensor, rng: Generator) -> Tensor:
    """Set a square of each image, at a random place that may hang over the edge, to 0."""
    size = x.shape[2]
    half = max(1, round(size * CUTOUT / 2))
    centre = torch.randint(size, (2, len(x), 1), device=x.device, generator=rng)
    inside = (torch.arange(size, device=x.device) - centre).abs() < half
    hole = inside[0][:, :, None] & inside[1][:, None, :]
    return x.masked_fill(hole[:, None], 0.0)
