"""Who won, and what may be said of the best where nobody did.

A winner was scored again on fresh images and passed the gates against copies, sameness and noise.
"""

from __future__ import annotations

import pandas as pd

from analysis.figures.learning_curves import best_trial
from analysis.study.table import StudyTable


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
    last = best_trial(table)
    return None if last is None else (last, "the lowest final FID, but not a winner")


def _ties(table: StudyTable, won: list[int]) -> str:
    """Which other winners may be as good, as far as one training of each tells."""
    tied = [n for n in won if n in set(table.trials["number"][table.trials["tie"]])]
    if not tied:
        return ""
    named = f"{'trial' if len(tied) == 1 else 'trials'} {', '.join(map(str, tied))}"
    return f" From one training of each it cannot be distinguished from {named}."


def verdict(table: StudyTable) -> str:
    """Who won, in a sentence; or that nobody did, and why."""
    tried, won = assessed(table), winners(table)
    if won:
        return (
            f"Trial {won[0]} is the winner: of {len(tried)} scored on fresh images, {len(won)} "
            f"passed the gates, and it ranks first.{_ties(table, won)}"
        )
    if not tried:
        return (
            "There is no winner: no trial was scored on fresh images, which happens when a "
            "search ends."
        )
    failed = dict(zip(table.trials["number"], table.trials["failed"], strict=True))
    return (
        f"There is no winner: none of the {len(tried)} trials scored on fresh images passed the "
        f"gates. The best of them, trial {tried[0]}, fails: {failed[tried[0]]}."
    )
