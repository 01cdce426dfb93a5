"""What a sampler sees of a long study."""

from __future__ import annotations

import copy
import heapq
import math
from collections.abc import Container, Sequence

from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

BEST, NEWEST = 250, 750
"""Trials that TPE learns from, once more have ended: the best ones, and of the others."""

LEARNT = (TrialState.COMPLETE, TrialState.PRUNED)
"""States of ended trials that samplers learn from."""


def in_window(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """A study's trials without what TPE can spare, in the same order. For a single goal.

    TPE weighs each proposal against every trial that has ended, so that what a proposal costs would
    grow for ever. Its model of good configurations is made of the 25 best. The rest, by whose
    density it divides, count the less the older they are ("linear forgetting", Bergstra et al.
    2013), and of them the newest stay.
    """
    ended = [t for t in trials if t.state in LEARNT]
    if len(ended) <= BEST + NEWEST:
        return trials
    best = {t.number for t in heapq.nsmallest(BEST, ended, key=_rank)}
    others = [t.number for t in ended if t.number not in best]
    kept = best.union(others[-NEWEST:])
    return [t for t in trials if t.number in kept or t.state not in LEARNT]


def _rank(trial: FrozenTrial) -> tuple[float, int, int, float]:
    """As TPE ranks them: complete ones by value, then pruned ones by how far they came.

    Those that diverged or ran out of memory, which our studies mark by a constraint, come last.
    """
    broken = sum(value for value in trial.constraints.values() if value > 0)
    if trial.state is TrialState.COMPLETE:
        return broken, 0, 0, trial.values[0]
    step, value = max(trial.intermediate_values.items(), default=(-1, math.inf))
    return broken, 1, -step, math.inf if math.isnan(value) else value


class WindowedStorage(InMemoryStorage):
    """A study in memory that keeps every trial, and shows `in_window` of them.

    A proposal looks ten times, but what is kept is found anew only after an end or a beginning.
    """

    _kept: list[int] | None = None  # numbers, which are places as well

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """As in Optuna."""
        self._kept = None
        return super().create_new_trial(study_id, template_trial)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """As in Optuna."""
        self._kept = None
        return super().set_trial_state_values(trial_id, state, values)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """The trials that the sampler is to see."""
        if states == (TrialState.WAITING,):  # none is hidden, and Optuna has a quick way to them
            return super().get_all_trials(study_id, deepcopy, states)
        trials = super().get_all_trials(study_id, deepcopy=False)
        if self._kept is None:
            self._kept = [t.number for t in in_window(trials)]
        seen = [trials[n] for n in self._kept]
        if states is not None:
            seen = [t for t in seen if t.state in states]
        return copy.deepcopy(seen) if deepcopy else seen
