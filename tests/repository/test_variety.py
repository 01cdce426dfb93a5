"""FID rewards less variety where images are fewer than features; KID does not."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

from benchmarks import variety
from benchmarks.variety import FACTORS, curve, optimum, shrunk
from trainable.metrics.scores import RealSet


def planted(n: int, d: int, seed: int) -> tuple[Tensor, Tensor]:
    """Features [n, d] of two classes by turns, with variances that fall as 1 / k; their labels."""
    rng = torch.Generator().manual_seed(seed)
    variances = 1 / torch.arange(1, d + 1, dtype=torch.float64)
    labels = torch.arange(n) % 2
    noise = torch.randn(n, d, generator=rng, dtype=torch.float64)
    return noise * (variances * d / variances.sum()).sqrt() + 0.2 * labels[:, None], labels


def scored(n: int, d: int, seed: int) -> tuple[RealSet, list[dict[str, float]]]:
    """Two samples of one distribution, so a perfect generator: the reals, and its curve."""
    (real, own), (held, labels) = planted(n, d, 2 * seed), planted(n, d, 2 * seed + 1)
    known = RealSet.of(real, own, 2)
    return known, curve(known, held, labels)


def test_shrinking_is_towards_each_class_s_own_mean():
    features, labels = planted(30, 7, 0)
    moved = shrunk(features, labels, 0.6)
    assert torch.equal(features, planted(30, 7, 0)[0])
    for label in (0, 1):
        mine, then = features[labels == label], moved[labels == label]
        assert torch.allclose(then.mean(0), mine.mean(0))
        assert torch.allclose(then.std(0), 0.6 * mine.std(0))


@pytest.mark.parametrize("seed", range(3))
def test_with_fewer_images_than_features_fid_is_least_below_full_variety(seed):
    real, scores = scored(60, 512, seed)
    fids = [each["fid"] for each in scores]
    best = FACTORS[fids.index(min(fids))]
    assert best < 0.75
    assert best == pytest.approx(optimum(real, fids[0]), abs=0.06)
    assert min(fids) < 0.9 * fids[0]
    # (1 + s) / 2 of the full spread's, with s the optimum.
    assert min(fids) == pytest.approx((1 + optimum(real, fids[0])) / 2 * fids[0], rel=0.05)
    kids = [each["kid"] for each in scores]
    assert kids == sorted(kids)
    of_full = [each["diversity"] / scores[0]["diversity"] for each in scores]
    assert of_full == pytest.approx(FACTORS)


@pytest.mark.parametrize("seed", range(3))
def test_with_many_images_fid_and_kid_are_least_at_full_variety(seed):
    _, scores = scored(600, 8, seed)
    for name in ("fid", "kid"):
        values = [each[name] for each in scores]
        assert values == sorted(values)


def test_the_command_measures_it(capsys):
    flags = ["--image-size", "32", "--real", "24", "--generated", "20", "--repeats", "2"]
    assert variety.main(["phantom", *flags]) == 0
    said = capsys.readouterr().out
    rows = [line.split("|")[1:-1] for line in said.splitlines() if line.startswith("|")]
    assert [float(row[0]) for row in rows[2:]] == list(FACTORS)
    gains = [float(row[5].split("±")[0]) for row in rows[2:]]
    assert min(gains) < 0 == gains[0]
    found = re.search(r"FID .*least at (0\.\d\d)", said)
    assert found
    assert float(found[1]) < 0.9
    assert variety.main(["nowhere"]) == 2
    assert "error: " in capsys.readouterr().err
