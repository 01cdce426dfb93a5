"""How sure the outcome of a study of classifiers is: intervals and tests.

Repeats are trainings on other real subsets with other seeds; all are tested on the same images.
What is computed from accuracies of repeats (`mean_interval`, `analysis.crossover`) therefore speaks
of trainings, the test images given. `mcnemar` speaks of images, the trained models given.
`paired_bootstrap` allows for both. None allows for the pool: subsets of one pool overlap, and the
more the larger they are, so that all understate how another pool might differ (Nadeau and Bengio
2003, Inference for the generalization error).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


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


def mcnemar(first: ArrayLike, second: ArrayLike) -> float:
    """Exact two-sided p of two classifiers' decisions, right or wrong, on the same images.

    Under the hypothesis that both are right equally often, the images that one alone gets right are
    either's with equal chance (McNemar 1947; exact by the binomial distribution). It holds for two
    trained models, not for what trained them (Dietterich 1998, section 3).

    Args:
        first, second: bool [m], true where right.

    Returns:
        p from 0 to 1; 1.0 if they differ nowhere.

    Raises:
        ValueError: not bool, not of one shape, or empty.
    """
    first, second = _decisions(first, second, dims=1)
    lost, won = int((first & ~second).sum()), int((second & ~first).sum())
    return min(1.0, 2 * float(stats.binom.cdf(min(lost, won), lost + won, 0.5)))


def mcnemar_repeats(first: ArrayLike, second: ArrayLike) -> float:
    """`mcnemar` of two arms of r trained models each: of their votes, image by image.

    The r decisions on an image are no r observations: pooled, they would make the same images count
    r times. So each arm votes, and the image counts once. A tie, of an even r, is half right: it
    stands between right and wrong, and an image counts for the arm whose vote stands higher. (To
    call ties wrong would let the p-value depend on what is called right.) It is then the sign test,
    exact if either arm's vote is as likely to stand higher. It holds for these 2 r models as
    committees; a committee may gain more, or less, than its members do on average.

    Args:
        first, second: bool [r, m], true where right.

    Raises:
        ValueError: as `mcnemar`.
    """
    first, second = _decisions(first, second, dims=2)
    votes = [np.sign(2 * arm.sum(axis=0) - len(arm)) for arm in (first, second)]
    return mcnemar(votes[0] > votes[1], votes[1] > votes[0])


def paired_bootstrap(
    first: ArrayLike,
    second: ArrayLike,
    draws: int = 2000,
    seed: int = 0,
    levels: Sequence[float] = (0.95,),
    clusters: ArrayLike | None = None,
) -> list[Estimate]:
    """The mean difference in accuracy, second - first, for other repeats and other images.

    A draw resamples repeats and images, both with replacement, each for both arms and across the
    whole table (Owen 2007, The pigeonhole bootstrap). That alone is off both ways: it counts the
    noise of single decisions about three times (no bootstrap is exact here, McCullagh 2000), and
    it knows neither the factor r / (r - 1) nor the tails of Student's t that few repeats need: at
    95 % it held the truth in 78 to 100 % of simulations of 3 to 10 repeats. But the variance of a
    mean under two crossed random effects is known, with the degrees of freedom that Hillis (2007)
    gives for r readers of m cases. One factor gives the interval that width (88 to 100 %); from
    the draws it has its shape.

    Images of one patient are no independent cases. Those of a cluster are therefore drawn together:
    each counts as one case that differs from the mean by what its images do in all, over the mean
    number of images in a cluster (the ratio estimator, to first order; Cochran 1977, chapter 6).

    Args:
        first, second: bool [r, m], true where right; rows are paired repeats, columns test images.
        draws: how many.
        seed: of the draws.
        levels: of the intervals.
        clusters: int [m], who each image shows; each image by itself if None.

    Returns:
        For each level the mean, from -1 to 1, which is the plain difference, and the ends; these
        are NaN for one repeat or one cluster.

    Raises:
        ValueError: as `mcnemar`.
    """
    first, second = _decisions(first, second, dims=2)
    difference = second.astype(float) - first
    if clusters is not None:
        difference = _by_cluster(difference, np.asarray(clusters))
    r, m = difference.shape
    mean = float(difference.mean())
    if min(r, m) < 2:
        return [Estimate(mean, math.nan, math.nan) for _ in levels]
    rng = np.random.default_rng(seed)
    drawn = np.empty(draws)
    for i in range(draws):
        rows = difference[rng.integers(r, size=r)].mean(axis=0)
        drawn[i] = rows[rng.integers(m, size=m)].mean()
    spread, (error, freedom) = drawn.std(), _crossed_error(difference)
    found = []
    for level in levels:
        low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]) - mean
        wider = error / spread if spread > 0 else 0.0
        wider *= stats.t.ppf((1 + level) / 2, freedom) / stats.norm.ppf((1 + level) / 2)
        found.append(Estimate(mean, float(mean + wider * low), float(mean + wider * high)))
    return found


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


def _decisions(first: ArrayLike, second: ArrayLike, dims: int) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(first), np.asarray(second)
    if first.dtype != bool or second.dtype != bool:
        raise ValueError(
            f"decisions are {first.dtype} and {second.dtype}: need bool, true if right"
        )
    if first.shape != second.shape or first.ndim != dims or first.size == 0:
        raise ValueError(
            f"decisions are {first.shape} and {second.shape}: need one shape of {dims} dimensions"
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


def p_of_zero(values: ArrayLike) -> float:
    """p of the t-test that the mean is zero; 1.0 where nothing is known of the spread."""
    mean, error, n = mean_and_error(values)
    return 2 * float(stats.t.sf(abs(mean) / error, n - 1)) if n > 1 and error > 0 else 1.0


def _crossed_error(table: np.ndarray) -> tuple[float, float]:
    """Standard error of the mean of `table` [r, m], rows and columns being random; its freedom.

    Mean squares of rows, columns and rest; no part is taken to be below zero.
    """
    r, m = table.shape
    rows, columns = table.mean(axis=1), table.mean(axis=0)
    rest = table - rows[:, None] - columns + table.mean()
    single = float((rest**2).sum()) / ((r - 1) * (m - 1))
    by_row = max(m * float(rows.var(ddof=1)), single)
    total = by_row + max(r * float(columns.var(ddof=1)) - single, 0.0)
    freedom = (r - 1) * (total / by_row) ** 2 if by_row > 0 else math.inf
    return math.sqrt(total / (r * m)), freedom
