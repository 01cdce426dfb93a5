"""An augmentation study in MLflow: written once, and made up for where it grew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from mlflow.tracking import MlflowClient

from analysis.augmentation.design.arms import ADDED, REAL
from analysis.augmentation.design.cells import COMPLETE, DIVERGED, Cell, Result
from analysis.augmentation.findings.mlflow_log import CELL, EXPERIMENT, FinishedStudy, log_study
from analysis.augmentation.findings.results import Findings

COMPLETED: Any = {
    "status": COMPLETE, "scores": {"accuracy": 0.75}, "seconds": 2.0, "images": 40,
    "history": [{"step": 5, "valid_accuracy": 0.5}, {"step": 10, "valid_accuracy": 0.7}],
}  # fmt: skip


def finished(page: Path, results: dict[Cell, Result]) -> FinishedStudy:
    findings = Findings({}, np.array([0, 1]), 1)
    return FinishedStudy("films", {"seed": 0, "recipe": {"lr": 0.1}}, results, findings, [page])


def test_a_study_has_a_run_and_each_cell_its_own(tmp_path):
    uri, page, told = f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "findings.md", []
    page.write_text("- nothing\n")
    first = finished(page, {Cell(40, 0.0, REAL, 0): COMPLETED})
    grown = replace(first, results={**first.results, Cell(40, 1.0, ADDED, 0): {"status": DIVERGED}})
    for study in (first, grown, grown):
        log_study(uri, study, tmp_path, lambda *done: told.append(done))
    assert told == [(1, 1), (1, 2), (2, 2), (1, 2), (2, 2)]
    client = MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if CELL not in run.data.tags]
    cells = {run.data.tags[CELL]: run for run in runs if CELL in run.data.tags}
    assert len(runs) == 3
    assert parent.info.run_name == "films"
    assert parent.data.params == {"seed": "0", "recipe": "{'lr': 0.1}"}
    assert [file.path for file in client.list_artifacts(parent.info.run_id)] == [page.name]
    done, diverged = cells["40-0.0-real-0"], cells["40-1.0-real+synthetic-0"]
    assert {run.data.tags["mlflow.parentRunId"] for run in (done, diverged)} == {parent.info.run_id}
    assert [run.info.status for run in (parent, done, diverged)] == [
        "FINISHED",
        "FINISHED",
        "FAILED",
    ]
    assert done.data.metrics["accuracy"] == 0.75
    history = client.get_metric_history(done.info.run_id, "valid_accuracy")
    assert [(point.step, point.value) for point in history] == [(5, 0.5), (10, 0.7)]


def test_settings_that_a_broken_store_did_not_take_are_written_later(tmp_path):
    uri, study = f"sqlite:///{tmp_path / 'mlflow.db'}", finished(tmp_path / "page.md", {})
    study.files[0].write_text("- nothing\n")
    lost = patch.object(MlflowClient, "log_param", side_effect=OSError("gone"))
    with lost, pytest.raises(OSError, match="gone"):
        log_study(uri, study, tmp_path, lambda *done: None)
    log_study(uri, study, tmp_path, lambda *done: None)
    client = MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    (parent,) = client.search_runs([experiment.experiment_id])
    assert set(parent.data.params) == {"seed", "recipe"}


def test_a_study_of_other_settings_is_another():
    study = finished(Path("findings.md"), {})
    assert study.key == "films-84e663ee23fe"  # as studies that are in MLflow have it
    assert replace(study, settings={"recipe": {"lr": 0.1}, "seed": 0}).key == study.key
    assert replace(study, settings={"seed": 1}).key != study.key
