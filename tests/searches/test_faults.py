"""Faults of workers, injected for real: killed, stopped, starved of memory, their files spoiled.

A module's searches share one Ray; faults of drivers and stores are in ``test_chaos``.
"""

from __future__ import annotations

import io
import math
import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from rich.console import Console

from search.capacity.gpu_share import Capacity
from search.study.config import StudyConfig
from search.study.database import (
    OpenStudy,
    create_study,
    database_url,
    load_study,
    open_storage,
    read_records,
)
from search.tune.reporting import RETRIES, Audience
from search.tune.run_trials import Outcome, run_trials
from spaces.presets import default
from spaces.task import Task
from tests.helpers.refusals import tells
from tests.helpers.toys import make_data, make_workload
from trainable.distributed.cluster import connected
from trainable.distributed.resources import Resources
from trainable.ray_trainable import CGANTrainable
from trainable.trial.checkpoints import newest
from trainable.trial.report import Status, trial_folder

YARDSTICK: Any = {"floor": 1.0, "untrained": {"fid": 100.0, "kid": 0.1}}


def space(trial: optuna.Trial, task: Task) -> dict[str, Any]:
    lr = trial.suggest_float("g_lr", 1e-4, 1e-2, log=True)
    return {**default(task), "g_lr": lr, "g_width": 4, "d_width": 4, "latent_size": 8}


class Refusing(CGANTrainable):
    """Warm workers that die as they take up trials 1 and 2, and one that refuses trial 4."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        if new_config["number"] in (1, 2):
            os.kill(os.getpid(), signal.SIGKILL)
        if new_config["number"] == 4:
            raise ZeroDivisionError("by accident")
        return super().reset_config(new_config)


class Deaf(CGANTrainable):
    """Its trials do not save when they are asked to."""

    def _heed(self) -> None:
        return


class Faulty(CGANTrainable):
    """What befalls each trial, by its number, after its first report."""

    def step(self) -> dict[str, Any]:
        number = self._config["number"]
        if self._trial is not None:
            getattr(self, f"_trial_{number}", lambda: None)()
        return super().step()

    def _first_time(self) -> bool:
        assert self._trial is not None
        mark = self._trial.folder / "befell"
        first = not mark.exists()
        mark.touch()
        return first

    def _trial_0(self) -> None:  # its worker is killed
        if self._first_time():
            os.kill(os.getpid(), signal.SIGKILL)

    def _trial_1(self) -> None:  # its worker stands still
        if self._first_time():
            os.kill(os.getpid(), signal.SIGSTOP)

    def _trial_2(self) -> None:  # it stands still each time
        assert self._trial is not None
        self._trial.run.train_epoch = lambda: time.sleep(1000)  # pyright: ignore

    def _trial_3(self) -> None:  # a defect
        raise ZeroDivisionError("by accident")

    def _trial_4(self) -> None:  # out of GPU memory
        def train() -> None:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

        assert self._trial is not None
        self._trial.run.train_epoch = train  # pyright: ignore

    def _trial_5(self) -> None:  # a weight is no number
        assert self._trial is not None
        next(self._trial.run.adversaries[0].network.parameters()).data.view(-1)[0] = math.nan

    def _trial_6(self) -> None:  # killed, and its last checkpoint rots
        assert self._trial is not None
        attempt = self._trial.attempt.folder
        if len(list(attempt.glob("*.pt"))) == 2 and self._first_time():
            last = max(attempt.glob("*.pt"))
            last.write_bytes(last.read_bytes()[:-100])
            os.kill(os.getpid(), signal.SIGKILL)


TRIALS, EPOCHS = 8, 6


def config(name: str, **changes: Any) -> StudyConfig:
    values: dict[str, Any] = {
        "name": name, "space": "x", "data": "x", "data_digest": "x", "image_size": 32,
        "fit": "crop", "background": "black", "levels": None,
        "trials": TRIALS, "time_budget": None, "resource": "epoch",
        "length": EPOCHS, "eval_every": 1, "grace": EPOCHS, "eta": 3, "max_trial_time": None,
        "sampler": "random", "seed": 0, "objective": "fid", "features": "x", "protocol": "x",
        "backbone": "none", "backbone_sha256": None, "held_out": None,
        "held_out_digest": None, "hold_back": 0.0, "validation_digest": None,
         "init_from": None, "init_sha256": None,
        "weights_sha256": "0", "top_k": 1, "winner_images": 20,
    }  # fmt: skip
    return StudyConfig(**{**values, **changes})


@pytest.fixture(scope="module")
def ray():
    with connected(Resources("local", 1, 0.0, 2, 600.0)) as settled:
        yield settled


def search(
    folder: Path,
    trainable: type[CGANTrainable],
    resources: Resources,
    seconds: float | None = None,
    **changes: Any,
) -> tuple[Outcome, list, str]:
    """A search of its own in `folder`; returns also the study's records and what was said."""
    folder.mkdir()
    settings = config(folder.name, **changes)
    storage = open_storage(database_url(folder))
    study = create_study(storage, settings, YARDSTICK, {}, [])
    workload = make_workload(make_data(), folder / "trials", settings.evaluations)
    screen = io.StringIO()
    deadline = None if seconds is None else time.time() + seconds
    capacity = Capacity(resources, resources.max_concurrent or 2, deadline=deadline)
    audience = Audience(Console(file=screen, width=300))
    opened = OpenStudy(study, storage)
    outcome = run_trials(opened, space, workload, capacity, audience, trainable)
    return outcome, read_records(study), screen.getvalue()


@pytest.fixture(scope="module")
def survived(ray, tmp_path_factory):
    root = tmp_path_factory.mktemp("faults")
    resources = Resources(ray[0].address, 1, 0.0, 2, 12.0)
    one, plain, _ = search(root / "plain", CGANTrainable, resources)
    two, faulty, said = search(root / "faulty", Faulty, resources)
    assert one.done
    assert two.done
    return plain, faulty, said


def test_a_worker_that_dies_as_it_takes_up_a_trial_costs_no_trial(ray, tmp_path):
    """Tune itself counts two failures, and gives such a trial up whatever its retries."""
    resources = Resources(ray[0].address, 1, 0.0, 1)
    outcome, records, said = search(
        tmp_path / "refusing", Refusing, resources, trials=5, length=2, grace=2
    )
    assert outcome.done
    assert [r.number for r in records] == [0, 1, 2, 3, 4]
    assert {r.status for r in records} == {Status.COMPLETE}
    assert [len(r.reports) for r in records] == [2] * 5
    lines = [line for line in said.splitlines() if "failed" in line]
    assert [line.split()[1] for line in lines] == ["1", "2", "4"]
    assert all(line.endswith("retry 1 of 3") for line in lines), lines


def test_a_cluster_without_a_node_for_trials_ends_the_search_with_its_time(ray, tmp_path):
    """A trial that Ray can never place waits, and what it waits for is said."""
    resources = Resources("auto", 999, 0.0, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", "this one")
        outcome, records, said = search(tmp_path / "alone", CGANTrainable, resources, 15.0)
    assert not outcome.done
    assert tells(outcome.halted or "", "time", "no node")
    assert any("no node" in line and "Ctrl-C" in line for line in said.splitlines())
    assert {r.status for r in records} == {Status.INTERRUPTED}


@pytest.mark.parametrize("number", [0, 1, 6, 7])
def test_a_trial_goes_on_as_if_nothing_had_been(survived, number):
    plain, faulty, _ = survived
    assert faulty[number].status is Status.COMPLETE
    assert len(faulty[number].reports) == EPOCHS
    ours, theirs = ([(r["epoch"], r["fid"]) for r in x[number].reports] for x in (faulty, plain))
    assert ours == theirs


@pytest.mark.parametrize(
    ("number", "status", "reason"),
    [
        (2, "failed", "hung again"),
        (3, "failed", "ZeroDivisionError: by accident"),
        (4, "out_of_memory", "CUDA out of memory"),
        (5, "diverged", "in epoch 2"),
    ],
)
def test_each_end_has_its_status_and_reason(survived, number, status, reason):
    _, faulty, _ = survived
    assert faulty[number].status.value == status
    assert reason in faulty[number].reason
    assert len(faulty[number].reports) >= 1


def test_every_retry_is_said_and_they_are_bounded(survived):
    _, _, said = survived
    lines = [line for line in said.splitlines() if "worker failed" in line]
    of = {n: [line for line in lines if line.startswith(f"trial {n:>4}")] for n in range(TRIALS)}
    assert [len(of[n]) for n in range(TRIALS)] == [1, 1, 2, RETRIES, 0, 0, 1, 0]
    assert "died unexpectedly" in of[0][0]
    assert re.search(r"no report .*\b12 s\b.* killed", said)


def signals(folder: Path, *numbers: int) -> threading.Thread:
    """Send them to this process once two trials of the search in `folder` train, 2 s apart."""

    def send() -> None:
        while len(list(folder.glob("trials/*/attempt-*"))) < 2:
            time.sleep(0.1)
        for number in numbers:
            time.sleep(2.0)
            os.kill(os.getpid(), number)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    return sender


LONG = {"trials": 2, "length": 200_000, "eval_every": 100_000, "grace": 100_000}


def test_a_search_that_is_asked_to_stop_says_so_at_once_and_saves_what_is_trained(ray, tmp_path):
    """Also what no evaluation has saved; the mark that asks for it is gone afterwards."""
    sender = signals(tmp_path / "asked", signal.SIGTERM)
    outcome, records, said = search(tmp_path / "asked", CGANTrainable, ray[0], **LONG)
    sender.join()
    assert (outcome.done, outcome.halted, outcome.stopped) == (False, None, signal.SIGTERM)
    assert {r.status for r in records} == {Status.INTERRUPTED}
    assert any("saving 2 trials" in line and "Ctrl-C" in line for line in said.splitlines())
    trials = tmp_path / "asked" / "trials"
    seen = [newest(trial_folder(trials, r.number))["run"]["images_seen"] for r in records]
    assert len(seen) == 2
    assert sum(seen) > 0
    assert not list(trials.glob(".*"))


def test_a_second_signal_ends_a_search_at_once(ray, tmp_path):
    """Here none of its trials heeds the first."""
    sender = signals(tmp_path / "again", signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):  # out of Ray's own code, without the signal's number
        search(tmp_path / "again", Deaf, ray[0], **LONG)
    sender.join()
    storage = open_storage(database_url(tmp_path / "again"))
    records = read_records(load_study("again", storage))
    assert {r.status for r in records} == {Status.INTERRUPTED}
