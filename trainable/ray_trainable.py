"""A trial as Ray Tune runs it: the class that workers load."""

from __future__ import annotations

import gc
import shutil
from typing import Any

import torch
from ray import tune

from trainable.distributed.stop_mark import asked_to_stop
from trainable.trial.report import ASKED, GOALS, Report, Status
from trainable.trial.signs import SignsOfLife
from trainable.trial.trial import Trial, breakdown
from trainable.trial.workload import Workload


class StorageUnseenError(Exception):
    """This node does not see the folder that all trials share."""


class CGANTrainable(tune.Trainable):
    """Trains one trial an evaluation at a time; its process serves many trials in turn.

    The config holds the arguments of `Trial`. Trials keep their own checkpoints, so Tune's are off:
    a trial that Tune starts again finds its place itself.
    """

    def setup(self, config: dict[str, Any], workload: Workload | None = None) -> None:
        """Keep what all trials share, and the first one's config."""
        assert workload is not None  # handed over by tune.with_parameters
        self._workload = workload.on_this_node()
        self._trial: Trial | None = None
        self._config = config
        self._signs = SignsOfLife(lambda: self._trial)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take up another trial in the same warm process."""
        self._release()
        self._config = new_config
        return True

    def step(self) -> dict[str, Any]:
        """The next evaluation's report, and from it what Tune and ASHA look at.

        A trial that broke down has no ``objective``, so that no made-up score enters ASHA's rungs.
        """
        report = self._advance()
        done = report["status"] != Status.RUNNING
        if done:
            self._release()
        seen = {k: v for k, v in report.items() if k in ("resource", *GOALS)}
        return {**seen, "report": report, "done": done}

    def cleanup(self) -> None:
        """Let go of the trial's memory."""
        self._signs.stop()
        self._release()

    def _advance(self) -> Report:
        """The trial's next report; it is built here, as its networks may not fit either."""
        if (
            not self._workload.trials.is_dir()
        ):  # a folder of its own here would lose the trial's past
            raise StorageUnseenError(f"{self._workload.trials} is not there on this node")
        if self._trial is None and asked_to_stop(self._workload.trials):
            return _bare(Status.INTERRUPTED, ASKED)
        try:
            if self._trial is None:
                self._trial = Trial(self._workload, **self._config)
        except Exception as error:
            found = breakdown(error)
            if found is None:
                raise
            return _bare(*found)
        self._heed()
        return self._trial.advance(self._heed)

    def _heed(self) -> None:
        """Stop if the search asks for it."""
        if self._trial is not None and asked_to_stop(self._workload.trials):
            self._trial.stop()

    def _release(self) -> None:
        if self._trial is not None and self._workload.object_store is not None:
            shutil.rmtree(self._trial.folder, ignore_errors=True)  # the store has it
        self._trial = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _bare(status: Status, reason: str) -> Report:
    """The report of a trial that was not built."""
    return {
        "resource": 0, "epoch": 0, "status": status.value, "images_seen": 0,
        "train_seconds": 0.0, "eval_seconds": 0.0, "reason": reason,
    }  # fmt: skip
