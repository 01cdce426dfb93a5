"""An augmentation study in MLflow: an experiment of its own, one run a cell under the study's run.

The study's folder is the truth: what MLflow lacks is written, whenever this is called.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.augmentation.design.cells import COMPLETE, Cell, Result
from analysis.augmentation.findings.results import Findings
from trainable.basics.progress import Progress
from trainable.tracking.client import create_tracking, experiment_id, quiet_mlflow, search_runs
from trainable.tracking.names import PARENT_RUN, STATUS

if TYPE_CHECKING:
    from mlflow.entities import RunInfo
    from mlflow.tracking import MlflowClient

EXPERIMENT = "cgan-augmentation"
STUDY, CELL = "cgan.augmentation", "cgan.cell"
_MOST = 1000
"""Metrics in a request, as MLflow takes them; and letters of a setting, which take more."""


@dataclass(frozen=True)
class FinishedStudy:
    """An augmentation study that has been run.

    Attributes:
        name: its name.
        settings: what makes it another study where they differ.
        results: what became of its cells.
        findings: what those say.
        files: the tables, figures and page with all that.
    """

    name: str
    settings: Mapping[str, Any]
    results: Mapping[Cell, Result]
    findings: Findings
    files: Sequence[Path]

    @property
    def key(self) -> str:
        """What its runs are found by: the name, and a digest of the settings."""
        facts = str(sorted(self.settings.items())).encode()
        return f"{self.name}-{hashlib.sha256(facts).hexdigest()[:12]}"


def log_study(uri: str, study: FinishedStudy, folder: Path, progress: Progress) -> None:
    """Write what the store at `uri` lacks of a study; its files replace those that are there.

    `folder` is where a SQLite store's files go; `progress` is told how many cells are written.

    Raises:
        Exception: the store did not take it all.
    """
    quiet_mlflow()
    create_tracking(uri)
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri, uri)
    experiment, key = experiment_id(client, EXPERIMENT, uri, folder), study.key
    runs = search_runs(client, experiment, f"tags.`{STUDY}` = '{key}'")
    parents = [run.info.run_id for run in runs if CELL not in run.data.tags]
    there = {run.data.tags[CELL]: run.info for run in reversed(runs) if CELL in run.data.tags}
    if parents:
        parent = parents[0]
    else:
        parent = client.create_run(experiment, tags={STUDY: key}, run_name=study.name).info.run_id
    for name, value in study.settings.items():
        client.log_param(parent, name, str(value)[:_MOST])
    for done, (cell, result) in enumerate(sorted(study.results.items()), start=1):
        run = there.get(cell.key) or _begin(client, experiment, parent, key, cell, result)
        if run.status != "FINISHED":
            _log_cell(client, run.run_id, cell, result)
        progress(done, len(study.results))
    _log_points(client, parent, list(_compared(study.findings)))
    for file in study.files:
        client.log_artifact(parent, str(file))
    client.set_terminated(parent, "FINISHED")


def _compared(findings: Findings) -> Iterator[tuple[str, float, int]]:
    """Differences in accuracy, with their ends: ``gain/25-1/real and synthetic over real/low``."""
    for c in findings.comparisons:
        arms = f"{c.second} over {c.first}".replace("+", "and")
        for end, value in c.difference._asdict().items():
            if math.isfinite(value):
                yield f"gain/{c.size}-{c.ratio:g}/{arms}/{end}", value, 0


def _log_points(
    client: MlflowClient, run_id: str, points: Sequence[tuple[str, float, int]]
) -> None:
    """Write metrics, each with its step."""
    from mlflow.entities import Metric

    now = int(1000 * time.time())
    metrics = [Metric(name, value, now, step) for name, value, step in points]
    for start in range(0, len(metrics), _MOST):
        client.log_batch(run_id, metrics=metrics[start : start + _MOST])


def _begin(
    client: MlflowClient, experiment: str, parent: str, key: str, cell: Cell, result: Result
) -> RunInfo:
    tags = {STUDY: key, CELL: cell.key, PARENT_RUN: parent, STATUS: result["status"]}
    return client.create_run(experiment, tags=tags, run_name=cell.key).info


def _log_cell(client: MlflowClient, run_id: str, cell: Cell, result: Result) -> None:
    from mlflow.entities import Param

    facts = {"size": cell.size, "ratio": cell.ratio, "arm": cell.arm, "repeat": cell.repeat}
    params = [Param(name, str(value)) for name, value in facts.items()]
    points, end = [], "FAILED"
    if result["status"] == COMPLETE:
        end = "FINISHED"
        own = {**result["scores"], "seconds": result["seconds"], "images": result["images"]}
        points += [(name, float(value), 0) for name, value in own.items()]
        points += [
            (name, row[name], int(row["step"]))
            for row in result["history"] for name in row if name != "step"
        ]  # fmt: skip
    client.log_batch(run_id, params=params)
    _log_points(client, run_id, points)
    client.set_terminated(run_id, end)
