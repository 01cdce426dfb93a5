"""A class whose images are all alike ends its trial, if two evaluations in a row say so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.helpers.fake_tune import STOP, Search
from tests.helpers.refusals import tells
from tests.helpers.toys import make_data, make_workload, run_on, small_params
from trainable.gan.run import Run
from trainable.trial import trial as trial_module
from trainable.trial.evaluation import Evaluator
from trainable.trial.report import Status
from trainable.trial.trial import COLLAPSE, Trial

DATA = make_data()
ALIKE, VARIED = COLLAPSE - 0.1, COLLAPSE + 0.1


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    """Looked at after two epochs of these forty images."""
    monkeypatch.setattr(trial_module, "COLLAPSE_AFTER", 0.08)


@pytest.fixture
def diverse(monkeypatch):
    """Have the evaluations of classes 0 and 1 say what a test wants, by epoch."""
    scores = Evaluator.scores
    planned: dict[int, tuple[float, float]] = {}

    def told(self, run, *, seed):
        found = scores(self, run, seed=seed)
        first, second = planned.get(run.epoch, (VARIED, VARIED))
        return found | {"diversity/0": first, "diversity/1": second}

    monkeypatch.setattr(Evaluator, "scores", told)
    return planned


def trial(folder: Path, epochs: int = 6, number: int = 0) -> Trial:
    workload = make_workload(DATA, folder, tuple(range(1, epochs + 1)))
    return Trial(workload, number, small_params(DATA))


def ends(folder: Path, epochs: int = 6) -> list[str]:
    return [report["status"] for report in run_on(trial(folder, epochs))]


def test_two_evaluations_in_a_row_end_it(tmp_path, diverse):
    diverse |= {4: (VARIED, 0.312), 5: (VARIED, 0.287)}
    reports = run_on(trial(tmp_path))
    assert [r["status"] for r in reports] == ["running"] * 4 + ["collapsed"]
    last = reports[-1]
    said, _, picture = last.get("reason", "").rpartition(" ")
    assert tells(said, "class1", "diversity 0.31 and 0.29", COLLAPSE)
    assert Path(picture) == tmp_path / "00000" / "samples_000005.png"
    assert Path(picture).is_file()
    assert {"fid", "objective", "diversity/1"} <= last.keys()


@pytest.mark.parametrize(
    "planned",
    [
        {4: (VARIED, ALIKE)},  # once
        {3: (ALIKE, VARIED), 5: (ALIKE, VARIED)},  # with a recovery in between
        {3: (ALIKE, VARIED), 4: (VARIED, ALIKE), 5: (ALIKE, VARIED)},  # never the same class
        {1: (ALIKE, ALIKE), 2: (ALIKE, VARIED)},  # of which one came too soon
        {6: (ALIKE, ALIKE)},  # at the end, with none after it
        {4: (COLLAPSE, COLLAPSE), 5: (COLLAPSE, COLLAPSE)},  # the limit itself will do
    ],
)
def test_less_than_that_does_not(tmp_path, diverse, planned):
    diverse |= planned
    assert ends(tmp_path) == ["running"] * 5 + ["complete"]


def test_too_soon_is_counted_in_images(tmp_path, diverse, monkeypatch):
    """Of the earlier of the two evaluations."""
    diverse |= dict.fromkeys(range(1, 7), (ALIKE, VARIED))
    assert ends(tmp_path / "a") == ["running"] * 2 + ["collapsed"]
    monkeypatch.setattr(trial_module, "COLLAPSE_AFTER", 0.16)
    assert ends(tmp_path / "b") == ["running"] * 4 + ["collapsed"]
    monkeypatch.setattr(trial_module, "COLLAPSE_AFTER", 4.0)
    assert ends(tmp_path / "c", epochs=3) == ["running"] * 2 + ["complete"]


def test_the_last_evaluation_may_find_it(tmp_path, diverse):
    diverse |= {2: (ALIKE, VARIED), 3: (ALIKE, VARIED)}
    assert ends(tmp_path, epochs=3) == ["running"] * 2 + ["collapsed"]


def test_of_two_classes_the_first_is_named(tmp_path, diverse):
    diverse |= {3: (ALIKE, ALIKE), 4: (ALIKE, ALIKE)}
    reason = run_on(trial(tmp_path))[-1].get("reason", "")
    assert tells(reason, "class0")
    assert "class1" not in reason


def test_a_resumed_trial_remembers_the_evaluation_before(tmp_path, diverse):
    diverse |= {3: (ALIKE, VARIED), 4: (ALIKE, VARIED)}
    first = trial(tmp_path)
    for _ in range(3):
        assert first.advance()["status"] == "running"
    workload = make_workload(DATA, tmp_path, (1, 2, 3, 4, 5, 6))
    again = Trial(workload, 0, small_params(DATA), heard=3)
    report = again.advance()
    assert (report["epoch"], report["status"]) == (4, "collapsed")
    assert "0.30 and 0.30" in report.get("reason", "")


def test_a_stop_between_the_two_changes_nothing(tmp_path, diverse):
    diverse |= {3: (ALIKE, VARIED), 5: (ALIKE, VARIED)}
    workload = make_workload(DATA, tmp_path, (1, 3, 5))
    first = Trial(workload, 0, small_params(DATA))
    first.advance()
    first.advance()
    assert first.advance(first.stop)["status"] == "interrupted"  # after epoch 4
    again = Trial(workload, 0, small_params(DATA), heard=3)
    assert again.run.epoch == 4
    assert again.advance()["status"] == "collapsed"


def test_a_generator_with_one_image_for_a_class_is_found(tmp_path, monkeypatch):
    """No score is planted here: the images are."""

    def same(self, labels, *, seed):
        """Real images, but for class 1 always the same one."""
        index = torch.where(labels == 1, 1, 2 * torch.arange(len(labels)) % 40)
        return torch.tensor(DATA.images)[index]

    monkeypatch.setattr(Run, "sample", same)
    reports = run_on(trial(tmp_path, epochs=4))
    assert [r["status"] for r in reports] == ["running"] * 2 + ["collapsed"]
    last = reports[-1]
    varied, alike = (last[f"diversity/{index}"] for index in range(2))
    assert alike == pytest.approx(0, abs=1e-3)
    assert varied > COLLAPSE
    assert tells(last.get("reason", ""), "class1", "diversity 0.00 and 0.00")


def test_a_healthy_trial_of_that_length_completes(finished):
    assert [r["status"] for r in finished[1]] == ["running", "running", "complete"]


def test_the_configuration_is_at_fault():
    assert Status.COLLAPSED.infeasible
    assert not any(s.infeasible for s in (Status.COMPLETE, Status.PRUNED, Status.INTERRUPTED))


def test_the_search_keeps_status_and_reason(tmp_path):
    search = Search(tmp_path / "study", trials=1)
    search.start("a")
    search.report("a", 1, 80.0)
    assert search.report("a", 2, 90.0, "collapsed", reason="all of one kind") == STOP
    (record,) = search.records()
    assert (record.status, record.reason) == (Status.COLLAPSED, "all of one kind")
    assert record.ended is not None
    assert [report["fid"] for report in record.reports] == [80.0, 90.0]
