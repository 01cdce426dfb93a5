"""Where a gain ends: from what real training-set size on it has the other sign."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from analysis.augmentation.findings.statistics import mean_and_error


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
    each = [mean_and_error(gains[n]) for n in ordered]
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
    sizes: Sequence[int],
    gains: Mapping[int, Sequence[float]],
    told: Mapping[int, int],
    seed: int = 0,
    draws: int = 2000,
) -> str:
    """What `crossover` found, in words that claim no more than the study shows.

    Means of pure noise change sign too, among four sizes in seven of eight studies. So a crossover
    is told only if somewhere the gain differs from zero.

    Args:
        told: 1 or -1 at the sizes where synthetic images are known to help or to harm, else 0.

    Other Args and Raises as of `crossover`.
    """
    found = crossover(sizes, gains, seed, draws)
    ordered = sorted(set(sizes))
    means = {n: mean_and_error(gains[n])[0] for n in ordered}
    helped, harmed = ([n for n in ordered if told[n] == way] for way in (1, -1))
    if not helped and not harmed:
        return (
            "no crossover can be told: synthetic images are not known to help or to harm at any "
            f"size ({_listed(ordered)})"
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
