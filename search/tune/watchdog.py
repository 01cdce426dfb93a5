"""Trials that hang: no report within a limit means that the worker is killed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray

from search.study.trial_files import fetch, send
from search.tune.callback import Callback
from trainable.basics.wording import format_duration
from trainable.trial.checkpoints import mark_hung
from trainable.trial.report import trial_folder

_PAUSE = 1.0  # seconds between looks


class Watchdog(Callback):
    """Kills the worker of each trial that has not reported for `limit` seconds.

    Tune then starts the trial again on a fresh worker, which counts the times that it hung.
    """

    def __init__(self, trials: Path, limit: float, say: Callable[[str], None]):
        self._trials, self._limit, self._say = trials, limit, say
        self._heard: dict[str, float] = {}
        self._looked = 0.0

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial begins, or begins again."""
        self._heard[trial.trial_id] = time.monotonic()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A sign of life."""
        self._heard[trial.trial_id] = time.monotonic()

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Waits for a worker, which is no hang."""
        self._heard.pop(trial.trial_id, None)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Gone."""
        self._heard.pop(trial.trial_id, None)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Done."""
        self._heard.pop(trial.trial_id, None)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Look for trials that are silent, once in a while."""
        now = time.monotonic()
        if now - self._looked < _PAUSE:
            return
        self._looked = now
        silent = {i for i, heard in self._heard.items() if now - heard > self._limit}
        for trial in [t for t in trials if t.trial_id in silent] if silent else []:
            del self._heard[trial.trial_id]
            number = trial.config["number"]
            fetch(folder := trial_folder(self._trials, number), "*/claim")
            send(mark_hung(folder))
            self._say(
                f"trial {number:>4}  no report for {format_duration(self._limit)}: its worker is "
                "killed"
            )
            ray.kill(trial.temporary_state.ray_actor)
