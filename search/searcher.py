"""What Tune asks for configurations, and tells results: a thin hand between it and the study.

Tune's own OptunaSearch tells a trial stopped by ASHA as complete, with its early FID, and leaves a
trial whose score is NaN running for ever; this one tells each by its status.
"""

from __future__ import annotations

import warnings
from typing import Any

import optuna
from optuna.trial import TrialState
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from search.scheduler import replay
from search.settings import StudyConfig
from search.study import read_record, record_end, record_report, unfinished
from spaces.catalog import Space
from spaces.errors import InputError
from spaces.task import Task
from trainable.config import TrialConfig
from trainable.trial import Report, Status


def build_sampler(config: StudyConfig, finished: int) -> optuna.samplers.BaseSampler:
    """The sampler that a study asks for, with `finished` trials already told.

    A resumed search draws from a seed of its own, so that it does not propose the same again.
    """
    seed = config.seed + finished
    if config.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():  # multivariate and group are experimental since Optuna 2
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=seed, multivariate=True, group=True, constant_liar=True, n_startup_trials=10
        )


class StudySearcher(Searcher):
    """Proposes what the study's sampler asks for, until `config.trials` trials have ended.

    Trials that a former life left unfinished come first, with their reports replayed into the
    scheduler.
    """

    def __init__(
        self,
        study: optuna.Study,
        config: StudyConfig,
        space: Space,
        task: Task,
        scheduler: TrialScheduler,
    ):
        super().__init__(metric="objective", mode="min")
        self._study, self._space, self._task = study, space, task
        self._scheduler = scheduler
        self._unfinished = unfinished(study)
        states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        self.finished = len(study.get_trials(deepcopy=False, states=states))
        self._owed = config.trials - self.finished
        self._live: dict[str, optuna.Trial] = {}
        self._heard: dict[str, int] = {}

    def suggest(  # pyright: ignore[reportIncompatibleMethodOverride]  # Tune's FINISHED is text
        self, trial_id: str
    ) -> dict[str, Any] | str:
        """The number and parameters of the next trial, or that there are no more to come."""
        while self._owed > 0:
            self._owed -= 1
            if self._unfinished:
                trial = self._unfinished.pop(0)
                record = read_record(self._study.get_trials(deepcopy=False)[trial.number])
                replay(self._scheduler, trial_id, record.reports)
                self._heard[trial_id] = record.last.get("epoch", 0)
                params = record.params
            else:
                trial = self._study.ask()
                params = self._space(trial, self._task)
                trial.set_user_attr("params", params)
            try:
                TrialConfig.from_params(params).check_task(self._task)
            except InputError as error:  # a corner of the space that its validation did not meet
                record_end(self._study, trial, Status.FAILED, value=None, reason=str(error))
                self.finished += 1
                continue
            self._live[trial_id] = trial
            return {"number": trial.number, "params": params}
        return Searcher.FINISHED

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Write a report to the study; a repeated one, after a trial went on, is heard once."""
        if "objective" in result and result["epoch"] > self._heard.get(trial_id, 0):
            self._heard[trial_id] = result["epoch"]
            record_report(self._live[trial_id], _report(result))

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """End a trial by its status; the report that made ASHA stop it arrives only here."""
        if trial_id not in self._live:
            return
        report = _report(result or {})
        if report:
            self.on_trial_result(trial_id, result or {})
        status = Status(report["status"]) if report and not error else Status.FAILED
        if status is Status.RUNNING:  # had more to do, and Tune ended it: the scheduler's decision
            status = Status.PRUNED
        trial = self._live.pop(trial_id)
        reason = report.get("reason", "")
        record_end(self._study, trial, status, value=report.get("objective"), reason=reason)
        self.finished += 1

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the study's database has it all."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


def _report(result: dict[str, Any]) -> Report:
    """The trial's own report, which Tune hands over flattened among its own keys."""
    return {k.removeprefix("report/"): v for k, v in result.items() if k.startswith("report/")}
