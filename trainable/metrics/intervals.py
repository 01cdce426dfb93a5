"""How far a score may be off by chance, and what a perfect generator would score."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from trainable.metrics.frechet import FeatureStats, frechet_distance
from trainable.metrics.kernel import check_finite

Reference = TypeVar("Reference")


@dataclass(frozen=True)
class Interval:
    """Where one generator's score of a given size falls.

    Attributes:
        low: lower end.
        high: upper end.
        mean: mean score of that size, from all the images generated.
    """

    low: float
    high: float
    mean: float


def interval(
    statistic: Callable[[Reference, Tensor], float],
    real: Reference,
    fake: Tensor,
    size: int,
    draws: int = 200,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """The spread of ``statistic(real, rows)`` over draws of `size` rows of `fake` [n, D].

    It is the spread of the generated side alone: `real` is the same in every draw, as it is in
    every score of a study.

    Each draw has the protocol's own size, because FID falls with the number of images: only scores
    of equal size compare. Its rows are all different (subsampling, Politis and Romano 1994). The
    naive bootstrap of n of n, and in part also m of n with replacement, repeats rows; repeats
    shrink the covariance as a collapse would, and FID rises: by 6 %, four times its own spread, for
    200 of 2000. What different rows cost instead is spread, as draws share rows: the interval is
    widened by 1 / sqrt(1 - size / n), exact for a mean. Generate ten times `size`: the interval's
    own place rests on those n, so at 95 % it holds some 90 % of the scores of fresh images.

    Args:
        statistic: such as `frechet_distance` or `kernel_distance`.
        real: its first argument: real statistics, or features.
        fake: features of the generated images, n > `size`.
        size: images behind each score of the study.
        draws: how many scores; 200 put each end within some 10 % of the half-width.
        seed: of the draws.
        level: share of the scores inside.

    Raises:
        ValueError: features that are not finite, or a `size`, `draws` or `level` out of range.
    """
    fake = check_finite(fake)
    n = len(fake)
    if not 2 <= size < n:
        raise ValueError(f"size is {size}, but must be from 2 to {n - 1}: {n} were generated")
    if draws < 2 or not 0 < level < 1:
        raise ValueError(f"draws is {draws} and level {level}: need 2 or more, and 0 to 1")
    rng = torch.Generator().manual_seed(seed)
    scores = torch.tensor(
        [
            statistic(real, fake[torch.randperm(n, generator=rng)[:size].to(fake.device)])
            for _ in range(draws)
        ],
        dtype=torch.float64,
    )
    mean = scores.mean()
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    ends = mean + (scores.quantile(tails) - mean) / (1 - size / n) ** 0.5
    return Interval(ends[0].item(), ends[1].item(), mean.item())


class Floor(NamedTuple):
    """FID of real images against other real images: what a perfect generator would score.

    Attributes:
        floor: of all n against as many others as are asked for, extrapolated.
        halves: of n / 2 against n / 2, measured.
        half_n: images in each half.
    """

    floor: float
    halves: float
    half_n: int


def extrapolated_floor(features: Tensor, others: int, seed: int, splits: int = 5) -> Floor:
    """The FID between n real images and `others` other real ones, of which only n exist.

    Disjoint parts can be measured up to n / 2. From n / 4 to n / 2 FID falls by a factor; the floor
    assumes the same factor once more for n against n (a power law): F(n) = F(n/2)^2 / F(n/4), means
    over random splits. The true factor is a little stronger: on ImageNet features of X-rays and of
    phantoms, n from 100 to 400, the result was 1 to 10 % too high, where F(n/2) itself is 45 to 70
    %. Two sets of different sizes count as two of their harmonic mean, as each adds to FID by one
    over its size: 78 to 200 X-rays against 200 others came out 6 to 11 % too high, 400 right, 600
    8 % too low.

    Args:
        features: features [n, D] of the real set, n >= 8; n is rounded down to a multiple of 4.
        others: size of the other set, that of a generated one.
        seed: of the splits.
        splits: how many, of two quarter pairs and one half pair each.

    Raises:
        ValueError: features that are not finite, or fewer than 8.
    """
    features = check_finite(features, least=8)
    quarter = len(features) // 4
    rng = torch.Generator().manual_seed(seed)
    halves = quarters = 0.0
    for _ in range(splits):
        order = torch.randperm(len(features), generator=rng)[: 4 * quarter].to(features.device)
        a, b, c, d = features[order].split(quarter)
        halves += _fid(torch.cat([a, b]), torch.cat([c, d])) / splits
        quarters += (_fid(a, b) + _fid(c, d)) / (2 * splits)
    size = 2 / (1 / (4 * quarter) + 1 / others)
    doublings = math.log2(size / (2 * quarter))
    floor = halves * (halves / quarters) ** doublings if quarters > 0 else 0.0  # all images equal
    return Floor(floor, halves, 2 * quarter)


def _fid(first: Tensor, second: Tensor) -> float:
    return frechet_distance(FeatureStats.of(first), second)
