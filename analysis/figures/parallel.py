"""Which configurations the good trials have.

An axis for each of the most important hyperparameters, a line for each trial, coloured by its FID
at the first rung, where all trials had trained equally long; the best tenth there is strong. Who is
best there need not be so in the end: the winner is drawn in black.
"""

from __future__ import annotations

import argparse
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Line
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from optuna.distributions import BaseDistribution, CategoricalDistribution

from analysis.figures.style import Drawn, canvas
from analysis.study.importance import check_differ, importances, is_log, searched, values_of
from analysis.study.rungs import at, at_rung, rungs
from analysis.study.table import StudyTable
from analysis.study.trials import best
from spaces.errors import InputError

AXES = 9
BEST = 0.1
"""The share of trials that is drawn strong."""
_FEW = 6
"""Values of a number that all get a mark."""
_ABSENT = -0.13
"""Where a trial goes that lacks the hyperparameter: below the axis."""


def chosen(table: StudyTable) -> list[str]:
    """The hyperparameters that get an axis: the most important, or the first by name.

    Raises:
        InputError: none differs between trials.
    """
    names = check_differ(table)
    found = importances(table, rungs(table)[0])
    return (list(found.by_name) if found else names)[:AXES]


def draw(table: StudyTable) -> Figure:
    """The figure."""
    names, kinds, rung = chosen(table), searched(table), rungs(table)[0]
    fid = at_rung(table, rung).observed.sort_values(ascending=False)  # the best on top
    if fid.empty:
        raise InputError(f"--study {table.name}: no trial has a score {at(table, rung)} yet")
    norm = LogNorm(fid.min(), max(fid.max(), fid.min() * 1.01))
    colours = colormaps["viridis"]
    figure = canvas(max(7.0, 1.35 * len(names) + 1.5), 5.6)
    ax = figure.add_subplot()
    heights = {name: _heights(table, name, kinds[name]) for name in names}
    limit = fid.quantile(BEST)
    for number, value in _numbered(fid):
        points = [(float(i), heights[name].get(number, _ABSENT)) for i, name in enumerate(names)]
        strong = value <= limit
        ax.add_patch(
            PathPatch(
                _curve(points), facecolor="none", edgecolor=colours(norm(value)),
                linewidth=1.8 if strong else 0.8, alpha=0.95 if strong else 0.3,
                zorder=3 if strong else 2,
            )
        )  # fmt: skip
    found = best(table)
    if found:
        points = [(float(i), heights[name].get(found[0], _ABSENT)) for i, name in enumerate(names)]
        ax.add_patch(
            PathPatch(
                _curve(points), facecolor="none", edgecolor="black", linestyle="--", linewidth=1.6,
                zorder=3.5,
            )
        )  # fmt: skip
    for i, name in enumerate(names):
        _draw_axis(ax, i, kinds[name], name, values_of(table, name).unique().tolist())
    absent = any(set(fid.index) - set(of) for of in heights.values())
    if absent:
        ax.text(-0.06, _ABSENT, "not used", ha="right", va="center", fontsize=8)
    ax.set_xlim(-0.3, len(names) - 0.55)
    ax.set_ylim((_ABSENT if absent else 0) - 0.05, 1.04)
    ax.axis("off")
    ax.set_title(
        f"{table.name}: {len(fid)} trials; strong: the best tenth {at(table, rung)}"
        + (f"\nblack: trial {found[0]}, {found[1]}" if found else ""),
        loc="left", pad=26, fontsize=10,
    )  # fmt: skip
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=ax, fraction=0.025, pad=0.02)
    bar.set_label(f"{table.score} {at(table, rung)}", fontsize=8)
    bar.ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    bar.ax.yaxis.set_major_formatter(StrMethodFormatter("{x:,.6g}"))
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    return figure


def _heights(table: StudyTable, name: str, kind: BaseDistribution) -> dict[int, float]:
    """Where each trial crosses the axis, from 0 to 1."""
    values = values_of(table, name)
    if isinstance(kind, CategoricalDistribution):
        places = {option: i for i, option in enumerate(kind.choices)}
        rng = np.random.default_rng(0)  # apart, so that lines of one choice can be told
        wide = 0.5 / len(places)
        return {
            n: _place(places[v], 0, len(places) - 1) * (1 - wide) + wide * rng.uniform(0.3, 0.7)
            for n, v in _numbered(values)
        }
    low, high = _ends(kind)
    scale = math.log if is_log(kind) else float
    return {n: _place(scale(v), scale(low), scale(high)) for n, v in _numbered(values)}


def _numbered(values: pd.Series) -> list[tuple[int, Any]]:
    """Trial numbers and values."""
    return list(zip(values.index.tolist(), values.tolist(), strict=True))


def _place(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5


def _ends(kind: BaseDistribution) -> tuple[float, float]:
    return kind.low, kind.high  # pyright: ignore[reportAttributeAccessIssue]


def _curve(points: list[tuple[float, float]]) -> Line:
    """A smooth line through the points, level where it crosses an axis."""
    vertices, codes = [points[0]], [Line.MOVETO]
    for (x0, y0), (x1, y1) in pairwise(points):
        vertices += [(x0 + 0.4, y0), (x1 - 0.4, y1), (x1, y1)]
        codes += [Line.CURVE4] * 3
    return Line(vertices, codes)


def _draw_axis(ax: Axes, i: int, kind: BaseDistribution, name: str, values: list[Any]) -> None:
    ax.plot([i, i], [0, 1], color="black", linewidth=1, zorder=4)
    ax.text(i, 1.02, name, ha="center", va="bottom", fontsize=8, fontweight="bold", rotation=12)
    if isinstance(kind, CategoricalDistribution):
        wide = 0.5 / len(kind.choices)
        marks = [
            (_place(k, 0, len(kind.choices) - 1) * (1 - wide) + wide / 2, str(option))
            for k, option in enumerate(kind.choices)
        ]
    else:
        low, high = _ends(kind)
        scale = math.log if is_log(kind) else float
        if len(values) > _FEW:
            values = [low, math.sqrt(low * high) if is_log(kind) else (low + high) / 2, high]
        marks = [(_place(scale(v), scale(low), scale(high)), f"{v:.3g}") for v in values]
    for y, text in marks:
        ax.text(
            i + 0.04, y, text, fontsize=7, va="center", zorder=5,
            bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.8},
        )  # fmt: skip


def drawn(table: StudyTable, _: argparse.Namespace) -> Drawn:
    """The figure of `python -m analysis.parallel`."""
    return Drawn(draw(table))
