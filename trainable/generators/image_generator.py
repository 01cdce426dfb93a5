"""A generator whose output is images, and images drawn from it in whole batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from trainable.gan.config import TrialConfig
from trainable.gan.networks import Generator

_BATCH = 50


class ImageGenerator(nn.Module):
    """G_ema with its output as images: z [n, latent] and one-hot y [n, K] to uint8 [n, C, S, S]."""

    def __init__(self, generator: Generator, config: TrialConfig):
        super().__init__()
        self.generator = generator
        self.low, self.span = config.output_range

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Scale and round as `Run.sample` does."""
        scaled = (self.generator(z, y) - self.low) * (255 / self.span)
        return scaled.round().clamp(0, 255).to(torch.uint8)


@torch.inference_mode()
def draw_images(
    images: ImageGenerator, latent: int, counts: Sequence[int], seed: int, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """So many images of each class: uint8 [n, C, S, S], and their classes int64 [n], in order.

    They follow from `seed`; of a class, fewer images are the first of more.
    """
    images.to(device)
    found, labels = [], []
    for index, count in enumerate(counts):
        parts = []
        for part in range(-(-count // _BATCH)):  # always whole batches: rounding depends on them
            chance = int(np.random.SeedSequence([seed, index, part]).generate_state(1)[0])
            z = torch.randn(_BATCH, latent, generator=torch.Generator().manual_seed(chance))
            y = torch.zeros(_BATCH, len(counts))
            y[:, index] = 1
            parts.append(images(z.to(device), y.to(device)).cpu().numpy())
        found += [np.concatenate(parts)[:count]] if parts else []
        labels += [index] * count
    return np.concatenate(found), np.array(labels, dtype=np.int64)
