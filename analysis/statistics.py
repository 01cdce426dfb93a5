"""How sure the outcome of a study of classifiers is: intervals, tests, and where a gain ends.

Repeats are trainings on other real subsets with other seeds; all are tested on the same images.
What is computed from accuracies of repeats (`mean_interval`, `crossover`) therefore speaks of
trainings, the test images given. `mcnemar` speaks of images, the trained models given.
`paired_bootstrap` allows for both. None allows for the pool: subsets of one pool overlap, and the
more the larger they are, so that all understate how another pool might differ (Nadeau and Bengio
2003, Inference for the generalization error).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


class Estimate(NamedTuple):
    """A mean and the ends of its interval; these are NaN where nothing is known of them."""

    mean: float
    low: float
    high: float


class Crossover(NamedTuple):
    """From what real training-set size on the gain has the other sign.

    Attributes:
        size: where the mean gain is zero, in images.
        low, high: ends of its interval: 0 if it may lie below the smallest size measured, infinity
            if above the largest; NaN if a size has one repeat only.
        share: share of the draws whose gain changes sign this way within the sizes; NaN likewise.
        helps_below: whether the gain is above zero below `size`; else it is so above it.
        changes: how often the mean gain changes sign; `size` is the first time.
    """

    size: float
    low: float
    high: float
    share: float
    helps_below: bool
    changes: int


def mean_interval(values: ArrayLike, level: float = 0.95) -> Estimate:
    """Mean of `values` [r], accuracies or their differences, and its interval of Student's t.

    One value has a mean alone. Equal values have an interval of no width, which says too much: with
    few test images, equal accuracies come about by chance.

    Raises:
        ValueError: no values, or some that are not finite.
    """
    mean, error, n = _mean_and_error(values)
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

    Args:
        first, second: bool [r, m], true where right; rows are paired repeats, columns test images.
        draws: how many.
        seed: of the draws.
        levels: of the intervals.

    Returns:
        For each level the mean, from -1 to 1, which is the plain difference, and the ends; these
        are NaN for one repeat or one image.

    Raises:
        ValueError: as `mcnemar`.
    """
    first, second = _decisions(first, second, dims=2)
    difference = second.astype(float) - first
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


def crossover(
    sizes: Sequence[int],
    gains: Mapping[int, Sequence[float]],
    seed: int = 0,
    draws: int = 2000,
    level: float = 0.95,
) -> Crossover | None:
    """Where the mean gain, linear between sizes in log(size), first changes sign; None if nowhere.

    Each draw gives every size another mean, m + t s / sqrt(r) with Student's t of r - 1 degrees: a
    parametric bootstrap, which at one size alone is `mean_interval`. To resample the repeats is far
    too narrow: of 3 there are 10 different means, and at 95 % it held the truth in 75 % of
    simulations (of 5 in 84 to 89 %, while this did in 92 % or more). A draw that does not change
    sign the way the mean does is not left out, as the rest would lie within the sizes whatever the
    data: if its gain keeps the sign of the smallest size, the crossover is above the largest; if it
    keeps the other, below the smallest; if it changes the other way alone, anywhere.

    Args:
        sizes: real training-set sizes in images, two or more, in any order.
        gains: by size, accuracy less that of the control in each repeat.
        seed: of the draws.
        draws: how many.
        level: of the interval.

    Raises:
        ValueError: fewer than two sizes, one not above zero, or gains missing or not finite.
    """
    ordered = sorted(set(sizes))
    if len(ordered) < 2 or ordered[0] <= 0 or not set(ordered) <= set(gains):
        raise ValueError(f"sizes are {ordered}: need two or more, all above zero and with gains")
    each = [_mean_and_error(gains[n]) for n in ordered]
    means, errors, counts = (np.array(column) for column in zip(*each, strict=True))
    logs, signs = np.log(ordered).tolist(), np.sign(means[means != 0])
    way = float(signs[0]) if len(signs) else 0.0
    place = _turn(logs, (way * means).tolist())
    if place is None:
        return None
    changes = int((signs[1:] != signs[:-1]).sum())
    if counts.min() < 2:
        return Crossover(math.exp(place), math.nan, math.nan, math.nan, way > 0, changes)
    rng = np.random.default_rng(seed)
    drawn = way * (means + errors * rng.standard_t(counts - 1, size=(draws, len(ordered))))
    ends, crossing = np.empty((2, draws)), 0
    for i, row in enumerate(drawn.tolist()):
        turn = _turn(logs, row)
        crossing += turn is not None
        outer = [math.inf if gain > 0 else -math.inf for gain in (row[0], row[-1])]
        ends[:, i] = outer if turn is None else turn
    # A quantile that is one of the draws: between finite and infinite ones there is no mean.
    low = np.quantile(ends[0], (1 - level) / 2, method="inverted_cdf")
    high = np.quantile(ends[1], (1 + level) / 2, method="inverted_cdf")
    interval = float(np.exp(low)), float(np.exp(high))
    return Crossover(math.exp(place), *interval, crossing / draws, way > 0, changes)


def crossover_sentence(
    sizes: Sequence[int], gains: Mapping[int, Sequence[float]], seed: int = 0, draws: int = 2000
) -> str:
    """What `crossover` found, in words that claim no more than the repeats show.

    Means of pure noise change sign too, among four sizes in seven of eight studies. So a crossover
    is told only if somewhere the gain differs from zero: by the t-test over the repeats at each
    size, adjusted by `holm` for the number of sizes, at 5 %.

    Args and Raises as of `crossover`.
    """
    found = crossover(sizes, gains, seed, draws)
    ordered = sorted(set(sizes))
    p = holm([_p_of_zero(gains[n]) for n in ordered])
    told = [n for n, adjusted in zip(ordered, p, strict=True) if adjusted < 0.05]
    means = {n: _mean_and_error(gains[n])[0] for n in ordered}
    helped, harmed = [n for n in told if means[n] > 0], [n for n in told if means[n] < 0]
    if not told:
        return (
            "no crossover can be told: the gain may be zero at every size "
            f"({_listed(ordered)}; least adjusted p {min(p):.2g})"
        )
    if found is None:
        side = "above" if helped else "below"
        touching = "at or " if 0 in means.values() else ""
        return (
            f"no crossover between {ordered[0]} and {ordered[-1]}: the gain is {touching}{side} "
            f"zero at every size (beyond chance at {_listed(helped or harmed)})"
        )
    where = f"{found.size:.0f} ({_span(found, ordered)})"
    kinds = [("helped", helped), ("harmed", harmed)]
    (verb, before), (other, after) = kinds if found.helps_below else kinds[::-1]
    if before and found.changes == 1:
        also = f", and {other} at {_listed(after)}" if after else ""
        return (
            f"synthetic images {verb} at {_listed(before)} and no longer from about {where}{also}"
        )
    said = " and ".join(f"{name} at {_listed(at)}" for name, at in kinds if at)
    turns = "below" if found.helps_below else "above"
    first = f", the first of {found.changes} changes of sign" if found.changes > 1 else ""
    return f"synthetic images {said}; the mean gain turns {turns} zero at about {where}{first}"


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


def _mean_and_error(values: ArrayLike) -> tuple[float, float, int]:
    """Mean, its standard error (NaN of one value), and number of values.

    Rounded far below what an image counts, so that equal accuracies differ by zero.
    """
    values = np.asarray(values, dtype=float)
    n = values.size
    if values.ndim != 1 or n == 0 or not np.isfinite(values).all():
        raise ValueError(f"values are {values.tolist()}: need one or more finite numbers")
    error = float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return round(float(values.mean()), 12), round(error, 12), n


def _p_of_zero(values: ArrayLike) -> float:
    """p of the t-test that the mean is zero; 1.0 where nothing is known of the spread."""
    mean, error, n = _mean_and_error(values)
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


def _turn(places: Sequence[float], gains: Sequence[float]) -> float | None:
    """Where `gains`, linear between `places`, first goes from above zero to below."""
    last = None  # above zero
    for i, gain in enumerate(gains):
        if gain > 0:
            last = i
        elif gain < 0 and last is not None:
            share = gains[last] / (gains[last] - gains[last + 1])
            return places[last] + share * (places[last + 1] - places[last])
    return None


def _listed(sizes: Sequence[int]) -> str:
    *most, last = map(str, sizes)
    return f"{', '.join(most)} and {last}" if most else last


def _span(found: Crossover, ordered: Sequence[int]) -> str:
    if math.isnan(found.share):
        return "from one repeat, so that its interval is not known"
    low = f"{found.low:.0f}" if found.low > 0 else f"below {ordered[0]}"
    high = f"{found.high:.0f}" if math.isfinite(found.high) else f"above {ordered[-1]}"
    return f"{low} to {high}; {100 * found.share:.0f} % of resamples have a crossing"
