"""A trial: its reports, its end, and how it goes on after anything."""

from __future__ import annotations

import errno
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import torch

from tests.helpers.refusals import refused, tells
from tests.helpers.toys import fids, full, make_workload, out_of_memory, run_on
from trainable.gan.run import Run
from trainable.trial.checkpoints import mark_hung, newest
from trainable.trial.report import SPENT, Status, trial_folder, trial_seed
from trainable.trial.trial import Trial, assess, breakdown, train_afresh
from trainable.trial.workload import Workload


def test_trial_reports_in_order_and_goes_on_from_its_checkpoint(data, tmp_path, params, whole):
    assert [r["epoch"] for r in whole] == [r["resource"] for r in whole] == [1, 2, 3]
    assert [r["status"] for r in whole] == ["running", "running", "complete"]
    workload = make_workload(data, tmp_path)
    first = Trial(workload, 4, params)
    said = first.advance()
    again = Trial(workload, 4, params)
    assert again.advance() == said  # repeated: it may not have been heard
    rest = [again.advance(), again.advance()]
    assert fids([said, *rest]) == fids(whole)
    assert sorted(p.name for p in again.folder.glob("*.png")) == [
        f"samples_{e:06d}.png" for e in (0, 1, 2, 3)
    ]
    state = newest(again.folder)
    assert state["reports"][-1]["status"] == "complete"
    assert [r["resource"] for r in state["reports"]] == [1, 2, 3]
    assert [p.name for p in again.folder.glob("attempt*")] == ["attempt-002"]


@pytest.mark.parametrize("heard", range(4))
def test_what_was_heard_is_not_said_again_and_what_was_not_comes_in_order(
    data, tmp_path, params, whole, heard
):
    workload = make_workload(data, tmp_path)
    before = Trial(workload, 4, params)
    said = [before.advance(), before.advance()]
    again = Trial(workload, 4, params, heard=heard)
    if heard == 3:  # the study knows more than the checkpoints do, which were lost
        assert [r["resource"] for r in run_on(again)] == [3]
        return
    reports = run_on(again)
    assert reports[: 2 - heard] == said[heard:]
    assert fids(reports) == fids(whole)[heard:]


def test_a_complete_trial_that_was_not_heard_says_so_again_and_trains_no_more(
    data, params, finished, whole, monkeypatch
):
    monkeypatch.setattr(Run, "train_epoch", lambda self: pytest.fail("it trains"))
    again = Trial(make_workload(data, finished[0]), 4, params, heard=2)
    assert again.advance() == whole[-1]


def spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize("spoilt", [1, 2])
def test_with_a_spoilt_checkpoint_it_goes_on_from_the_one_before(
    data, tmp_path, params, whole, spoilt
):
    """And ends as it would have; what was heard of the lost part is not said twice."""
    workload = make_workload(data, tmp_path)
    first = Trial(workload, 4, params)
    first.advance()
    first.advance()
    for path in sorted(first.attempt.folder.glob("*.pt"))[-spoilt:]:
        spoil(path)
    again = Trial(workload, 4, params, heard=2)
    assert again.run.epoch == 2 - spoilt
    assert fids([r for r in run_on(again) if r["resource"] > 2]) == fids(whole)[2:]


def test_a_worker_that_outlived_its_search_does_not_disturb_its_successor(
    data, tmp_path, params, whole
):
    workload = make_workload(data, tmp_path)
    late = Trial(workload, 4, params)
    late.advance()
    present = Trial(workload, 4, params, heard=1)
    with torch.no_grad():  # it has gone astray, and shows if it is taken
        late.run.G_ema.project.weight.mul_(1.5)
    late.advance()
    second = present.advance()
    with pytest.raises(FileNotFoundError):  # by now its place is gone
        late.advance()
    third = Trial(workload, 4, params, heard=2).advance()
    assert fids([second, third]) == fids(whole)[1:]


@pytest.mark.parametrize("fault", ["less", "shape", "bare", "no params"])
def test_a_checkpoint_of_another_version_interrupts_and_stays(data, tmp_path, params, fault):
    """It is not trained over: that version can go on from it."""
    workload = make_workload(data, tmp_path)
    trial = Trial(workload, 4, params)
    trial.advance()
    state = newest(trial.folder)
    if fault == "less":
        del state["run"]["G_ema"]
    elif fault == "shape":
        state["run"]["G_ema"] = {"old.weight": torch.zeros(2)}
    elif fault == "bare":
        state = {}
    kept: Any = {} if fault == "no params" else params
    trial.attempt.save(10**6, kept, state)
    if fault == "no params":  # passed over, as another configuration's
        assert Trial(workload, 4, params).run.epoch == 1
        return
    with refused(trial.folder, "version") as caught:
        Trial(workload, 4, params)
    assert breakdown(caught.value) == (Status.INTERRUPTED, str(caught.value))
    assert "\n" not in str(caught.value)
    assert newest(trial.folder).keys() == state.keys()


def test_a_number_that_came_to_another_configuration_begins_afresh(data, tmp_path, params):
    workload = make_workload(data, tmp_path)
    Trial(workload, 4, params).advance()
    other = {**params, "g_lr": 1e-3}
    again = Trial(workload, 4, other)
    assert again.run.epoch == 0
    alone = run_on(Trial(make_workload(data, tmp_path / "alone"), 4, other))
    assert fids(run_on(again)) == fids(alone)


@pytest.mark.parametrize("epochs", [0, 1, 2, 3, 4, 5])
def test_a_trial_interrupted_by_the_deadline_ends_as_if_it_had_not_been(
    data, tmp_path, params, monkeypatch, epochs
):
    """After `epochs` of six, in the middle between two evaluations too."""
    whole = run_on(Trial(make_workload(data, tmp_path / "whole", (2, 6)), 4, params))
    workload = make_workload(data, tmp_path, (2, 6))
    first = Trial(workload, 4, params, deadline=40.0 * epochs)
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: float(first.run.images_seen))
        said = run_on(first)
    *scored, last = said
    assert (last["status"], last.get("reason")) == ("interrupted", SPENT)
    assert "objective" not in last
    assert "fid" not in last
    assert first.run.epoch == epochs
    assert [r["resource"] for r in scored] == ([2] if epochs >= 2 else [])
    again = Trial(workload, 4, params, heard=2 if scored else 0)
    assert again.run.epoch == epochs
    rest = run_on(again)
    assert fids([*scored, *rest]) == fids(whole)
    assert [r["resource"] for r in rest] == ([6] if scored else [2, 6])
    for one, other in zip([*scored, *rest], whole, strict=True):
        keys = set(one) - {"train_seconds", "eval_seconds"}
        assert {k: one[k] for k in keys} == {k: other[k] for k in keys}


def test_a_deadline_in_the_past_says_what_is_due_but_trains_nothing(data, tmp_path, params):
    past = time.time() - 1
    workload = make_workload(data, tmp_path)
    report = Trial(workload, 4, params, deadline=past).advance()
    assert (report["status"], report.get("reason"), report["epoch"]) == ("interrupted", SPENT, 0)
    said = Trial(workload, 4, params).advance()
    late = Trial(workload, 4, params, deadline=past)
    assert late.advance() == said
    assert late.advance()["status"] == "interrupted"


def timed(monkeypatch, seconds: list[float]) -> None:
    """Let epochs take these seconds, by the run's own account, and cost nothing."""
    left = iter(seconds)

    def train_epoch(self: Run) -> dict[str, float]:
        self.images_seen += self.task.images
        self.train_seconds += next(left)
        return {"g_loss": 1.0}

    monkeypatch.setattr(Run, "train_epoch", train_epoch)


def seconds_workload(data, folder: Path, **changes: Any) -> Workload:
    return replace(make_workload(data, folder, (10, 20, 30, 60)), resource="seconds", **changes)


def test_seconds_count_for_the_evaluation_that_was_due(data, tmp_path, params, monkeypatch):
    """Looked at when an epoch ends: two that end a second apart still meet in a rung."""
    timed(monkeypatch, [4, 4, 4, 9, 1, 30, 20])
    reports = run_on(Trial(seconds_workload(data, tmp_path), 4, params))
    assert [r["resource"] for r in reports] == [10, 20, 30, 60]
    assert [r["train_seconds"] for r in reports] == [12, 21, 52, 72]
    assert [r["epoch"] for r in reports] == [3, 4, 6, 7]
    assert [r["status"] for r in reports] == ["running"] * 3 + ["complete"]


def test_an_epoch_worth_several_evaluations_is_reported_once(data, tmp_path, params, monkeypatch):
    timed(monkeypatch, [25, 1, 1, 40])
    reports = run_on(Trial(seconds_workload(data, tmp_path), 4, params))
    assert [r["resource"] for r in reports] == [20, 60]
    assert [r["epoch"] for r in reports] == [1, 4]


def test_seconds_are_kept_over_an_interruption(data, tmp_path, params, monkeypatch):
    timed(monkeypatch, [6, 6, 6, 6, 40])
    workload = seconds_workload(data, tmp_path)
    assert Trial(workload, 4, params).advance()["train_seconds"] == 12
    reports = run_on(Trial(workload, 4, params, heard=10))
    assert [(r["resource"], r["train_seconds"]) for r in reports] == [(20, 24), (60, 64)]


@pytest.mark.parametrize("resource", ["epoch", "seconds"])
def test_a_trial_that_takes_too_long_is_pruned_after_an_evaluation(
    data, tmp_path, params, monkeypatch, resource
):
    timed(monkeypatch, [4.0] * 30)
    workload = replace(
        make_workload(data, tmp_path, (2, 30, 40) if resource == "epoch" else (8, 100)),
        resource=resource, max_seconds=30.0,
    )  # fmt: skip
    reports = run_on(Trial(workload, 4, params))
    assert len(reports) == 2
    last = reports[-1]
    assert last["status"] == "pruned"
    assert tells(last.get("reason", ""), "30 s")
    assert "fid" in last
    assert last["objective"] == last["fid"]
    assert last["resource"] > reports[0]["resource"]
    assert 30 <= last["train_seconds"] + last["eval_seconds"] < 30 + 4 + 10
    assert newest(trial_folder(workload.trials, 4))["reports"][-1]["status"] == "pruned"


def test_a_slow_trial_gets_at_least_one_epoch_and_one_score(data, tmp_path, params, monkeypatch):
    timed(monkeypatch, [100.0])
    workload = replace(make_workload(data, tmp_path, (5, 10)), max_seconds=3.0)
    (report,) = run_on(Trial(workload, 4, params))
    assert (report["status"], report["resource"], report["epoch"]) == ("pruned", 1, 1)


def test_a_trial_that_ends_in_time_is_complete(data, tmp_path, params, monkeypatch):
    """Its last evaluation ends it, whatever that took."""
    timed(monkeypatch, [10.0] * 3)
    workload = replace(make_workload(data, tmp_path, (1, 3)), max_seconds=30.0)
    assert [r["status"] for r in run_on(Trial(workload, 4, params))] == ["running", "complete"]


@pytest.mark.parametrize("where", ["checkpoint", "grid"])
def test_a_full_disk_interrupts_and_costs_nothing_but_time(
    data, tmp_path, params, whole, monkeypatch, where
):
    workload = make_workload(data, tmp_path)
    first = Trial(workload, 4, params)
    said = first.advance()
    with monkeypatch.context() as patch:
        target = (os, "fsync") if where == "checkpoint" else (PIL.Image.Image, "save")
        patch.setattr(*target, full)
        report = first.advance()
    assert report["status"] == "interrupted"
    assert report.get("reason") == "No space left on device: somewhere.pt"
    assert "objective" not in report
    assert (report["resource"], report["epoch"]) == (2, 2)
    assert newest(first.folder)["reports"] == [said]
    again = Trial(workload, 4, params, heard=1)
    assert again.run.epoch == 1
    assert fids([said, *run_on(again)]) == fids(whole)


def test_a_full_disk_at_the_deadline_interrupts_too(data, tmp_path, params, monkeypatch):
    trial = Trial(make_workload(data, tmp_path), 4, params, deadline=time.time() - 1)
    monkeypatch.setattr(os, "fsync", full)
    report = trial.advance()
    assert (report["status"], report.get("reason")) == (
        "interrupted", "No space left on device: somewhere.pt",
    )  # fmt: skip


def test_any_other_error_of_the_disk_is_a_crash(data, tmp_path, params, monkeypatch):
    """A worker's crash is retried; it must not pass for a full disk."""

    def broken(*args: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    trial = Trial(make_workload(data, tmp_path), 4, params)
    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output error"):
        trial.advance()


def test_divergence_becomes_a_status(data, tmp_path, params):
    trial = Trial(make_workload(data, tmp_path), 0, params)
    with torch.no_grad():
        trial.run.G.project.weight.fill_(float("inf"))
    report = trial.advance()
    assert report["status"] == "diverged"
    assert "nan" in report.get("reason", "")
    assert "fid" not in report
    assert "objective" not in report


def test_a_weight_that_breaks_in_the_last_step_of_all_is_divergence(
    data, tmp_path, params, monkeypatch
):
    """All losses and images were fine: without a look at the weights it would be complete."""
    trial, step = Trial(make_workload(data, tmp_path, (2,)), 0, params), Run.train_step

    def last(self: Run) -> torch.Tensor:
        losses = step(self)
        if self.images_seen >= 80:
            with torch.no_grad():
                next(self.adversaries[0].network.parameters()).view(-1)[0] = float("nan")
        return losses

    monkeypatch.setattr(Run, "train_step", last)
    (report,) = run_on(trial)
    assert report["status"] == "diverged"
    assert tells(report.get("reason", ""), "weights", "nan", "epoch 2")
    with pytest.raises(FileNotFoundError):
        newest(trial.folder)


def test_out_of_gpu_memory_is_a_status(data, tmp_path, params, monkeypatch):
    trial = Trial(make_workload(data, tmp_path), 0, params)
    monkeypatch.setattr(Run, "train_epoch", out_of_memory)
    report = trial.advance()
    assert report["status"] == "out_of_memory"
    assert report.get("reason") == "CUDA out of memory"


def test_a_fault_of_the_gpu_is_not_taken_for_a_checkpoint_s(data, tmp_path, params, monkeypatch):
    """Another version would meet it too."""
    workload = make_workload(data, tmp_path)
    Trial(workload, 4, params).advance()

    def fails(_: Run, state: object) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(Run, "load_state", fails)
    with pytest.raises(torch.AcceleratorError) as caught:
        Trial(workload, 4, params)
    assert breakdown(caught.value) is None


def test_a_trial_that_hangs_is_tried_once_more_and_then_given_up(data, tmp_path, params, whole):
    workload = make_workload(data, tmp_path)
    said = [Trial(workload, 4, params).advance()]
    mark_hung(trial_folder(workload.trials, 4))
    again = Trial(workload, 4, params, heard=1)
    said.append(again.advance())
    assert fids(said) == fids(whole)[:2]
    mark_hung(trial_folder(workload.trials, 4))
    given_up = Trial(workload, 4, params, heard=1)
    assert given_up.advance() == said[1]  # what it had trained is not lost
    report = given_up.advance()
    assert report["status"] == "failed"
    assert tells(report.get("reason", ""), "hung")
    assert "objective" not in report


def test_trial_seeds_differ_between_trials_and_studies():
    seeds = {trial_seed(study, number) for study in range(5) for number in range(50)}
    assert len(seeds) == 250


def test_an_assessment_takes_the_last_checkpoint(data, tmp_path, params, finished, monkeypatch):
    monkeypatch.setattr("trainable.trial.evaluation.GENERATED", 20)
    shutil.copytree(finished[0], tmp_path / "copy")
    workload = make_workload(data, tmp_path / "copy")
    found = assess(workload, 4, params, 20)
    assert found.generated == 40
    other = assess(workload, 4, params, 20)
    assert found == other
    folder = trial_folder(workload.trials, 4)
    for path in folder.glob("attempt-*/*.pt"):
        spoil(path)
    with pytest.raises(FileNotFoundError, match=f"checkpoint .*{folder}"):
        assess(workload, 4, params, 20)


def test_reports_name_the_device_and_what_a_gpu_held(data, tmp_path, params, monkeypatch, whole):
    assert whole[0]["device"] == "cpu"
    assert "gpu_memory_mb" not in whole[0]
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some GPU")
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 3 * 2**20 + 5)
    trial = Trial(make_workload(data, tmp_path), 4, params)
    trial.run.device = torch.device("cuda:1")
    report = trial._report(Status.RUNNING)
    assert (report.get("device"), report.get("gpu_memory_mb")) == ("Some GPU", 3)


def test_a_training_afresh_is_whole_of_its_own_seed_and_goes_on_where_it_stopped(
    data, tmp_path, params, monkeypatch
):
    monkeypatch.setattr("trainable.trial.evaluation.GENERATED", 20)
    found = {}
    for number in (1_000_004, 2_000_004):
        workload = make_workload(data, tmp_path / str(number), (1, 3))
        found[number] = train_afresh(workload, number, params, 30)
        state = newest(trial_folder(workload.trials, number))
        assert state["reports"][-1]["status"] == "complete"
    assert found[1_000_004] != found[2_000_004]
    stopped = make_workload(data, tmp_path / "stopped", (1, 3))
    Trial(stopped, 1_000_004, params).advance()
    assert train_afresh(stopped, 1_000_004, params, 30) == found[1_000_004]
    assert train_afresh(stopped, 1_000_004, params, 30) == found[1_000_004]  # nothing to train


def test_one_that_breaks_down_has_no_score(data, tmp_path, params, monkeypatch):
    monkeypatch.setattr(Run, "train_epoch", out_of_memory)
    assert train_afresh(make_workload(data, tmp_path), 1_000_000, params, 30) is None
