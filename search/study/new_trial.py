"""A trial as it was drawn, written to the database at once."""

from __future__ import annotations

import json

from optuna.distributions import distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial
from sqlalchemy import insert, select

from search.study.transaction import one_transaction


def add_trial(storage: RDBStorage, study_id: int, trial: FrozenTrial) -> int:
    """Write a running trial with its values and attributes, whole or not at all; its number.

    For a fraction of what ``storage.create_new_trial(study_id, trial)`` costs, which asks the
    database for each value whether it may be written. Memory, where the trial was drawn, has asked.
    """
    with one_transaction(storage):
        trial_id = storage.create_new_trial(study_id)
        rows = {
            models.TrialParamModel: [
                {
                    "param_name": name,
                    "param_value": distribution.to_internal_repr(trial.params[name]),
                    "distribution_json": distribution_to_json(distribution),
                }
                for name, distribution in trial.distributions.items()
            ],
            models.TrialUserAttributeModel: _attributes(trial.user_attrs),
            models.TrialSystemAttributeModel: _attributes(trial.system_attrs),
        }
        for table, found in rows.items():
            if found:
                with_id = [{"trial_id": trial_id, **row} for row in found]
                storage.scoped_session().execute(insert(table), with_id)
        number = select(models.TrialModel.number).where(models.TrialModel.trial_id == trial_id)
        return storage.scoped_session().execute(number).scalar_one()


def _attributes(named: dict[str, object]) -> list[dict[str, object]]:
    return [{"key": key, "value_json": json.dumps(value)} for key, value in named.items()]
