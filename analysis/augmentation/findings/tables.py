"""An augmentation study's findings as tables: for the terminal, for a page, and as CSV files."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from rich import box
from rich.table import Table

from analysis.augmentation.classifier.scores import steps_to
from analysis.augmentation.design.cells import COMPLETE, Cell, Result
from analysis.augmentation.findings.claims import Claim
from analysis.augmentation.findings.crossover import crossover
from analysis.augmentation.findings.results import SCORES, Comparison, Findings, Rate
from analysis.augmentation.findings.statistics import Estimate

TABLE, CLAIMS, COMPARISONS, CROSSOVERS = (
    "cells.csv", "claims.csv", "comparisons.csv", "crossovers.csv"
)  # fmt: skip

ON_PAGE_ONLY = ("repeats", *(SCORES[name] for name in (
    "balanced_accuracy", "sensitivity", "specificity", "specificity_at_90", "ece"
)))  # fmt: skip
"""Columns of scores that follow from others, or that few ask for; 80 columns do not hold all."""

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


def claim_rows(claims: Sequence[Claim]) -> Rows:
    """A row for each claim, points of accuracy."""
    head = ["real", "ratio", "arm", "hardest control", "points over it", "95 %", "p adjusted",
            "verdict"]  # fmt: skip
    verdicts = {1: "helps", -1: "harms", 0: "not told"}
    return head, [
        [str(c.size), f"{c.ratio:g}", c.arm, c.against, *_points(c.gain), f"{c.adjusted:.3f}",
         verdicts[c.told]]
        for c in claims
    ]  # fmt: skip


def comparison_rows(comparisons: Sequence[Comparison]) -> Rows:
    """A row for each comparison, points of accuracy."""
    head = ["real", "ratio", "arm", "against", "points of accuracy", "95 %", "p"]
    return head, [
        [str(c.size), f"{c.ratio:g}" if c.ratio else "", c.second, c.first,
         *_points(c.difference), f"{c.p:.3f}"]
        for c in comparisons
    ]  # fmt: skip


def rate_rows(rates: Sequence[Rate]) -> Rows:
    """A row for each ratio of steps."""
    head = ["real", "ratio", "arm", "against", "times its steps", "95 %"]
    return head, [
        [str(r.size), f"{r.ratio:g}", r.second, r.first, f"{r.times.mean:.2f}",
         f"{r.times.low:.2f} to {r.times.high:.2f}"]
        for r in rates
    ]  # fmt: skip


def as_table(title: str, rows: Rows, without: Collection[str] = ()) -> Table:
    """For a terminal, where names of arms may break, figures may not; `without` are heads of
    columns that it has no room for."""
    head, body = rows
    shown = [i for i, name in enumerate(head) if name not in without]
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False
    )
    for i in shown:
        words = head[i] in ("arm", "against", "hardest control", "verdict")
        table.add_column(
            re.sub(" (error|to|of accuracy|over it|adjusted|control|at 90 %)", r"\n\1", head[i]),
            justify="left" if words else "right", no_wrap=not words, overflow="fold",
        )  # fmt: skip
    for row in body:
        table.add_row(*(row[i] for i in shown))
    return table


def as_markdown(rows: Rows) -> str:
    """For a page."""
    head, body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def write_table(folder: Path, results: Mapping[Cell, Result], reach: float) -> Path:
    """All cells' scores, a row each; ``steps`` are those to the accuracy `reach`."""
    complete = [result for result in results.values() if result["status"] == COMPLETE]
    names = sorted({name for result in complete for name in result["scores"]})
    path = folder / TABLE
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        facts_of = ("size", "ratio", "arm", "repeat", "status", "generator", "images", "best_step")
        out.writerow((*facts_of, "steps", "sigma", "threshold", "seconds", *names))
        for cell, result in sorted(results.items()):
            facts: list[object] = [cell.size, cell.ratio, cell.arm, cell.repeat, result["status"]]
            if result["status"] == COMPLETE:
                facts += [result["generator"], result["images"], result["best_step"]]
                steps = steps_to(result["history"], reach)
                facts += ["" if math.isinf(steps) else f"{steps:.0f}", result["sigma"]]
                facts += [result["threshold"], f"{result['seconds']:.2f}"]
                facts += [f"{result['scores'][name]:.6f}" for name in names]
            out.writerow(facts)
    return path


def write_comparisons(folder: Path, findings: Findings) -> list[Path]:
    """Claims, comparisons of two arms, and crossovers; differences are shares of images."""
    tables: dict[str, tuple[Sequence[str], list[Sequence[object]]]] = {
        CLAIMS: (
            ("size", "ratio", "arm", "against", "gain", "low", "high", "ceiling", "p",
             "p_adjusted", "told"),
            [(c.size, c.ratio, c.arm, c.against, *_short(*c.gain, c.ceiling, c.p, c.adjusted),
              c.told) for c in findings.claims],
        ),
        COMPARISONS: (
            ("size", "ratio", "arm", "against", "repeats", "difference", "low", "high", "p"),
            [(c.size, c.ratio, c.second, c.first, c.repeats, *_short(*c.difference, c.p))
             for c in findings.comparisons],
        ),
        CROSSOVERS: (
            ("ratio", "size", "low", "high", "share", "helps_below", "changes"),
            [(ratio, *(crossover(sorted(gains), gains) or [""] * 6))
             for ratio, gains in findings.gains.items()],
        ),
    }  # fmt: skip
    for name, (head, rows) in tables.items():
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([head, *rows])
    return [folder / name for name in tables]


def _points(estimate: Estimate) -> list[str]:
    mean, low, high = (100 * value for value in estimate)
    return [f"{mean:+.1f}", "unknown" if math.isnan(low) else f"{low:+.1f} to {high:+.1f}"]


def _short(*figures: float) -> list[str]:
    return [f"{figure:.6g}" for figure in figures]


def _percent(estimate: Estimate) -> str:
    half = 100 * (estimate.high - estimate.mean)
    mean = f"{100 * estimate.mean:.1f}"
    return mean if math.isnan(half) else f"{mean} ± {half:.1f}"
