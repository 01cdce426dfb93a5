"""What a sampler sees of a long study."""

from __future__ import annotations

import copy
from collections.abc import Container

from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

BEST, NEWEST = 250, 750
"""Trials that TPE learns from, once more have ended: the best complete ones, and of the others."""

_LEARNT = (TrialState.COMPLETE, TrialState.PRUNED)


def horizon(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """A study's trials without what TPE can spare, in the same order. For a single goal.

    TPE weighs each proposal against every trial that has ended, so that what a proposal costs would
    grow for ever. Its model of good configurations is made of the 25 best. The rest, by whose
    density it divides, count the less the older they are ("linear forgetting", Bergstra et al.
    2013), and of them the newest stay.
    """
    ended = [t for t in trials if t.state in _LEARNT]
    if len(ended) <= BEST + NEWEST:
        return trials
    complete = [t for t in ended if t.state is TrialState.COMPLETE]
    best = {t.number for t in sorted(complete, key=lambda t: t.values[0])[:BEST]}
    others = [t.number for t in ended if t.number not in best]
    kept = best.union(others[-NEWEST:])
    return [t for t in trials if t.number in kept or t.state not in _LEARNT]


class LongMemory(InMemoryStorage):
    """A study in memory that keeps every trial, and shows `horizon` of them."""

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """The trials that the sampler is to see."""
        seen = horizon(super().get_all_trials(study_id, deepcopy=False, states=states))
        return copy.deepcopy(seen) if deepcopy else seen
