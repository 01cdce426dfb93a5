"""The study: an Optuna study in a database, the one truth of a search, and how to read it.

An Optuna trial carries, besides its searched parameters and intermediate values:

    params          the whole configuration, as `TrialConfig.to_params` gives it
    started         when, in seconds since 1970: Optuna's own start moves when a trial goes on
    queued          its place in the study's queue, if it was not left to the sampler
    origin          then, ``default`` or ``enqueued``
    code            what trains it, see `trainable.distributed.code`; of several sessions, the last
    status          a `trainable.trial.report.Status`, once it is no longer running
    reason          why, where the status alone does not say
    report/000040   the whole report at resource 40, with ``order``, its place among all reports
    goals           of a study with two: both, at the last report; Optuna keeps no intermediate
                    values of those

and the study carries ``id`` (unique, as names may be used again), ``config`` (the `StudyConfig`),
``space`` (what its space looked like, see `spaces.describe.space_snapshot`), ``yardstick``,
``queue`` (searched values to try before the sampler's) and ``assessed`` (winners' scores).

To Optuna an interrupted trial is waiting: it goes on under its own number once the study is
resumed. What a killed search left running is made so by `interrupt_running`.
"""

from __future__ import annotations

import sys
import time
import uuid
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import optuna
import sqlalchemy.exc
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.study.config import StudyConfig
from search.study.folder import StudyFolder
from search.study.records import read_record
from search.study.transaction import one_transaction
from search.study.versions import foreign, settings_of
from spaces.errors import InputError
from spaces.task import Params
from trainable.basics.addresses import without_password
from trainable.basics.terminal import command
from trainable.trial.objective import Objective
from trainable.trial.report import Status
from trainable.trial.yardstick import Yardstick

_WAIT = 60  # seconds for which another reader or writer may hold a SQLite file
optuna.logging.set_verbosity(optuna.logging.WARNING)


class OpenStudy(NamedTuple):
    """A study, and the database that holds it."""

    study: optuna.Study
    storage: RDBStorage


def directions(objective: str) -> list[StudyDirection]:
    """Of a study in Optuna."""
    return [StudyDirection.MINIMIZE] * len(Objective.parse(objective).goals)


def open_storage(url: str) -> RDBStorage:
    """The database at `url`, its tables created if it is new.

    Raises:
        InputError: it cannot be opened; the message holds no password.
    """
    # SQLAlchemy's own default for SQLite gives up on a locked file after 5 s.
    options = {"connect_args": {"timeout": _WAIT}} if url.startswith("sqlite:") else {}
    try:
        return _opened(url, options)
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, ValueError, RuntimeError) as error:
        # Optuna hides which driver is missing, SQLAlchemy what the driver said.
        cause = error.__cause__ if isinstance(error, ImportError) else getattr(error, "orig", None)
        reason = str(cause or error).strip().splitlines()[0]
        shown = without_password(url)
        raise InputError(
            f"--database {shown} cannot be opened ({reason}); Optuna takes SQLAlchemy URLs, such "
            "as sqlite:////path/study.db or postgresql://user@host/name"
        ) from error


def _opened(url: str, options: dict[str, Any], tries: int = 5) -> RDBStorage:
    """Optuna looks for tables, then creates what is missing: two at once may collide."""
    try:
        return RDBStorage(url, engine_kwargs=options)
    except sqlalchemy.exc.DBAPIError as error:
        theirs = isinstance(error, sqlalchemy.exc.IntegrityError) or "already exists" in str(error)
        if not theirs or tries == 1:
            raise
    time.sleep(0.2)
    return _opened(url, options, tries - 1)


def create_study(
    storage: RDBStorage,
    config: StudyConfig,
    yardstick: Yardstick,
    space: dict[str, str],
    queue: list[Params],
    *,
    key: str | None = None,
    learnt: Sequence[FrozenTrial] = (),
) -> optuna.Study:
    """Start a study in the database, whole or not at all.

    `key` is its id. `learnt` are an earlier study's trials for its sampler, see `keep_learnt`.

    Raises:
        InputError: as `check_free`.
    """
    check_free(storage, config.name, key)
    with one_transaction(storage):
        optuna.create_study(
            storage=storage, study_name=config.name, directions=directions(config.objective)
        )
        study = load_study(config.name, storage)
        with warnings.catch_warnings():  # it counts as experimental; optuna-dashboard shows them
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([g.name for g in Objective.parse(config.objective).goals])
        study.set_user_attr("id", key or new_key())
        study.set_user_attr("space", space)
        study.set_user_attr("yardstick", yardstick)
        study.set_user_attr("queue", queue)
        if learnt:
            keep_learnt(study, storage, learnt)
        study.set_user_attr("config", config.to_json())
    return study


def check_free(storage: RDBStorage, name: str, key: str | None) -> None:
    """Raise InputError if the database has a study called `name`, or trials that one learnt from.

    `key` is the id of what began in the study's folder, or None.
    """
    there = optuna.get_all_study_names(storage)
    if name in there and key and load_study(name, storage).user_attrs.get("id") == key:
        raise InputError(f"study {name} has already started; use --resume {name}")
    remover = Path(sys.executable).with_name("optuna")
    for taken in {name, _beside(name)} & set(there):
        raise InputError(
            f"--database already holds a study {taken}; choose another name with --study, or "
            f"remove it with: {command(remover, 'delete-study', '--study-name', taken)} "
            "--storage URL"
        )


def new_key() -> str:
    """An id for a study."""
    return uuid.uuid4().hex[:12]


def load_study(name: str, storage: RDBStorage) -> optuna.Study:
    """The study called `name`.

    Raises:
        KeyError: the database has no such study.
    """
    # The sampler that the default would build is never asked: see `search.proposals.ledger`.
    return optuna.load_study(
        study_name=name, storage=storage, sampler=optuna.samplers.RandomSampler()
    )


def open_study(folder: StudyFolder) -> OpenStudy:
    """An existing study, and the database that holds it.

    Raises:
        InputError: there is no such study, or this version cannot read it.
    """
    folder.check_there()
    name, key = folder.name, folder.read_key()
    storage = open_storage(folder.database_url)
    try:
        study = load_study(name, storage)
    except KeyError:
        there = ", ".join(sorted(optuna.get_all_study_names(storage)))
        if folder.database is None and there:
            raise InputError(
                f"the folder {folder.path} holds the study {there}, so it was renamed; name it "
                f"{there} again"
            ) from None
        raise InputError(f"--database holds no study {name}; it holds {there or 'none'}") from None
    check_readable(study)
    if key not in (None, study.user_attrs["id"]):
        raise InputError(
            f"--database holds a study {name}, but not the one that began in {folder.path}; name "
            "the database or the --output that it belongs to"
        )
    return OpenStudy(study, storage)


_PARTS = {"id": str, "space": dict, "yardstick": dict, "queue": list, "config": object}
_YARDSTICK = ("floor", "untrained")
_REPORT = ("resource", "epoch", "objective", "order")


def check_readable(study: optuna.Study) -> None:
    """Raise InputError unless all of the study is as this version writes it."""
    attrs = study.user_attrs
    missing = [
        name
        for name, kind in _PARTS.items()
        if name not in attrs or not isinstance(attrs[name], kind)
    ]
    if "yardstick" not in missing:
        missing += [f"yardstick/{n}" for n in _YARDSTICK if n not in attrs["yardstick"]]
    if missing:
        raise foreign(study, f"record: {', '.join(missing)} is missing")
    settings_of(study)
    for trial in study.get_trials(deepcopy=False):
        try:
            reports = read_record(trial).reports
        except ValueError as error:
            raise foreign(study, f"trial {trial.number}: {error}") from error
        lacking = [k for r in reports for k in _REPORT if not isinstance(r, dict) or k not in r]
        if lacking:
            raise foreign(study, f"trial {trial.number}: a report without {lacking[0]}")


def keep_learnt(study: optuna.Study, storage: RDBStorage, trials: Sequence[FrozenTrial]) -> None:
    """Keep an earlier study's trials for the sampler of `study`, in a study of their own beside it,
    so that they count nowhere as this study's."""
    beside = optuna.create_study(
        storage=storage, study_name=_beside(study.study_name), directions=study.directions
    )
    beside.add_trials(trials)


def read_learnt(study: optuna.Study, storage: RDBStorage) -> list[FrozenTrial]:
    """What `keep_learnt` kept."""
    beside = _beside(study.study_name)
    if beside not in optuna.get_all_study_names(storage):
        return []
    return load_study(beside, storage).get_trials()


def _beside(name: str) -> str:
    return f"{name} (learnt from)"


def interrupt_running(study: optuna.Study, storage: RDBStorage) -> None:
    """Say of every trial under way that it stopped with the search, to go on when that is resumed.

    Only for who holds the study's lock: another search's trials would be taken from it.
    """
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        with one_transaction(storage):
            set_interrupted(storage, trial._trial_id)


def set_interrupted(storage: RDBStorage, trial_id: int) -> None:
    """Say that a trial stopped with the search; to be called in `one_transaction`."""
    storage.set_trial_user_attr(trial_id, "status", Status.INTERRUPTED.value)
    storage.set_trial_state_values(trial_id, TrialState.WAITING)
