"""Which hyperparameters decide about FID, and how sure that is."""

from __future__ import annotations

import math
import warnings
from collections.abc import Container, Mapping
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
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from analysis.study.rungs import at, at_rung, rungs, stopped_by_another
from analysis.study.table import StudyTable
from spaces.errors import InputError

optuna.logging.set_verbosity(optuna.logging.WARNING)

GOOD = 0.25
"""The share of trials that counts as good."""
FEWEST = 10
"""Trials below which nothing is said."""
_FEWEST_GOOD = 3
_FEWEST_OBSERVED = math.ceil(1.5 * _FEWEST_GOOD)
_GROUPS = 5
_RESAMPLES = 60
_SHUFFLES = 99
_ERROR = 0.05
"""How often any of several hyperparameters that decide nothing may be named, all together."""
_PARAMS = "params."
_SPAN = 20.0
"""Positive values that span more than this factor were searched on a logarithmic scale."""


@dataclass(frozen=True)
class Importance:
    """How much a hyperparameter decides.

    Attributes:
        share: its share of all importance; 0 if there is none at all.
        low, high: ends of the share's 95 % interval over resampled trials.
        chance: whether, if the trials' ranks were dealt out at random, the hyperparameter that then
            looks most important would look as important as this one in more than 5 % of cases.
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


def check_differ(table: StudyTable) -> list[str]:
    """The names of `searched`.

    Raises:
        InputError: there are none.
    """
    names = list(searched(table))
    if not names:
        raise InputError(
            f"--study {table.name}: its trials all have the same configuration, so there is "
            "nothing to compare"
        )
    return names


@lru_cache(maxsize=16)  # it takes seconds, and a report asks for it often
def importances(table: StudyTable, rung: float, *, seed: int = 0) -> Importances | None:
    """PED-ANOVA (Watanabe, Bansal and Hutter 2023) of the trials at one rung; None if too few.

    It asks how differently a hyperparameter is distributed among the good trials and among all. So
    a trial that ASHA stopped before the rung counts, without any guess at its FID there, as one
    that is not good, and one that broke down likewise, while one that was interrupted or failed
    says nothing; a hyperparameter that only some trials have counts where it occurs; and a
    sampler's own preference, the same in both, cancels. Where ASHA stopped trials by another score,
    this holds at the first rung alone, which it stopped none before: see `common_rungs`.
    The good are the best quarter, at most two thirds of those that got to the rung, as it is among
    these alone that the order is known. Numbers go in as fifths of the trials, so that neither
    their scale nor a value far off matters.
    """
    there = at_rung(table, rung)
    status = dict(zip(table.trials["number"], table.trials["status"], strict=True))
    known = {n: v for n, v in there.fid.items() if status[n] == "pruned" or not math.isnan(v)}
    fid, observed = pd.Series(known, dtype=float), len(there.observed)
    good = min(math.floor(GOOD * len(fid) + 0.5), 2 * observed // 3)
    if len(fid) < FEWEST or good < _FEWEST_GOOD:
        return None
    kinds = searched(table)
    names = list(kinds)
    drawn = _drawn(table, fid.index, kinds)
    ranks = fid.fillna(math.inf).rank(method="first").to_numpy()
    rng = np.random.default_rng(seed)
    whole = _Study(drawn)
    point = _values(whole, ranks, good, names)
    shuffled = [_values(whole, rng.permutation(ranks), good, names) for _ in range(_SHUFFLES)]
    resampled = []
    for _ in range(_RESAMPLES):
        chosen = rng.integers(len(drawn), size=len(drawn))
        values = _values(_Study([drawn[i] for i in chosen]), ranks[chosen], good, names)
        resampled.append(_shares(values))
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    share, clear = _shares(point), beyond_chance(point, np.array(shuffled))
    found = {
        names[i]: Importance(float(share[i]), float(low[i]), float(high[i]), not clear[i])
        for i in np.argsort(-share, kind="stable")
    }
    return Importances(rung, len(fid), observed, good, found)


def too_few(table: StudyTable, of: str) -> str:
    """Why `importances` says nothing of `of` at the first rung."""
    rung = rungs(table)[0]
    return (
        f"{len(table.trials)} trials, {len(at_rung(table, rung).observed)} of them with a score "
        f"{at(table, rung)}, are too few to judge {of}; it takes {FEWEST} that ended, "
        f"{_FEWEST_OBSERVED} of them with a score there, and more to be sure"
    )


def common_rungs(table: StudyTable) -> tuple[float, float]:
    """The first rung, which every trial was to reach, and the last that enough have reached.

    Where ASHA stopped trials by another score, the first is both: of those that it stopped, nobody
    knows which would have been good by this one.
    """
    all_rungs = rungs(table)
    if stopped_by_another(table):
        return all_rungs[0], all_rungs[0]
    enough = [r for r in all_rungs if len(at_rung(table, r).observed) >= 2 * _FEWEST_GOOD]
    return all_rungs[0], enough[-1] if enough else all_rungs[0]


def values_of(table: StudyTable, name: str) -> pd.Series:
    """A hyperparameter's value by the trial's number, without the trials that lack it."""
    both = zip(table.trials["number"], table.trials[_PARAMS + name], strict=True)
    return pd.Series({number: value for number, value in both if not _absent(value)})


def is_log(distribution: BaseDistribution) -> bool:
    """Whether its axis is logarithmic."""
    return isinstance(distribution, FloatDistribution | IntDistribution) and distribution.log


def beyond_chance(values: np.ndarray, shuffled: np.ndarray) -> np.ndarray:
    """Which of several statistics, values [k], are larger than chance gives: bool [k].

    `shuffled` [n, k] has them under the null hypothesis. Each is held against the largest of all in
    each shuffle (Westfall and Young 1993), so that one in twenty studies names any where none
    decides, however many there are. For that they need one scale: a divergence is distributed about
    as chi-squared of its own degrees of freedom, and the cube root of that is about normal (Wilson
    and Hilferty 1931). The values count as one more shuffle, which makes the level exact.
    """
    roots = np.cbrt(np.vstack([values, shuffled]))
    spread = roots.std(axis=0)
    scores = (roots - roots.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return beyond_largest(scores) & (spread > 0)


def beyond_largest(scores: np.ndarray) -> np.ndarray:
    """Which statistics, row 0 of `scores` [n, k], are beyond chance: bool [k].

    The other rows have them under the null hypothesis, all of one scale. Beyond chance is one that
    at most one row in twenty, row 0 among them, reaches anywhere.
    """
    largest = scores.max(axis=1, initial=-math.inf)
    as_large = (largest[:, None] >= scores[0]).sum(axis=0)
    return as_large <= _ERROR * len(scores)


def _shares(values: np.ndarray) -> np.ndarray:
    return values / total if (total := values.sum()) > 0 else values


class _Choices(CategoricalDistribution):
    """The choices of a hyperparameter, one object for all trials.

    So identity is enough to tell them by: Optuna would compare choice by choice for each trial.
    """

    def __eq__(self, other: Any) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


class _Study(optuna.Study):
    """Trials that are read and never changed: `add_trials` would copy each of them deeply."""

    def __init__(self, drawn: list[dict[str, tuple[Any, _Choices]]]):
        storage = optuna.storages.InMemoryStorage()
        number = storage.create_new_study([StudyDirection.MINIMIZE])
        super().__init__(storage.get_study_name_from_id(number), storage)
        self._read = [_trial(i, one) for i, one in enumerate(drawn)]

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        return self._read


def _trial(number: int, drawn: dict[str, tuple[Any, _Choices]]) -> FrozenTrial:
    return FrozenTrial(
        number, TrialState.COMPLETE, 0.0, None, None,
        params={name: value for name, (value, _) in drawn.items()},
        distributions={name: choices for name, (_, choices) in drawn.items()},
        user_attrs={}, system_attrs={}, intermediate_values={}, trial_id=number,
    )  # fmt: skip


def _values(study: optuna.Study, ranks: np.ndarray, good: int, names: list[str]) -> np.ndarray:
    """PED-ANOVA's value for each hyperparameter, the study's trials having these ranks; 0 for one
    that none of them has, as a rare one may be in a resample."""
    there = {name for trial in study.get_trials(deepcopy=False) for name in trial.params}
    evaluator = PedAnovaImportanceEvaluator(target_quantile=good / len(ranks))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a hyperparameter of too few trials has no importance
        found = evaluator.evaluate(
            study,
            params=[name for name in names if name in there],
            target=lambda t: float(ranks[t.number]),
        )
    return np.array([found.get(name, 0.0) for name in names])


def _drawn(
    table: StudyTable, numbers: pd.Index, kinds: Mapping[str, BaseDistribution]
) -> list[dict[str, tuple[Any, _Choices]]]:
    """What was drawn for each trial, of which choices, without what it lacks; of numbers their
    group."""
    trials = table.trials.set_index("number").loc[numbers]
    columns: dict[str, list[Any]] = {}
    ranges: dict[str, _Choices] = {}
    for name, kind in kinds.items():
        column = trials[_PARAMS + name]
        if not isinstance(kind, CategoricalDistribution):
            column = groups(column.astype(float), _GROUPS)
        columns[name] = column.tolist()
        if choices := {value for value in columns[name] if not _absent(value)}:
            ranges[name] = _Choices(sorted(choices, key=str))
    return [
        {name: (column[i], ranges[name]) for name, column in columns.items()
         if not _absent(column[i])}
        for i in range(len(trials))
    ]  # fmt: skip


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
