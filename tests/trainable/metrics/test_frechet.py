"""The Fréchet distance against closed forms, its symmetries, and pytorch-fid's own code."""

import numpy as np
import pytest
import torch
from pytorch_fid.fid_score import calculate_frechet_distance

from trainable.metrics.frechet import FeatureStats, frechet_distance


def gaussian(n: int, d: int, seed: int, scale: float = 1.0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=rng, dtype=torch.float64) * scale


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return frechet_distance(FeatureStats.of(a), b)


@pytest.mark.parametrize(("n", "d"), [(20, 50), (50, 50), (200, 10)])
def test_equal_sets_are_at_distance_zero(n, d):
    features = gaussian(n, d, 0)
    assert distance(features, features) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("n", "d"), [(20, 50), (200, 10)])
def test_a_shift_of_the_mean_counts_squared(n, d):
    features = gaussian(n, d, 0)
    assert distance(features, features + 3.0) == pytest.approx(9.0 * d, rel=1e-6)


@pytest.mark.parametrize(("n", "d"), [(20, 50), (200, 10)])
def test_a_change_of_scale_counts_as_the_root_says(n, d):
    # S2 = c^2 S1: Tr(S1 + c^2 S1 - 2 c S1) = (1 - c)^2 Tr S1.
    features = gaussian(n, d, 0)
    features -= features.mean(0)
    trace = FeatureStats.of(features).covariance.trace().item()
    assert distance(features, 3 * features) == pytest.approx(4 * trace, rel=1e-6)


def test_diagonal_covariances_have_the_closed_form():
    # Orthogonal designs: exactly diagonal covariances.
    base = torch.tensor(np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]]), dtype=torch.float64)
    a, b = base * torch.tensor([1.0, 2.0]), base * torch.tensor([3.0, 5.0]) + torch.tensor([1.0, 0])
    unit = 4 / 3  # variance of +-1 with n - 1
    expected = 1.0 + unit * ((1 - 3) ** 2 + (2 - 5) ** 2)
    assert distance(a, b) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n1", "n2", "d"), [(30, 20, 40), (20, 60, 40), (60, 70, 40)])
def test_symmetric(n1, n2, d):
    a, b = gaussian(n1, d, 1), gaussian(n2, d, 2, 1.5)
    assert distance(a, b) == pytest.approx(distance(b, a), rel=1e-8)


@pytest.mark.parametrize(("n1", "n2", "d"), [(30, 25, 64), (100, 90, 64), (100, 30, 64)])
def test_agrees_with_pytorch_fid(n1, n2, d):
    a, b = gaussian(n1, d, 3), gaussian(n2, d, 4, 1.3) + 0.2
    theirs = calculate_frechet_distance(
        a.mean(0).numpy(), np.cov(a.numpy(), rowvar=False),
        b.mean(0).numpy(), np.cov(b.numpy(), rowvar=False),
    )  # fmt: skip
    assert distance(a, b) == pytest.approx(theirs, rel=1e-5)


def test_single_precision_features_are_computed_in_double():
    a, b = gaussian(40, 80, 5).float(), gaussian(30, 80, 6).float()
    assert distance(a, b) == pytest.approx(distance(a.double(), b.double()), rel=1e-12)


def test_not_finite_features_give_nan():
    bad = gaussian(10, 5, 0)
    bad[3, 2] = float("inf")
    assert np.isnan(frechet_distance(FeatureStats.of(gaussian(10, 5, 1)), bad))
