"""Which hyperparameters decide about FID, and how sure that is."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial

from analysis.rungs import at_rung, rungs
from analysis.store import StudyTable

optuna.logging.set_verbosity(optuna.logging.WARNING)

GOOD = 0.25
"""The share of trials that counts as good."""
FEWEST = 10
"""Trials below which nothing is said."""
_FEWEST_GOOD = 3
_GROUPS = 5
_RESAMPLES = 60
_PARAMS = "params."
_SPAN = 20.0
"""Positive values that span more than this factor were searched on a logarithmic scale."""


@dataclass(frozen=True)
class Importance:
    """How much a hyperparameter decides.

    Attributes:
        share: its share of all importance; 0 if there is none at all.
        low, high: ends of the share's 95 % interval over resampled trials.
        chance: whether as much would come about in more than 5 % of cases if the trials' ranks were
            dealt out at random.
    """

    share: float
    low: float
    high: float
    chance: bool


@dataclass(frozen=True)
class Importances:
    """Importance of each searched hyperparameter at one rung.

    Attributes:
        rung: epochs, or seconds of training.
        trials, observed: how many trials went in, and how many of these got to the rung.
        good: how many of them count as good.
        by_name: most important first.
    """

    rung: float
    trials: int
    observed: int
    good: int
    by_name: Mapping[str, Importance]


def searched(table: StudyTable) -> dict[str, BaseDistribution]:
    """The hyperparameters that differ between trials, with the range that was seen of each."""
    found: dict[str, BaseDistribution] = {}
    for column in table.trials.columns:
        if not column.startswith(_PARAMS):
            continue
        values = [v for v in table.trials[column].tolist() if not _absent(v)]
        if len(set(values)) > 1:
            found[column.removeprefix(_PARAMS)] = _distribution(values)
    return found


@lru_cache(maxsize=16)  # it takes seconds, and a report asks for it often
def importances(table: StudyTable, rung: float, *, seed: int = 0) -> Importances | None:
    """PED-ANOVA (Watanabe, Bansal and Hutter 2023) of the trials at one rung; None if too few.

    It asks how differently a hyperparameter is distributed among the good trials and among all. So
    a trial that ASHA stopped before the rung counts, without any guess at its FID there, as one
    that is not good, and one that broke down likewise, while one that was interrupted or failed
    says nothing; a hyperparameter that only some trials have counts where it occurs; and a
    sampler's own preference, the same in both, cancels.
    The good are the best quarter, at most two thirds of those that got to the rung, as it is among
    these alone that the order is known. Numbers go in as fifths of the trials, so that neither
    their scale nor a value far off matters.
    """
    there = at_rung(table, rung)
    status = dict(zip(table.trials["number"], table.trials["status"], strict=True))
    known = {n: v for n, v in there.fid.items() if status[n] == "pruned" or not math.isnan(v)}
    fid, observed = pd.Series(known, dtype=float), len(there.observed)
    good = min(round(GOOD * len(fid)), 2 * observed // 3)
    if len(fid) < FEWEST or good < _FEWEST_GOOD:
        return None
    kinds = searched(table)
    names = list(kinds)
    drawn = _drawn(table, fid.index, kinds)
    ranks = fid.fillna(math.inf).rank(method="first").to_numpy()
    rng = np.random.default_rng(seed)
    whole = _study(drawn)
    point = _values(whole, ranks, good, names)
    shuffled = [_values(whole, rng.permutation(ranks), good, names) for _ in range(_RESAMPLES)]
    resampled = []
    for _ in range(_RESAMPLES):
        chosen = rng.integers(len(drawn), size=len(drawn))
        values = _values(_study([drawn[i] for i in chosen]), ranks[chosen], good, names)
        resampled.append(_shares(values))
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    limit = np.quantile(shuffled, 0.95, axis=0)
    share = _shares(point)
    found = {
        names[i]: Importance(
            float(share[i]), float(low[i]), float(high[i]), bool(point[i] <= limit[i])
        )
        for i in np.argsort(-share, kind="stable")
    }
    return Importances(rung, len(fid), observed, good, found)


def common_rungs(table: StudyTable) -> tuple[float, float]:
    """The first rung, which every trial was to reach, and the last that enough have reached."""
    all_rungs = rungs(table)
    enough = [r for r in all_rungs if len(at_rung(table, r).observed) >= 2 * _FEWEST_GOOD]
    return all_rungs[0], enough[-1] if enough else all_rungs[0]


def values_of(table: StudyTable, name: str) -> pd.Series:
    """A hyperparameter's value by the trial's number, without the trials that lack it."""
    both = zip(table.trials["number"], table.trials[_PARAMS + name], strict=True)
    return pd.Series({number: value for number, value in both if not _absent(value)})


def is_log(distribution: BaseDistribution) -> bool:
    """Whether its axis is logarithmic."""
    return isinstance(distribution, FloatDistribution | IntDistribution) and distribution.log


def _shares(values: np.ndarray) -> np.ndarray:
    return values / total if (total := values.sum()) > 0 else values


def _study(drawn: list[FrozenTrial]) -> optuna.Study:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.add_trials(drawn)
    return study


def _values(study: optuna.Study, ranks: np.ndarray, good: int, names: list[str]) -> np.ndarray:
    """PED-ANOVA's value for each hyperparameter, the study's trials having these ranks."""
    evaluator = PedAnovaImportanceEvaluator(target_quantile=good / len(ranks))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a hyperparameter of too few trials has no importance
        found = evaluator.evaluate(study, params=names, target=lambda t: float(ranks[t.number]))
    return np.array([found.get(name, 0.0) for name in names])


def _drawn(
    table: StudyTable, numbers: pd.Index, kinds: Mapping[str, BaseDistribution]
) -> list[FrozenTrial]:
    """What was drawn for each trial, without what it lacks; of numbers their group."""
    trials = table.trials.set_index("number").loc[numbers]
    columns: dict[str, list[Any]] = {}
    ranges: dict[str, BaseDistribution] = {}
    for name, kind in kinds.items():
        column = trials[_PARAMS + name]
        if not isinstance(kind, CategoricalDistribution):
            column = groups(column.astype(float), _GROUPS)
        columns[name] = column.tolist()
        choices = {value for value in columns[name] if not _absent(value)}
        ranges[name] = CategoricalDistribution(sorted(choices, key=str))
    found = []
    for i in range(len(trials)):
        own = {name: column[i] for name, column in columns.items() if not _absent(column[i])}
        found.append(
            optuna.trial.create_trial(
                value=0.0, params=own, distributions={name: ranges[name] for name in own}
            )
        )
    return found


def groups(values: pd.Series, most: int) -> pd.Series:
    """Numbers as `most` groups of about equal size, equal ones in one; few values as they are.

    PED-ANOVA's own densities of numbers are no help where many are equal: between the peaks it
    divides by next to nothing.
    """
    if values.nunique() <= most:
        return values
    share = values.rank(method="max", pct=True).to_numpy()
    return pd.Series(np.ceil(share * most), values.index)


def _distribution(values: list[Any]) -> BaseDistribution:
    if any(isinstance(value, bool | str) for value in values):
        return CategoricalDistribution(sorted(set(values), key=str))
    low, high = min(values), max(values)
    log = low > 0 and high / low > _SPAN
    if all(float(value).is_integer() for value in values):
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
