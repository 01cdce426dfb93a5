"""A search that was stopped or killed goes on as if never been away; by hand, without Ray."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from optuna.trial import TrialState
from ray.tune.search import Searcher

from search.study.config import SAMPLERS
from search.study.database import interrupt_running
from search.study.records import read_records
from search.tune.rungs import replayed
from tests.helpers.fake_tune import (
    CONTINUE,
    STOP,
    Search,
    check_resumed_proposals,
    curve,
    drive,
    flat,
    kill,
)
from trainable.trial.report import SPENT, Status


def lose(search: Search, after: int) -> None:
    """Let a crash come before the database has more than the next `after` writes."""
    put, left = search.ledger._write, iter(range(after))

    def write(act: Any) -> None:
        if next(left, None) is not None:
            put(act)

    search.ledger._write = write


def test_resumed_search_takes_up_the_same_trial_and_the_same_rungs(tmp_path):
    whole = Search(tmp_path / "s")
    for name, fid in (("a", 100.0), ("b", 90.0), ("c", 200.0)):
        whole.start(name)
        for epoch in (1, 2):
            whole.report(name, epoch, fid)
    # a and b are under way, c was pruned at 2; the driver dies here.
    kill(whole)
    assert [r.status.value for r in whole.records()] == ["running", "running", "pruned"]
    interrupt_running(whole.study, whole.storage)
    assert [r.status.value for r in read_records(whole.study)] == [
        "interrupted", "interrupted", "pruned",
    ]  # fmt: skip
    again = Search(tmp_path / "s")
    assert [again.start("x"), again.start("y"), again.start("z")] == [0, 1, 3]
    rungs = {2: {0: (100.0,), 1: (90.0,), 2: (200.0,)}, 6: {}}
    assert again.scheduler.rungs.scores == whole.scheduler.rungs.scores == rungs
    # The trial repeats the report of its checkpoint: no second decision, no second entry.
    assert again.report("x", 2, 100.0) == CONTINUE
    assert again.scheduler.rungs.scores == rungs
    records = again.records()
    assert [r.status.value for r in records] == ["running", "running", "pruned", "running"]
    assert len(records[0].reports) == 2


@pytest.mark.parametrize("last", ["running", "complete", "pruned"])
def test_a_trial_whose_end_was_not_told_is_ended_at_once(tmp_path, last):
    """The search died between a trial's last report and the word that it had ended."""
    s = Search(tmp_path / "s")
    s.start("a")
    assert s.report("a", 2, 50.0) == CONTINUE
    s.start("b")
    resource = {"running": 2, "complete": 12, "pruned": 5}[last]
    said = flat(resource, last, objective=90.0, fid=90.0, reason="spent")
    s.searcher.on_trial_result("b", said)  # all that was written of it
    kill(s)
    assert [t.state for t in s.trials] == [TrialState.RUNNING] * 2

    again = Search(tmp_path / "s")
    assert again.searcher.finished == 1
    assert [again.start("x"), again.start("y")] == [0, 2]
    assert again.scheduler.rungs.scores[2][0] == (50.0,)
    _, b, _ = again.records()
    assert b.status is (Status.COMPLETE if last == "complete" else Status.PRUNED)
    assert b.reason == "spent"
    assert b.ended is not None
    trial = again.trials[1]
    state = TrialState.COMPLETE if last == "complete" else TrialState.PRUNED
    assert (trial.state, trial.value) == (state, 90.0)
    # Once more resumed, it is not ended again.
    kill(again)
    assert Search(tmp_path / "s").searcher.finished == 1


def test_a_trial_that_only_looks_stopped_is_not(tmp_path):
    """A rung that it passed as the first one is not held against it by those that came later."""
    s = Search(tmp_path / "s")
    s.start("a")
    assert s.report("a", 2, 90.0) == CONTINUE
    for name in ("b", "c", "d"):
        s.start(name)
        assert s.report(name, 2, 10.0) == CONTINUE
    kill(s)
    again = Search(tmp_path / "s")
    assert again.searcher.finished == 0
    assert [again.start(n) for n in "wxyz"] == [0, 1, 2, 3]


@pytest.mark.parametrize("seed", range(3))
def test_any_number_of_kills_changes_no_decision(tmp_path, seed):
    """Proposals, decisions, rungs and ends of an interrupted search are those of a whole one."""
    settings = {
        "sampler": ["auto", "tpe", "random"][seed],
        "prior": "auto",
        "trials": 15,
        "seed": seed,
        "eval_every": 2,
    }
    whole, decisions = drive(
        Search(tmp_path / "whole", **settings), curve, random.Random(seed), workers=3
    )
    dice = random.Random(100 + seed)
    lives = 1

    def reopen(search: Search) -> Search | None:
        nonlocal lives
        if dice.random() > 0.25:
            return None
        if dice.random() < 0.5:
            search.searcher.interrupt_rest()
        kill(search)
        lives += 1
        return Search(tmp_path / "s", **settings)

    broken, again = drive(Search(tmp_path / "s", **settings), curve, random.Random(seed), 3, reopen)
    assert lives > 5
    assert again == decisions
    assert {d for _, _, d in decisions} == {STOP, CONTINUE}
    assert broken.scheduler.rungs.scores == whole.scheduler.rungs.scores
    ends = [
        [(r.number, r.status, r.searched, [x["objective"] for x in r.reports]) for r in s.records()]
        for s in (whole, broken)
    ]
    assert ends[0] == ends[1]
    assert {status for _, status, _, _ in ends[0]} == {Status.COMPLETE, Status.PRUNED}
    states = [[(t.state, t.value) for t in s.trials] for s in (whole, broken)]
    assert states[0] == states[1]
    # And what the database says alone gives the same rungs once more.
    rungs, stopped = replayed(broken.config, broken.records())
    assert rungs.scores == whole.scheduler.rungs.scores
    assert stopped == {n for n, status, _, _ in ends[0] if status is Status.PRUNED}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_one_at_a_time_each_sampler_proposes_the_same_resumed_or_not(tmp_path, sampler):
    trials = 24 if sampler == "nsgaii" else 14  # past the first generation, and the random start
    check_resumed_proposals(tmp_path, sampler, trials)


def test_two_studies_of_two_seeds_differ(tmp_path):
    searched = []
    for seed in (0, 1):
        s = Search(tmp_path / str(seed), seed=seed)
        s.start("a")
        searched.append(s.records()[0].searched)
    assert searched[0] != searched[1]


@pytest.mark.parametrize("how", ["interrupt_rest", "interrupt_running"])
def test_no_trial_is_left_running_and_each_goes_on_as_itself(tmp_path, how):
    s = Search(tmp_path / "s")
    for name in ("a", "b", "c"):
        s.start(name)
        s.report(name, 1, 50.0)
    s.report("b", 12, 40.0, "complete")
    if how == "interrupt_rest":
        s.searcher.interrupt_rest()
        s.searcher.interrupt_rest()  # again, to no effect
        kill(s)
    else:
        kill(s)
        assert [t.state for t in s.trials].count(TrialState.RUNNING) == 2
        interrupt_running(s.study, s.storage)
    before = read_records(s.study)
    states = [t.state for t in s.study.trials]
    assert states == [TrialState.WAITING, TrialState.COMPLETE, TrialState.WAITING]
    assert [r.status.value for r in before] == ["interrupted", "complete", "interrupted"]
    assert [r.ended is None for r in before] == [True, False, True]

    time.sleep(0.01)
    again = Search(tmp_path / "s")
    found = [again.suggest(n) for n in ("x", "y")]
    assert [f["number"] for f in found if isinstance(f, dict)] == [0, 2]
    assert [f["params"] for f in found if isinstance(f, dict)] == [
        before[0].params, before[2].params,
    ]  # fmt: skip
    assert [f["heard"] for f in found if isinstance(f, dict)] == [1, 1]
    again.report("x", 2, 45.0)
    after = again.records()
    assert [r.started for r in after] == [r.started for r in before]
    assert after[0].reports[:1] == before[0].reports
    assert [r["resource"] for r in after[0].reports] == [1, 2]
    assert after[0].searched == before[0].searched
    assert [t.state for t in again.trials][::2] == [TrialState.RUNNING] * 2
    assert [r.status for r in after][::2] == [Status.RUNNING] * 2
    assert len(after) == 3


def test_a_trial_interrupted_before_its_first_report_goes_on_too(tmp_path):
    s = Search(tmp_path / "s", trials=2)
    s.start("a")
    s.searcher.on_trial_complete("a")  # Tune stopped it while it waited for a worker
    s.start("b")
    s.hand_over("b", flat(0, "interrupted", reason=SPENT))
    assert [t.state for t in s.trials] == [TrialState.WAITING] * 2
    again = Search(tmp_path / "s", trials=2)
    assert [again.start("x"), again.start("y")] == [0, 1]
    assert again.suggest("z") == Searcher.FINISHED


@pytest.mark.parametrize("written", range(1, 12))
def test_reports_lost_in_a_crash_are_said_again_and_written_once(tmp_path, written):
    """A crash loses the database's last moments at any write; checkpoints know the reports."""
    s = Search(tmp_path / "s", trials=2, grace=6)
    lose(s, after=written)
    for name in ("a", "b"):
        s.start(name)
    for resource in (1, 2, 3):
        for name, fid in (("a", 50.0), ("b", 60.0)):
            s.report(name, resource, fid - resource)
    s.report("a", 12, 30.0, "complete")
    kill(s)
    known = s.records()
    assert sum(1 + len(r.reports) for r in known) == min(written, 9)

    again = Search(tmp_path / "s", trials=2, grace=6)
    while again.searcher.finished < 2:
        found = again.suggest("x")
        assert isinstance(found, dict)
        fid = 50.0 if found["number"] == 0 else 60.0
        # As `Trial` does: it says what was not heard, and then what is new.
        for resource in [r for r in (1, 2, 3) if r > found["heard"]]:
            again.report("x", resource, fid - resource)
        again.report("x", 12, fid - 20, "complete")
    records = again.records()
    assert [r.number for r in records] == [0, 1]
    for record, fid in zip(records, (50.0, 60.0), strict=True):
        assert [r["resource"] for r in record.reports] == [1, 2, 3, 12]
        assert [r["objective"] for r in record.reports] == [fid - 1, fid - 2, fid - 3, fid - 20]
        orders = [r["order"] for r in record.reports]
        assert orders == sorted(set(orders))
    for old, new in zip(known, records, strict=False):
        assert new.reports[: len(old.reports)] == old.reports  # what was written is untouched
    orders = [r["order"] for record in records for r in record.reports]
    assert sorted(orders) == list(range(8))


def test_a_lost_proposal_is_drawn_again(tmp_path):
    """From the same seed, under the same number."""
    s = Search(tmp_path / "s")
    s.start("a")
    lose(s, after=0)
    lost = s.suggest("b")
    assert isinstance(lost, dict)
    kill(s)
    assert len(s.records()) == 1
    again = Search(tmp_path / "s")
    assert again.start("x") == 0
    found = again.suggest("y")
    assert isinstance(found, dict)
    assert (found["number"], found["params"]) == (1, lost["params"])


def test_more_trials_may_be_asked_for(tmp_path):
    """A finished study, resumed with a larger number, goes on; without one it does nothing."""
    s = Search(tmp_path / "s", trials=2)
    drive(s, curve, random.Random(0), 2)
    kill(s)
    assert Search(tmp_path / "s", trials=2).suggest("x") == Searcher.FINISHED
    more = Search(tmp_path / "s", trials=3)
    assert more.start("x") == 2
    assert more.suggest("y") == Searcher.FINISHED


def test_rungs_that_an_epoch_leapt_over_are_the_same_after_a_resume(tmp_path):
    """Of seconds, one long epoch may be worth several rungs."""
    settings = {"resource": "seconds", "trials": 9}
    s = Search(tmp_path / "s", **settings)
    for name in ("a", "b", "c"):
        s.start(name)
    assert s.report("a", 7, 50.0) == CONTINUE
    assert s.report("b", 7, 90.0) == STOP
    s.report("c", 12, 60.0, "complete")
    rungs = s.scheduler.rungs.scores
    kill(s)
    again = Search(tmp_path / "s", **settings)
    assert again.scheduler.rungs.scores == rungs
