"""Trials whose workers die, hang and rot for real, and searches of them by `run_trials`."""

from __future__ import annotations

import io
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import optuna
import pytest
import torch
from rich.console import Console

from search.capacity.gpu_share import Capacity
from search.study.database import OpenStudy, create_study, open_storage
from search.study.folder import StudyFolder
from search.study.records import read_records
from search.tune import run_trials as launch
from search.tune.reporting import Audience
from search.tune.run_trials import Outcome, run_trials
from search.tune.watchdog import Watchdog
from spaces.presets import default
from spaces.task import Task
from tests.helpers.fake_tune import YARDSTICK, config
from tests.helpers.toys import make_data, make_workload
from trainable.distributed.resources import Resources
from trainable.ray_trainable import CGANTrainable
from trainable.trial.object_store import ObjectStore
from trainable.trial.report import trial_folder

HANGS = "hangs"
"""The file by which a trial says that it is about to hang."""


def narrow(trial: optuna.Trial, task: Task) -> dict[str, Any]:
    """A space of small networks."""
    lr = trial.suggest_float("g_lr", 1e-4, 1e-2, log=True)
    return {**default(task), "g_lr": lr, "g_width": 4, "d_width": 4, "latent_size": 8}


class Faulty(CGANTrainable):
    """Something befalls each trial after its first report.

    Attributes:
        befalls: what, by the trial's number.
    """

    befalls: ClassVar[dict[int, str]] = {}

    def step(self) -> dict[str, Any]:
        if self._trial is not None and (what := self.befalls.get(self._config["number"])):
            getattr(self, f"_{what}")()
        return super().step()

    def _first_time(self) -> bool:
        assert self._trial is not None
        mark = self._trial.folder.with_suffix(".befell")  # beside it: it may be filled anew
        first = not mark.exists()
        mark.touch()
        return first

    def _about_to_hang(self) -> None:
        assert self._trial is not None
        (self._trial.folder / HANGS).touch()

    def _is_killed(self) -> None:
        if self._first_time():
            os.kill(os.getpid(), signal.SIGKILL)

    def _stands_still(self) -> None:
        if self._first_time():
            self._about_to_hang()
            os.kill(os.getpid(), signal.SIGSTOP)

    def _always_hangs(self) -> None:
        def train() -> None:
            self._about_to_hang()
            time.sleep(1000)

        assert self._trial is not None
        self._trial.run.train_epoch = train  # pyright: ignore

    def _has_a_defect(self) -> None:
        raise ZeroDivisionError("by accident")

    def _has_no_memory(self) -> None:
        def train() -> None:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

        assert self._trial is not None
        self._trial.run.train_epoch = train  # pyright: ignore

    def _diverges(self) -> None:
        assert self._trial is not None
        next(self._trial.run.adversaries[0].network.parameters()).data.view(-1)[0] = math.nan

    def _rots(self) -> None:
        """Killed, and its last checkpoint is cut short."""
        assert self._trial is not None
        attempt = self._trial.attempt.folder
        if len(list(attempt.glob("*.pt"))) == 2 and self._first_time():
            last = max(attempt.glob("*.pt"))
            last.write_bytes(last.read_bytes()[:-100])
            os.kill(os.getpid(), signal.SIGKILL)


class Hurried(Watchdog):
    """Its limit has passed for a trial that is about to hang, and for no other, however slow."""

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        for trial in trials:
            mark = trial_folder(self._trials, trial.config["number"]) / HANGS
            if trial.trial_id in self._heard and mark.exists():
                mark.unlink()
                self._heard[trial.trial_id] = -math.inf
        super().on_step_end(iteration, trials, **info)


def run_search(
    folder: Path,
    trainable: type[CGANTrainable],
    resources: Resources,
    seconds: float | None = None,
    object_store: ObjectStore | None = None,
    **changes: Any,
) -> tuple[Outcome, list, str]:
    """A search of its own in `folder`; returns also the study's records and what was said."""
    folder.mkdir(exist_ok=True)
    settings = config(name=folder.name, **{"top_k": 1, "grace": changes["length"], **changes})
    storage = open_storage(StudyFolder(folder).database_url)
    study = create_study(storage, settings, YARDSTICK, {}, [])
    workload = make_workload(make_data(), folder / "trials", settings.evaluations)
    screen = io.StringIO()
    deadline = None if seconds is None else time.time() + seconds
    capacity = Capacity(resources, resources.max_concurrent or 2, deadline=deadline)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "Watchdog", Hurried)
        outcome = run_trials(
            OpenStudy(study, storage), narrow, replace(workload, object_store=object_store),
            capacity, Audience(Console(file=screen, width=300)), trainable,
        )  # fmt: skip
    return outcome, read_records(study), screen.getvalue()


@contextmanager
def as_soon_as(happened: Callable[[], object], act: Callable[[], None]) -> Iterator[None]:
    """In the block, `act` from a thread once something has `happened`, which it must."""
    over = threading.Event()
    acted = []

    def wait() -> None:
        while not happened():
            if over.wait(0.1):
                return
        act()
        acted.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert acted
