"""ASHA (Li et al. 2020) by Tune's own scheduler, and how its rungs are rebuilt at resume."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import ASHAScheduler

from search.settings import StudyConfig
from search.study import TrialRecord
from trainable.trial import Report


def build_scheduler(config: StudyConfig, history: Iterable[TrialRecord]) -> ASHAScheduler:
    """A scheduler that minimises the objective, with the rungs that `history` had filled."""
    scheduler = ASHAScheduler(
        time_attr="epoch",
        metric="objective",
        mode="min",
        max_t=config.epochs,
        grace_period=config.grace,
        reduction_factor=config.eta,
    )
    for record in history:
        replay(scheduler, f"history-{record.number}", record.reports)
    return scheduler


def replay(scheduler: Any, trial_id: str, reports: Iterable[Report]) -> None:
    """Enter a trial's past reports into the rungs, as if they came in now; no decision is made.

    A rung's cutoff depends on the scores in it alone, not on their order, so rungs filled this way
    decide as those of an uninterrupted search.
    """
    stand_in = SimpleNamespace(trial_id=trial_id)
    scheduler.on_trial_add(None, stand_in)
    for report in reports:
        if "objective" in report:
            result = {"epoch": report["epoch"], "objective": report["objective"]}
            scheduler.on_trial_result(None, stand_in, result)
    scheduler.on_trial_remove(None, stand_in)
