"""Trials that cost nothing, for what is around them to be measured: `search` and `scale` use them.

Nothing here imports torch, so that many of their processes fit on a small machine; `FreeTorch`
does, as the process of every real trial has it.
"""

from __future__ import annotations

import math
import os
import random
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from ray import tune

from search.tracking.tracker import RemoteProjection
from spaces.task import Task

TASK = Task(image_size=32, channels=1, classes=2, images=200)
EVERY = 10
"""Epochs between two reports."""


def seconds_of(projection: RemoteProjection) -> float:
    """CPU seconds that the process of a projection has taken; Linux only."""
    process = projection._child._process
    return 0.0 if process is None else time.clock_gettime(~process.pid << 3 | 2)


def free_workload(folder: Path, reports: int, together: int = 1) -> Any:
    """What `Free` and `run_trials` ask of a trial's `Workload`; see `mark`."""
    marks = folder / "marks"
    marks.mkdir(exist_ok=True)
    return SimpleNamespace(
        task=TASK, trials=folder / "trials", object_store=None, marks=str(marks), reports=reports,
        together=together,
    )  # fmt: skip


def free_fid(params: dict[str, Any], share: float) -> float:
    """FID, without noise, of a configuration after a share of its training."""
    far = (
        math.log10(params["g_lr"] / 3e-3) ** 2
        + math.log10(params["g_lr"] * params["lr_ratio"] / 2e-3) ** 2
        + ((params["g_width"] - 20) / 16) ** 2
        + (params["d_norm"] == "spectral")
    )
    return 60 + 40 * far + 200 * math.exp(-3 * share)


def free_report(number: int, params: dict[str, Any], at: int, reports: int) -> dict[str, Any]:
    """Report `at` (from 1) of `reports`, with the keys of a real one: 17 numbers and 2 texts.

    FID falls with training towards a value that depends smoothly on four parameters; the noise, of
    some 3 %, follows from the trial's number.
    """
    noise = random.Random(1000 * number + at)
    fid = free_fid(params, at / reports) * noise.gauss(1, 0.03)
    names = ["kid", "inception_score", "one_nn", "coverage", "copy_rate", "diversity"]
    names += ["g_loss", "d_loss", "real_logit", "fake_logit"]
    return {
        "resource": at * EVERY,
        "epoch": at * EVERY,
        "status": "running" if at < reports else "complete",
        "images_seen": at * EVERY * TASK.images,
        "train_seconds": 3.0 * at,
        "eval_seconds": 0.5 * at,
        "device": "cpu",
        "objective": fid,
        "fid": fid,
        **{name: noise.random() for name in names},
    }


def mark(folder: str, number: int | str, at: int, together: int) -> None:
    """Note that a trial gets to its report `at` now; some 100 µs.

    The first ones wait until so many processes have got there `together`: trials that cost nothing
    would otherwise all be done by the first process before the second one has started.
    """
    own = Path(folder, str(os.getpid()))
    own.touch()
    while at == 1 and sum(1 for _ in own.parent.iterdir()) < together:
        time.sleep(0.005)
    with own.open("a") as file:
        file.write(f"{number} {at} {time.time()}\n")


def read_marks(folder: str) -> list[tuple[str, int, float]]:
    """(trial, report, seconds since 1970), by time."""
    lines = [line.split() for f in Path(folder).iterdir() for line in f.read_text().splitlines()]
    return sorted(((n, int(at), float(when)) for n, at, when in lines), key=lambda m: m[2])


class Free(tune.Trainable):
    """`trainable.ray_trainable.CGANTrainable` without the work."""

    def setup(self, config: dict[str, Any], workload: Any = None) -> None:
        self._workload = workload
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._number, self._params = new_config["number"], new_config["params"]
        self._at = 0
        return True

    def step(self) -> dict[str, Any]:
        self._at += 1
        mark(self._workload.marks, self._number, self._at, self._workload.together)
        report = free_report(self._number, self._params, self._at, self._workload.reports)
        seen = {key: report[key] for key in ("resource", "objective")}
        return {**seen, "report": report, "done": report["status"] != "running"}


class FreeTorch(Free):
    """The same in a process that has imported torch."""

    def setup(self, config: dict[str, Any], workload: Any = None) -> None:
        import torch

        torch.set_num_threads(1)
        super().setup(config, workload)


def study_config(name: str, trials: int, reports: int, *, prune: bool) -> Any:
    """A `StudyConfig` of trials with that many reports; ASHA's first rung is the second one."""
    from search.study.config import StudyConfig

    length = reports * EVERY
    return StudyConfig(
        name=name, space="full", data="free", data_digest="0" * 64, image_size=32, fit="crop",
        background="black", levels=None, labels=None, label_columns=None, classes=None,
        trials=trials, time_budget=None, resource="epoch", length=length, eval_every=EVERY,
        grace=min(2 * EVERY, length) if prune else length, eta=3, max_trial_time=None,
        sampler="auto", seed=0, objective="fid", features="none", protocol="none",
        weights_sha256="0" * 64, backbone="none",
        backbone_sha256=None, held_out=None, held_out_digest=None,
        hold_back=0.0, validation_digest=None, init_from=None, init_sha256=None,
        top_k=1, winner_images=200, replicates=0, prior="none",
    )  # fmt: skip


def new_study(folder: Path, config: Any) -> Any:
    """A study in a SQLite file in `folder`, which bears its name, and its storage."""
    from search.study.database import OpenStudy, create_study, open_storage
    from search.study.folder import StudyFolder

    storage = open_storage(StudyFolder(folder).database_url)
    yardstick = {"floor": 30.0, "untrained": {"fid": 300.0, "kid": 0.3}}
    return OpenStudy(create_study(storage, config, yardstick, {}, []), storage)


def rss() -> float:
    """MB of memory that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def line(x: Any, y: Any) -> tuple[float, float]:
    """Offset and slope of the straight line that fits best."""
    slope, offset = np.polyfit(np.asarray(x, float), np.asarray(y, float), 1)
    return float(offset), float(slope)
