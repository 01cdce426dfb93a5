"""Faults of workers, injected for real: killed, stopped, starved of memory, their files spoiled.

Faults of drivers and stores are in ``test_session`` and ``test_stores``.
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest

from search.study.database import load_study, open_storage
from search.study.folder import StudyFolder
from search.study.records import read_records
from search.tune.reporting import RETRIES
from tests.helpers.faults import Faulty, run_search
from tests.helpers.refusals import tells
from tests.helpers.searches import shared_ray
from tests.helpers.toys import fids, make_data, make_workload, run_on
from trainable.basics.wording import format_duration
from trainable.distributed.resources import Resources
from trainable.ray_trainable import CGANTrainable
from trainable.trial.checkpoints import newest
from trainable.trial.report import Status, trial_folder
from trainable.trial.trial import Trial

EPOCHS = 6
LIMIT = 600.0
"""Seconds without a report after which a worker is taken to hang."""


@pytest.fixture(scope="module", autouse=True)
def _ray():
    with shared_ray():
        yield


def here(workers: int) -> Resources:
    return Resources("local", 1, 0.0, workers, LIMIT)


class Refusing(CGANTrainable):
    """Warm workers that die as they take up trial 1, and one that refuses trial 3."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        if new_config["number"] == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if new_config["number"] == 3:
            raise ZeroDivisionError("by accident")
        return super().reset_config(new_config)


class Deaf(CGANTrainable):
    """Its trials do not save when they are asked to."""

    def _heed(self) -> None:
        return


class All(Faulty):
    befalls: ClassVar = dict(enumerate([
        "is_killed", "stands_still", "always_hangs", "has_a_defect", "has_no_memory", "diverges",
        "rots",
    ]))  # fmt: skip


TRIALS = len(All.befalls) + 1


@pytest.fixture(scope="module")
def survived(tmp_path_factory):
    """The records of the trials, their folder, and what was said."""
    folder = tmp_path_factory.mktemp("faulty")
    outcome, records, said = run_search(folder, All, here(2), trials=TRIALS, length=EPOCHS)
    assert outcome.done
    return records, folder, said


def test_a_worker_that_dies_as_it_takes_up_a_trial_costs_no_trial(tmp_path):
    """Tune itself counts two failures, and gives such a trial up whatever its retries."""
    outcome, records, said = run_search(
        tmp_path / "refusing", Refusing, here(1), trials=4, length=2, grace=2
    )
    assert outcome.done
    assert [r.number for r in records] == [0, 1, 2, 3]
    assert {r.status for r in records} == {Status.COMPLETE}
    assert [len(r.reports) for r in records] == [2] * 4
    lines = [line for line in said.splitlines() if "failed" in line]
    assert [line.split()[1] for line in lines] == ["1", "3"]
    assert all(line.endswith(f"retry 1 of {RETRIES}") for line in lines), lines


def test_a_cluster_without_a_node_for_trials_ends_the_search_with_its_time(tmp_path):
    """A trial that Ray can never place waits, and what it waits for is said."""
    resources = Resources("auto", 999, 0.0, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", "this one")
        outcome, records, said = run_search(
            tmp_path / "alone", CGANTrainable, resources, 6.0, trials=2, length=2
        )
    assert not outcome.done
    assert tells(outcome.halted or "", "time", "no node")
    assert any("no node" in line and "Ctrl-C" in line for line in said.splitlines())
    assert {r.status for r in records} == {Status.INTERRUPTED}


@pytest.mark.parametrize("number", [0, 1, 6, 7])
def test_a_trial_goes_on_as_if_nothing_had_been(survived, tmp_path, number):
    record = survived[0][number]
    assert record.status is Status.COMPLETE
    workload = make_workload(make_data(), tmp_path, tuple(range(1, EPOCHS + 1)))
    assert fids(record.reports) == fids(run_on(Trial(workload, number, record.params)))


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
    record = survived[0][number]
    assert record.status.value == status
    assert reason in record.reason
    assert len(record.reports) >= 1


def test_every_retry_is_said_and_they_are_bounded(survived):
    _, _, said = survived
    lines = [line for line in said.splitlines() if "worker failed" in line]
    of = {n: [line for line in lines if line.startswith(f"trial {n:>4}")] for n in range(TRIALS)}
    assert [len(of[n]) for n in range(TRIALS)] == [1, 1, 2, RETRIES, 0, 0, 1, 0]
    assert "died unexpectedly" in of[0][0]
    assert re.search(rf"no report .*\b{format_duration(LIMIT)}\b.* killed", said)


def signals(folder: Path, trials: int, *numbers: int) -> threading.Thread:
    """Send them to this process once so many trials of the search in `folder` train, 2 s apart."""

    def send() -> None:
        while len(list(folder.glob("trials/*/attempt-*"))) < trials:
            time.sleep(0.1)
        for number in numbers:
            time.sleep(2.0)
            os.kill(os.getpid(), number)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    return sender


LONG: dict[str, Any] = {"length": 200_000, "eval_every": 100_000, "grace": 100_000}


def test_a_search_that_is_asked_to_stop_says_so_at_once_and_saves_what_is_trained(tmp_path):
    """Also what no evaluation has saved; the mark that asks for it is gone afterwards."""
    sender = signals(tmp_path / "asked", 2, signal.SIGTERM)
    outcome, records, said = run_search(
        tmp_path / "asked", CGANTrainable, here(2), trials=2, **LONG
    )
    sender.join()
    assert (outcome.done, outcome.halted, outcome.stopped) == (False, None, signal.SIGTERM)
    assert {r.status for r in records} == {Status.INTERRUPTED}
    assert any("saving 2 trials" in line and "Ctrl-C" in line for line in said.splitlines())
    trials = tmp_path / "asked" / "trials"
    seen = [newest(trial_folder(trials, r.number))["run"]["images_seen"] for r in records]
    assert len(seen) == 2
    assert sum(seen) > 0
    assert not list(trials.glob(".*"))


def test_a_second_signal_ends_a_search_at_once(tmp_path):
    """Here its trial does not heed the first."""
    sender = signals(tmp_path / "again", 1, signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):  # out of Ray's own code, without the signal's number
        run_search(tmp_path / "again", Deaf, here(1), trials=1, **LONG)
    sender.join()
    storage = open_storage(StudyFolder(tmp_path / "again").database_url)
    records = read_records(load_study("again", storage))
    assert {r.status for r in records} == {Status.INTERRUPTED}
