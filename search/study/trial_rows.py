"""A trial's rows in the database, written at once: as it was drawn, a report, its end.

For a fraction of what Optuna's own calls cost, which ask the database for each value and attribute
whether it may be written. Memory, where the trial is drawn and told, has asked that already.

To be called within `search.study.transaction.one_transaction` or `transact`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial
from sqlalchemy import Delete, Insert, bindparam, delete, insert, select, update
from sqlalchemy.orm import Session


def add_trial(storage: RDBStorage, study_id: int, trial: FrozenTrial) -> tuple[int, int]:
    """Write a running trial with its values and attributes; returns its number and id.

    Memory has asked of this session's trials whether the values fit each other, and the space is
    compared with that of earlier ones. The trial starts now, to Optuna.
    """
    session = storage.scoped_session()
    models.StudyModel.find_or_raise_by_id(study_id, session, for_update=True)  # numbers are counted
    new = storage._get_prepared_new_trial(study_id, None, session)
    session.flush()
    number, trial_id = int(new.number), int(new.trial_id)  # pyright: ignore[reportArgumentType]
    values = [
        {
            "param_name": name,
            "param_value": distribution.to_internal_repr(trial.params[name]),
            "distribution_json": distribution_to_json(distribution),
        }
        for name, distribution in trial.distributions.items()
    ]
    _add(session, models.TrialParamModel, trial_id, values)
    _add(session, models.TrialUserAttributeModel, trial_id, _attributes(trial.user_attrs))
    _add(session, models.TrialSystemAttributeModel, trial_id, _attributes(trial.system_attrs))
    return number, trial_id


def add_to_trial(
    storage: RDBStorage, trial_id: int, attributes: Mapping[str, Any], steps: Mapping[int, float]
) -> None:
    """Write attributes and intermediate values of a trial that has not ended.

    Raises:
        KeyError: the database has no such trial.
        optuna.exceptions.UpdateFinishedTrialError: the trial has ended there.
    """
    session = storage.scoped_session()
    _unfinished(storage, session, trial_id)
    _set_attributes(session, models.TrialUserAttributeModel, trial_id, attributes)
    table = models.TrialIntermediateValueModel
    _drop(session, table, trial_id, "step", steps)
    kept = {step: table.intermediate_value_to_stored_repr(v) for step, v in steps.items()}
    _add(session, table, trial_id, [
        {"step": step, "intermediate_value": value, "intermediate_value_type": kind}
        for step, (value, kind) in kept.items()
    ])  # fmt: skip


def end_trial(
    storage: RDBStorage, trial_id: int, ended: FrozenTrial, attributes: Mapping[str, Any]
) -> None:
    """Write the end of a trial as memory has it, and attributes.

    Raises:
        KeyError, optuna.exceptions.UpdateFinishedTrialError: as `add_to_trial`.
    """
    session = storage.scoped_session()
    _unfinished(storage, session, trial_id)
    _set_attributes(session, models.TrialUserAttributeModel, trial_id, attributes)
    _set_attributes(session, models.TrialSystemAttributeModel, trial_id, ended.system_attrs)
    table = models.TrialValueModel
    kept = [table.value_to_stored_repr(value) for value in ended.values or ()]
    _add(session, table, trial_id, [
        {"objective": place, "value": value, "value_type": kind}
        for place, (value, kind) in enumerate(kept)
    ])  # fmt: skip
    at = datetime.now(UTC).replace(tzinfo=None)  # as Optuna keeps times
    values = {"of": trial_id, "now": ended.state, "at": at}
    session.connection().execute(_ENDING, values)


def _unfinished(storage: RDBStorage, session: Session, trial_id: int) -> None:
    state = session.connection().execute(_STATE, {"of": trial_id}).scalar_one_or_none()
    if state is None:
        raise KeyError(models.NOT_FOUND_MSG)
    storage.check_trial_is_updatable(trial_id, state)


def _set_attributes(
    session: Session, table: Any, trial_id: int, named: Mapping[str, object]
) -> None:
    """In place of those that have the same names."""
    _drop(session, table, trial_id, "key", named)
    _add(session, table, trial_id, _attributes(named))


def _attributes(named: Mapping[str, object]) -> list[dict[str, Any]]:
    return [{"key": key, "value_json": json.dumps(value)} for key, value in named.items()]


def _drop(session: Session, table: Any, trial_id: int, name: str, keys: Iterable[object]) -> None:
    if rows := [{"of": trial_id, "which": key} for key in keys]:
        session.connection().execute(_deletion(table, name), rows)


def _add(session: Session, table: Any, trial_id: int, rows: list[dict[str, Any]]) -> None:
    if rows:
        new = [{"trial_id": trial_id, **row} for row in rows]
        session.connection().execute(_insertion(table), new)


# Statements are made once: making one anew costs as much as writing its rows.
_TRIALS: Any = models.TrialModel.__table__
_ONE = _TRIALS.c.trial_id == bindparam("of")
_STATE = select(_TRIALS.c.state).where(_ONE).with_for_update()
_ENDING = (
    update(_TRIALS).where(_ONE).values(state=bindparam("now"), datetime_complete=bindparam("at"))
)


@cache
def _insertion(table: Any) -> Insert:
    return insert(table.__table__)


@cache
def _deletion(table: Any, name: str) -> Delete:
    columns = table.__table__.c
    of, key = columns.trial_id == bindparam("of"), columns[name] == bindparam("which")
    return delete(table.__table__).where(of, key)
