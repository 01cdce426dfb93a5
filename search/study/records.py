"""Trials as the study's database has them: read back, and told apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spaces.task import Params
from trainable.trial.report import GOALS, ScoredReport, Status

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

REPORT = "report/"
"""What the keys of reports begin with, among a trial's attributes."""


class WrittenReport(ScoredReport):
    """A report as the database has it; only those with scores are written.

    Keys:
        order: its place among all reports of the study, from 0.
    """

    order: int


@dataclass(frozen=True)
class TrialRecord:
    """A trial as the database has it.

    Attributes:
        number: Optuna's number, which names the trial everywhere.
        status: how it stands.
        reason: why, or an empty string.
        params: its whole configuration.
        searched: the values that were drawn for it.
        reports: its reports, by resource.
        started, ended: seconds since 1970; `ended` is None while it runs.
        origin: ``default`` or ``enqueued``; empty if the sampler proposed it.
        code: what trained it, see `trainable.distributed.code`.
    """

    number: int
    status: Status
    reason: str
    params: Params
    searched: Params
    reports: tuple[WrittenReport, ...]
    started: float | None
    ended: float | None
    origin: str = ""
    code: Mapping[str, str] = field(default_factory=dict)

    @property
    def last(self) -> WrittenReport | None:
        """The last report, if there is one."""
        return self.reports[-1] if self.reports else None

    @property
    def objective(self) -> float:
        """What the search minimises, at the last evaluation; infinite without one."""
        return self.last["objective"] if self.last else math.inf

    @property
    def goals(self) -> tuple[float, ...]:
        """What the search minimises, at the last evaluation; none without one."""
        return goals(self.last or {})

    @property
    def fid(self) -> float:
        """FID at the last evaluation; infinite without one."""
        return self.last["fid"] if self.last else math.inf

    @property
    def pace(self) -> float:
        """Seconds of training for an image; NaN without a report."""
        return self.last["train_seconds"] / self.last["images_seen"] if self.last else math.nan

    @property
    def fids(self) -> dict[int, float]:
        """FID by epoch."""
        return {report["epoch"]: report["fid"] for report in self.reports}


def goals(report: Mapping[str, Any]) -> tuple[float, ...]:
    """What a report says of the search's objective: one number or two, none if it broke down."""
    return tuple(report[key] for key in GOALS if key in report)


def read_records(study: optuna.Study) -> list[TrialRecord]:
    """All trials that were started, by number."""
    return [read_record(trial) for trial in study.get_trials(deepcopy=False)]


def read_record(trial: FrozenTrial) -> TrialRecord:
    """One trial."""
    attrs = trial.user_attrs
    ended = trial.datetime_complete
    reports = [name for name in attrs if name.startswith(REPORT)]
    return TrialRecord(
        number=trial.number,
        status=Status(attrs.get("status", Status.RUNNING)),
        reason=attrs.get("reason", ""),
        params=attrs.get("params", {}),
        searched=trial.params,
        reports=tuple(attrs[name] for name in sorted(reports, key=lambda name: (len(name), name))),
        started=attrs.get("started"),
        ended=ended.timestamp() if ended else None,
        origin=attrs.get("origin", ""),
        code=attrs.get("code", {}),
    )


def changes(params: Mapping[str, Any], base: Mapping[str, Any]) -> list[str]:
    """In what a configuration differs from `base`: ``g_lr=0.00121``, ``loss=hinge``, and so on."""
    return [f"{k}={short(v)}" for k, v in params.items() if base.get(k) != v]


def short(value: object) -> str:
    """A hyperparameter's value to three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
