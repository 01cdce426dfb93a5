"""FID of every trial as it trained.

Shows where ASHA compared trials, how many got to each rung, and the curve with the least FID at its
end.
"""

from __future__ import annotations

import argparse

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import (
    OTHER,
    STYLES,
    Drawn,
    canvas,
    clean,
    fid_axis,
    in_order,
    words,
    yardstick,
)
from analysis.study.rungs import at_rung, axis, rungs
from analysis.study.table import StudyTable
from analysis.study.trials import lowest_fid


def draw(table: StudyTable) -> Figure:
    """The figure."""
    figure = canvas(8.5, 5.2)
    ax = figure.add_subplot()
    along = axis(table)
    curves = dict(list(table.curves.sort_values(along).groupby("number")))
    for status in in_order(table.trials):
        mark, colour = STYLES.get(status, OTHER)
        numbers = [n for n in table.trials.number[table.trials.status == status] if n in curves]
        for number in numbers:
            curve = curves[number]
            ax.plot(curve[along], curve["fid"], color=colour, linewidth=0.9, alpha=0.55, zorder=2)
            ax.plot(
                curve[along].iloc[-1:], curve["fid"].iloc[-1:], mark, color=colour, markersize=5,
                markeredgecolor="white", markeredgewidth=0.5, zorder=3,
            )  # fmt: skip
        if numbers:
            ax.plot([], [], mark, color=colour, label=f"{words(status)} ({len(numbers)})")
    best = lowest_fid(table)
    if best is not None:
        curve = curves[best]
        ax.plot(
            curve[along], curve["fid"], color="black", linewidth=2, zorder=4,
            label=f"trial {best}, the lowest final FID",
        )  # fmt: skip
    fid_axis(ax, table.curves["fid"], yardstick(table))
    _mark_rungs(ax, table)
    ax.set_xlim(left=0)
    ax.set_xlabel("epoch" if along == "epoch" else "training time / s")
    ax.set_ylabel(f"{table.score}\nlower is better", fontsize=9)
    ax.set_title(f"{table.name}: FID of each trial as it trained\n", loc="left")
    clean(ax)
    figure.legend(loc="outside lower left", ncols=3, frameon=False, fontsize=9)
    return figure


def summary(table: StudyTable) -> str:
    """How many trials got to each rung."""
    counts = [f"{rung:g}: {len(at_rung(table, rung).observed)}" for rung in rungs(table)]
    unit = "epoch" if axis(table) == "epoch" else "second"
    return f"trials that got to {unit} {', '.join(counts)}; of {len(table.trials)}"


def _mark_rungs(ax: Axes, table: StudyTable) -> None:
    """A line at each rung, with how many trials got there."""
    for rung in rungs(table):
        ax.axvline(rung, color="0.55", linewidth=0.9, linestyle=":", zorder=1)
        ax.annotate(
            f"{len(at_rung(table, rung).observed)} trials", (rung, 1), ha="center", fontsize=8,
            xycoords=ax.get_xaxis_transform(), xytext=(0, 3), textcoords="offset points",
            color="0.25",
        )  # fmt: skip


def drawn(table: StudyTable, _: argparse.Namespace) -> Drawn:
    """The figure of `python -m analysis.learning_curves`."""
    return Drawn(draw(table), [summary(table)])
