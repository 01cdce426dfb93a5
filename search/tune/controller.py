"""Tune's own loop, but for what costs a search its trials or its pace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
import ray.tune.tune as module
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial

A_ROUND = 16
"""Answers of workers taken in one round: the next trials are proposed between rounds."""


class ActorManager(RayActorManager):
    """Takes all answers that are there at once; Tune's takes one in each round of its loop.

    Until a worker is `free`: Tune keeps one for the next trial, and would stop a second.
    """

    free: Callable[[], bool]
    """To be set; Tune's cleanup calls the constructor again, with what it knows."""

    def next(self, timeout: float | None = None) -> bool:
        """Wait for an answer as Tune does, then take those that came meanwhile."""
        if not super().next(timeout):
            return False
        asked = self._actor_task_events._tracked_futures  # the longest first
        if asked and not self.free():
            most = min(len(asked), A_ROUND - 1)
            for future in ray.wait(list(asked), num_returns=most, timeout=0)[0]:
                if self.free():
                    break
                if future in asked:  # a worker's death takes back all that was asked of it
                    self._actor_task_events.resolve_future(future)
        return True


class Controller(TuneController):
    """Counts a worker's failure between two trials as one, after which the next trial goes on.

    Tune hands a trial to a warm worker by a reset. If the worker dies of that, Tune (2.60) counts
    two failures: at the first it queues the trial again, at the second, which finds it waiting, it
    gives it up whatever its retries, and it would not have started it anyhow, as it takes it for
    one that is being reset. If the reset raises, it gives the trial up likewise.

    Its snapshots name no trials, which would cost 5 ms each at the end: nobody reads them.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        workers = self._actor_cache
        self._actor_manager = ActorManager(self._actor_manager._resource_manager)
        self._actor_manager.free = lambda: workers.num_cached_objects > 0

    def _get_trial_checkpoints(self) -> dict[str, str]:
        return {}

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
    """In here, Tune runs with `Controller`, and does not count callbacks, for which it loads
    MLflow."""
    tune: Any = module
    before = tune.TuneController, tune.air_usage.tag_callbacks
    tune.TuneController, tune.air_usage.tag_callbacks = Controller, lambda callbacks: False
    try:
        yield
    finally:
        tune.TuneController, tune.air_usage.tag_callbacks = before
