"""The runs of a study's trials, as MLflow holds them, to the rows of a `StudyTable`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pandas as pd

from trainable.basics.progress import Progress
from trainable.metrics.intervals import Interval
from trainable.tracking.client import search_runs
from trainable.tracking.names import (
    DEVICE,
    FAILED,
    GATES_FAILED,
    IMPROVEMENT,
    RANK,
    REASON,
    STATUS,
    STUDY,
    TIE,
    TRIAL,
    WINNER,
    afresh_interval,
    fresh_interval,
)
from trainable.trial.report import CAS

if TYPE_CHECKING:  # importing mlflow costs seconds: only those who read pay
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

FRESH = {
    "fresh": fresh_interval("fid", "mean"),
    "fresh_low": fresh_interval("fid", "low"),
    "fresh_high": fresh_interval("fid", "high"),
}
"""Columns of FID on fresh images, and the metrics that they are read from."""
_EVALUATION = ("fid", "epoch", "train_seconds", "cas")


def read_trials(
    client: MlflowClient, parent: Run, progress: Progress | None
) -> tuple[pd.DataFrame, pd.DataFrame, dict[int, str]]:
    """``trials``, ``curves`` and ``runs`` of the `StudyTable` of the run `parent`."""
    key = parent.data.tags[STUDY]
    is_child = f"tags.`{STUDY}` = '{key}' AND tags.`{TRIAL}` IS NOT NULL"
    runs: dict[int, Run] = {}
    for run in search_runs(client, parent.info.experiment_id, is_child):
        runs.setdefault(int(run.data.tags[TRIAL]), run)  # the one that the search writes to
    rows: list[dict[str, Any]] = []
    points: list[dict[str, Any]] = []
    marked = any(FAILED in run.data.tags for run in runs.values())
    for done, (number, run) in enumerate(sorted(runs.items()), start=1):
        curve = _curve(client, run, number)
        points += curve
        rows.append(_row(run, number, curve, marked) | {"afresh": _afresh(client, run)})
        if progress is not None:
            progress(done, len(runs))
    own = [
        "number",
        "status",
        "winner",
        *_EVALUATION,
        "eval_seconds",
        *FRESH,
        "afresh",
        *IMPROVEMENT,
        "fresh_cas",
        "rank",
        "failed",
        "tie",
        "copy_rate",
        "coverage",
        "reason",
        "device",
    ]
    names = sorted({name for row in rows for name in row} - set(own))
    columns = {name: pd.Series([row[name] for row in rows]) for name in own}
    columns |= {name: _typed([row.get(name) for row in rows]) for name in names}
    curves = pd.DataFrame(points, columns=["number", *_EVALUATION])
    return pd.DataFrame(columns), curves, {n: run.info.run_id for n, run in runs.items()}


def _row(run: Run, number: int, curve: list[dict[str, Any]], marked: bool) -> dict[str, Any]:
    """A trial's row; FID, epoch and training time are of one and the same evaluation."""
    tags, metrics, nan = run.data.tags, run.data.metrics, float("nan")
    last = curve[-1] if curve else dict.fromkeys(_EVALUATION, nan)
    # Former versions had the number of images in the names.
    own = (re.fullmatch(r"fresh(?:_\d+)?/(\w+)", key) for key in metrics)
    fresh = {match[1]: metrics[match[0]] for match in own if match}
    return {
        **{f"params.{k}": v for k, v in run.data.params.items()},
        "number": number,
        "status": tags.get(STATUS, "running"),
        "winner": float(tags.get(WINNER, nan)),
        **{name: last[name] for name in _EVALUATION},
        "eval_seconds": metrics.get("eval_seconds", nan),
        **{name: metrics.get(metric, nan) for name, metric in FRESH.items()},
        **{name: metrics.get(name, nan) for name in IMPROVEMENT},
        "fresh_cas": fresh.get(CAS, nan),
        "rank": float(tags.get(RANK, tags.get(WINNER, nan))),
        "failed": _failed(run, marked),
        "tie": tags.get(TIE) == "True",
        **{name: fresh.get(name, metrics.get(name, nan)) for name in ("copy_rate", "coverage")},
        "reason": tags.get(REASON, ""),
        "device": tags.get(DEVICE, ""),
    }


def _failed(run: Run, marked: bool) -> str | None:
    """The gates that a trial does not pass; None if it was not assessed.

    Where no trial is `marked`, by an earlier version, their number is all that is known.
    """
    failed = run.data.metrics.get(GATES_FAILED)
    if marked or failed is None:
        return run.data.tags.get(FAILED, "" if WINNER in run.data.tags else None)
    return f"{failed:.0f} of the gates" if failed else ""


def _curve(client: MlflowClient, run: Run, number: int) -> list[dict[str, Any]]:
    """A trial's evaluations, by epoch."""
    if "fid" not in run.data.metrics:
        return []
    fids, spent = (_by_step(client, run, key) for key in ("fid", "train_seconds"))
    shares = _by_step(client, run, CAS) if CAS in run.data.metrics else {}
    return [
        {
            "number": number,
            "epoch": epoch,
            "fid": fids[epoch],
            "train_seconds": spent.get(epoch, float("nan")),
            "cas": shares.get(epoch, float("nan")),
        }
        for epoch in sorted(fids)
    ]


def _afresh(client: MlflowClient, run: Run) -> tuple[Interval, ...]:
    """FID of each training of the trial's configuration that chose nothing."""
    names = {end: afresh_interval(end) for end in ("low", "high", "mean")}
    if names["mean"] not in run.data.metrics:
        return ()
    ends = {end: _by_step(client, run, name) for end, name in names.items()}
    return tuple(
        Interval(**{end: values[step] for end, values in ends.items()})
        for step in sorted(ends["mean"])
    )


def _by_step(client: MlflowClient, run: Run, key: str) -> dict[int, float]:
    """A metric's values; step 0 is no evaluation, but where a winner's scores are written."""
    history = client.get_metric_history(run.info.run_id, key)
    return {m.step: m.value for m in sorted(history, key=lambda m: m.timestamp) if m.step > 0}


def _typed(values: list[str | None]) -> pd.Series:
    """MLflow's strings as numbers or booleans, if all that is there allows it."""
    there = {value for value in values if value is not None}
    if there <= {"True", "False"}:
        return pd.Series([None if value is None else value == "True" for value in values])
    try:
        return pd.Series([float("nan") if value is None else _number(value) for value in values])
    except ValueError:
        return pd.Series(values)


def _number(value: str) -> float:
    try:
        return int(value)
    except ValueError:
        return float(value)
