"""Tune's own loop, but for one thing: a trial is not given up because a warm worker died."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray.tune.tune as module
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial


class Controller(TuneController):
    """Counts a worker's failure between two trials as one, after which the next trial goes on.

    Tune hands a trial to a warm worker by a reset. If the worker dies of that, Tune (2.60) counts
    two failures: at the first it queues the trial again, at the second, which finds it waiting, it
    gives it up whatever its retries, and it would not have started it anyhow, as it takes it for
    one that is being reset. If the reset raises, it gives the trial up likewise.
    """

    def _trial_task_failure(self, trial: Trial, exception: Exception) -> None:
        if trial in self._resetting_trials:
            self._resetting_trials.remove(trial)
            if trial.status == Trial.PENDING:  # as Tune does where a worker does not come to be
                self._set_trial_status(trial, Trial.RUNNING)
                self._unstage_trial_with_resources(trial)
            if (placement := getattr(self._scheduler_alg, "placement", None)) is not None:
                placement.took_up(trial)
        elif trial.status == Trial.PENDING:
            return  # of the same death
        super()._trial_task_failure(trial, exception)


@contextmanager
def patient_controller() -> Iterator[None]:
    """In here, Tune runs with `Controller`."""
    tune: Any = module
    before = tune.TuneController
    tune.TuneController = Controller
    try:
        yield
    finally:
        tune.TuneController = before
