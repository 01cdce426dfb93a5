"""A trial behind Ray's face: one process that serves many, and keeps nothing of them."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.toys import fids, full, make_workload, out_of_memory
from trainable.gan.run import Run
from trainable.ray_trainable import CGANTrainable
from trainable.trial.checkpoints import Attempt
from trainable.trial.evaluation import Evaluator
from trainable.trial.report import Status
from trainable.trial.workload import Workload


def worker(workload: Workload, config: dict[str, Any]) -> CGANTrainable:
    """As Ray builds it, without Ray."""
    made = CGANTrainable.__new__(CGANTrainable)
    made.setup(config, workload)
    return made


def test_one_process_serves_many_trials_and_says_what_tune_needs(data, tmp_path, params, whole):
    workload = make_workload(data, tmp_path)
    made = worker(workload, {"number": 4, "params": params})
    results = [made.step() for _ in range(3)]
    assert [r["done"] for r in results] == [False, False, True]
    assert [r["resource"] for r in results] == [1, 2, 3]
    assert [r["objective"] for r in results] == [r["objective"] for r in whole]
    assert fids([r["report"] for r in results]) == fids(whole)
    assert made.reset_config({"number": 5, "params": params, "heard": 0, "deadline": 1.0})
    result = made.step()
    assert result["done"]
    assert result["report"]["status"] == Status.INTERRUPTED
    assert "objective" not in result
    made.cleanup()
    assert made._trial is None


@pytest.mark.parametrize("where", ["built", "loaded", "trained", "scored"])
def test_out_of_memory_anywhere_is_a_status_and_the_next_trial_works(
    data, tmp_path, params, whole, monkeypatch, where
):
    workload = make_workload(data, tmp_path)
    made = worker(workload, {"number": 3, "params": params})
    target = {
        "built": (Run, "__init__"),
        "loaded": (Attempt, "resume"),
        "trained": (Run, "train_epoch"),
        "scored": (Run, "sample"),
    }[where]
    with monkeypatch.context() as patch:
        patch.setattr(*target, out_of_memory)
        result = made.step()
    assert result["done"]
    assert "objective" not in result
    assert (result["report"]["status"], result["report"]["reason"]) == (
        "out_of_memory", "CUDA out of memory",
    )  # fmt: skip
    assert {"resource", "epoch"} <= set(result["report"])
    made.reset_config({"number": 4, "params": params})
    assert fids([made.step()["report"] for _ in range(3)]) == fids(whole)


def test_a_full_disk_before_the_first_epoch_interrupts(data, tmp_path, params, monkeypatch):
    made = worker(make_workload(data, tmp_path), {"number": 4, "params": params})
    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", full)
        result = made.step()
    assert (result["done"], result["report"]["status"]) == (True, "interrupted")


def test_a_defect_of_ours_is_no_status(data, tmp_path, params, monkeypatch):
    made = worker(make_workload(data, tmp_path), {"number": 4, "params": params})
    monkeypatch.setattr(Run, "train_epoch", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        made.step()


@pytest.fixture
def frozen():
    """Let the collector pass over what was there before: a look at it all takes a second."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def live_tensors() -> tuple[int, int]:
    gc.collect()
    found = [t for t in gc.get_objects() if type(t) in (torch.Tensor, torch.nn.Parameter)]
    return len(found), sum(t.numel() for t in found)


def test_fifteen_trials_in_one_process_leave_nothing_behind(
    data, tmp_path, params, monkeypatch, frozen
):
    """Some go to their end, some are stopped in between, some break down."""
    monkeypatch.setattr(Evaluator, "scores", lambda self, run, seed: {"fid": 50.0})
    made = worker(make_workload(data, tmp_path, (1, 2)), {"number": 0, "params": params})
    counts = []
    for number in range(15):
        made.reset_config({"number": number, "params": params})
        assert made.step()["report"]["status"] == "running"
        assert made._trial is not None
        if number % 3 == 0:
            assert made.step()["report"]["status"] == "complete"
        elif number % 3 == 1:
            with torch.no_grad():
                made._trial.run.G.project.weight.fill_(float("nan"))
            assert made.step()["report"]["status"] == "diverged"
        if number in (3, 14):
            made.reset_config({"number": number, "params": params})
            counts.append(live_tensors())
    assert counts[0] == counts[1]


def test_a_trial_under_way_is_seen_by_that_count(data, tmp_path, params, frozen):
    """The test above could fail."""
    made = worker(make_workload(data, tmp_path, (1, 2)), {"number": 0, "params": params})
    before = live_tensors()
    made.step()
    assert live_tensors()[0] > before[0] + 50
