"""Classifiers that cost a second: small networks on small pictures, without pretrained weights.

They are coarse, and learn from images that are moved, zoomed, re-exposed and made noisy, so that
they see what a class is rather than what a source is. Several of them are asked, as one alone is
moody.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Array = Tensor | np.ndarray

SIDE = 32  # of the pictures that they see
NETS, STEPS, BATCH = 3, 150, 32  # classifiers, or folds: 2 to 3 seconds of one core for all
WIDTH = 16  # channels of the first layer, half those of the others
RATE, DECAY, SMOOTHING, DROPOUT = 3e-3, 1e-2, 0.1, 0.3
SHIFT, ZOOM, EXPOSURE, NOISE = 0.15, 0.15, 0.3, 0.1  # of what they learn from, see `_varied`


def checked(images: Array, labels: Array, classes: int) -> tuple[Tensor, Tensor]:
    """Both as tensors.

    Raises:
        ValueError: images are not uint8 [n, C, S, S], or labels not [n] from 0 to classes - 1.
    """
    images, labels = torch.tensor(np.asarray(images)), torch.tensor(np.asarray(labels)).long()
    if images.dtype != torch.uint8 or images.dim() != 4 or labels.shape != images.shape[:1]:
        raise ValueError(f"images {images.dtype} {list(images.shape)}, labels {list(labels.shape)}")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(f"labels must be 0 to {classes - 1}")
    return images, labels


def shrunk(images: Tensor, side: int) -> Tensor:
    """Area averages uint8 [n, C, side, side]."""
    parts = images.split(256)  # as floats, all at once can be gigabytes
    return torch.cat([F.adaptive_avg_pool2d(x.float(), side).round_().byte() for x in parts])


def scaled(images: Tensor) -> Tensor:
    """What classifiers see: [n, C, 32, 32], -2 to 2."""
    return shrunk(images, SIDE).float() / 64 - 2


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: faster so, and the same anywhere."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def trained(small: Tensor, labels: Tensor, classes: int) -> nn.Module:
    """A classifier of inputs [n, C, 32, 32], by torch's global draws."""
    layers: list[nn.Module] = []
    widths = (small.shape[1], WIDTH, 2 * WIDTH, 2 * WIDTH)
    for into, out in pairwise(widths):
        layers += [nn.Conv2d(into, out, 3, 2, 1), nn.BatchNorm2d(out), nn.ReLU()]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(DROPOUT)]
    net = nn.Sequential(*layers, nn.Linear(widths[-1], classes))
    weights = 1 / labels.bincount()[labels].double()  # classes come equally often
    optimiser = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=STEPS)
    for _ in range(STEPS):
        batch = torch.multinomial(weights, BATCH, replacement=True)
        logits = net(_varied(small[batch]))
        optimiser.zero_grad()
        F.cross_entropy(logits, labels[batch], label_smoothing=SMOOTHING).backward()
        optimiser.step()
        schedule.step()
    return net.eval().requires_grad_(False)


def _varied(images: Tensor) -> Tensor:
    """Images [n, C, S, S], moved, zoomed, re-exposed and noisy: sources differ in all of that."""
    n = len(images)
    where = torch.zeros(n, 2, 3)
    where[:, [0, 1], [0, 1]] = 1 + ZOOM * (2 * torch.rand(n, 2) - 1)
    where[:, :, 2] = SHIFT * (2 * torch.rand(n, 2) - 1)
    grid = F.affine_grid(where, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    contrast, light = EXPOSURE * (2 * torch.rand(2, n, 1, 1, 1) - 1)
    return moved * (1 + contrast) + light + NOISE * torch.randn_like(moved)


def guesses(nets: Sequence[nn.Module], small: Tensor) -> Tensor:
    """The classes [n] that they take inputs [n, C, 32, 32] for, together."""
    with torch.no_grad():
        return torch.stack([net(small).softmax(1) for net in nets]).mean(0).argmax(1)


def share_right(guess: Tensor, labels: Tensor) -> float:
    """Share of guesses [n] that are right, averaged over the classes in `labels` [n]."""
    shares = [(guess[labels == c] == c).double().mean() for c in labels.unique()]
    return float(sum(shares) / len(shares))
