"""Acts of the study's writer, cut at each of their writes: all of an act is there, or nothing."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState, create_trial

from search.proposals.writer import StudyWriter
from tests.helpers.fake_tune import Search, made_report
from tests.helpers.refusals import tells
from tests.helpers.studies import cut_at, deadlock
from trainable.trial.report import Status


def content(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "study.db")) as database:
        return list(database.iterdump())


@pytest.mark.parametrize("objective", ["fid", "fid,kid"])
@pytest.mark.parametrize("act", ["report", "complete", "diverged", "interrupt", "run", "together"])
def test_an_act_that_is_cut_anywhere_leaves_the_database_as_it_was(tmp_path, act, objective):
    """Half of it would be taken for the whole: a report of which Optuna never heard, an end."""
    s = Search(tmp_path / "s", objective=objective)
    s.start("a")
    both: dict[str, Any] = {"objective_2": 0.2} if objective == "fid,kid" else {}
    s.report("a", 1, 50.0, **both)
    if act == "run":
        s.searcher.interrupt_rest()
    s.ledger.close()
    report = made_report(2, objective=40.0, **both, order=1)
    values = [50.0, *both.values()]
    drawn = create_trial(state=TrialState.RUNNING, user_attrs={"params": {"g_lr": 0.1}})
    ended = create_trial(values=values, system_attrs={"constraints:trains": 1.0})
    acts = {
        "report": [lambda writer: writer.report(0, report)],
        "complete": [lambda writer: writer.end(0, Status.COMPLETE, "why", ended)],
        "diverged": [lambda writer: writer.end(0, Status.DIVERGED, "why", ended)],
        "interrupt": [lambda writer: writer.interrupt(0)],
        "run": [lambda writer: writer.run(0, {"version": "2"})],
        "together": [lambda writer: writer.create(1, drawn),
                     lambda writer: writer.report(0, report),
                     lambda writer: writer.end(1, Status.COMPLETE, "", ended)],
    }  # fmt: skip
    before, cuts = content(tmp_path / "s"), 0
    while True:
        problems: list[str] = []
        writer = StudyWriter(s.study, s.storage, problems.append)
        undo = cut_at(s.storage, cuts)
        put_together(writer, acts[act])
        undo()
        if not problems:
            break
        assert content(tmp_path / "s") == before
        cuts += 1
    assert cuts >= 3, "nothing was cut between two writes"
    assert content(tmp_path / "s") != before


def put_together(writer: StudyWriter, acts: list[Any]) -> None:
    """Have the writer meet them all at once."""
    all_wait = threading.Event()
    writer.put(lambda _: (all_wait.wait(), None)[1])
    for act in acts:
        writer.put(act)
    all_wait.set()
    writer.close()


@pytest.mark.parametrize("times", [2, 1000])
def test_what_waits_is_written_again_after_a_deadlock(tmp_path, times):
    """Whatever the acts are, and whoever wrote: Optuna wraps what the database says."""
    s = Search(tmp_path / "s")
    for name in ("a", "b"):
        s.start(name)
        s.report(name, 1, 50.0)
    s.searcher.interrupt_rest()
    s.ledger.close()
    drawn = create_trial(state=TrialState.RUNNING, user_attrs={"params": {}})
    report = made_report(2, objective=40.0, order=2)
    acts: list[Any] = [
        lambda writer: writer.create(2, drawn),
        lambda writer: writer.run(0, {"version": "2"}),
        lambda writer: writer.report(0, report),
        lambda writer: writer.end(0, Status.COMPLETE, "", create_trial(value=40.0)),
        lambda writer: writer.interrupt(2),
        lambda writer: writer.run(1, None),
    ]
    before, problems = content(tmp_path / "s"), []
    met = deadlock(s.storage, times, "UPDATE trials")
    put_together(StudyWriter(s.study, s.storage, problems.append), acts)
    assert met() >= times or problems
    if times == 1000:
        (problem,) = problems
        assert tells(problem, "deadlock detected")
        assert content(tmp_path / "s") == before
        return
    assert not problems
    states = [t.state for t in s.study.get_trials()]
    assert states == [TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING]
    assert s.study.get_trials()[0].intermediate_values == {1: 50.0, 2: 40.0}


def test_of_what_waits_all_is_kept_that_came_before_what_fails(tmp_path):
    s = Search(tmp_path / "s")
    s.start("a")
    s.ledger.close()
    problems: list[str] = []
    bad = made_report(2, objective=40.0, order=1, score={1, 2})  # a set is no JSON
    put_together(StudyWriter(s.study, s.storage, problems.append), [
        lambda writer: writer.report(0, made_report(1, objective=50.0, order=0)),
        lambda writer: writer.report(0, bad),
        lambda writer: writer.report(0, made_report(3, objective=30.0, order=2)),
    ])  # fmt: skip
    assert len(problems) == 1
    assert s.study.get_trials()[0].intermediate_values == {1: 50.0}


@pytest.mark.parametrize("objective", ["fid", "fid,kid"])
def test_a_report_that_optuna_was_not_told_of_is_told_at_take_up(tmp_path, objective):
    """As a kill between its two writes left it, when they were two transactions."""
    both: dict[str, Any] = {"objective_2": 0.2} if objective == "fid,kid" else {}
    s = Search(tmp_path / "s", objective=objective)
    s.start("a")
    s.report("a", 1, 50.0, **both)
    s.report("a", 2, 40.0, **both)
    s.ledger.close()
    with closing(sqlite3.connect(tmp_path / "s" / "study.db")) as database, database:
        if both:
            database.execute(
                "UPDATE trial_user_attributes SET value_json = '[50.0, 0.2]' WHERE key = 'goals'"
            )
        else:
            database.execute("DELETE FROM trial_intermediate_values WHERE step = 2")
    again = Search(tmp_path / "s", objective=objective)
    assert again.start("x") == 0
    again.ledger.end(again.searcher._live["x"], Status.COMPLETE)
    (trial,) = again.trials
    assert trial.values == [40.0, *both.values()]
    assert trial.intermediate_values == ({} if both else {1: 50.0, 2: 40.0})
    (sampled,) = again.ledger._sampled.trials
    assert sampled.values == trial.values
    assert sampled.intermediate_values == trial.intermediate_values


def test_a_complete_trial_counts_with_its_last_report(tmp_path):
    """Also where Optuna holds an older one, as it was not told of the last."""
    s = Search(tmp_path / "s")
    s.start("a")
    s.report("a", 1, 50.0)
    s.report("a", 12, 40.0, "complete")
    s.ledger.close()
    with closing(sqlite3.connect(tmp_path / "s" / "study.db")) as database, database:
        database.execute("DELETE FROM trial_intermediate_values WHERE step = 12")
        database.execute("UPDATE trial_values SET value = 50.0")
    (sampled,) = Search(tmp_path / "s").ledger._sampled.trials
    assert sampled.value == 40.0
    assert sampled.intermediate_values == {1: 50.0, 12: 40.0}
