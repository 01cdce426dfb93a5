"""An augmentation study's findings as text: rich tables for the terminal, Markdown for a page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich import box
from rich.table import Table

from analysis.augmentation.findings.results import SCORES, Comparison, Findings
from analysis.augmentation.findings.statistics import Estimate

Rows = tuple[list[str], list[list[str]]]
"""A table's head and its rows."""


def score_rows(findings: Findings, reach: float) -> Rows:
    """A row for each size, arm and ratio; `reach` is the accuracy that steps are counted to."""
    head = ["real", "arm", "ratio", "repeats", *SCORES.values(), f"steps to {reach:.0%}"]
    rows = []
    for arm in findings.arms():
        size, ratio, name = arm
        steps = findings.median_steps(arm, reach)
        rows.append([
            str(size), name, f"{ratio:g}" if ratio else "",
            str(len(findings.values(arm, "accuracy"))),
            *(_percent(findings.estimate(arm, score)) for score in SCORES),
            "never" if math.isinf(steps) else f"{steps:.0f}",
        ])  # fmt: skip
    return head, rows


def comparison_rows(comparisons: Sequence[Comparison]) -> Rows:
    """A row for each comparison, points of accuracy."""
    head = ["real", "ratio", "arm", "against", "points of accuracy", "95 %", "p", "p adjusted"]
    rows = []
    for c in comparisons:
        mean, low, high = (100 * value for value in c.difference)
        ratio = f"{c.ratio:g}" if c.ratio else ""
        rows.append([
            str(c.size), ratio, c.second, c.first, f"{mean:+.1f}",
            f"{low:+.1f} to {high:+.1f}", f"{c.p:.3f}", f"{c.adjusted:.3f}",
        ])  # fmt: skip
    return head, rows


def as_table(title: str, rows: Rows) -> Table:
    """For a terminal."""
    head, body = rows
    table = Table(*head, title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for row in body:
        table.add_row(*row)
    return table


def as_markdown(rows: Rows) -> str:
    """For a page."""
    head, body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _percent(estimate: Estimate) -> str:
    half = 100 * (estimate.high - estimate.mean)
    mean = f"{100 * estimate.mean:.1f}"
    return mean if math.isnan(half) else f"{mean} ± {half:.1f}"
