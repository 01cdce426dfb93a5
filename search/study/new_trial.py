"""A trial as it was drawn, written to the database at once."""

from __future__ import annotations

import json
import random
import time

from optuna.distributions import distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial
from sqlalchemy import insert
from sqlalchemy.exc import OperationalError

from search.study.transaction import one_transaction

TRIES = 5
"""As many as Optuna's own: servers end one of two transactions that wait for each other."""
PAUSE = 0.2
"""Seconds before another try, at most."""


def add_trial(storage: RDBStorage, study_id: int, trial: FrozenTrial) -> int:
    """Write a running trial with its values and attributes, whole or not at all; its number.

    For a fraction of what ``storage.create_new_trial(study_id, trial)`` costs, which asks the
    database for each value whether it may be written. Memory, where the trial was drawn, has asked
    that of this session's trials, and the space is compared with that of earlier ones. It starts
    now, to Optuna.
    """
    tries = 0
    while True:
        try:
            with one_transaction(storage):
                return _add(storage, study_id, trial)
        except OperationalError:
            tries += 1
            if tries == TRIES:
                raise
            time.sleep(random.uniform(0, PAUSE))


def _add(storage: RDBStorage, study_id: int, trial: FrozenTrial) -> int:
    session = storage.scoped_session()
    models.StudyModel.find_or_raise_by_id(study_id, session, for_update=True)  # numbers are counted
    new = storage._get_prepared_new_trial(study_id, None, session)
    session.flush()
    values = [
        {
            "param_name": name,
            "param_value": distribution.to_internal_repr(trial.params[name]),
            "distribution_json": distribution_to_json(distribution),
        }
        for name, distribution in trial.distributions.items()
    ]
    for table, rows in (
        (models.TrialParamModel, values),
        (models.TrialUserAttributeModel, _attributes(trial.user_attrs)),
        (models.TrialSystemAttributeModel, _attributes(trial.system_attrs)),
    ):
        if rows:
            session.execute(insert(table), [{"trial_id": new.trial_id, **row} for row in rows])
    return int(new.number)  # pyright: ignore[reportArgumentType]


def _attributes(named: dict[str, object]) -> list[dict[str, object]]:
    return [{"key": key, "value_json": json.dumps(value)} for key, value in named.items()]
