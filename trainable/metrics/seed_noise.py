"""Whether two configurations differ, or their trainings by chance alone.

The interval of a score (`intervals.interval`) says where other images of the same generator fall.
A configuration is more than one generator: trained again from another seed it comes to another
score, by more than that interval shows. Two trainings of one configuration have intervals that lie
apart in 13 to 35 % of cases.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from trainable.metrics.intervals import Interval

_LEVEL = 0.95


@dataclass(frozen=True)
class SeedNoise:
    """How far trainings of one configuration lie apart.

    Attributes:
        sd: standard deviation of the log of the score, so in shares of it.
        freedom: degrees of freedom that `sd` rests on.
    """

    sd: float
    freedom: float

    def after(self, configurations: Sequence[Sequence[float]]) -> SeedNoise:
        """This, and what the log scores of replicates say of it: pooled by degrees of freedom."""
        squares, freedom = self.freedom * self.sd**2, self.freedom
        for logs in configurations:
            squares += float(np.sum((np.asarray(logs) - np.mean(logs)) ** 2))
            freedom += len(logs) - 1
        return SeedNoise(math.sqrt(squares / freedom) if freedom else 0.0, freedom)


_TRAININGS = (
    (75.1, 78.3, 81.6),  # 100 core-seconds
    (59.9, 57.1, 64.9),  # 360
    (55.7, 52.1, 60.6),  # 600
    (53.3, 51.3, 54.9),  # 900
    (57.4, 55.0, 55.1),  # 150,000 images on a GPU
)
FID_NOISE = SeedNoise(0.0, 0).after([[math.log(fid) for fid in row] for row in _TRAININGS])
"""Of FID: 5.2 %, of the default of that time with its backbone on 100 + 100 X-rays at 64 pixels,
three seeds a length (docs/performance.md, "The recipe" and below). Each is of one evaluation, whose
own images have their part in it. Of no other score is it known."""


def ratio(
    first: Sequence[Interval],
    second: Sequence[Interval],
    noise: SeedNoise = FID_NOISE,
    comparisons: int = 1,
) -> Interval:
    """How many times the first configuration's score the second's is, with its 95 % interval.

    The log of the ratio by Student's t. Its variance is, for each side, that of `noise` and that of
    a score on fresh images, over the number of trainings. The latter is in part in the former
    already, and a mean rests on more images than one score: both err to the side of "not told".
    Trainings beyond the first of a side add to what is known of the noise; where they lie further
    apart than it says, as on other images they may, the interval by them alone is taken if it is
    the wider one. (Where the truth is 1 to 3 times `FID_NOISE`, equal configurations are then told
    apart in 2 to 7 % of cases, for 2 to 6 trainings a side; by the pooled noise alone in up to 30.)

    Args:
        first, second: a training's score each, one or more, lower or higher being better.
        noise: between trainings.
        comparisons: of how many the intervals shall hold together, in 95 % of cases (Bonferroni).

    Returns:
        A ratio; from 0 to infinity if a score is not finite and above zero, where logs say nothing.
    """
    if not _finite(first, second):
        return Interval(0.0, math.inf, 1.0)
    middle, errors = _log_ratio(first, second, noise)
    tail = (1 - _LEVEL) / 2 / comparisons
    half = max(error * float(stats.t.isf(tail, freedom)) for error, freedom in errors)
    return Interval(*(math.exp(middle + x) for x in (-half, half, 0.0)))


def p_value(
    first: Sequence[Interval], second: Sequence[Interval], noise: SeedNoise = FID_NOISE
) -> float:
    """How often a `ratio` as far from 1, to either side, would come of equal configurations.

    1 if a score is not finite and above zero.
    """
    if not _finite(first, second):
        return 1.0
    middle, errors = _log_ratio(first, second, noise)
    return max(float(2 * stats.t.sf(abs(middle) / error, freedom)) for error, freedom in errors)


def _finite(first: Sequence[Interval], second: Sequence[Interval]) -> bool:
    return all(0 < score.mean < math.inf for score in (*first, *second))


def _log_ratio(
    first: Sequence[Interval], second: Sequence[Interval], noise: SeedNoise
) -> tuple[float, list[tuple[float, float]]]:
    """The log of `ratio`, and each standard error that may be its, with its degrees of freedom."""
    logs = [[math.log(score.mean) for score in side] for side in (first, second)]
    known, own = [noise.after(logs)], SeedNoise(0.0, 0).after(logs)
    if own.sd > noise.sd:
        known.append(own)
    images = sum(sum(map(_variance, side)) / len(side) ** 2 for side in (first, second))
    share = sum(1 / len(side) for side in logs)
    errors = [(math.sqrt(each.sd**2 * share + images), each.freedom) for each in known]
    return float(np.mean(logs[1]) - np.mean(logs[0])), errors


def told_apart(
    first: Sequence[Interval], second: Sequence[Interval], noise: SeedNoise = FID_NOISE
) -> bool:
    """Whether the configurations differ by more than their trainings do by chance."""
    found = ratio(first, second, noise)
    return found.low > 1 or found.high < 1


def _variance(score: Interval) -> float:
    """Of the log of one score on fresh images, to first order."""
    width = float(2 * stats.norm.ppf((1 + _LEVEL) / 2))
    return ((score.high - score.low) / (width * score.mean)) ** 2
