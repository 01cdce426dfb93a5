"""Studies of the same images side by side.

Left, the best FID that each study had within a training time; right, where its trials ended, and
what its winners score on fresh images, if it has any, with 95 % intervals: those of one generator
each. What is said of two studies' winners allows for the noise between trainings of one
configuration as well.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from statistics import geometric_mean

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console

from analysis.figures.style import (
    BLUE,
    GREEN,
    ORANGE,
    RED,
    Yardmark,
    canvas,
    clean,
    fid_axis,
    plain_log,
    save,
)
from analysis.study.rows import FRESH
from analysis.study.table import StudyTable, load_study
from analysis.study.trials import feasible, winners
from analysis.study.verdict import verdict
from spaces.errors import InputError
from trainable.basics.progress import stage
from trainable.basics.terminal import say
from trainable.metrics.intervals import Interval
from trainable.metrics.seed_noise import ratio
from trainable.trial.pareto import first_front

COLOURS = (BLUE, ORANGE, GREEN, RED, "#CC79A7", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", ":")


def check(tables: Sequence[StudyTable]) -> list[str]:
    """What the reader should know of a comparison of these studies.

    Raises:
        InputError: their scores do not compare.
    """
    first = tables[0]
    for other in tables[1:]:
        if (other.protocol, other.n_generated) != (first.protocol, first.n_generated):
            raise InputError(
                f"{first.name} is scored by {first.score} and {other.name} by {other.score}; "
                "scores of different protocols are not comparable"
            )
    notes = [table.note for table in tables if table.note]
    for key, what in (("data_digest", "images"), ("image_size", "image sizes")):
        if len({table.settings.get(key) for table in tables}) > 1:
            notes.append(f"these studies had different {what}: compare their scores with care")
            break
    return notes


def draw(tables: Sequence[StudyTable]) -> Figure:
    """The figure."""
    figure = canvas(10.5, 4.8)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.35, 1])
    for i, table in enumerate(tables):
        colour, line = COLOURS[i % len(COLOURS)], LINES[i % len(LINES)]
        _draw_front(left, table, colour, line)
        _draw_trials(right, table, i, colour)
    shown = [fid for table in tables for fid in feasible(table, "train_seconds")["fid"]]
    for ax in (left, right):
        named = {table.floor: f"floor {table.floor:.1f}" * (ax is left) for table in tables}
        fid_axis(ax, shown, [Yardmark(fid, (0, (1, 2)), text) for fid, text in named.items()])
    if all(value > 0 for value in left.get_xlim()):
        plain_log(left, "x")
    left.set_xlabel("training time of the trial / s")
    left.set_ylabel(f"{tables[0].score}\nlower is better", fontsize=9)
    left.set_title("best within a training time", loc="left", fontsize=10)
    right.set_xticks(range(len(tables)), [table.name for table in tables], rotation=15, ha="right")
    right.set_xlim(-0.6, len(tables) - 0.4)
    bars = (
        "bars: winners, on fresh images"
        if any(map(fresh_fids, tables))
        else "no study has a winner"
    )
    right.set_title(f"last score of each trial; {bars}", loc="left", fontsize=10)
    for ax in (left, right):
        clean(ax)
    left.legend(frameon=False, fontsize=9)
    return figure


def _draw_front(ax: Axes, table: StudyTable, colour: str, line: str) -> None:
    """Of all evaluations, not only of trials' last ones."""
    known = table.curves.dropna(subset=["train_seconds", "fid"])
    sound = known["number"].isin(feasible(table, "train_seconds")["number"])
    points = known.loc[sound, ["train_seconds", "fid"]].to_numpy()
    if len(points):
        x, y = points[first_front(points)].T.tolist()
        ax.plot(
            [*x, points[:, 0].max()], [*y, y[-1]], line, drawstyle="steps-post", color=colour,
            linewidth=1.8, label=f"{table.name}: {len(table.trials)} trials",
        )  # fmt: skip


def _draw_trials(ax: Axes, table: StudyTable, place: int, colour: str) -> None:
    trials = feasible(table, "train_seconds")
    spread = np.random.default_rng(0).uniform(-0.3, 0.02, len(trials))
    ax.plot(place + spread, trials["fid"], "o", color=colour, markersize=3.5, alpha=0.45)
    for k, (mean, low, high) in enumerate(fresh_fids(table)):
        ax.errorbar(
            place + 0.14 + 0.06 * k, mean, [[mean - low], [high - mean]], fmt="_", color="black",
            capsize=2.5, linewidth=1.3,
        )  # fmt: skip


def fresh_fids(table: StudyTable) -> list[tuple[float, float, float]]:
    """Mean and 95 % interval of each winner's FID on fresh images, the first winner first."""
    trials = table.trials.dropna(subset=["winner", "fresh"]).sort_values("winner")
    return list(zip(*(trials[name].tolist() for name in FRESH), strict=True))


def summary(table: StudyTable) -> str:
    """A study's best, in a line."""
    trials = feasible(table, "train_seconds")
    if trials.empty:
        return f"{table.name}: every trial with a score broke down"
    best = min(zip(trials["fid"], trials["number"], strict=True))
    fresh = fresh_fids(table)
    return (
        f"{table.name}: {len(table.trials)} trials, {trials['train_seconds'].sum() / 3600:.2f} h "
        f"of training; lowest final FID {best[0]:.1f} (trial {best[1]})"
        + (f"; first winner on fresh images {fresh[0][0]:.1f} "
           f"({fresh[0][1]:.1f} to {fresh[0][2]:.1f})" if fresh else "")
        + ("" if winners(table) else f". {verdict(table)}")
    )  # fmt: skip


def told(tables: Sequence[StudyTable]) -> list[str]:
    """Whether the first winner of each study can be told from the best of them, a line each.

    None if their real images differ, and with them what an FID means.
    """
    if len({_images(table) for table in tables}) > 1:
        return []
    first = {table.name: found for table in tables if (found := _trainings(table))}
    best = min(first, key=lambda name: _middle(first[name]), default="")
    once = [table.name for table in tables if table.name in first and not _afresh(table)]
    chosen = f"; that of {' and '.join(once)} was chosen for its score" if once else ""
    lines = []
    pairs = math.comb(len(first), 2)  # which of them are looked at, the scores themselves say
    for name in first.keys() - {best}:
        apart = ratio(first[best], first[name], comparisons=pairs)
        said = "higher FID than" if apart.low > 1 else "FID not distinguishable from"
        lines.append(
            f"{name}: first winner has a {said} that of {best}: {apart.mean:.2f} times it, from "
            f"{apart.low:.2f} to {apart.high:.2f} for other trainings of the same configurations "
            f"({len(first[name])} against {len(first[best])}{chosen})"
        )
    return sorted(lines)


def _middle(fids: Sequence[Interval]) -> float:
    """What `ratio` compares: the geometric mean; 0 where an FID is no more than that."""
    means = [fid.mean for fid in fids]
    return geometric_mean(means) if min(means) > 0 else 0.0


def _trainings(table: StudyTable) -> list[Interval]:
    """FID of the first winner's configuration: of its trainings afresh if there are any, else of
    the one that was chosen for it, which flatters it; none without a winner that has a score."""
    return _afresh(table) or [
        Interval(low, high, mean)
        for mean, low, high in fresh_fids(table)[:1] if math.isfinite(mean)
    ]  # fmt: skip


def _afresh(table: StudyTable) -> list[Interval]:
    """FID of each training afresh of the first winner's configuration."""
    trials = table.trials.set_index("number")
    return [fid for number in winners(table)[:1] for fid in trials.loc[number, "afresh"]]


def _images(table: StudyTable) -> tuple[object, ...]:
    return tuple(table.settings.get(key) for key in ("data_digest", "image_size"))


def compare(args: argparse.Namespace, console: Console) -> None:
    """Read the studies, draw, write, and say.

    Raises:
        InputError: a study cannot be read, or their scores do not compare.
    """
    tables = []
    for name in args.studies:
        with stage(console, f"reading trials of {name}") as progress:
            tables.append(load_study(name, args.tracking_uri, progress))
    notes = check(tables)
    with stage(console, "drawing"):
        paths = save(draw(tables), args.out, "compare")
    for line in [*notes, *paths, *map(summary, tables), *told(tables)]:
        say(console, str(line))
