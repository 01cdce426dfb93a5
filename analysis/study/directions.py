"""Which way hyperparameters move FID: rank correlations, and how sure they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from optuna.distributions import CategoricalDistribution
from scipy.stats import rankdata

from analysis.study.importance import FEWEST, beyond_largest, searched, values_of
from analysis.study.rungs import at_rung
from analysis.study.table import StudyTable

_RESAMPLES = 1000
_SHUFFLES = 999


@dataclass(frozen=True)
class Direction:
    """How FID goes with a hyperparameter.

    Attributes:
        name: the hyperparameter's; of one with choices ``name=choice``, against the other choices.
        rho: Spearman's rank correlation with FID, -1 to 1: positive where more of it is worse.
        low, high: ends of its 95 % interval over resampled trials.
    """

    name: str
    rho: float
    low: float
    high: float


def directions(table: StudyTable, rung: float, *, seed: int = 0) -> list[Direction] | None:
    """Those beyond chance, strongest first, among trials with a score at the rung; None if too few.

    Each is held against the largest that trials dealt out at random would show anywhere (Westfall
    and Young 1993), so that one study in twenty names any where none moves FID. A hyperparameter
    that fewer than ten trials have, or a choice that fewer than five have or lack, says nothing.
    """
    fid = at_rung(table, rung).observed
    if len(fid) < FEWEST:
        return None
    columns = _columns(table, np.array(fid.index))
    if not columns:
        return []
    rng = np.random.default_rng(seed)
    values = fid.to_numpy(dtype=float)
    dealt = np.array([values, *(rng.permutation(values) for _ in range(_SHUFFLES))])
    # A correlation of n trials has a standard deviation of 1 / sqrt(n - 1) by chance.
    size = np.array([
        np.abs(spearman(x, dealt[:, there])) * (len(x) - 1) ** 0.5 for there, x in columns.values()
    ])  # fmt: skip
    size = np.nan_to_num(size)  # where scores are all the same
    found = []
    for (name, (there, x)), moves in zip(columns.items(), beyond_largest(size.T), strict=True):
        if not moves:
            continue
        y, chosen = values[there], rng.integers(len(x), size=(_RESAMPLES, len(x)))
        ends = np.nanquantile(spearman(x[chosen], y[chosen]), [0.025, 0.975])
        found.append(Direction(name, float(spearman(x, y)), *map(float, ends)))
    return sorted(found, key=lambda one: -abs(one.rho))


def _columns(table: StudyTable, numbers: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By name: which of the trials have it, bool [n], and its values, float, of those."""
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name, kind in searched(table).items():
        values = values_of(table, name).reindex(numbers)
        there = values.notna().to_numpy()
        if there.sum() < FEWEST:
            continue
        if not isinstance(kind, CategoricalDistribution):
            found[name] = there, np.array(values[there], dtype=float)
            continue
        # Of two choices the one says all of the other.
        for choice in kind.choices[len(kind.choices) == 2 :]:
            chosen = np.array([float(value == choice) for value in values[there]])
            if FEWEST // 2 <= chosen.sum() <= len(chosen) - FEWEST // 2:
                found[f"{name}={choice}"] = there, chosen
    return {name: (there, x) for name, (there, x) in found.items() if np.ptp(x) > 0}


def spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Along the last axis, of which there may be many; NaN where one does not vary."""
    a, b = (rankdata(values, axis=-1) for values in (x, y))
    a, b = (ranks - ranks.mean(axis=-1, keepdims=True) for ranks in (a, b))
    with np.errstate(invalid="ignore"):
        return (a * b).sum(axis=-1) / np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
