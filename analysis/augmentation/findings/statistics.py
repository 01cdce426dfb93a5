"""How sure the outcome of a study of classifiers is: intervals and tests.

Repeats are trainings on other real subsets with other seeds; all are tested on the same images.
What is computed from accuracies of repeats (`mean_interval`,
`analysis.augmentation.findings.crossover`) therefore speaks of trainings, the test images given.
`paired_test` allows for both. Neither allows for the pool: subsets of one pool overlap, and the
more the larger they are, so that both understate how another pool might differ (Nadeau and Bengio
2003, Inference for the generalization error).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import stdtrit

FEWEST_CASES = 6
"""Test images, or their clusters, below which no exact sign test has a p below 5 %."""
_UNSEEN = 3.0
"""Events that may be expected, at 95 %, where none was seen."""


class Estimate(NamedTuple):
    """A mean and the ends of its interval; these are NaN where nothing is known of them."""

    mean: float
    low: float
    high: float


def mean_interval(values: ArrayLike, level: float = 0.95) -> Estimate:
    """Mean of `values` [r], accuracies or their differences, and its interval of Student's t.

    One value has a mean alone. Equal values have an interval of no width, which says too much: with
    few test images, equal accuracies come about by chance.

    Raises:
        ValueError: no values, or some that are not finite.
    """
    mean, error, n = mean_and_error(values)
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * error if n > 1 else math.nan
    return Estimate(mean, mean - half, mean + half)


def paired_test(
    first: ArrayLike, second: ArrayLike, clusters: ArrayLike | None = None
) -> tuple[Estimate, float]:
    """The mean difference in accuracy, second - first, for other repeats and other images.

    Repeats and images are crossed random effects: all trainings judge the same images, so an image
    that favours one arm does so in every repeat. The variance of the mean is from the mean squares
    of both and of the rest, the tails are Student's t with (r - 1) times as many degrees of freedom
    as the whole variance is of the repeats' part. In simulations of no difference p is below 0.05
    in 3 to 5 % of cases from 3 repeats on, and in fewer where trainings of an arm hardly differ.
    The square of that ratio, which Hillis (2007) has for r readers of m cases, lets through 8 % of
    3 repeats, and of 5 three times too many in the tails, where p for many comparisons is decided.

    Images of one patient are no independent cases. Those of a cluster are therefore drawn together:
    each counts as one case that differs from the mean by what its images do in all, over the mean
    number of images in a cluster (the ratio estimator, to first order; Cochran 1977, chapter 6).

    Where few images tell the arms apart, those that do not vary too little to say how many others
    would. So the interval's half is 3 / m at least: of m images that none told apart, up to so many
    of all may (the rule of three; Hanley and Lippman-Hand 1983, JAMA 249). And p is no less than
    that of the exact sign test if all k images that tell the arms apart favoured one, 2 / 2^k, so
    that five can never decide; the interval then reaches to zero.

    Args:
        first, second: bool [r, m], true where right; rows are paired repeats, columns test images.
        clusters: int [m], who each image shows; each image by itself if None.

    Returns:
        The mean, from -1 to 1, with its 95 % interval, and the two-sided p that it is zero: below
        0.05 exactly where the interval leaves out zero. The ends are NaN, and p 1, for one repeat,
        of which the spread is not known, or fewer than `FEWEST_CASES` images or clusters.

    Raises:
        ValueError: not bool, not of one shape [r, m], or empty.
    """
    difference = paired_differences(first, second, clusters)
    mean = float(difference.mean())
    if not testable(difference):
        return Estimate(mean, math.nan, math.nan), 1.0
    error, freedom = Spread.of(difference).error(len(difference))
    half = float(stats.t.ppf(0.975, freedom)) * error
    p = 2 * float(stats.t.sf(abs(mean) / error, freedom))
    apart = np.any(np.asarray(first) != second, axis=0)
    cases = int(apart.sum()) if clusters is None else len(np.unique(np.asarray(clusters)[apart]))
    p = max(p, min(1.0, 2.0 ** (1 - cases)))
    if cases < FEWEST_CASES:
        half = max(half, abs(mean))
    return Estimate(mean, max(mean - half, -1.0), min(mean + half, 1.0)), p


def testable(difference: np.ndarray) -> bool:
    """Whether `paired_differences` [r, m] are enough for a test and an interval."""
    repeats, cases = difference.shape
    return repeats > 1 and cases >= FEWEST_CASES


def paired_differences(
    first: ArrayLike, second: ArrayLike, clusters: ArrayLike | None = None
) -> np.ndarray:
    """What `paired_test` takes the mean of: second - first, a row for each repeat and a column for
    each cluster of images. Args and Raises as there."""
    first, second = _decisions(first, second)
    difference = second.astype(float) - first
    return difference if clusters is None else _by_cluster(difference, np.asarray(clusters))


class Spread(NamedTuple):
    """What a mean difference over crossed repeats and images varies by, from mean squares.

    Attributes:
        by_repeat: mean square of the repeats: the rest's variance, and that of repeats times m.
        by_image: variance of the images' own differences.
        images: their number m, or that of their clusters.
    """

    by_repeat: float
    by_image: float
    images: int

    @classmethod
    def of(cls, table: np.ndarray) -> Spread:
        """Of differences [r, m], two or more of each; no part is taken to be below zero."""
        r, m = table.shape
        rows, columns = table.mean(axis=1), table.mean(axis=0)
        rest = table - rows[:, None] - columns + table.mean()
        single = float((rest**2).sum()) / ((r - 1) * (m - 1))
        by_repeat = max(m * float(rows.var(ddof=1)), single)
        by_image = max(float(columns.var(ddof=1)) - single / r, 0.0)
        return cls(by_repeat, by_image, m)

    def error(self, repeats: int) -> tuple[float, float]:
        """Standard error of the mean over so many repeats, and its degrees of freedom.

        Never so small that the 95 % interval would be narrower than the rule of three allows.
        """
        total = self.by_repeat + repeats * self.by_image
        freedom = (repeats - 1) * total / self.by_repeat if self.by_repeat > 0 else math.inf
        least = _UNSEEN / self.images / float(stdtrit(freedom, 0.975))
        return max(math.sqrt(total / (repeats * self.images)), least), freedom

    def detectable(self, repeats: int, level: float, power: float) -> float:
        """The true difference that `paired_test` finds at `level` with the chance `power`.

        To first order, (t(1 - level / 2) + t(power)) standard errors.
        """
        error, freedom = self.error(repeats)
        quantiles = stdtrit(freedom, [1 - level / 2, power])  # a hundredth of scipy.stats' time
        return float(quantiles.sum()) * error


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted for their number (Holm 1979), in the order given.

    Whatever the dependence between them, the chance that any true hypothesis has an adjusted p
    below 5 % is at most 5 %.

    Raises:
        ValueError: a p that is not from 0 to 1.
    """
    if not all(0 <= value <= 1 for value in p):
        raise ValueError(f"p is {list(p)}: each must be from 0 to 1")
    adjusted, least = [0.0] * len(p), 0.0  # the least it may be, as the order stays
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        least = max(least, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = least
    return adjusted


def _decisions(first: ArrayLike, second: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(first), np.asarray(second)
    if first.dtype != bool or second.dtype != bool:
        raise ValueError(
            f"decisions are {first.dtype} and {second.dtype}: need bool, true if right"
        )
    if first.shape != second.shape or first.ndim != 2 or first.size == 0:
        raise ValueError(
            f"decisions are {first.shape} and {second.shape}: need one shape of 2 dimensions"
        )
    return first, second


def _by_cluster(table: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """A column for each cluster instead of each of its columns of `table` [r, m]; the same mean."""
    if clusters.shape != table.shape[1:]:
        raise ValueError(f"clusters are {clusters.shape} for {table.shape[1]} images")
    _, of, counts = np.unique(clusters, return_inverse=True, return_counts=True)
    sums = np.zeros((len(table), len(counts)))
    np.add.at(sums.T, of, (table - table.mean()).T)
    return table.mean() + sums / counts.mean()


def mean_and_error(values: ArrayLike) -> tuple[float, float, int]:
    """Mean, its standard error (NaN of one value), and number of values.

    Rounded far below what an image counts, so that equal accuracies differ by zero.
    """
    values = np.asarray(values, dtype=float)
    n = values.size
    if values.ndim != 1 or n == 0 or not np.isfinite(values).all():
        raise ValueError(f"values are {values.tolist()}: need one or more finite numbers")
    error = float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return round(float(values.mean()), 12), round(error, 12), n
