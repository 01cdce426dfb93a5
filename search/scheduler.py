"""ASHA (Li et al. 2020) by Tune's own scheduler, and how its rungs are rebuilt at resume."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from search.settings import StudyConfig
from search.study import TrialRecord
from trainable.trial import Status


class StudyASHA(ASHAScheduler):
    """Tune's ASHA, which knows trials by the study's numbers.

    Tune gives a trial a new id whenever a search is resumed; in the rungs it stays the same trial.
    """

    def __init__(self, config: StudyConfig):
        super().__init__(
            time_attr="resource",
            metric="objective",
            mode="min",
            max_t=config.length,
            grace_period=config.grace,
            reduction_factor=config.eta,
        )

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """A trial begins, or begins again."""
        super().on_trial_add(tune_controller, _numbered(trial))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Whether the trial goes on."""
        return super().on_trial_result(tune_controller, _numbered(trial), result)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """A trial has ended: forget it.

        Tune's own would enter its last score here, at an end that is no comparison, into any rung
        that its epochs had leapt over.
        """
        self._trial_info.pop(_numbered(trial).trial_id, None)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """A trial will not begin."""
        super().on_trial_remove(tune_controller, _numbered(trial))

    @property
    def rungs(self) -> dict[int, dict[int, float]]:
        """Objective by trial number in each rung, by resource."""
        (bracket,) = self._brackets
        return {
            int(level): {int(number): -score for number, score in entries.items()}
            for level, entries in bracket._rungs
        }


def _numbered(trial: Any) -> Any:
    return SimpleNamespace(trial_id=str(trial.config["number"]))


def rebuild(config: StudyConfig, records: Iterable[TrialRecord]) -> tuple[StudyASHA, set[int]]:
    """The scheduler as it was when the last of the study's reports came in.

    All reports are given to it again in their order, so it decides on the next one as if it had
    never been away. Also returns the numbers of the trials that it stopped: one that still counts
    as under way was stopped in the moment in which the search died.
    """
    scheduler = StudyASHA(config)
    stopped: set[int] = set()
    trials: dict[int, Any] = {}
    reports = [
        (r["order"], record.number, r)
        for record in records for r in record.reports
        if r["status"] == Status.RUNNING  # ASHA is not asked about a trial that ends by itself
    ]  # fmt: skip
    for _, number, report in sorted(reports, key=lambda entry: entry[0]):
        if number not in trials:
            trials[number] = SimpleNamespace(config={"number": number})
            scheduler.on_trial_add(None, trials[number])
        seen = {"resource": report["resource"], "objective": report["objective"]}
        decision = scheduler.on_trial_result(None, trials[number], seen)
        if decision == TrialScheduler.STOP:
            stopped.add(number)
    for trial in trials.values():
        scheduler.on_trial_remove(None, trial)
    return scheduler, stopped
