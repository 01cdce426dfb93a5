"""The best configuration and the default, trained again from other seeds."""

from __future__ import annotations

import math
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ray.exceptions import RayError

from search.capacity.gpu_share import Capacity
from search.study.records import TrialRecord
from search.winners import afresh
from search.winners.afresh import AFRESH, Improvement, compare_afresh, say_of
from spaces.task import Params
from tests.helpers.fake_tune import config
from tests.helpers.refusals import tells
from trainable.distributed.resources import Resources
from trainable.metrics.intervals import Interval
from trainable.trial.evaluation import Assessment
from trainable.trial.report import Status

USUAL = {"g_lr": 2.0}
AGAIN = "cgan-search resume s"


def record(
    number: int,
    params: Params,
    *curve: tuple[float, int, float],
    status: Status = Status.COMPLETE,
) -> TrialRecord:
    """A trial with FID after so many seconds and images."""
    reports: Any = tuple(
        {
            "train_seconds": seconds,
            "eval_seconds": 1,
            "images_seen": images,
            "fid": fid,
            "resource": 12 * images // 400,
        }
        for seconds, images, fid in curve
    )
    return TrialRecord(number, status, "", params, params, reports, None, None)


BEST = record(4, {"g_lr": 1.0}, (4.0, 200, 98.0), (9.0, 400, 50.0))


class Study:
    """What is asked of one."""

    def __init__(self, **changes: Any):
        self.user_attrs: dict[str, Any] = {"config": config(**changes).to_json()}

    def set_user_attr(self, name: str, value: Any) -> None:
        self.user_attrs[name] = {**value, "scores": dict(value["scores"])}


def assessment(fid: float) -> Assessment:
    return Assessment({}, 40, Interval(fid - 1, fid + 1, fid), Interval(0, 0.1, 0.05))


@pytest.fixture
def trained(monkeypatch) -> list[tuple[int, dict[str, Any]]]:
    """What Ray was given to train: it does so at once, the default to 60 and the best to 50."""
    given: list[tuple[int, dict[str, Any]]] = []

    class Task:
        def options(self, **how: Any) -> Task:
            return self

        def remote(self, workload: Any, number: int, params: dict[str, Any], images: int) -> Any:
            assert workload.max_seconds is None  # which is for the search's own trials
            given.append((number, params))
            return len(given) - 1

    def score(ref: int) -> Assessment:
        number, params = given[ref]
        return assessment((60.0 if params == USUAL else 50.0) + number / 10**7)

    ray = SimpleNamespace(
        remote=lambda **how: lambda function: Task(), put=lambda value: value,
        wait=lambda refs: (refs[:1], refs[1:]), get=score, ObjectRef=Any,
    )  # fmt: skip
    monkeypatch.setattr(afresh, "ray", ray)
    monkeypatch.setattr(afresh, "default", lambda task: USUAL)
    monkeypatch.setattr(
        afresh, "replace", lambda of, **changes: SimpleNamespace(**vars(of) | changes)
    )
    return given


def compare(
    study: Any,
    best: TrialRecord = BEST,
    until: float | None = None,
    tried: tuple[TrialRecord, ...] = (),
) -> str | None:
    workload: Any = SimpleNamespace(evaluations=tuple(range(1, 19)), task=None, max_seconds=0.1)
    capacity = Capacity(Resources("local", 1, 0.0, 2), 2)
    return compare_afresh(study, best, tried, workload, capacity, lambda done, total: None, until)


def test_both_are_trained_in_turn_from_seeds_of_their_own(trained):
    study = Study(replicates=3)
    compare(study)
    numbers = [number for number, _ in trained]
    assert len(set(numbers)) == 6
    assert min(numbers) >= 10**6  # no trial's number, which would be its seed and folder
    assert [params for _, params in trained] == [BEST.params, USUAL] * 3
    found = Improvement.of(study)  # pyright: ignore[reportArgumentType]
    assert found is not None
    assert (found.trial, len(found.best), len(found.usual)) == (4, 3, 3)
    assert found.scores["improvement"] == pytest.approx(1 - 50 / 60, abs=0.01)
    assert found.scores["improvement_low"] < found.scores["improvement"]
    assert found.scores["improvement"] < found.scores["improvement_high"]


def test_what_is_trained_already_is_not_trained_again_and_another_best_begins_anew(trained):
    study = Study(replicates=1)
    compare(study)
    study.user_attrs["config"]["replicates"] = 2
    compare(study)
    assert len(trained) == 4
    assert len({number for number, _ in trained}) == 4
    compare(study, record(7, {"g_lr": 3.0}))
    assert len(trained) == 8
    assert study.user_attrs[AFRESH]["trial"] == 7


def test_none_begins_that_would_not_end_in_time(trained):
    study = Study(replicates=2)
    compare(study, until=time.time() + 5)  # one takes 10 s
    assert not trained
    assert "not known" in say_of(study, BEST, [], USUAL, AGAIN)  # pyright: ignore[reportArgumentType]
    slow = record(0, USUAL, (50.0, 200, 60.0), status=Status.PRUNED)  # a whole one takes 102 s
    compare(study, until=time.time() + 60, tried=(slow, BEST))
    assert not trained
    compare(study, until=time.time() + 60)
    assert len(trained) == 4


def test_a_worker_that_dies_for_good_loses_no_score_and_is_said(trained, monkeypatch):
    study, get = Study(replicates=2), cast("Any", afresh.ray.get)

    def dies(ref: int) -> Any:
        if ref == 2:
            raise RayError("the node is gone")
        return get(ref)

    monkeypatch.setattr(afresh.ray, "get", dies)
    assert "the node is gone" in (compare(study) or "")
    assert len(study.user_attrs[AFRESH]["scores"]) == 2
    monkeypatch.setattr(afresh.ray, "get", get)
    assert compare(study) is None
    assert len(study.user_attrs[AFRESH]["scores"]) == 4


def test_one_that_breaks_down_is_counted_and_said(trained):
    study = Study(replicates=1)
    compare(study)
    study.user_attrs[AFRESH]["scores"]["2000004"] = None
    said = str(Improvement.of(study))  # pyright: ignore[reportArgumentType]
    assert tells(said, "1 + 1 trainings", "1 fresh training of trial 4 broke down")


@pytest.mark.parametrize(("ending", "name"), [("4", "trial 4"), ("9", "the default")])
def test_where_all_of_one_side_broke_down_that_is_said_and_no_number(trained, ending, name):
    study: Any = Study(replicates=2)
    compare(study)
    scores = study.user_attrs[AFRESH]["scores"]
    scores.update({number: None for number in scores if number.endswith(ending)})
    found = Improvement.of(study)
    assert found is not None
    assert found.scores == {}
    said = say_of(study, BEST, [], USUAL, AGAIN)
    assert tells(said, "cannot be told", f"2 fresh trainings of {name} broke down")


def test_where_one_side_has_not_been_trained_nothing_is_known_yet(trained):
    study: Any = Study(replicates=1)
    compare(study)
    del study.user_attrs[AFRESH]["scores"]["1999999"]
    assert Improvement.of(study) is None


def test_what_was_compared_with_another_default_is_trained_anew(trained, monkeypatch):
    study = Study(replicates=1)
    compare(study)
    compare(study)
    assert len(trained) == 2
    monkeypatch.setattr(afresh, "default", lambda task: {"g_lr": 3.0})
    compare(study)
    assert len(trained) == 4


def test_what_is_said_holds_the_interval_and_how_it_came_about(trained):
    study: Any = Study(replicates=2)
    best = BEST
    said = say_of(study, best, [], USUAL, AGAIN)
    assert tells(said, "not known", "5%", f"{AGAIN} --replicates 2")
    tried = [
        record(0, USUAL, (3.0, 240, 90.0), status=Status.PRUNED),
        record(1, USUAL, (3.0, 240, 90.0), (6.0, 480, 60.0)),
        best,
    ]
    broken = record(1, USUAL)
    for telling_nothing in (tried[::2], [broken]):
        assert "times the default" not in say_of(study, best, telling_nothing, USUAL, AGAIN)
    said = say_of(study, best, [*tried, *tried], USUAL, AGAIN)
    assert said.count("times the default") == 1
    low, high = (50 / 60 * math.exp(sign * 2.23 * 2**0.5 * 0.052) for sign in (-1, 1))
    assert tells(said, "not known", f"0.83 times the default's ({low:.2f} to {high:.2f}")
    compare(study)
    said = say_of(study, best, tried, USUAL, AGAIN)
    assert tells(said, "trial 4", "16.8%", "95 %", "p 0.0025", "2 + 2 trainings")
    between = 98 * (50 / 98) ** (math.log(6 / 4) / math.log(9 / 4))
    assert tells(said, "1.8 times as long", "6 s of training", f"FID {between:.1f}", "default 60.0")
    early = record(1, USUAL, (2.0, 480, 60.0))  # it ended before the best had a score
    assert tells(say_of(study, best, [early], USUAL, AGAIN), "5.4 times as long as the default")
    study.user_attrs["config"]["resource"] = "seconds"  # both trained equally long
    assert "as long" not in say_of(study, best, tried, USUAL, AGAIN)
    other = record(5, {"g_lr": 4.0})
    assert "not known" in say_of(study, other, [], USUAL, AGAIN)
    default = record(0, USUAL)
    assert "the default itself" in say_of(study, default, tried, USUAL, AGAIN)


def test_of_another_objective_it_is_not_said_how_far_trainings_differ():
    best = BEST
    for objective, named in (("classifier", "classifier's error"), ("fid,kid", "FID and KID")):
        study: Any = Study(objective=objective, hold_back=0.25)
        said = say_of(study, best, [], USUAL, AGAIN)
        assert tells(said, f"chosen for its {named}", "not known", "compare their FID")
        assert "5%" not in said
