"""Which of a study's trials count: those that trained, the best, the winners.

A winner was scored again on fresh images and passed the gates against copies, sameness and noise.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.study.table import StudyTable
from trainable.trial.report import Status

BROKEN = tuple(status.value for status in Status if status.infeasible)
"""Statuses of trials whose configuration is at fault."""


def feasible(table: StudyTable, *scores: str) -> pd.DataFrame:
    """The trials that did not break down and have an FID, and the other `scores`, which are columns
    of `StudyTable.trials`."""
    known = np.isfinite(table.trials[["fid", *scores]].to_numpy(float)).all(axis=1)
    return pd.DataFrame(table.trials[known & ~table.trials["status"].isin(BROKEN)])


def lowest_fid(table: StudyTable) -> int | None:
    """The number of the trial whose last FID is least, of those that did not break down."""
    trials = feasible(table)
    rows = zip(trials["fid"], trials["number"].tolist(), strict=True)
    return min(rows, default=(0.0, None))[1]


def assessed(table: StudyTable) -> list[int]:
    """The trials that were scored on fresh images, winners first, by rank."""
    known = pd.DataFrame(table.trials[table.trials["failed"].notna()])
    # Earlier versions ranked winners alone.
    return known.sort_values(["winner", "rank", "fresh", "number"])["number"].tolist()


def winners(table: StudyTable) -> list[int]:
    """The trials that passed the gates, by rank."""
    return table.trials.dropna(subset=["winner"]).sort_values("winner")["number"].tolist()


def best(table: StudyTable) -> tuple[int, str] | None:
    """The first winner; without one the best on fresh images, and without these by last FID: its
    number, and which of these it is. None if every trial broke down."""
    if won := winners(table):
        return won[0], "the winner"
    if tried := assessed(table):
        return tried[0], "the best on fresh images, but not a winner"
    last = lowest_fid(table)
    return None if last is None else (last, "the lowest final FID, but not a winner")
