"""Winners' artifacts, and the champion in MLflow's registry, loadable without this project.

mlflow.pyfunc.load_model("models:/NAME@champion").predict(
    pd.DataFrame({"class": ["normal", "pneumonia"], "seed": [1, 2]}))
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from search.study.trial_files import fetch
from search.tracking.flat import by_class
from search.tracking.projection import connect
from search.tracking.sample_grids import KEPT, log_film, log_grids, logged_epochs
from trainable.data.film import PICTURE
from trainable.data.sheets import grid_files, spread
from trainable.generators.export import CONFIG, EXPORTED, WEIGHTS
from trainable.generators.weights_file import GeneratorRecord
from trainable.metrics.intervals import Interval
from trainable.tracking.client import find_experiment, search_runs
from trainable.tracking.names import (
    BEST,
    BEST_FID,
    EXPERIMENT,
    FAILED,
    FRESH_IMAGES,
    GATES_FAILED,
    RANK,
    STUDY,
    TIE,
    WEIGHTS_SHA256,
    WINNER,
    afresh_interval,
)

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import Model
    from mlflow.tracking import MlflowClient

_LONGEST = 5000  # letters, in MLflow's tables
ALIAS = "champion"
_MODEL = Path(__file__).with_name("champion_model.py")


@dataclass(frozen=True)
class Verdict:
    """What a trial's run says of how it was assessed.

    Attributes:
        rank: its place among all that were assessed, from 1.
        scores: metrics of the assessment, by name.
        failed: the gates that it does not pass, in words; a winner has none.
        tie: whether it cannot be told from the best.
        afresh: FID of trainings of its configuration that chose nothing.
        curve: FID by epoch.
    """

    rank: int
    scores: Mapping[str, float]
    failed: tuple[str, ...] = ()
    tie: bool = False
    afresh: Sequence[Interval] = ()
    curve: Mapping[int, float] = field(default_factory=dict)


def log_winner(uri: str, run_id: str, trial: Path, exported: Path, verdict: Verdict) -> None:
    """Keep an assessed trial's generator, sample grids, the film of them and new scores in its run.

    `trial` is the trial's folder, `exported` what `export_generator` wrote. Doing it again replaces
    files and scores. A grid's step is its epoch, so that MLflow's page steps through training.
    """
    client = connect(uri)
    for name in (EXPORTED, WEIGHTS, CONFIG):
        client.log_artifact(run_id, str(exported / name))
    classes = _classes(exported)
    for name, value in by_class(verdict.scores, classes).items():
        client.log_metric(run_id, name, value)
    for step, fid in enumerate(verdict.afresh, start=1):
        for end, value in asdict(fid).items():
            client.log_metric(run_id, afresh_interval(end), value, step=step)
    fetch(trial, "*.png")
    files = grid_files(trial)
    epochs = spread(sorted(files), KEPT)
    log_grids(client, run_id, trial, epochs, logged_epochs(client, run_id))
    log_film(client, run_id, files, classes, verdict.curve)
    client.set_tag(run_id, FAILED, "; ".join(verdict.failed)[:_LONGEST])
    if not verdict.failed:
        client.set_tag(run_id, WINNER, verdict.rank)
    client.set_tag(run_id, RANK, verdict.rank)
    client.set_tag(run_id, TIE, verdict.tie)


def log_best(
    uri: str, run_id: str | None, exported: Path | None, scores: Mapping[str, float]
) -> None:
    """Have the study's run say how good its champion is, and show it; `exported` is None without
    one. What an earlier champion had and this one lacks becomes NaN: MLflow keeps all metrics."""
    if run_id is None:
        return
    client = connect(uri)
    told = {
        f"{BEST}{name}": value
        for name, value in scores.items()
        if "/" not in name and name not in (GATES_FAILED, FRESH_IMAGES)
    }
    there = client.get_run(run_id).data.metrics
    stale = {name for name in there if name.startswith(BEST) and name != BEST_FID} - told.keys()
    for name, value in (told | dict.fromkeys(stale, math.nan)).items():
        client.log_metric(run_id, name, value)
    picture = exported and exported / PICTURE
    if picture and picture.exists():
        from PIL import Image

        with Image.open(picture) as shown:
            client.log_image(run_id, shown, artifact_file="best.png")


def _classes(exported: Path) -> list[str]:
    """Of the generator that `export_generator` wrote."""
    return json.loads((exported / CONFIG).read_text())["classes"]


def clear_winners(uri: str, study_key: str) -> None:
    """Take the marks of winners and of all that were assessed off every run of a study, before a
    resumed search sets new ones."""
    client = connect(uri)
    experiment = find_experiment(client, EXPERIMENT, uri)
    if experiment is None:
        return
    for mark in (WINNER, FAILED, RANK, TIE):
        marked = f"tags.`{STUDY}` = '{study_key}' AND tags.`{mark}` LIKE '%'"
        for run in search_runs(client, experiment.experiment_id, marked):
            client.delete_tag(run.info.run_id, mark)


def register_champion(
    uri: str, run_id: str, exported: Path, model_name: str, description: str
) -> str:
    """Log the generator as a model of run `run_id` and register it; returns its version.

    `exported` is what `export_generator` wrote; of a long `description` the end is cut off. The
    alias moves to the new version; if it marks these very weights already, nothing is done.
    """
    client = connect(uri)
    digest = hashlib.sha256((exported / WEIGHTS).read_bytes()).hexdigest()
    champion = _champion(client, model_name)
    if champion is not None and (champion.run_id, champion.tags.get(WEIGHTS_SHA256)) == (
        run_id,
        digest,
    ):
        return str(champion.version)
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model

    # Step by step through the client: log_model would write to the process-wide tracking URI and
    # experiment, reopen the run and move its end time.
    experiment = client.get_run(run_id).info.experiment_id
    logged = client.create_logged_model(experiment, "generator", source_run_id=run_id)
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        model = Model(
            artifact_path=logged.artifact_location, run_id=run_id, model_id=logged.model_id
        )
        _save_model(folder, exported, model)
        client.log_model_artifacts(logged.model_id, str(folder))
    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    try:
        client.create_registered_model(model_name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    # The location itself: a models:/ source would be looked up at the process-wide tracking URI.
    version = client.create_model_version(
        model_name, logged.artifact_location, run_id=run_id, model_id=logged.model_id,
        tags={WEIGHTS_SHA256: digest}, description=description[:_LONGEST],
    ).version  # fmt: skip
    client.set_registered_model_alias(model_name, ALIAS, str(version))
    return str(version)


def withdraw_champion(uri: str, model_name: str, study_key: str) -> None:
    """Take the alias off a version that a run of this study made; the version itself stays."""
    client = connect(uri)
    champion = _champion(client, model_name)
    if champion is not None and _made_by(client, champion) == study_key:
        client.delete_registered_model_alias(model_name, ALIAS)


def champion_of_another(uri: str, model_name: str, study_key: str) -> str | None:
    """The version that has the alias, if another study of that name made it."""
    client = connect(uri)
    champion = _champion(client, model_name)
    if champion is None or _made_by(client, champion) in (None, study_key):
        return None
    return str(champion.version)


def _made_by(client: MlflowClient, version: ModelVersion) -> str | None:
    """The key of the study whose run made it; None where no run is named, or it is gone."""
    from mlflow.exceptions import MlflowException

    try:
        return version.run_id and client.get_run(version.run_id).data.tags.get(STUDY)
    except MlflowException:
        return None


def _champion(client: MlflowClient, model_name: str) -> ModelVersion | None:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(model_name, ALIAS)
    except MlflowException:
        return None


def _save_model(folder: Path, exported: Path, model: Model) -> None:
    """Write the model's files: our code as it is, the generator, and what it needs installed."""
    import mlflow
    import numpy as np
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    about: GeneratorRecord = json.loads((exported / CONFIG).read_text())
    size, channels = about["task"]["image_size"], about["task"]["channels"]
    shape = (-1, size, size) if channels == 1 else (-1, size, size, channels)
    packages = ("torch", "numpy", "pandas")
    mlflow.pyfunc.save_model(
        folder,
        python_model=str(_MODEL),
        artifacts={"generator": str(exported / EXPORTED), "config": str(exported / CONFIG)},
        mlflow_model=model,
        signature=ModelSignature(
            Schema([ColSpec("string", "class"), ColSpec("long", "seed")]),
            Schema([TensorSpec(np.dtype(np.uint8), shape)]),
        ),
        input_example=pd.DataFrame({"class": about["classes"], "seed": 0}),
        pip_requirements=[f"{name}=={metadata.version(name).split('+')[0]}" for name in packages],
    )
