"""Sample grids in MLflow: a picture an evaluation, so that its pages step through training."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from search.study.trial_files import fetch
from trainable.data.sheets import grid_files
from trainable.tracking.names import GRID, GRIDS, grid_epoch

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

KEPT = 30
"""Grids kept of a trial, spread over its training: each makes two files."""


def log_grids(
    client: MlflowClient, run_id: str, trial: Path, epochs: Collection[int], there: set[int]
) -> None:
    """Write the grids of those `epochs`, and that of the untrained generator, which are neither in
    `there` nor gone; adds them to it."""
    from PIL import Image

    files = grid_files(trial)
    if set(epochs) - files.keys() - there:
        fetch(trial, "*.png")
        files = grid_files(trial)
    for epoch in sorted({0, *epochs} & files.keys() - there):  # trials of before have none of 0
        with Image.open(files[epoch]) as grid:
            client.log_image(run_id, grid, key=GRID, step=epoch, synchronous=True)
        there.add(epoch)


def log_film(
    client: MlflowClient, run_id: str, files: Mapping[int, Path], classes: Sequence[str],
    fids: Mapping[int, float],
) -> None:  # fmt: skip
    """Write the film of these grids, by epoch, with FID where it is known; none of none."""
    from trainable.data.film import FILM, write_film

    with TemporaryDirectory() as scratch:
        if write_film(Path(scratch, FILM), files, classes, fids):
            client.log_artifact(run_id, str(Path(scratch, FILM)))


def logged_epochs(client: MlflowClient, run_id: str) -> set[int]:
    """Epochs whose grid the run has."""
    epochs = (grid_epoch(file.path) for file in client.list_artifacts(run_id, GRIDS))
    return {epoch for epoch in epochs if epoch is not None}
