"""A trial's rows in the database, against those that Optuna itself writes."""

from __future__ import annotations

import math
import time
from datetime import timedelta
from functools import partial

import optuna
import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from search.proposals.telling import ending, tell_end, tell_report, told_of
from search.study.database import load_study, open_storage
from search.study.transaction import transact
from search.study.trial_rows import add_to_trial, add_trial, end_trial
from tests.helpers.fake_tune import made_report
from tests.helpers.studies import deadlock
from trainable.trial.report import Status


@pytest.fixture
def drawn() -> list[optuna.trial.FrozenTrial]:
    """One of every kind of value that was enqueued, one that is conditional, and one of nothing."""
    study = optuna.create_study()
    study.enqueue_trial({"rate": 1e-3, "width": 16, "kind": None})
    for place in range(3):
        trial = study.ask()
        if place < 2:
            trial.suggest_float("rate", 1e-5, 1e-1, log=True)
            trial.suggest_categorical("kind", [None, True, 2, 0.5, "COVID+"])
        if place == 0:
            trial.suggest_int("width", 8, 64, step=8)
        if place < 2:
            trial.set_user_attr("params", {"größe": [1, None, float("inf")], "place": place})
            trial.set_constraint("trains", 0.0)
    return study.get_trials()


def read(trial: optuna.trial.FrozenTrial) -> tuple:
    return (
        trial.number, trial.state, trial.params, trial.distributions, trial.user_attrs,
        trial.system_attrs, trial.intermediate_values, trial.values, trial.datetime_complete,
    )  # fmt: skip


def test_it_reads_as_if_optuna_had_written_it(tmp_path, drawn):
    ours, theirs = (open_storage(f"sqlite:///{tmp_path / n}.db") for n in ("ours", "theirs"))
    for storage in (ours, theirs):
        optuna.create_study(storage=storage, study_name="other").ask()
        optuna.create_study(storage=storage, study_name="mine")
    study_id = ours.get_study_id_from_name("mine")
    for number, trial in enumerate(drawn):
        assert transact(ours, partial(add_trial, ours, study_id, trial))[0] == number
        theirs.create_new_trial(theirs.get_study_id_from_name("mine"), trial)
    mine, other = (load_study("mine", storage).get_trials() for storage in (ours, theirs))
    assert [read(t) for t in mine] == [read(t) for t in other]
    assert {t.state for t in mine} == {TrialState.RUNNING}


ENDS = (Status.COMPLETE, Status.PRUNED, Status.DIVERGED, Status.OUT_OF_MEMORY, Status.FAILED)


@pytest.fixture
def abroad(monkeypatch):
    """Where clocks do not show UTC."""
    monkeypatch.setenv("TZ", "JST-9")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("abroad")
@pytest.mark.parametrize("goals", [1, 2])
def test_reports_and_ends_read_as_if_optuna_had_written_them(tmp_path, drawn, goals):
    """A report that is told twice, as after a kill, is there once."""
    ours, theirs = (open_storage(f"sqlite:///{tmp_path / n}.db") for n in ("ours", "theirs"))
    mine, other, memory = (
        optuna.create_study(storage=storage, study_name="s", directions=["minimize"] * goals)
        for storage in (ours, theirs, None)
    )
    more = {"objective_2": 0.1} if goals == 2 else {}
    reports = [
        made_report(at, "running", objective=fid, **more)
        for at, fid in ((1, 3.5), (2, math.inf), (9, 3.25))
    ]
    for number, status in enumerate(ENDS):
        reason = "why" if number % 2 else ""
        _, trial_id = transact(ours, partial(add_trial, ours, mine._study_id, drawn[2]))
        told = other.ask(), memory.ask()
        for report in reports:
            attributes, steps = told_of(report)
            for _ in range(2):
                named = {"report": report, **attributes}
                transact(ours, partial(add_to_trial, ours, trial_id, named, steps))
            theirs.set_trial_user_attr(told[0]._trial_id, "report", report)
            for trial in told:
                tell_report(trial, report)
        for study, trial in zip((other, memory), told, strict=True):
            tell_end(study, trial, status, reason)
        ended = memory.get_trials()[number]
        transact(ours, partial(end_trial, ours, trial_id, ended, ending(status, reason)))
        for late in (partial(add_to_trial, ours, trial_id, {"a": 1}, {}),
                     partial(end_trial, ours, trial_id, ended, {})):  # fmt: skip
            with pytest.raises(UpdateFinishedTrialError):
                transact(ours, late)
    both = [load_study("s", storage).get_trials() for storage in (ours, theirs)]
    for one, another in zip(*both, strict=True):
        assert read(one)[:-1] == read(another)[:-1]
        assert one.datetime_complete is not None
        assert another.datetime_complete is not None
        assert abs(one.datetime_complete - another.datetime_complete) < timedelta(minutes=1)
    with pytest.raises(KeyError):
        transact(ours, partial(add_to_trial, ours, 99, {}, {}))


def test_a_deadlock_is_tried_again_and_one_that_stays_is_named(tmp_path, drawn):
    storage = open_storage(f"sqlite:///{tmp_path / 'study.db'}")
    study = optuna.create_study(storage=storage)
    tries = deadlock(storage, 2, "INSERT INTO trial_params")
    first, second = (partial(add_trial, storage, study._study_id, drawn[n]) for n in (0, 1))
    assert transact(storage, first)[0] == 0
    assert tries() == 3
    deadlock(storage, 1000, "INSERT INTO trial_params")
    with pytest.raises(OperationalError, match="deadlock detected"):
        transact(storage, second)
    assert [t.params for t in study.get_trials()] == [drawn[0].params]
