"""The Fréchet distance between feature sets (FID, Heusel et al. 2017), without a matrix root.

With covariances S1, S2 and centred features X2 = (f2 - mu2) / sqrt(n2 - 1), so that S2 = X2^T X2,
the trace of (S1 S2)^(1/2) is the sum of the square roots of the eigenvalues of X2 S1 X2^T: an
n2 x n2 matrix where n2 <= D. Everything is float64: in float32 the distance is off by up to 0.08.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class FeatureStats:
    """What a Fréchet distance needs to know of a set of features.

    Attributes:
        n: how many feature vectors.
        mean: their mean [D], float64.
        covariance: their covariance [D, D] with n - 1 in the denominator, float64.
    """

    n: int
    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, features: Tensor) -> FeatureStats:
        """Statistics of features [n, D], n >= 2."""
        features = features.double()
        mean = features.mean(0)
        centred = features - mean
        return cls(len(features), mean, centred.T @ centred / (len(features) - 1))


def frechet_distance(reference: FeatureStats, features: Tensor) -> float:
    """``|mu1 - mu2|^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2))``, exact to some 1e-7 of its value.

    Args:
        reference: statistics of the real set, computed once.
        features: features [n, D] of the set to judge, n >= 2.

    Returns:
        The squared Fréchet distance; 0 for equal moments, up to rounding. NaN if a feature is not
        finite.
    """
    features = features.double()
    if not torch.isfinite(features).all():
        return float("nan")
    mean = features.mean(0)
    centred = (features - mean) / (len(features) - 1) ** 0.5
    if len(features) <= features.shape[1]:
        gram = centred @ reference.covariance @ centred.T
    else:  # the symmetric D x D form is the smaller one
        values, vectors = torch.linalg.eigh(reference.covariance)
        kept = values > values[-1] * 1e-14
        root = vectors[:, kept] * values[kept].sqrt()
        projected = centred @ root
        gram = projected.T @ projected
    root_trace = torch.linalg.eigvalsh((gram + gram.T) / 2).clamp_min(0).sqrt().sum()
    trace = reference.covariance.trace() + centred.square().sum()
    return float((mean - reference.mean).square().sum() + trace - 2 * root_trace)
