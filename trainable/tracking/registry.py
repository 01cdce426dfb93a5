"""What a single run fetches from MLflow: a trial to replay, a generator to begin with.

MLflow is imported only when it is asked: a machine without it trains too.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spaces.errors import InputError
from spaces.task import Params
from trainable.basics.addresses import without_password
from trainable.basics.terminal import command
from trainable.gan.config import TrialConfig
from trainable.gan.fields import parsed
from trainable.generators.export import WEIGHTS
from trainable.generators.saved import SavedGenerator
from trainable.tracking.client import (
    MODELS,
    check_generator,
    check_tracking,
    find_experiment,
    quiet_mlflow,
    reason,
    search_runs,
)
from trainable.tracking.names import (
    EXPERIMENT,
    FAILED,
    PARENT_RUN,
    RANK,
    STUDY,
    TRIAL,
    WEIGHTS_SHA256,
    WINNER,
    study_name,
)

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient


@dataclass(frozen=True)
class Recorded:
    """A trial as MLflow has it.

    Attributes:
        params: its configuration.
        number: its number in its study.
        study: the study's own settings, as text.
    """

    params: Params
    number: int
    study: dict[str, str]


def load_generator(source: str, uri: str, flag: str = "--init-from") -> SavedGenerator:
    """The generator that the flag names as `source`: a weights file, or ``models:/NAME@ALIAS`` or
    ``models:/NAME/VERSION`` in the tracking store `uri`.

    Raises:
        InputError: there is none, or its weights are not those that were registered.
    """
    check_generator(flag, source, uri)
    if not source.startswith(MODELS):
        return SavedGenerator.read(source, Path(source), flag)
    client = _client(uri, f"{flag} {source}")
    name, _, alias = source.removeprefix(MODELS).partition("@")
    name, _, number = name.partition("/")
    try:
        version = (
            client.get_model_version_by_alias(name, alias)
            if alias
            else client.get_model_version(name, number)
        )
        with tempfile.TemporaryDirectory() as scratch:
            weights = Path(client.download_artifacts(str(version.run_id), WEIGHTS, scratch))
            start = SavedGenerator.read(source, weights, flag)
    except InputError:
        raise
    except Exception as error:  # MLflow's stores fail in many ways
        if instead := _instead(client, name, flag):
            raise InputError(f"{flag} {source}: {instead}") from error
        raise InputError(
            f"{flag} {source} is not available from {_said(uri, error)}; see the registered "
            "models with cgan-search ui, or name another store with --tracking-uri"
        ) from error
    wanted = version.tags.get(WEIGHTS_SHA256)
    if wanted != start.sha256:
        raise InputError(
            f"{flag} {source}: the weights have SHA-256 {start.sha256[:12]}…, but "
            f"{str(wanted)[:12]}… was registered; the file has changed since"
        )
    return start


def no_winner(study: str, run: Run, flag: str) -> str:
    """Why a study has no winner, and what `flag` may be given instead: the generator of `run`, the
    best that was assessed."""
    artifacts = str(run.info.artifact_uri)
    if artifacts.startswith("file:") or "://" not in artifacts:
        from mlflow.utils.file_utils import local_file_uri_to_path

        kept = f"is {command(flag, Path(local_file_uri_to_path(artifacts), WEIGHTS))}"
    else:
        kept = f"is {WEIGHTS} among the artifacts of its run {run.info.run_id}"
    trial, failed = run.data.tags[TRIAL], run.data.tags.get(FAILED, "a gate")
    return (
        f"no trial of study {study} passed the gates, so there is no winner; the best on fresh "
        f"images, trial {trial}, fails: {failed}. Its generator {kept}"
    )


def _instead(client: MlflowClient, study: str, flag: str) -> str | None:
    """What `no_winner` says of the newest study of that name; None if it has a winner, or none was
    assessed."""
    try:
        experiment = find_experiment(client, EXPERIMENT, "")
        if experiment is None:
            return None
        assessed = search_runs(client, experiment.experiment_id, f"tags.`{RANK}` LIKE '%'")
    except Exception:
        return None  # the store's own fault is what the caller says
    runs = [run for run in assessed if study_name(run.data.tags.get(STUDY, "")) == study]
    runs = [run for run in runs if run.data.tags[STUDY] == runs[-1].data.tags[STUDY]]
    if not runs or any(WINNER in run.data.tags for run in runs):
        return None
    best = min(runs, key=lambda run: int(run.data.tags[RANK]))
    return no_winner(study, best, flag)


def read_trial(run_id: str, uri: str) -> Recorded:
    """The trial that MLflow keeps as run `run_id`.

    Raises:
        InputError: there is no such run, or it is no trial.
    """
    client = _client(uri, f"--trial {run_id}")
    try:
        run = client.get_run(run_id).data
        parent = run.tags.get(PARENT_RUN)
        study = client.get_run(parent).data.params if parent else {}
    except Exception as error:
        raise InputError(
            f"--trial {run_id} is not available from {_said(uri, error)}; copy a run's id from "
            "cgan-search ui, or name another store with --tracking-uri"
        ) from error
    if TRIAL not in run.tags or "seed" not in study:
        raise InputError(
            f"--trial {run_id} is not a trial of a search; give the id of a run named trial-…"
        )
    params = parsed(TrialConfig, run.params)
    return Recorded(params, int(run.tags[TRIAL]), study)


def _said(uri: str, error: Exception) -> str:
    """The store and what is wrong with it, in a line."""
    return f"{without_password(uri)}: {reason(error)}"


def _client(uri: str, flag: str) -> MlflowClient:
    """A client of a store that is there."""
    check_tracking(uri)
    quiet_mlflow()
    try:
        from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise InputError(f"{flag} needs the package mlflow: pip install mlflow") from error
    return MlflowClient(uri, uri)
