"""What matters, and which way.

Above, each hyperparameter's importance for FID, at the first rung, which every trial was to reach,
and at the last that enough reached, if trials were stopped by the same score. Below, FID at the
first rung and seconds an epoch against the values of the most important ones. Printed are these,
and rank correlations with FID at the first rung. Scores after different amounts of training are
never compared.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from optuna.distributions import CategoricalDistribution

from analysis.figures.style import BLUE, GREEN, ORANGE, Drawn, canvas, clean, plain_log
from analysis.study.directions import directions
from analysis.study.importance import (
    Importances,
    check_differ,
    common_rungs,
    importances,
    is_log,
    searched,
    too_few,
    values_of,
)
from analysis.study.rungs import at, at_rung, by_classifier, rungs, stopped_by_another
from analysis.study.table import StudyTable
from spaces.errors import InputError

SHOWN, EFFECTS, SAID = 12, 4, 5
_BINS = 5
"""Groups of equal size in which the middle of a numerical effect is drawn."""


def found(table: StudyTable, seed: int = 0) -> list[Importances]:
    """The importances at the first rung and, if it is another, at the last.

    Raises:
        InputError: there are too few trials to say anything, or none that differ.
    """
    check_differ(table)
    both = [importances(table, rung, seed=seed) for rung in sorted(set(common_rungs(table)))]
    if both[0] is None:
        raise InputError(f"--study {table.name}: {too_few(table, 'its hyperparameters')}")
    return [one for one in both if one is not None]


def draw(table: StudyTable, seed: int = 0, score: str = "FID") -> Figure:
    """The figure; `score` is what FID here is."""
    both = found(table, seed)
    names = list(both[0].by_name)
    effects = names[:EFFECTS]
    figure = canvas(10, 10.5)
    above, below = np.asarray(figure.subfigures(2, 1, height_ratios=[1.05, 1]))
    axes = above.subplots(1, len(both), sharey=True, squeeze=False)[0]
    for ax, one, colour in zip(axes, both, (BLUE, ORANGE), strict=False):
        _draw_importances(ax, table, one, names[:SHOWN], colour)
    above.suptitle(
        f"{table.name}: share of importance for "
        f"{table.score if score == 'FID' else score}\nPED-ANOVA with 95 % intervals; "
        "hollow marks: chance would give the largest of all as much",
        x=0.01, ha="left",
    )  # fmt: skip
    seen = at_rung(table, both[0].rung).observed
    grid = below.subplots(2, len(effects), sharey="row", squeeze=False)
    for name, column in zip(effects, grid.T, strict=True):
        _draw_effect(column[0], table, name, seen, BLUE)
        _draw_effect(column[1], table, name, _epoch_seconds(table), GREEN)
        column[1].set_xlabel(name)
    where = at(table, both[0].rung)
    grid[0, 0].set_ylabel(f"{score}\n{where}, lower is better")
    grid[1, 0].set_ylabel("seconds an epoch")
    for row in grid if score == "FID" else grid[1:]:  # an error may be 0, and be the best there is
        plain_log(row[0])
    below.suptitle(
        "each dot is a trial; the line is the median, over a fifth of the trials at a time or "
        f"per choice; {score}, of all trials {where}",
        x=0.01, ha="left", fontsize=9,
    )  # fmt: skip
    return figure


def summary(table: StudyTable, seed: int = 0, score: str = "FID") -> list[str]:
    """The most important hyperparameters at each rung, and which way they go at the first, in
    lines."""
    lines, both = [], found(table, seed)
    for one in both:
        said = ", ".join(
            f"{name} {of.share:.0%} ({of.low:.0%} to {of.high:.0%})"
            for name, of in list(one.by_name.items())[:SAID]
            if not of.chance
        )
        lines.append(
            f"{at(table, one.rung)}, {one.observed} of {one.trials} trials, good are the best "
            f"{one.good}: {said or 'nothing beyond chance'}"
        )
    if (other := stopped_by_another(table)) and len(rungs(table)) > 1:
        lines[0] += f"; only the first rung counts, as ASHA stopped trials by --objective {other}"
    rung = both[0].rung
    if (ways := directions(table, rung, seed=seed)) is not None:
        said = ", ".join(
            f"{way.name} {way.rho:+.2f} ({way.low:+.2f} to {way.high:+.2f})" for way in ways[:SAID]
        )
        lines.append(
            f"rank correlation with {score} {at(table, rung)}, + for worse: "
            f"{said or 'none beyond chance'}"
        )
    return lines


def _draw_importances(
    ax: Axes, table: StudyTable, one: Importances, names: list[str], colour: str
) -> None:
    for i, name in enumerate(names):
        of = one.by_name[name]
        # A resampled interval need not hold the estimate itself.
        errors = [[max(0, of.share - of.low)], [max(0, of.high - of.share)]]
        ax.errorbar(
            of.share, i, xerr=errors, fmt="o", color=colour, capsize=2.5, linewidth=1.2,
            markerfacecolor="white" if of.chance else colour,
        )  # fmt: skip
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlim(left=0)
    ax.xaxis.set_major_formatter(lambda x, _: f"{100 * x:g} %")
    ax.set_title(
        f"{at(table, one.rung)}: {one.observed} of {one.trials} trials got there,\n"
        f"good are the best {one.good}",
        fontsize=9, loc="left",
    )  # fmt: skip
    clean(ax)


def _epoch_seconds(table: StudyTable) -> pd.Series:
    """Seconds an epoch by the trial's number."""
    seconds = zip(
        table.trials["number"], table.trials["train_seconds"], table.trials["epoch"], strict=True
    )
    return pd.Series({number: spent / epoch for number, spent, epoch in seconds}).dropna()


def _draw_effect(ax: Axes, table: StudyTable, name: str, y: pd.Series, colour: str) -> None:
    kind = searched(table)[name]
    x = values_of(table, name)
    both = pd.DataFrame({"x": x, "y": y}).dropna()
    if isinstance(kind, CategoricalDistribution):
        options = list(kind.choices)
        place = both.x.map(options.index).astype(float)
        jitter = np.random.default_rng(0).uniform(-0.18, 0.18, len(both))
        ax.plot(place + jitter, both.y, "o", color=colour, markersize=3, alpha=0.5)
        for i in range(len(options)):
            group = both.y[place == i]
            if len(group):
                ax.plot([i - 0.3, i + 0.3], [group.median()] * 2, color="black", linewidth=1.8)
        labels = [str(option) for option in options]
        slanted = {"rotation": 30, "ha": "right"} if len("".join(labels)) > 14 else {}
        ax.set_xticks(range(len(options)), labels, **slanted)
    else:
        places = both.x.astype(float)
        ax.plot(places, both.y, "o", color=colour, markersize=3, alpha=0.5)
        order = both.assign(x=places).sort_values("x", kind="stable")
        few = places.nunique() <= _BINS
        parts = order.x if few else np.arange(len(order)) * _BINS // max(1, len(order))
        middles = order.groupby(np.asarray(parts)).median()
        ax.plot(middles.x, middles.y, color="black", linewidth=1.8)
        if few and not is_log(kind):
            ax.set_xticks(sorted(places.unique()))
        if is_log(kind):
            ax.set_xscale("log")
            narrow = math.log10(places.max() / places.min()) < 2
            ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if narrow else (1.0,)))
            ax.xaxis.set_minor_formatter(NullFormatter())
            ax.xaxis.set_major_formatter(lambda v, _: f"{v:.3g}")
    clean(ax)


def drawn(table: StudyTable, args: argparse.Namespace) -> Drawn:
    """The figure of `python -m analysis.hyperparameters`."""
    if args.score == "classifier":
        table = by_classifier(table)
        score = "classifiers' error"
        return Drawn(draw(table, score=f"{score}, %"), summary(table, score=score))
    return Drawn(draw(table), summary(table))
