"""What a search calls things in MLflow: for `search`, which writes them, and for all who read them.

Stores of before are read by these names, so that none of them may ever change.
"""

from __future__ import annotations

import re

EXPERIMENT = "cgan-search"
"""Of all searches."""

# Tags of the parent run and of every child.
STUDY = "cgan.study"  # the study's name and id, NAME-0123456789ab
VERSION = "cgan.version"
PARENT_RUN = "mlflow.parentRunId"  # MLflow's own, on children only
NOTE = "mlflow.note.content"

# Tags of the parent run.
PROTOCOL = "protocol"
DATA = "cgan.data"  # the start of the images' digest
OF_PATIENTS = "cgan.of_patients"

# Tags of children.
TRIAL = "cgan.trial"  # the trial's number
EPOCH = "cgan.epoch"  # the last one whose report was written
STATUS = "status"
REASON = "reason"
DEVICE = "device"
PRUNED_AT = "pruned_at"

# Tags, and a metric, of those that were assessed.
WINNER = "cgan.winner"  # the rank, from 1
RANK = "cgan.rank"  # among all that were assessed, winners first
FAILED = "cgan.failed_gates"  # in words; empty for winners
TIE = "cgan.tie"  # whether it cannot be told from the best
GATES_FAILED = "gates_failed"  # the metric: how many
WEIGHTS_SHA256 = "cgan.weights_sha256"  # on versions of a registered model, not on runs

BEST = "best/"
"""What the parent's metrics of its champion begin with; ``best/trial`` is its number."""
BEST_FID = f"{BEST}fid"
"""The parent's metric: the lowest FID of complete trials as the search went on."""
IMPROVEMENT = ("improvement", "improvement_low", "improvement_high", "improvement_p")
"""Metrics: by how much the winner's FID is less than the default's, as a share of that, the ends of
its 95 % interval, and its p; all of trainings that chose nothing."""

GRIDS = "images"
"""The folder among a run's artifacts where MLflow puts its images."""
GRID = "samples"
"""The key under which sample grids are logged, with their epoch as the step."""


def grid_epoch(path: str) -> int | None:
    """The epoch of a sample grid among a run's artifacts; None if the file is none.

    MLflow puts the step into an image's file name, between signs that depend on the store.
    """
    match = re.search(rf"{GRID}.step.(\d+).", path)
    return int(match[1]) if match else None


def trials_metric(status: str) -> str:
    """The parent's metric: how many trials have that status."""
    return f"trials/{status}"


FRESH_IMAGES = "fresh_images"
"""The metric: on how many images in all the scores of `fresh_score` are."""


def fresh_score(score: str) -> str:
    """The metric of a score of all fresh images at once."""
    return f"fresh/{score}"


def gate_limit(score: str) -> str:
    """The metric of a gate's limit, where the study's own default moved it."""
    return f"limit/{score}"


def fresh_interval(score: str, end: str) -> str:
    """The metric of a score on fresh images; `end` is ``mean``, ``low`` or ``high``."""
    return f"fresh_{score}_{end}"


def afresh_interval(end: str) -> str:
    """The metric, likewise, of FID after trainings that chose nothing: a step each, from 1."""
    return f"afresh_fid_{end}"


def study_name(key: str) -> str:
    """The study's name: what the tag `STUDY` holds, without the id."""
    return re.sub(r"-[0-9a-f]{12}$", "", key)
