"""The Ray Tune face of a trial, and the only file here that knows Ray."""

from __future__ import annotations

import gc
from typing import Any

import torch
from ray import tune

from trainable.trial import Job, Status, Trial


class CGANTrainable(tune.Trainable):
    """Trains one trial an evaluation at a time; its process serves many trials in turn.

    The config holds ``number`` and ``params``. Trials keep their own checkpoints (see
    `trainable.trial`), so Tune's are off: a trial that Tune starts again finds its place itself.
    """

    def setup(self, config: dict[str, Any], job: Job | None = None) -> None:
        """Keep what all trials share, and build the first one."""
        assert job is not None  # handed over by tune.with_parameters
        self._job = job
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take up another trial in the same warm process."""
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """The next evaluation's report, and from it what Tune and ASHA look at.

        A trial that broke down has no ``objective``, so that no made-up score enters ASHA's rungs.
        """
        assert self._trial is not None
        report = self._trial.advance()
        done = report["status"] != Status.RUNNING
        if done:
            self._release()
        seen = {k: report[k] for k in ("epoch", "objective") if k in report}
        return {**seen, "report": report, "done": done}

    def cleanup(self) -> None:
        """Let go of the trial's memory."""
        self._release()

    def _begin(self, config: dict[str, Any]) -> None:
        self._release()
        self._trial = Trial(self._job, config["number"], config["params"])

    def _release(self) -> None:
        self._trial: Trial | None = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
