"""What image quality costs in training time.

Draws each trial's last FID against the seconds it trained, the best FID to be had within a given
time (the Pareto front), and what the scores are held against.
"""

from __future__ import annotations

import argparse
from collections import Counter
from itertools import cycle

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.ticker import StrMethodFormatter

from analysis.figures.style import (
    GREEN,
    OTHER,
    STYLES,
    Drawn,
    canvas,
    clean,
    fid_axis,
    in_order,
    plain_log,
    words,
    yardstick,
)
from analysis.study.importance import searched, values_of
from analysis.study.table import StudyTable
from analysis.study.trials import feasible
from trainable.basics.wording import format_duration
from trainable.trial.pareto import first_front

_WIDE = 20.0
"""Times that span more than this factor are on a logarithmic axis."""
_PLACES = [(x * far, y * far) for far in (9, 20, 32) for y in (1, -1) for x in (1, -1)]
"""Where a label may stand, in points from its mark."""


def draw(table: StudyTable, within: float | None = None) -> Figure:
    """The figure, with what does best in so many seconds of training, if given."""
    figure = canvas(8.5, 5.2)
    ax = figure.add_subplot()
    scored = table.trials.dropna(subset=["fid", "train_seconds"])
    for status in in_order(scored):
        mark, colour = STYLES.get(status, OTHER)
        group = scored[scored["status"] == status]
        ax.scatter(
            group["train_seconds"], group["fid"], s=42, marker=mark, color=colour, zorder=3,
            linewidths=0.6, edgecolors="white", label=f"{words(status)} ({len(group)})",
        )  # fmt: skip
    winners = scored.dropna(subset=["winner"]).sort_values("winner")
    if len(winners):
        ax.scatter(
            winners["train_seconds"], winners["fid"], s=130, marker="o", facecolors="none",
            edgecolors="black", linewidths=1.2, zorder=4, label="winner, with its trial's number",
        )  # fmt: skip
    _scale(ax, table, scored)
    _draw_fronts(ax, feasible(table, "train_seconds"))
    if within is not None:
        _draw_limit(ax, table, within)
    ax.set_xlabel("training time of the trial / s")
    ax.set_ylabel(f"{table.score}\nlower is better", fontsize=9)
    ax.set_title(f"{table.name}: last FID of each trial against its training time", loc="left")
    clean(ax)
    unscored = table.trials.drop(index=scored.index)
    if len(unscored):
        counts = Counter(unscored["status"])
        said = ", ".join(f"{counts[status]} {words(status)}" for status in in_order(unscored))
        ax.plot([], [], " ", label=f"not shown, as without a score: {said}")
    figure.legend(loc="outside lower left", ncols=3, frameon=False, fontsize=9)
    _label(figure, ax, scored, winners)
    return figure


def summary(table: StudyTable) -> str:
    """The trial of the least last FID, which need not be the winner, and the fastest whose FID is
    within 10 % of its."""
    trials = feasible(table, "train_seconds")
    if trials.empty:
        return "every trial with a score broke down"
    best = trials.sort_values("fid", kind="stable").iloc[0]
    near = pd.DataFrame(trials[trials["fid"] <= 1.1 * best["fid"]])
    fastest = near.sort_values("train_seconds", kind="stable").iloc[0]
    said = (
        f"lowest final {table.score}: {best['fid']:.1f}, trial {best['number']}, {_seconds(best)}"
    )
    if fastest["number"] == best["number"]:
        said += "; no trial within 10 % of it is faster"
    else:
        said += f"; the fastest within 10 % of it: {fastest['fid']:.1f}, "
        said += f"trial {fastest['number']}, {_seconds(fastest)}"
    counts = Counter(trials["device"])
    if len(counts) > 1:
        kinds = ", ".join(f"{n} on {kind or 'unknown'}" for kind, n in counts.most_common())
        said += f". Training times are only comparable on one device: {kinds}"
    return said


def best_within(table: StudyTable, within: float) -> tuple[float, int, int, float] | None:
    """FID, number, epoch and seconds of the best evaluation in so many seconds of training."""
    sound = set(feasible(table, "train_seconds")["number"])
    columns = (table.curves[c] for c in ("fid", "number", "epoch", "train_seconds"))
    reached = [row for row in zip(*columns, strict=True) if row[1] in sound and row[3] <= within]
    return min(reached, default=None)


def recommended(table: StudyTable, within: float) -> str:
    """The trial of `best_within`, and in what it differs from others."""
    limit = format_duration(within)
    best = best_within(table, within)
    if best is None:
        return f"no trial had a score within {limit}"
    fid, number, epoch, seconds = best
    own = {name: values_of(table, name).get(number) for name in searched(table)}
    said = ", ".join(f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}"
                     for k, v in own.items() if v is not None)  # fmt: skip
    return (
        f"within {limit}: trial {number}, FID {fid:.1f} at epoch {epoch} after {_exact(seconds)}"
        + (f" ({said})" if said else "")
    )


def _seconds(row: pd.Series) -> str:
    return f"trained {_exact(row.to_dict()['train_seconds'])}"


def _exact(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


def _scale(ax: Axes, table: StudyTable, scored: pd.DataFrame) -> None:
    """Fix both axes to what is to be seen; time is logarithmic where it spans much."""
    fid_axis(ax, scored["fid"], yardstick(table))
    seconds = [s for s in scored["train_seconds"] if s > 0]
    low, high = min(seconds, default=1.0), max(seconds, default=1.0)
    if high / low > _WIDE:
        plain_log(ax, "x")
        ax.set_xlim(low / 1.25, high * 1.25)
    else:
        ax.set_xlim(0, 1.08 * high)
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.6g}"))


def _draw_fronts(ax: Axes, trials: pd.DataFrame) -> None:
    """The best FID within each time, as steps, the last one to the edge; for each device its own,
    as a second of one is not a second of another."""
    kinds = sorted(set(trials["device"]))
    for kind, style in zip(kinds, cycle(("-", "--", "-.", ":")), strict=False):
        points = trials.loc[trials["device"] == kind, ["train_seconds", "fid"]].to_numpy()
        x, y = points[first_front(points)].T.tolist()
        where = f" on {kind}" if len(kinds) > 1 else ""
        ax.plot(
            [*x, ax.get_xlim()[1]], [*y, y[-1]], drawstyle="steps-post", color="0.35",
            linewidth=1.3, linestyle=style, zorder=2,
            label=f"Pareto front{where}: best within that time",
        )  # fmt: skip


def _draw_limit(ax: Axes, table: StudyTable, within: float) -> None:
    """A line at the time limit, and a star where the best evaluation before it stands."""
    limit = format_duration(within)
    ax.axvline(within, color=GREEN, linewidth=1.2, zorder=1)
    best = best_within(table, within)
    said = f"within {limit}: none"
    if best is not None:
        fid, number, epoch, seconds = best
        said = f"best within {limit}: trial {number} at epoch {epoch}"
        ax.plot(
            [seconds], [fid], marker="*", markersize=15, color=GREEN, markeredgecolor="white",
            linestyle="", zorder=5, label=said,
        )  # fmt: skip
    else:
        ax.plot([], [], color=GREEN, linewidth=1.2, label=said)


def _label(figure: Figure, ax: Axes, scored: pd.DataFrame, winners: pd.DataFrame) -> None:
    """Write each winner's number beside it, where it hides least."""
    figure.draw_without_rendering()  # places everything, which overlaps are judged by
    renderer = figure.canvas.get_renderer()  # pyright: ignore[reportAttributeAccessIssue]
    marks = ax.transData.transform(scored[["train_seconds", "fid"]].to_numpy())
    lines = [line.get_path().transformed(line.get_transform()) for line in ax.lines]
    taken = [text.get_window_extent(renderer) for text in ax.texts]
    for _, winner in winners.iterrows():
        tries = []
        for dx, dy in _PLACES:
            text = ax.annotate(
                f"trial {winner['number']}", (winner["train_seconds"], winner["fid"]),
                xytext=(dx, dy), textcoords="offset points", fontsize=9, fontweight="bold",
                ha="left" if dx > 0 else "right", va="bottom" if dy > 0 else "top", zorder=5,
                path_effects=[withStroke(linewidth=2.5, foreground="white")],
                arrowprops={"arrowstyle": "-", "linewidth": 0.7, "shrinkB": 5.5},
            )  # fmt: skip
            text.update_positions(renderer)
            box = Text.get_window_extent(text, renderer)  # of the words, without the line to them
            cost = 2 * sum(box.padded(6).contains(*mark) for mark in marks)
            cost += sum(path.intersects_bbox(box, filled=False) for path in lines if len(path))
            cost += 3 * sum(box.overlaps(other) for other in taken)
            cost += 3 * (not all(ax.bbox.contains(*corner) for corner in (box.min, box.max)))
            tries.append((cost + abs(dx) / 20, len(tries), text, box))
        best = min(tries, key=lambda t: t[:2])
        taken.append(best[3])
        for _, _, text, _ in tries:
            if text is not best[2]:
                text.remove()


def drawn(table: StudyTable, args: argparse.Namespace) -> Drawn:
    """The figure of `python -m analysis.fid_vs_time`."""
    within = args.within
    said = [summary(table)] + ([] if within is None else [recommended(table, within)])
    return Drawn(draw(table, within), said)
