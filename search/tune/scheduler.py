"""ASHA in Tune's place of a scheduler: asks the rungs, and says where trials may run."""

from __future__ import annotations

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from search.study.records import goals
from search.tune.placement import Placement
from search.tune.rungs import Rungs


class StudyASHA(FIFOScheduler):
    """Decides by rungs that know trials by the study's numbers.

    Tune gives a trial a new id whenever a search is resumed; in the rungs it stays the same trial.
    Tune's own ASHA would also enter a trial's last score, at an end that is no comparison, into any
    rung that its epochs had leapt over.
    """

    def __init__(self, rungs: Rungs, placement: Placement | None = None):
        """`placement` says where trials run, if not Ray alone."""
        super().__init__()
        self.rungs, self.placement = rungs, placement
        self._added: dict[str, Trial] = {}

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """A trial begins, or begins again."""
        self._added[trial.trial_id] = trial
        if self.placement is not None:
            self.placement.place(trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The oldest that waits. Tune's own FIFO asks all that the search ever had."""
        for trial in [trial for trial in self._added.values() if trial.is_finished()]:
            del self._added[trial.trial_id]
        waiting = (t for t in self._added.values() if t.status == Trial.PENDING)
        return next(waiting, None)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """A trial's worker failed; whether it is tried again is Tune's business."""
        if self.placement is not None:
            self.placement.failed(trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Whether the trial goes on; one that broke down has no goals, and says itself that it
        ends."""
        reached = goals(result)
        if not reached or self.rungs.goes_on(trial.config["number"], result["resource"], reached):
            return TrialScheduler.CONTINUE
        return TrialScheduler.STOP
