"""What a study was trained on, as MLflow's pages show data sets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from search.study.config import StudyConfig

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_DIGITS = 36
"""Of a digest, as much as MLflow takes; the profile has all of it."""


def log_data(
    client: MlflowClient, run_id: str, config: StudyConfig, counts: Mapping[str, int]
) -> str:
    """Log name, digest and counts by class of a study's images to its run; returns the digest.

    Here alone MLflow has the classes by their true names, in the order of the study's own indices.
    MLflow keeps the first record of a digest, so it must hold what follows from the images alone.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    profile = {
        "counts": dict(counts),
        "image_size": config.image_size,
        **config.identity.reading.settings,
        "digest": config.data_digest,
    }
    digest = config.data_digest[:_DIGITS]
    source = json.dumps({"uri": config.data})
    data = Dataset(
        Path(config.data).name or "root", digest, "local", source, None, json.dumps(profile)
    )
    client.log_inputs(run_id, [DatasetInput(data, [InputTag("mlflow.data.context", "training")])])
    return digest
