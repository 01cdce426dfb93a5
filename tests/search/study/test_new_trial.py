"""A drawn trial in the database, against what Optuna itself writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import optuna
import pytest
import sqlalchemy.event
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from search.study.database import load_study, open_storage
from search.study.new_trial import add_trial
from tests.helpers.studies import cut_at


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


def deadlock(storage: RDBStorage, times: int) -> Callable[[], int]:
    """Let the first `times` writes of values fail as a server's do that ends a deadlock; returns
    how to ask how many there were."""
    met = [0]

    def execute(cursor, statement, *_) -> None:
        if statement.startswith("INSERT INTO trial_params"):
            met[0] += 1
            if met[0] <= times:
                raise sqlite3.OperationalError("deadlock detected")

    for event in ("do_execute", "do_executemany"):
        sqlalchemy.event.listen(storage.engine, event, execute)
    return lambda: met[0]


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
        assert add_trial(ours, study_id, trial) == number
        theirs.create_new_trial(theirs.get_study_id_from_name("mine"), trial)
    mine, other = (load_study("mine", storage).get_trials() for storage in (ours, theirs))
    assert [read(t) for t in mine] == [read(t) for t in other]
    assert {t.state for t in mine} == {TrialState.RUNNING}


def test_one_that_is_cut_anywhere_is_not_there(tmp_path, drawn):
    storage = open_storage(f"sqlite:///{tmp_path / 'study.db'}")
    study = optuna.create_study(storage=storage)
    cuts = 0
    while True:
        undo = cut_at(storage, cuts)
        try:
            add_trial(storage, study._study_id, drawn[0])
            break
        except Exception:
            assert load_study(study.study_name, storage).get_trials() == []
        finally:
            undo()
        cuts += 1
    assert cuts >= 3, "nothing was cut between two writes"
    assert len(study.get_trials()) == 1


def test_a_deadlock_is_tried_again_and_one_that_stays_is_named(tmp_path, drawn):
    storage = open_storage(f"sqlite:///{tmp_path / 'study.db'}")
    study = optuna.create_study(storage=storage)
    tries = deadlock(storage, 2)
    assert add_trial(storage, study._study_id, drawn[0]) == 0
    assert tries() == 3
    deadlock(storage, 1000)
    with pytest.raises(OperationalError, match="deadlock detected"):
        add_trial(storage, study._study_id, drawn[1])
    assert [t.params for t in study.get_trials()] == [drawn[0].params]
