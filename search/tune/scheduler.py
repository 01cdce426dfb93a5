"""ASHA (Li et al. 2020) by Tune's own scheduler, and how its rungs are rebuilt at resume.

With two goals a trial goes on from a rung if it is among the best 1/eta by Pareto fronts, as in R.
Schmucker et al., "Multi-objective asynchronous successive halving", 2021, or the best in either.
Elsewhere the first goal leads: the search announces the bests in it alone, and the champion, first
of the first front, is the best in it on fresh images.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.schedulers.async_hyperband import _Bracket

from search.study.config import StudyConfig
from search.study.database import TrialRecord, goals
from search.tune.placement import Placement
from trainable.trial.objective import Objective
from trainable.trial.pareto import order
from trainable.trial.report import GOALS, Status


class ParetoBracket(_Bracket):
    """Tune's rungs, for trials that report several goals, as `StudyASHA` turns them."""

    def cutoff(self, recorded: Any) -> None:
        """None: a rung of several goals has no one value to pass."""

    def on_result(self, trial: Any, cur_iter: int, cur_rew: Any) -> str:
        """Whether the trial goes on from the rung that it came to.

        The best so far in a goal does, and so the first to come; another does if, of n who came
        before, fewer than n / eta rank before it. The order is that which begins with the goal that
        it is better at.

        Tune's own compares one value with the 1 - 1 / eta quantile of those that came before,
        interpolated between two of them. Nothing lies between fronts, so here places count. With
        one goal that would be as strict or stricter: of two before, Tune lets the second best go
        on where it is close to the best.
        """
        for milestone, recorded in self._rungs:  # the last first
            if cur_iter < milestone or trial.trial_id in recorded:
                continue
            before = list(recorded.values())
            recorded[trial.trial_id] = cur_rew
            values = -np.array([cur_rew, *before])
            # A front's order begins with the first goal's best: neither goal is to profit by that.
            place = min(order(v).tolist().index(0) for v in (values, values[:, ::-1]))
            going = place == 0 or place * self.rf < len(before)
            return TrialScheduler.CONTINUE if going else TrialScheduler.STOP
        return TrialScheduler.CONTINUE


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
        self.placement: Placement | None = None  # who says where trials run, if not Ray alone
        self._goals = GOALS[: len(Objective.parse(config.objective).goals)]
        if len(self._goals) > 1:
            self._brackets = [ParetoBracket(config.grace, config.length, config.eta, 0)]

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """A trial begins, or begins again."""
        super().on_trial_add(tune_controller, _numbered(trial))
        if self.placement is not None:
            self.placement.place(trial)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """A trial's worker failed; whether it is tried again is Tune's business."""
        if self.placement is not None:
            self.placement.failed(trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Whether the trial goes on."""
        if len(self._goals) > 1:
            result = {**result, "objective": np.array([result[goal] for goal in self._goals])}
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
    def rungs(self) -> dict[int, dict[int, Any]]:
        """Objective by trial number in each rung, by resource; of two goals an array."""
        (bracket,) = self._brackets
        return {
            int(level): {int(number): -score for number, score in entries.items()}
            for level, entries in bracket._rungs
        }


def _numbered(trial: Any) -> Any:
    return SimpleNamespace(trial_id=str(trial.config["number"]))


def rebuild(
    config: StudyConfig, records: Iterable[TrialRecord], placement: Placement | None = None
) -> tuple[StudyASHA, set[int]]:
    """The scheduler as it was when the last of the study's reports came in.

    All reports are given to it again in their order, so it decides on the next one as if it had
    never been away. Also returns the numbers of the trials that it stopped: one that still counts
    as under way was stopped in the moment in which the search died.
    """
    scheduler = StudyASHA(config)  # the past is not to be placed
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
        said = dict(zip(GOALS, goals(report), strict=False))
        seen = {"resource": report["resource"], **said}
        decision = scheduler.on_trial_result(None, trials[number], seen)
        if decision == TrialScheduler.STOP:
            stopped.add(number)
    for trial in trials.values():
        scheduler.on_trial_remove(None, trial)
    scheduler.placement = placement
    return scheduler, stopped
