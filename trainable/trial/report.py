"""What a trial says of itself: its reports, its status, its place and its seed. Needs no torch."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Final, NotRequired, TypedDict, TypeGuard

GOALS = ("objective", "objective_2")
"""Keys of a report under which the goals of an `Objective` stand, as many as it has."""
CAS: Final = "cas"
"""Key of the classification accuracy score, where images are held back."""

SPENT = "the time budget has run out"
ASKED = "it was asked to stop"
RESOURCES = ("epoch", "seconds")
LONGEST = 10**9
"""Epochs, or seconds of training, of a trial."""


class Status(StrEnum):
    """How a trial stands. Never a sentinel score."""

    RUNNING = "running"
    COMPLETE = "complete"  # trained to its last epoch
    PRUNED = "pruned"  # stopped by ASHA at a rung, or by its own time limit
    DIVERGED = "diverged"  # a loss, weight or score was no finite number
    COLLAPSED = "collapsed"  # a class's images became all alike
    OUT_OF_MEMORY = "out_of_memory"
    FAILED = "failed"  # crashed or hung, retries included
    INTERRUPTED = "interrupted"  # stopped with the search; a resumed search takes it up again

    @property
    def infeasible(self) -> bool:
        """Whether the configuration itself is at fault."""
        return self in (Status.DIVERGED, Status.COLLAPSED, Status.OUT_OF_MEMORY)


class Report(TypedDict):
    """How a trial stands after an evaluation, or at an end without one.

    Keys:
        resource: how much of what trials are given it has had: epochs or seconds.
        epoch, images_seen: how far it has trained.
        status: a `Status`.
        reason: why it has that status, if there is more to say.
        train_seconds, eval_seconds: spent so far, former attempts included.
        device: the device's name, of a trial that was built.
        gpu_memory_mb: of a GPU, the most memory that the trial's process held there.
    """

    resource: int
    epoch: int
    status: str
    images_seen: int
    train_seconds: float
    eval_seconds: float
    device: NotRequired[str]
    gpu_memory_mb: NotRequired[int]
    reason: NotRequired[str]


class ScoredReport(Report):
    """The report of an evaluation.

    Here are the scores that are read by name. All others stand beside them, with the mean losses:
    who goes through them takes the report as a mapping.

    Keys:
        objective, objective_2: what the search minimises, the second if it has two goals.
        fid, kid, copy_rate, diversity, cas: see `trainable.trial.evaluation.Evaluator.scores`.
    """

    objective: float
    objective_2: NotRequired[float]
    fid: float
    kid: float
    copy_rate: float
    diversity: float
    cas: NotRequired[float]


def has_scores(report: Report) -> TypeGuard[ScoredReport]:
    """Whether a report is that of an evaluation; of a breakdown there are no scores."""
    return GOALS[0] in report


def trial_folder(trials: Path, number: int) -> Path:
    """Where trial `number` keeps its files."""
    return trials / f"{number:05d}"


def trial_seed(study_seed: int, number: int) -> int:
    """The seed of trial `number`: independent between trials, and kept when a study resumes."""
    import numpy as np  # a fifth of a second, which flags need not wait for

    return int(np.random.SeedSequence([study_seed, number]).generate_state(1)[0])
