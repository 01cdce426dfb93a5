"""Who won, in words."""

from __future__ import annotations

import math

from analysis.study.table import StudyTable
from analysis.study.trials import assessed, winners
from trainable.tracking.names import IMPROVEMENT


def _ties(table: StudyTable, won: list[int]) -> str:
    """Which other winners may be as good, as far as one training of each tells."""
    tied = [n for n in won if n in set(table.trials["number"][table.trials["tie"]])]
    if not tied:
        return ""
    named = f"{'trial' if len(tied) == 1 else 'trials'} {', '.join(map(str, tied))}"
    return f" From one training of each it cannot be distinguished from {named}."


def _improvement(table: StudyTable, number: int) -> str:
    """By how much the trial's configuration is better than the default, if that is known."""
    row = table.trials.set_index("number").loc[number]
    share, low, high, p = (float(row[name]) for name in IMPROVEMENT)
    if not math.isfinite(low):
        return ""
    return (
        f" With both trained afresh, its configuration has an FID {abs(share):.1%} "
        f"{'below' if share > 0 else 'above'} the default's (improvement {low:.1%} to {high:.1%} "
        f"at 95 %, p {p:.2g})."
    )


def verdict(table: StudyTable) -> str:
    """Who won, in a sentence; or that nobody did, and why."""
    tried, won = assessed(table), winners(table)
    if won:
        return (
            f"Trial {won[0]} is the winner: of {len(tried)} scored on fresh images, {len(won)} "
            f"passed the gates, and it ranks first.{_ties(table, won)}{_improvement(table, won[0])}"
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
