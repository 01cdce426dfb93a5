"""What a trial says of itself: its reports, its status, its place and its seed. Needs no torch."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any

Report = dict[str, Any]
"""What an evaluation says: ``resource`` (how much of what trials are given it has had: epochs or
seconds), epoch, status and, unless the trial broke down, its scores and the ``objective`` that the
search minimises; of two, ``objective_2`` is the other."""
GOALS = ("objective", "objective_2")
"""Keys of a report under which the goals of an `Objective` stand, as many as it has."""
CAS = "cas"
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


def trial_folder(trials: Path, number: int) -> Path:
    """Where trial `number` keeps its files."""
    return trials / f"{number:05d}"


def trial_seed(study_seed: int, number: int) -> int:
    """The seed of trial `number`: independent between trials, and kept when a study resumes."""
    import numpy as np  # a fifth of a second, which flags need not wait for

    return int(np.random.SeedSequence([study_seed, number]).generate_state(1)[0])
