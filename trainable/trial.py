"""One trial: a run trained from evaluation to evaluation, each followed by a report.

A trial lives in a folder of its own. There it keeps its last checkpoint, from which it goes on
after anything, and a sample grid for each evaluation.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainable.config import TrialConfig
from trainable.data import Dataset
from trainable.evaluation import Assessment, Evaluator
from trainable.extractors import Extractor
from trainable.grid import draw_grid
from trainable.metrics.scores import RealSet
from trainable.objective import Objective
from trainable.training import DivergedError, Run

Report = dict[str, Any]
"""What an evaluation says: epoch, status and, unless the trial broke down, its scores and the
``objective`` that the search minimises."""

GRID_COLUMNS = 8
CHECKPOINT = "checkpoint.pt"


class Status(StrEnum):
    """How a trial stands. Never a sentinel score."""

    RUNNING = "running"
    COMPLETE = "complete"  # trained to its last epoch
    PRUNED = "pruned"  # stopped by ASHA at a rung
    DIVERGED = "diverged"  # a loss or score was no finite number
    OUT_OF_MEMORY = "out_of_memory"
    FAILED = "failed"  # crashed, retries included
    INTERRUPTED = "interrupted"  # stopped with the search; a resumed search takes it up again

    @property
    def infeasible(self) -> bool:
        """Whether the configuration itself is at fault."""
        return self in (Status.DIVERGED, Status.OUT_OF_MEMORY)


@dataclass(frozen=True)
class Job:
    """What all trials of a study share.

    Attributes:
        data: the training images.
        extractor, real: the network that scores are computed on, and the real set.
        objective: what to minimise.
        untrained: the untrained generator's scores, which scale a weighted objective.
        evaluations: epochs at which a trial is scored, ascending; the last one ends it.
        trials: folder that holds a folder for each trial; on a cluster, one that all nodes see.
        seed: the study's seed.
        device: ``cpu`` or ``cuda``.
        threads: CPU threads of one trial.
    """

    data: Dataset
    extractor: Extractor
    real: RealSet
    objective: Objective
    untrained: Mapping[str, float]
    evaluations: tuple[int, ...]
    trials: Path
    seed: int
    device: str
    threads: int


def trial_folder(trials: Path, number: int) -> Path:
    """Where trial `number` keeps its files."""
    return trials / f"{number:05d}"


def trial_seed(study_seed: int, number: int) -> int:
    """The seed of trial `number`: independent between trials, the same in every life of a study."""
    return int(np.random.SeedSequence([study_seed, number]).generate_state(1)[0])


class Trial:
    """A trial under way. Build it anew to go on from its last checkpoint."""

    def __init__(self, job: Job, number: int, params: dict[str, Any]):
        torch.set_num_threads(job.threads)
        torch.set_flush_denormal(True)  # denormals in dying units slow a CPU step severalfold
        self.job = job
        self.folder = trial_folder(job.trials, number)
        self.folder.mkdir(parents=True, exist_ok=True)
        config = TrialConfig.from_params(params)
        self.run = Run(config, job.data, seed=trial_seed(job.seed, number), device=job.device)
        self.evaluator = Evaluator(job.data, job.extractor.to(job.device), job.real)
        self.eval_seconds = 0.0
        self._unheard: Report | None = None
        if (self.folder / CHECKPOINT).exists():
            self._load()

    def advance(self) -> Report:
        """Train to the next evaluation, score, save, and report.

        The first call after a load repeats the saved report: it may never have been heard.
        Breakdowns of the configuration itself (not finite, out of GPU memory) are a status.
        """
        if self._unheard is not None:
            report, self._unheard = self._unheard, None
            return report
        epoch = next(e for e in self.job.evaluations if e > self.run.epoch)
        losses: dict[str, float] = {}
        try:
            while self.run.epoch < epoch:
                losses = self.run.train_epoch()
            started = time.perf_counter()
            scores = self.evaluator.scores(self.run, seed=self.job.seed)
            self._draw(epoch)
        except DivergedError as error:
            return self._report(epoch, Status.DIVERGED, reason=str(error))
        except torch.cuda.OutOfMemoryError as error:
            reason = str(error).split(". ")[0]
            return self._report(epoch, Status.OUT_OF_MEMORY, reason=reason)
        self.eval_seconds += time.perf_counter() - started
        done = epoch == self.job.evaluations[-1]
        status = Status.COMPLETE if done else Status.RUNNING
        objective = self.job.objective.value(scores, self.job.untrained)
        report = self._report(epoch, status, objective=objective, **scores, **losses)
        self._save(report)
        return report

    def _report(self, epoch: int, status: Status, **more: Any) -> Report:
        return {
            "epoch": epoch,
            "status": status.value,
            "images_seen": self.run.images_seen,
            "train_seconds": self.run.train_seconds,
            "eval_seconds": self.eval_seconds,
            "device": _device_name(self.run.device),
            **more,
        }

    def _draw(self, epoch: int) -> None:
        """Write the sample grid: the same latents at every evaluation, a row a class."""
        classes = len(self.job.data.classes)
        labels = torch.arange(classes).repeat_interleave(GRID_COLUMNS)
        images = self.run.sample(labels, seed=self.job.seed + 1).cpu().numpy()
        draw_grid(images, GRID_COLUMNS).save(self.folder / f"samples_{epoch:06d}.png")

    def _save(self, report: Report) -> None:
        """Replace the checkpoint in one move: a crash leaves the old one or the new one."""
        state = {"run": self.run.state(), "eval_seconds": self.eval_seconds, "report": report}
        scratch = self.folder / f"{CHECKPOINT}.{os.getpid()}"
        torch.save(state, scratch)
        scratch.replace(self.folder / CHECKPOINT)

    def _load(self) -> None:
        state = load_checkpoint(self.folder, self.job.device)
        self.run.load_state(state["run"])
        self.eval_seconds = state["eval_seconds"]
        self._unheard = state["report"]


def load_checkpoint(folder: Path, device: str = "cpu") -> dict[str, Any]:
    """The last checkpoint in a trial's folder: ``run`` (`Run.state`), ``report``, and more."""
    return torch.load(folder / CHECKPOINT, map_location=device, weights_only=True)


def assess(job: Job, number: int, params: dict[str, Any], per_class: int) -> Assessment:
    """A trial's last checkpoint, scored on `per_class` images a class that the search never saw."""
    trial = Trial(job, number, params)
    return trial.evaluator.assess(trial.run, per_class, seed=job.seed + 1000)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
