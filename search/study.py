"""The study: an Optuna study in a database, the one truth of a search, and how to read it.

An Optuna trial carries, besides its searched parameters and intermediate values:

    params          the whole configuration, as `TrialConfig.to_params` gives it
    status          a `trainable.trial.Status`, once it has ended
    reason          why, where the status alone does not say
    report/000040   the whole report of epoch 40

and the study carries ``id`` (unique, as names may be used again), ``config`` (the `StudyConfig`)
and ``yardstick``.
"""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from search.settings import StudyConfig
from trainable.trial import Report, Status

_REPORT = "report/"
optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class TrialRecord:
    """A trial as the database has it.

    Attributes:
        number: Optuna's number, which names the trial everywhere.
        status: how it stands.
        reason: why, or an empty string.
        params: its whole configuration.
        reports: its reports, by epoch.
        started, ended: seconds since 1970; `ended` is None while it runs.
    """

    number: int
    status: Status
    reason: str
    params: dict[str, Any]
    reports: tuple[Report, ...]
    started: float | None
    ended: float | None

    @property
    def last(self) -> Report:
        """The last report with a score, or an empty one."""
        return next((r for r in reversed(self.reports) if "objective" in r), {})

    @property
    def objective(self) -> float:
        """What the search minimises, at the last evaluation; infinite without one."""
        return self.last.get("objective", math.inf)

    @property
    def fid(self) -> float:
        """FID at the last evaluation; infinite without one."""
        return self.last.get("fid", math.inf)


def storage_url(folder: Path) -> str:
    """The database of the study in `folder`."""
    return f"sqlite:///{folder.resolve() / 'study.db'}"


def create_study(folder: Path, config: StudyConfig, yardstick: dict[str, Any]) -> optuna.Study:
    """Start the study's database in `folder`, which exists; the sampler is the caller's to set."""
    study = optuna.create_study(
        storage=storage_url(folder), study_name=config.name, direction="minimize"
    )
    study.set_user_attr("id", uuid.uuid4().hex[:12])
    study.set_user_attr("config", config.to_json())
    study.set_user_attr("yardstick", yardstick)
    return study


def load_study(folder: Path) -> optuna.Study:
    """The study in `folder`."""
    return optuna.load_study(study_name=folder.resolve().name, storage=storage_url(folder))


def read_records(study: optuna.Study) -> list[TrialRecord]:
    """All trials that were started, by number."""
    trials = study.get_trials(deepcopy=False)
    return [read_record(t) for t in trials if t.state != TrialState.WAITING]


def read_record(trial: FrozenTrial) -> TrialRecord:
    """One trial."""
    attrs = trial.user_attrs
    started, ended = trial.datetime_start, trial.datetime_complete
    return TrialRecord(
        number=trial.number,
        status=Status(attrs.get("status", Status.RUNNING)),
        reason=attrs.get("reason", ""),
        params=attrs.get("params", {}),
        reports=tuple(attrs[k] for k in sorted(attrs) if k.startswith(_REPORT)),
        started=started.timestamp() if started else None,
        ended=ended.timestamp() if ended else None,
    )


def record_report(trial: optuna.Trial, report: Report) -> None:
    """Write a report with scores: the objective as an intermediate value, and all of it beside."""
    trial.report(report["objective"], report["epoch"])
    trial.set_user_attr(f"{_REPORT}{report['epoch']:06d}", report)


def record_end(
    study: optuna.Study,
    trial: optuna.Trial,
    status: Status,
    *,
    value: float | None,
    reason: str = "",
) -> None:
    """End a trial, once: what the status means to Optuna's samplers is decided here.

    Complete trials count with their objective, pruned ones with their intermediate values. A
    diverged or out-of-memory trial is told as pruned and as violating a constraint, so that the
    sampler ranks it below every other. Failed ones do not count.
    """
    trial.set_user_attr("status", status.value)
    if status.infeasible:
        trial.set_constraint("trains", 1.0)
    if reason:
        trial.set_user_attr("reason", reason)
    if status is Status.COMPLETE:
        study.tell(trial, value)
    elif status is Status.PRUNED or status.infeasible:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, state=TrialState.FAIL)


def mark_interrupted(study: optuna.Study) -> None:
    """Say of every trial under way that it stopped with the search.

    To Optuna they stay running, so that a resumed search takes up the same trials, numbers,
    reports and checkpoints included.
    """
    _mark_under_way(study, Status.INTERRUPTED)


def unfinished(study: optuna.Study) -> list[optuna.Trial]:
    """The trials that a former life of the search left under way, by number, marked as running."""
    return _mark_under_way(study, Status.RUNNING)


def _mark_under_way(study: optuna.Study, status: Status) -> list[optuna.Trial]:
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    live = [optuna.Trial(study, trial._trial_id) for trial in running]
    for trial in live:
        trial.set_user_attr("status", status.value)
    return live
