"""Do the best by FID make the best classifier?

FID against the error of classifiers that learned from generated images and are tested on real ones
that no generator saw (1 less the classification accuracy score): all trials, the Pareto front of
those that no other beats in both, the best of each side by side, and how far the two rankings
agree at the first rung. For studies that held images back: ``--objective classifier`` does, or
``--hold-back``.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from analysis.figures.style import OTHER, STYLES, Drawn, canvas, clean, in_order, plain_log, words
from analysis.study.artifacts import fetch_grids
from analysis.study.directions import spearman
from analysis.study.rungs import at, first_at, no_classifier, rungs
from analysis.study.table import StudyTable
from analysis.study.trials import feasible
from spaces.errors import InputError
from trainable.trial.pareto import first_front

_FEWEST = 4
"""Trials below which no rank correlation is said."""
_DRAWS = 2000
_AT_ONCE = 100  # of these, as each has a row a trial


@dataclass(frozen=True)
class Agreement:
    """How far two rankings of the same trials agree.

    Attributes:
        trials: how many they rank.
        rho: Spearman's rank correlation of FID and the classifier's error, 1 for equal rankings.
        low, high: its 95 % interval over resampled trials; NaN where most samples have none.
    """

    trials: int
    rho: float
    low: float
    high: float


Row = dict[str, Any]
"""A row of `StudyTable.trials`, with ``error``: 1 less ``cas``."""


def scored(table: StudyTable) -> list[Row]:
    """The trials that have both scores and did not break down.

    Raises:
        InputError: there are none.
    """
    trials: list[Row] = feasible(table, "cas").to_dict("records")
    rows = [{**row, "error": 1 - row["cas"]} for row in trials]
    if not rows and float(table.settings.get("hold_back", 0)) > 0:
        raise InputError(
            f"--study {table.name}: no trial has both scores, so there is nothing to compare"
        )
    if not rows:
        raise no_classifier(table)
    return rows


def front(rows: Sequence[Row]) -> list[Row]:
    """The trials that no other beats in both, by FID."""
    points = np.array([[row["fid"], row["error"]] for row in rows])
    return [rows[i] for i in first_front(points)]


def agreement(fid: ArrayLike, error: ArrayLike, seed: int = 0) -> Agreement | None:
    """Of two scores of the same trials, lower being better in both; None for too few trials, or if
    one score is the same in all."""
    pairs = np.column_stack([fid, error]).astype(float)
    if len(pairs) < _FEWEST or min(len(np.unique(column)) for column in pairs.T) < 2:
        return None
    rng = np.random.default_rng(seed)
    size = (_AT_ONCE, len(pairs))
    drawn = (pairs[rng.integers(len(pairs), size=size)] for _ in range(_DRAWS // _AT_ONCE))
    known = np.concatenate([spearman(*np.moveaxis(samples, -1, 0)) for samples in drawn])
    known = known[np.isfinite(known)]  # not where a score is the same in all
    ends = np.quantile(known, [0.025, 0.975]) if len(known) > _DRAWS // 2 else [math.nan] * 2
    return Agreement(len(pairs), float(spearman(*pairs.T)), float(ends[0]), float(ends[1]))


def agreed(table: StudyTable) -> str:
    """How far the rankings agree at the first rung.

    At later rungs are the trials that were let through for these very scores. Among those a
    correlation is another one than among all, below zero where the two have nothing in common.
    """
    rung, sound = rungs(table)[0], {row["number"] for row in scored(table)}
    fids, shares = first_at(table, rung, "fid"), first_at(table, rung, "cas")
    both = [n for n in fids if n in sound and not math.isnan(shares[n])]
    found = agreement([fids[n] for n in both], [1 - shares[n] for n in both])
    if found is None:
        why = (
            f"too few trials ({len(both)})"
            if len(both) < _FEWEST
            else "one score is the same in all"
        )
        return f"{at(table, rung)}: the rankings cannot be compared, {why}"
    return (
        f"{at(table, rung)}: rank correlation of FID and the classifier's error "
        f"{found.rho:.2f} ({found.low:.2f} to {found.high:.2f}), {found.trials} trials"
    )


def best(rows: Sequence[Row]) -> dict[str, Row]:
    """The best trial by FID and the best by the classifier.

    Of complete trials and winners if there are any: a pruned trial may be one of the winners, but
    the least error of many pruned ones is luck.
    """
    rows = [r for r in rows if r["status"] == "complete" or not math.isnan(r["fresh"])] or rows
    return {
        "by FID": min(rows, key=lambda row: (row["fid"], row["error"], row["number"])),
        "by classifier": min(rows, key=lambda row: (row["error"], row["fid"], row["number"])),
    }


def _fails(row: Row) -> bool:
    """Whether it is known to fail a gate, of which only those that were assessed are known."""
    return isinstance(row["failed"], str) and row["failed"] != ""


def draw(table: StudyTable) -> Figure:
    """The figure.

    Raises:
        InputError: no trial has both scores, or MLflow's files cannot be read.
    """
    figure = canvas(11.5, 5.2)
    rows = scored(table)
    parts = figure.add_gridspec(2, 2, width_ratios=[1.25, 1])
    _scatter(figure.add_subplot(parts[:, 0]), table, rows)
    for place, (how, row) in enumerate(best(rows).items()):
        _pictures(figure.add_subplot(parts[place, 1]), table, how, row)
    figure.legend(loc="outside lower left", ncols=4, frameon=False, fontsize=9)
    return figure


def _points(rows: Sequence[Row]) -> tuple[list[float], list[float]]:
    """FID, and errors in percent."""
    return [row["fid"] for row in rows], [100 * row["error"] for row in rows]


def _scatter(ax: Axes, table: StudyTable, rows: Sequence[Row]) -> None:
    for status in in_order(table.trials):
        mark, colour = STYLES.get(status, OTHER)
        own = [row for row in rows if row["status"] == status]
        if not own:
            continue
        ax.plot(
            *_points(own), mark, color=colour, markersize=6,
            markeredgecolor="white", markeredgewidth=0.5, label=f"{words(status)} ({len(own)})",
        )  # fmt: skip
    first = front(rows)
    ax.plot(
        *_points(first), "-", color="black", linewidth=1.2, drawstyle="steps-post",
        label="Pareto front", zorder=1,
    )  # fmt: skip
    for row, x, y in zip(first, *_points(first), strict=True):
        ax.annotate(
            str(row["number"]), (x, y), xytext=(5, 5), textcoords="offset points", fontsize=8
        )
    if math.isfinite(table.real_cas):
        real = 100 * (1 - table.real_cas)
        ax.axhline(
            real, linestyle="--", color="0.25", linewidth=1.2,
            label=f"classifiers of the real training images: {real:.0f} %",
        )  # fmt: skip
    plain_log(ax, "x")
    ax.set_xlabel(f"{table.score}; lower is better")
    ax.set_ylabel("error of classifiers of generated images\non real images held back, %")
    ax.set_title(f"{table.name}: last evaluation of each trial", loc="left", fontsize=10)
    clean(ax)


def _pictures(ax: Axes, table: StudyTable, how: str, row: Row) -> None:
    ax.set_title(
        f"best {how}: trial {row['number']}, FID {row['fid']:.1f}, error "
        f"{100 * row['error']:.0f} %" + (", fails a gate" if _fails(row) else ""),
        fontsize=10,
    )
    ax.axis("off")
    grids = fetch_grids(table, row["number"])
    if not grids:
        ax.text(0.5, 0.5, "MLflow has no images of it", ha="center", va="center")
        return
    picture = grids[max(grids)]
    # With its limits: grey would be stretched to what the picture has.
    ax.imshow(picture, cmap="gray" if picture.mode == "L" else None, vmin=0, vmax=255)


def summary(table: StudyTable) -> list[str]:
    """The best by each score, the front, and the agreement, a line each."""
    rows = scored(table)
    lines = []
    for how, row in best(rows).items():
        said = f"best {how}: trial {row['number']}, FID {row['fid']:.1f}, error {row['error']:.1%}"
        if not math.isnan(row["fresh"]) and not math.isnan(row["fresh_cas"]):
            said += f"; on fresh images FID {row['fresh']:.1f}, error {1 - row['fresh_cas']:.1%}"
        lines.append(said + (f"; it fails: {row['failed']}" if _fails(row) else ""))
    numbers = ", ".join(str(row["number"]) for row in front(rows))
    return [*lines, f"Pareto front, in order of FID: trials {numbers}", agreed(table)]


def drawn(table: StudyTable, args: argparse.Namespace) -> Drawn:
    """The figure of `python -m analysis.objectives`."""
    return Drawn(draw(table), summary(table))
