"""An augmentation study in MLflow: an experiment of its own, one run a cell under the study's run.

The study's folder is the truth: what MLflow lacks is written, whenever this is called.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.augmentation.cells import COMPLETE, Result
from analysis.augmentation.plan import Cell
from trainable.stages import Progress
from trainable.stores import create_tracking, quiet_mlflow

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

EXPERIMENT = "cgan-augmentation"
STUDY, CELL = "cgan.augmentation", "cgan.cell"
_MOST = 1000
"""Metrics in a request, as MLflow takes them."""


def log_study(
    uri: str,
    key: str,
    settings: Mapping[str, Any],
    results: Mapping[Cell, Result],
    files: Sequence[Path],
    folder: Path,
    progress: Progress,
) -> None:
    """Write what the store at `uri` lacks of the study `key`, NAME and a digest.

    `files` replace the study's own; `folder` is where a SQLite store's files go.

    Raises:
        Exception: the store did not take it all.
    """
    quiet_mlflow()
    create_tracking(uri)
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri, uri)
    experiment = _experiment(client, uri, folder)
    parent = _run(client, experiment, f"tags.`{STUDY}` = '{key}' AND tags.`{CELL}` IS NULL")
    if parent is None:
        name = key.rpartition("-")[0]
        run = client.create_run(experiment, tags={STUDY: key}, run_name=name)
        parent = run.info.run_id
        for name, value in settings.items():
            client.log_param(parent, name, str(value)[:_MOST])
    there = {
        run.data.tags[CELL]
        for run in _search(client, experiment, f"tags.`{STUDY}` = '{key}' AND status = 'FINISHED'")
        if CELL in run.data.tags
    }
    for done, (cell, result) in enumerate(sorted(results.items()), start=1):
        if cell.key not in there:
            _log_cell(client, experiment, parent, key, cell, result)
        progress(done, len(results))
    for file in files:
        client.log_artifact(parent, str(file))
    client.set_terminated(parent, "FINISHED")


def _log_cell(
    client: MlflowClient, experiment: str, parent: str, key: str, cell: Cell, result: Result
) -> None:
    from mlflow.entities import Metric, Param

    tags = {STUDY: key, CELL: cell.key, "mlflow.parentRunId": parent, "status": result["status"]}
    unfinished = f"tags.`{STUDY}` = '{key}' AND tags.`{CELL}` = '{cell.key}'"
    run_id = _run(client, experiment, unfinished)
    if run_id is None:
        run_id = client.create_run(experiment, tags=tags, run_name=cell.key).info.run_id
    facts = {"size": cell.size, "ratio": cell.ratio, "arm": cell.arm, "repeat": cell.repeat}
    params = [Param(name, str(value)) for name, value in facts.items()]
    complete = result["status"] == COMPLETE
    now = int(time.time() * 1000)
    metrics = []
    if complete:
        own = {**result["scores"], "seconds": result["seconds"], "images": result["images"]}
        metrics += [Metric(name, float(value), now, 0) for name, value in own.items()]
        metrics += [
            Metric(name, row[name], now, int(row["step"]))
            for row in result["history"] for name in row if name != "step"
        ]  # fmt: skip
    client.log_batch(run_id, params=params)
    for start in range(0, len(metrics), _MOST):
        client.log_batch(run_id, metrics=metrics[start : start + _MOST])
    client.set_terminated(run_id, "FINISHED" if complete else "FAILED")


def _experiment(client: MlflowClient, uri: str, folder: Path) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    place = (folder / "mlartifacts").resolve().as_uri() if uri.startswith("sqlite:") else None
    return client.create_experiment(EXPERIMENT, artifact_location=place)


def _run(client: MlflowClient, experiment: str, condition: str) -> str | None:
    found = _search(client, experiment, condition)
    return found[0].info.run_id if found else None


def _search(client: MlflowClient, experiment: str, condition: str) -> list[Any]:
    found: list[Any] = []
    token: str | None = ""
    while token is not None:
        page = client.search_runs(
            [experiment], condition, order_by=["attributes.start_time ASC"],
            page_token=token or None,
        )  # fmt: skip
        found += page
        token = page.token or None
    return found
