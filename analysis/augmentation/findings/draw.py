"""The figures of an augmentation study."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.augmentation.design.arms import (
    ADDED,
    AGAIN,
    ALONE,
    ARMS,
    BLURRED,
    BLURRED_ALONE,
    BOTH,
    CLASSICAL,
    CONTROLS,
    DUPLICATES,
    EARLY,
    MIXUP,
    ORACLE,
    REAL,
    SELECTED,
    SOFTENED,
)
from analysis.augmentation.findings.results import Arm, Findings
from analysis.figures.style import BLUE, GREEN, ORANGE, RED, canvas, clean

_SKY, _YELLOW, _PINK = "#56B4E9", "#E0C800", "#CC79A7"
STYLES = {
    REAL: ("o", "#000000", "-"),
    CLASSICAL: ("^", "#000000", "--"),
    MIXUP: ("P", "#000000", ":"),
    ADDED: ("s", BLUE, "-"),
    DUPLICATES: ("D", ORANGE, "-"),
    BLURRED: ("p", GREEN, "-"),
    BOTH: ("s", _SKY, "--"),
    AGAIN: ("D", _YELLOW, "--"),
    SOFTENED: ("p", "#66C2A5", "--"),
    ALONE: ("X", RED, ":"),
    BLURRED_ALONE: ("p", "#B15928", ":"),
    EARLY: ("<", _PINK, "-"),
    SELECTED: (">", "#6A3D9A", "-"),
    ORACLE: ("*", "#808080", "-"),
}
"""Mark, colour (most are of Okabe and Ito) and line of each arm: plain ones are whole, classical
ones dashed."""
_APART = 0.02
"""Between arms at one size, in units of the axis, so that their intervals can be told apart."""
_BESIDE = 0.02
"""Likewise, between arms at one ratio."""
_LABEL = 0.13
"""Width of a tick's text, as a share of the distance between the first and the last tick."""
_WIDE = 14.0
"""Inches for all panels of a row, at most."""
_MARGIN = 3.0
"""Percent beyond 0 and 100 that are drawn."""
_ENTRY = 1.7
"""Inches that a legend's entry takes."""


def accuracy(findings: Findings, test: int) -> Figure:
    """Test accuracy by real training-set size: a panel for each ratio, a line for each arm."""
    ratios = findings.ratios or [0.0]
    figure = canvas(1.5 + 3.6 * len(ratios), 4.2)
    axes = figure.subplots(1, len(ratios), sharey=True, squeeze=False)[0]
    drawn = _drawn(findings)
    for ax, ratio in zip(axes, ratios, strict=True):
        for arm, place in drawn.items():
            at = ratio if ARMS[arm].added else 0.0
            _line(ax, findings, arm, at, "accuracy", place)
        ax.set_title(f"{ratio:g} added for each real image", fontsize=10)
        ax.set_xlabel("real training images")
        _sizes(ax, findings)
    axes[0].set_ylabel(f"accuracy on {test} real test images, %\nmean of repeats, 95 % interval")
    _legend(figure, axes)
    return figure


def benefit(findings: Findings) -> Figure:
    """What synthetic images gain over each control, by real training-set size: a panel for each arm
    that has controls, and each ratio."""
    ratios, size = findings.ratios or [0.0], len(CONTROLS)
    figure = canvas(1.5 + 3.6 * len(ratios), 1.2 + 3.0 * size)
    axes = figure.subplots(size, len(ratios), sharex=True, sharey=True, squeeze=False)
    for row, (arm, controls) in zip(axes, CONTROLS.items(), strict=True):
        for ax, ratio in zip(row, ratios, strict=True):
            for place, control in enumerate(controls):
                found = [
                    c for c in findings.comparisons
                    if (c.ratio, c.second, c.first) == (ratio, arm, control)
                ]  # fmt: skip
                if not found:
                    continue
                mark, colour, line = STYLES[control]
                means, lows, highs = 100 * np.array([c.difference for c in found]).reshape(-1, 3).T
                ax.errorbar(
                    [c.size * (1 + _APART * (place - 1)) for c in found], means,
                    np.nan_to_num([means - lows, highs - means]), marker=mark, linestyle=line,
                    color=colour, markersize=5, linewidth=1.2, elinewidth=0.8, capsize=2,
                    label=control,
                )  # fmt: skip
            ax.axhline(0, color="#808080", linewidth=0.8)
            _sizes(ax, findings)
        row[0].set_ylabel(f"{arm},\npoints of accuracy over")
    for ax, ratio in zip(axes[0], ratios, strict=True):
        ax.set_title(f"{ratio:g} added for each real image", fontsize=10)
    for ax in axes[-1]:
        ax.set_xlabel("real training images")
    _legend(figure, axes.ravel(), whole=True)
    return figure


def errors(findings: Findings) -> Figure:
    """Type I and type II error by ratio: a panel for each size."""
    figure = canvas(1.5 + min(3.2 * len(findings.sizes), _WIDE), 6.2)
    axes = figure.subplots(2, len(findings.sizes), sharex=True, sharey="row", squeeze=False)
    kinds = (
        ("type_1_error", "type I error, %\n(others called positive)"),
        ("type_2_error", "type II error, %\n(positive ones missed)"),
    )
    drawn = _drawn(findings)
    for row, (score, name) in zip(axes, kinds, strict=True):
        for ax, size in zip(row, findings.sizes, strict=True):
            for arm, place in drawn.items():
                own = [a for a in findings.arms() if a[0] == size and a[2] == arm]
                if not ARMS[arm].added or not own:
                    continue
                if not ARMS[arm].alone:  # without anything added they are what they are added to
                    base = CLASSICAL if ARMS[arm].taught == "classical" else REAL
                    own = [a for a in findings.arms() if a == (size, 0.0, base)] + own
                _points(ax, findings, own, arm, [a[1] for a in own], score, _BESIDE * place)
            clean(ax)
        row[0].set_ylabel(name)
    for ax, size in zip(axes[0], findings.sizes, strict=True):
        ax.set_title(f"{size} real images", fontsize=10)
    for ax in axes[1]:
        ax.set_xlabel("images added\nfor each real one")
        ax.set_xticks(added := [0.0, *findings.ratios], labels_apart(added, added))
    _legend(figure, axes.ravel())
    return figure


def training(findings: Findings) -> Figure:
    """Validation accuracy by optimiser step: a panel for each size, at its largest ratio."""
    figure = canvas(1.5 + min(3.6 * len(findings.sizes), _WIDE), 4.2)
    axes = figure.subplots(1, len(findings.sizes), sharey=True, squeeze=False)[0]
    ratio = findings.ratios[-1] if findings.ratios else 0.0
    for ax, size in zip(axes, findings.sizes, strict=True):
        for arm, (_, colour, line) in STYLES.items():
            at = ratio if ARMS[arm].added else 0.0
            curves = findings.histories((size, at, arm))
            if curves:
                steps = [row["step"] for row in curves[0]]
                mean = np.mean([[row["valid_accuracy"] for row in c] for c in curves], axis=0)
                ax.plot(steps, 100 * mean, line, color=colour, label=arm)
        ax.set_title(f"{size} real images,\n{ratio:g} added for each", fontsize=10)
        ax.set_xlabel("optimiser steps")
        clean(ax)
    axes[0].set_ylabel("accuracy on validation, %\nmean of repeats")
    _legend(figure, axes)
    return figure


def _drawn(findings: Findings) -> dict[str, float]:
    """The study's arms in the order of `STYLES`, and their places beside each other, around 0."""
    names = [name for name in STYLES if any(arm[2] == name for arm in findings.arms())]
    return {name: place - (len(names) - 1) / 2 for place, name in enumerate(names)}


def _line(ax: Axes, findings: Findings, arm: str, ratio: float, score: str, place: float) -> None:
    own = [(size, ratio, arm) for size in findings.sizes if (size, ratio, arm) in findings.arms()]
    if own:
        shift = 1 + _APART * place
        _points(ax, findings, own, arm, [a[0] * shift for a in own], score, 0.0)


def _points(
    ax: Axes, findings: Findings, arms: list[Arm], name: str, x: list[float], score: str,
    shift: float,
) -> None:  # fmt: skip
    mark, colour, line = STYLES[name]
    found = np.array([findings.estimate(arm, score) for arm in arms]) * 100
    spread = np.abs(found[:, 1:] - found[:, :1]).T
    ax.errorbar(
        np.array(x) + shift, found[:, 0], np.nan_to_num(spread), marker=mark, linestyle=line,
        color=colour, markersize=5, linewidth=1.2, elinewidth=0.8, capsize=2, label=name,
    )  # fmt: skip


def _sizes(ax: Axes, findings: Findings) -> None:
    clean(ax)
    ax.set_xscale("log")
    places = [math.log(size) for size in findings.sizes]
    ax.set_xticks(findings.sizes, labels_apart(findings.sizes, places))
    ax.minorticks_off()


def labels_apart(values: Sequence[float], places: Sequence[float]) -> list[str]:
    """A text for each of ascending values at their places on an axis, none where it would touch
    that of a larger value."""
    labels, last = [], math.inf
    for value, place in zip(reversed(values), reversed(places), strict=True):
        free = last - place > _LABEL * (places[-1] - places[0])
        labels.append(f"{value:g}" if free else "")
        last = place if free else last
    return labels[::-1]


def _legend(figure: Figure, axes: np.ndarray, *, whole: bool = False) -> None:
    """One for all panels, below them; and unless `whole`, no panel beyond 0 to 100 %."""
    found = {}
    for ax in axes:
        handles, names = ax.get_legend_handles_labels()
        found |= dict(zip(names, handles, strict=True))
        if not whole:
            low, high = ax.get_ylim()  # intervals of few repeats reach beyond what can be
            ax.set_ylim(max(low, -_MARGIN), min(high, 100 + _MARGIN))
    order = [name for name in STYLES if name in found]
    columns = min(len(order), int(figure.get_figwidth() / _ENTRY))
    figure.legend(
        [found[name] for name in order], order, loc="outside lower center", ncols=columns,
        frameon=False, fontsize=9,
    )  # fmt: skip
