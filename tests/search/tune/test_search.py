"""Decisions of the searcher and the scheduler, fed by hand, without Ray."""

from __future__ import annotations

import io
import math
import time
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from ray.tune.search import Searcher
from rich.console import Console

from search.display.screen import Screen
from search.display.standings import Standings
from search.study.records import read_records
from search.tune.reporting import Audience, TuneReporter
from spaces.task import Task
from tests.helpers.fake_tune import CONTINUE, STOP, Search, flat, space
from tests.helpers.refusals import tells
from trainable.trial.report import SPENT, Status


def test_stopped_by_asha_is_pruned_with_all_its_reports_the_last_included(tmp_path):
    s = Search(tmp_path / "s")
    s.start("a")
    assert [s.report("a", e, 100.0) for e in (1, 2, 3)] == [CONTINUE] * 3
    s.start("b")
    assert s.report("b", 1, 200.0) == CONTINUE
    assert s.report("b", 2, 200.0) == STOP
    trial = s.trials[1]
    assert trial.state == TrialState.PRUNED
    assert trial.intermediate_values == {1: 200.0, 2: 200.0}
    record = s.records()[1]
    assert (record.status, record.fid, len(record.reports)) == (Status.PRUNED, 200.0, 2)


def test_trained_to_the_end_is_complete(tmp_path):
    s = Search(tmp_path / "s")
    s.start("a")
    for epoch in range(1, 12):
        s.report("a", epoch, 100.0 - epoch)
    s.report("a", 12, 42.0, "complete")
    trial = s.trials[0]
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 42.0)
    assert len(trial.intermediate_values) == 12


@pytest.mark.parametrize("status", ["diverged", "out_of_memory"])
def test_breakdown_is_infeasible_with_its_reason_and_enters_no_rung(tmp_path, status):
    s = Search(tmp_path / "s")
    s.start("a")
    s.report("a", 1, 50.0)
    broken = flat(3, status, reason="d_loss is nan in epoch 3")
    trial = s.tune_trial("a")
    assert s.scheduler.on_trial_result(None, trial, broken) == CONTINUE
    s.searcher.on_trial_complete("a", broken)
    assert s.scheduler.rungs.scores == {2: {}, 6: {}}
    (record,) = s.records()
    assert (record.status.value, record.reason) == (status, "d_loss is nan in epoch 3")
    trial = s.trials[0]
    assert trial.state == TrialState.PRUNED
    assert list(trial.constraints.values()) == [1.0]


def test_crashed_after_retries_is_failed(tmp_path):
    s = Search(tmp_path / "s")
    s.start("a")
    s.report("a", 1, 50.0)
    s.searcher.on_trial_complete("a", error=True)  # Tune's word; the reason comes after
    s.searcher.fail("a", "The actor died")
    (record,) = s.records()
    assert s.trials[0].state == TrialState.FAIL
    assert (record.status, record.reason) == (Status.FAILED, "The actor died")
    assert s.searcher.finished == 1


def test_a_trial_that_gives_up_is_failed_with_its_reason(tmp_path):
    """One that hung again says so itself, in a report without scores."""
    s = Search(tmp_path / "s")
    s.start("a")
    s.report("a", 1, 50.0)
    s.hand_over("a", flat(1, "failed", reason="it hung again"))
    (record,) = s.records()
    assert (record.status, record.reason) == (Status.FAILED, "it hung again")
    assert s.trials[0].state == TrialState.FAIL
    assert s.scheduler.rungs.scores == {2: {}, 6: {}}


def test_pruned_by_its_own_time_limit_keeps_the_reason(tmp_path):
    s = Search(tmp_path / "s")
    s.start("a")
    assert s.report("a", 3, 50.0, "pruned", reason="too slow") == STOP
    (record,) = s.records()
    assert (record.status, record.reason) == (Status.PRUNED, "too slow")
    assert s.trials[0].state == TrialState.PRUNED
    assert s.trials[0].constraints == {}


def test_a_repeated_report_is_heard_once(tmp_path):
    s = Search(tmp_path / "s")
    s.start("a")
    s.report("a", 1, 50.0)
    s.report("a", 1, 70.0)  # from a worker that was started again
    s.report("a", 2, 40.0)
    s.report("a", 1, 70.0)
    (record,) = s.records()
    assert len(record.reports) == 2
    assert [(r["order"], r["objective"]) for r in record.reports] == [(0, 50.0), (1, 40.0)]


def test_the_study_ends_after_its_trials(tmp_path):
    s = Search(tmp_path / "s", trials=2)
    for name in ("a", "b"):
        s.start(name)
        s.report(name, 12, 40.0, "complete")
    assert s.searcher.suggest("c") == Searcher.FINISHED
    assert s.searcher.finished == 2
    assert {t.state for t in s.trials} == {TrialState.COMPLETE}


def test_a_space_that_breaks_its_word_fails_that_trial_and_goes_on(tmp_path):
    def sometimes(trial: optuna.Trial, task: Task) -> dict[str, Any]:
        params = space(trial, task)
        return {**params, "batch_size": 4096} if trial.number == 0 else params

    s = Search(tmp_path / "s", space=sometimes)
    assert s.start("a") == 1
    record = s.records()[0]
    assert record.status is Status.FAILED
    assert tells(record.reason, "batch_size", 4096)


def test_a_space_that_always_raises_ends_the_search(tmp_path):
    """Each of its trials fails with the error; nothing is left to train, and nothing hangs."""

    def broken(trial: optuna.Trial, task: Task) -> dict[str, Any]:
        raise ZeroDivisionError("oh")

    s = Search(tmp_path / "s", space=broken, trials=3)
    assert s.suggest("a") == Searcher.FINISHED
    assert [r.status for r in s.records()] == [Status.FAILED] * 3
    (reason,) = {r.reason for r in s.records()}
    assert tells(reason, "ZeroDivisionError('oh')")
    assert s.searcher.finished == 3


def test_an_interrupted_trial_waits_and_a_full_disk_halts_the_search(tmp_path):
    s = Search(tmp_path / "s")
    for name in ("a", "b"):
        s.start(name)
        s.report(name, 1, 50.0)
    s.hand_over("a", flat(1, "interrupted", reason=SPENT))
    assert s.searcher.halted is None
    s.hand_over("b", flat(1, "interrupted", reason="No space left on device: x.pt"))
    assert s.searcher.halted == "No space left on device: x.pt"
    assert s.searcher.suggest("c") == Searcher.FINISHED
    assert s.searcher.finished == 0
    assert [t.state for t in s.trials] == [TrialState.WAITING] * 2
    assert [r.status for r in s.records()] == [Status.INTERRUPTED] * 2


def test_after_the_deadline_no_trial_begins(tmp_path):
    past, soon = time.time() - 1, time.time() + 1000
    late = Search(tmp_path / "late", deadline=past)
    assert late.suggest("a") == Searcher.FINISHED
    assert late.records() == []
    in_time = Search(tmp_path / "in_time", deadline=soon)
    found = in_time.suggest("a")
    assert isinstance(found, dict)
    assert found["deadline"] == soon


@pytest.mark.parametrize("sampler", ["auto", "tpe"])
def test_it_keeps_away_from_where_trials_broke_down_however_well_they_began(tmp_path, sampler):
    def line(trial: optuna.Trial, task: Task) -> dict[str, Any]:
        x = trial.suggest_float("x", 0.0, 1.0)
        return {**space(trial, task), "g_lr": 1e-3 * (1 + x)}

    s = Search(tmp_path / "s", space=line, sampler=sampler, trials=40)
    for i in range(40):
        found = s.suggest(str(i))
        assert isinstance(found, dict)
        x = found["params"]["g_lr"] / 1e-3 - 1
        s.report(str(i), 1, 10.0 if x > 0.5 else 100.0 + x)
        if x > 0.5:
            s.hand_over(str(i), flat(2, "diverged", reason="d_loss is nan"))
        else:
            s.report(str(i), 2, 100.0 + x, "pruned")
    assert sum(t.params["x"] <= 0.5 for t in s.trials[20:]) >= 17


def test_same_seed_same_proposals(tmp_path):
    proposals = []
    for name in ("a", "b"):
        s = Search(tmp_path / name, sampler="auto", trials=14)
        seen = []
        for i in range(14):
            found = s.suggest(str(i))
            assert isinstance(found, dict)
            rate = found["params"]["g_lr"]
            s.report(str(i), 12, 100 * abs(math.log10(rate) + 3), "complete")
            seen.append(rate)
        assert [t.params["g_lr"] for t in s.trials] == seen
        proposals.append(seen)
    assert proposals[0] == proposals[1]
    assert len(set(proposals[0])) == 14


def test_all_at_a_rung_are_compared_and_the_best_third_goes_on(tmp_path):
    """ASHA by hand: whoever is worse than the best third of those seen so far is stopped."""
    s = Search(tmp_path / "s")
    fids = {"a": 50.0, "b": 60.0, "c": 40.0, "d": 45.0, "e": 30.0}
    said = {}
    for name, fid in fids.items():
        s.start(name)
        s.report(name, 1, 999.0)  # no rung: no comparison
        said[name] = s.report(name, 2, fid)
    assert said == {"a": CONTINUE, "b": STOP, "c": CONTINUE, "d": CONTINUE, "e": CONTINUE}
    assert s.scheduler.rungs.scores[2] == {n: (fid,) for n, fid in enumerate(fids.values())}


ACTOR_DIED = """Failure # 1 (occurred at 2026-01-01_00-00-00)
The actor died unexpectedly before finishing this task.
\tclass_name: CGANTrainable
"""
RAISED = """Failure # 1 (occurred at 2026-01-01_00-00-00)
The first one's own words
Failure # 2 (occurred at 2026-01-01_00-00-01)
ray::CGANTrainable.train() (pid=1)
  File "x.py", line 1, in step
ValueError: three is no four
"""


@pytest.mark.parametrize(
    ("text", "line", "mode"),
    [
        (ACTOR_DIED, "The actor died unexpectedly before finishing this task.", "plain"),
        (RAISED, "ValueError: three is no four", "plain"),
        ("", "no reason", "none"),
    ],
)
def test_a_worker_that_dies_is_named_and_its_trial_ended_once(tmp_path, text, line, mode):
    """After its retries the trial is failed, in Tune's screen and in the study, with the cause."""
    s = Search(tmp_path / "s", trials=2)
    s.start("a")
    screen, woken = io.StringIO(), []
    standings = Standings(s.config)
    audience = Audience(Console(file=screen, width=200), mode, lambda: woken.append(1))
    progress = TuneReporter(audience, standings, Screen(standings, 30.0, {}, tmp_path), s.searcher)
    (tmp_path / "error.txt").write_text(text)
    trial = s.tune_trial("a")
    trial.error_file, trial.num_failures = str(tmp_path / "error.txt"), 1
    progress.on_trial_start(0, [], trial)
    progress.on_trial_recover(0, [], trial)
    assert tells(screen.getvalue(), "trial    0", "failed", line, "1 of 3")
    s.searcher.on_trial_complete("a", error=True)
    progress.on_trial_error(0, [], trial)
    progress.on_trial_error(0, [], trial)  # Tune may tell of one end twice
    assert screen.getvalue().count("failed    epoch 0") == (mode == "plain")
    assert woken
    (record,) = s.records()
    assert record.status == Status.FAILED
    assert record.reason.startswith(line)
    assert f"({record.reason})" in screen.getvalue()
    assert s.searcher.finished == 1
    assert len(read_records(s.study)) == 1


@pytest.mark.parametrize(("sampler", "decision"), [("auto", CONTINUE), ("tpe", STOP)])
def test_the_default_is_seen_whole_where_others_are_measured_against_it(
    tmp_path, sampler, decision
):
    s = Search(tmp_path / "s", sampler=sampler)
    for name in ("default", "good"):
        s.start(name)
    assert s.report("good", 2, 50.0) == CONTINUE
    assert s.report("default", 2, 60.0) == decision
