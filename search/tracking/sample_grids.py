"""Sample grids in MLflow: a picture an evaluation, so that its pages step through training."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from search.study.trial_files import fetch
from trainable.tracking.names import GRID, GRIDS, grid_epoch

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

KEPT = 30
"""Grids kept of a trial, spread over its training: each makes two files."""


def grid_files(trial: Path) -> dict[int, Path]:
    """The grids in a trial's folder, by epoch."""
    return {int(p.stem.rpartition("_")[2]): p for p in sorted(trial.glob("samples_*.png"))}


def log_grids(
    client: MlflowClient, run_id: str, trial: Path, epochs: Collection[int], there: set[int]
) -> None:
    """Write the grids of those `epochs` that are neither in `there` nor gone; adds them to it."""
    from PIL import Image

    files = grid_files(trial)
    if set(epochs) - files.keys() - there:
        fetch(trial, "*.png")
        files = grid_files(trial)
    for epoch in sorted(set(epochs) & files.keys() - there):
        with Image.open(files[epoch]) as grid:
            client.log_image(run_id, grid, key=GRID, step=epoch, synchronous=True)
        there.add(epoch)


def logged_epochs(client: MlflowClient, run_id: str) -> set[int]:
    """Epochs whose grid the run has."""
    epochs = (grid_epoch(file.path) for file in client.list_artifacts(run_id, GRIDS))
    return {epoch for epoch in epochs if epoch is not None}
