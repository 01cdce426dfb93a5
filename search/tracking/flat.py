"""What the study's database holds, in the words of MLflow: keys, numbers and statuses."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from search.study.records import TrialRecord, WrittenReport
from trainable.trial.report import Status

_LONGEST_NAME = 200
"""Letters of a key that a nested dict gives, of the 250 that MLflow takes for all of them."""
_PLACES = ("epoch", "resource", "order")  # where a report stands, not what it measured
_FAILED = {Status.DIVERGED, Status.COLLAPSED, Status.OUT_OF_MEMORY, Status.FAILED}


PAUSED = "SCHEDULED"
"""MLflow's word for what was interrupted and can be resumed; its KILLED is shown as a failure."""


def run_status(status: Status) -> str:
    """MLflow's word for it; a pruned trial did what was asked of it."""
    if status in _FAILED:
        return "FAILED"
    return {Status.INTERRUPTED: PAUSED, Status.RUNNING: "RUNNING"}.get(status, "FINISHED")


def is_number(value: Any) -> bool:
    """Whether MLflow takes it for a metric."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of a nested dict, under names that MLflow allows: ``scores/normal``.

    The names are for people: the true ones of classes, in their order, are in the data set's record
    (see `search.tracking.dataset`).
    """
    names = _allowed(values)
    for key, value in values.items():
        name = prefix + names[key]
        if isinstance(value, dict):
            yield from flat(value, f"{name}/")
        elif value is not None:
            yield name, value


def _allowed(keys: Iterable[str]) -> dict[str, str]:
    """By key, a name of its own that MLflow allows: the key, or one that is like it."""
    allowed = {key: re.sub(r"[^\w.\- ]", "_", key)[:_LONGEST_NAME] for key in keys}
    taken = {key for key, name in allowed.items() if key == name}
    for key, name in allowed.items():
        number = 1
        while key != allowed[key] and allowed[key] in taken:
            number += 1
            allowed[key] = f"{name} {number}"
        taken.add(allowed[key])
    return allowed


def by_class(scores: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """Scores under the names that MLflow gets: those of a class, ``diversity/0``, by its name."""
    names = list(_allowed(classes).values())

    def named(match: re.Match[str]) -> str:
        index = int(match[1])
        return f"/{names[index] if index < len(names) else index}"

    return {re.sub(r"/(\d+)$", named, key): value for key, value in scores.items()}


def report_metrics(
    record: TrialRecord, report: WrittenReport, classes: Sequence[str]
) -> Iterator[tuple[str, float, int, int]]:
    """Key, value, time in ms and step of every number in a report.

    The time follows from the report, so that a point written twice is the same point and MLflow's
    tables keep one.
    """
    spent = report["train_seconds"] + report["eval_seconds"]
    stamp = int(1000 * ((record.started or 0.0) + spent))
    for key, value in flat(by_class(report, classes)):
        if key not in _PLACES and is_number(value):
            yield key, float(value), stamp, report["epoch"]
