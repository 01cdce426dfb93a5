"""Who won, in words."""

from __future__ import annotations

from analysis.study.table import StudyTable
from analysis.study.trials import assessed, winners


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
