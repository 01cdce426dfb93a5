"""The kernel distance between feature sets (KID, Binkowski et al. 2018), and what features must be.

KID is the squared maximum mean discrepancy under k(x, y) = (x·y / D + 1)^3. Its unbiased estimate
is 0 on average for two samples of one distribution at any size, which FID is not: so it compares
across classes and data sets of different sizes. The usual mean over subsets of 1000 would need that
many images, and only adds noise: here one estimate takes every pair.
"""

from __future__ import annotations

import torch
from torch import Tensor

ROWS = 1024
"""Rows of a kernel matrix held at once: 40 MB against 5000 others."""


def check_finite(features: Tensor, least: int = 2) -> Tensor:
    """Features [n, D] as float64, or why they cannot be judged.

    Raises:
        ValueError: not a matrix, fewer than `least` rows, or values that are not finite.
    """
    if features.dim() != 2 or len(features) < least:
        shape = list(features.shape)
        raise ValueError(f"features have shape {shape}, but must be [n, D] with n >= {least}")
    features = features.double()
    if not torch.isfinite(features).all():
        raise ValueError("features are not finite")
    return features


def kernel_distance(real: Tensor, fake: Tensor, real_term: float | None = None) -> float:
    """Unbiased squared MMD between real [n, D] and fake [m, D] features, from all their pairs.

    Args:
        real: features of the real set, n >= 2.
        fake: features of the set to judge, m >= 2; m need not be n.
        real_term: `kernel_mean` of `real`, where it is already known.

    Returns:
        About 0, of either sign, for equal distributions. Identical *sets* read below 0: the same
        image in both is a pair across, and not within.

    Raises:
        ValueError: see `check_finite`.
    """
    real, fake = check_finite(real), check_finite(fake)
    across = _kernel_sum(real, fake) / (len(real) * len(fake))
    if real_term is None:
        real_term = kernel_mean(real)
    return real_term + kernel_mean(fake) - 2 * across


def kernel_mean(features: Tensor) -> float:
    """Mean of k over all pairs of different rows of features [n, D], n >= 2."""
    features = check_finite(features)
    n, d = features.shape
    own = (features.square().sum(1) / d + 1).pow(3).sum()
    return (_kernel_sum(features, features) - float(own)) / (n * (n - 1))


def _kernel_sum(x: Tensor, y: Tensor) -> float:
    return sum(float((part @ y.T / x.shape[1] + 1).pow(3).sum()) for part in x.split(ROWS))
