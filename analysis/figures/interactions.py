"""Which hyperparameters depend on one another.

For the strongest pairs, a table of FID at the first rung, where all trials had trained equally
long: the median of the trials in each cell, and how many those are.
"""

from __future__ import annotations

import argparse
import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from optuna.distributions import CategoricalDistribution

from analysis.figures.style import Drawn, canvas
from analysis.study.importance import (
    FEWEST,
    check_differ,
    groups,
    importances,
    searched,
    too_few,
    values_of,
)
from analysis.study.rungs import at, at_rung, rungs
from analysis.study.table import StudyTable
from spaces.errors import InputError

AMONG, SHOWN = 8, 6
"""Pairs are looked for among so many most important hyperparameters, and so many are drawn."""
_LEVELS = 3
_SHUFFLES = 1999
"""So many that the least p there is passes among all pairs of `AMONG`, each at 0.05 / 28."""

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Pair:
    """Two hyperparameters.

    Attributes:
        names: both.
        strength: the share of the variance of log FID that the cells explain beyond the sum of the
            two effects (two-way analysis of variance, in order of rows).
        p: the share of shuffled studies, effects of both kept, whose strength is as large.
    """

    names: tuple[str, str]
    strength: float
    p: float


def strongest(table: StudyTable, *, seed: int = 0) -> list[Pair]:
    """All pairs among the most important hyperparameters, the strongest first.

    Raises:
        InputError: there are too few trials, or hyperparameters, to say anything.
    """
    rung = rungs(table)[0]
    if len(check_differ(table)) < 2:
        raise InputError(
            f"--study {table.name}: only one hyperparameter differs between its trials, so there "
            "are no pairs to compare"
        )
    found = importances(table, rung, seed=seed)
    if found is None:
        raise InputError(f"--study {table.name}: {too_few(table, 'pairs of hyperparameters')}")
    fid = at_rung(table, rung).observed
    levels = {name: _levels(table, name) for name in list(found.by_name)[:AMONG]}
    rng = np.random.default_rng(seed)
    pairs = []
    for one, other in itertools.combinations(levels, 2):
        both = pd.DataFrame({"a": levels[one], "b": levels[other], "y": np.log(fid)}).dropna()
        if len(both) < FEWEST or both.a.nunique() < 2 or both.b.nunique() < 2:
            continue
        pairs.append(Pair((one, other), *_strength(both, rng)))
    if not pairs:
        raise InputError(
            f"--study {table.name}: no two hyperparameters differ together in {FEWEST} trials "
            f"with a score {at(table, rung)}; there are no pairs to compare"
        )
    return sorted(pairs, key=lambda pair: (pair.p, -pair.strength))


def _strength(both: pd.DataFrame, rng: np.random.Generator) -> tuple[float, float]:
    """Strength, and its p by permuting what the two effects leave (Freedman and Lane 1983)."""
    rows, columns = (pd.get_dummies(both[name]).to_numpy(float) for name in ("a", "b"))
    additive = np.column_stack([rows, columns])
    cells = pd.get_dummies(both.a.astype(str) + "\0" + both.b.astype(str)).to_numpy(float)
    y = both.y.to_numpy()
    fitted = additive @ np.linalg.lstsq(additive, y, rcond=None)[0]
    # Projections, once: all shuffles are then two products.
    of_effects, of_cells = (m @ np.linalg.pinv(m) for m in (additive, cells))

    def explained(values: np.ndarray) -> np.ndarray:
        """Of each column."""
        total = ((values - values.mean(axis=0)) ** 2).sum(axis=0)
        left, leaves = (((values - p @ values) ** 2).sum(axis=0) for p in (of_cells, of_effects))
        return np.where(total > 0, (leaves - left) / np.where(total > 0, total, 1), 0.0)

    (strength,) = explained(y[:, None]).tolist()
    residuals = rng.permuted(np.tile(y - fitted, (_SHUFFLES, 1)), axis=1)
    # Rounding must not decide: a pair whose cells allow no effect of both has a strength of zero.
    as_strong = (explained(fitted[:, None] + residuals.T) >= strength - _ROUNDING).sum()
    return strength, float(1 + as_strong) / (1 + _SHUFFLES)


def _levels(table: StudyTable, name: str) -> pd.Series:
    """Each trial's level: a choice, a value of few, or a third of the trials, as text in order."""
    values = values_of(table, name)
    if isinstance(searched(table)[name], CategoricalDistribution):
        return values.map(str)
    values = values.astype(float)
    group = groups(values, _LEVELS).to_numpy()
    words = {}
    for k in set(group):
        within = values.to_numpy()[group == k]
        low, high = within.min(), within.max()
        words[k] = f"{low:.3g} to {high:.3g}" if high > low else f"{low:.3g}"
    return pd.Series([words[k] for k in group], values.index)


def draw(table: StudyTable, pairs: list[Pair]) -> Figure:
    """The figure."""
    rung = rungs(table)[0]
    fid = at_rung(table, rung).observed
    shown = pairs[:SHOWN]
    columns = min(3, len(shown))
    lines = math.ceil(len(shown) / columns)
    figure = canvas(4.3 * columns, 3.4 * lines + 0.6)
    axes = figure.subplots(lines, columns, squeeze=False)
    clear = told(pairs)
    norm = LogNorm(fid.quantile(0.05), max(fid.quantile(0.95), fid.quantile(0.05) * 1.01))
    for ax, pair in itertools.zip_longest(axes.flat, shown):
        if pair is None:
            ax.axis("off")
        else:
            _draw_pair(ax, table, pair, fid, norm, " *" if pair in clear else "")
    figure.suptitle(
        f"{table.name}: median {table.score} {at(table, rung)}, and how many trials\n"
        f"stars: an effect of the pair beyond the two alone, p below 0.05 for all {len(pairs)} "
        "together (Bonferroni)",
        x=0.01, ha="left", fontsize=10,
    )  # fmt: skip
    return figure


def _draw_pair(
    ax: Axes, table: StudyTable, pair: Pair, fid: pd.Series, norm: LogNorm, star: str
) -> None:
    down, across = (_levels(table, name) for name in pair.names)
    both = pd.DataFrame({"down": down, "across": across, "fid": fid}).dropna()
    rows, columns = (
        _ordered(table, pair.names[0], both.down),
        _ordered(table, pair.names[1], both.across),
    )
    grid = np.full((len(rows), len(columns)), np.nan)
    for key, cell in both.groupby(["down", "across"]):
        row, column = tuple(key)  # pyright: ignore[reportArgumentType]
        i, j = rows.index(row), columns.index(column)
        grid[i, j] = cell.fid.median()
        ax.text(
            j, i, f"{grid[i, j]:.0f}\n({len(cell)})", ha="center", va="center", fontsize=8,
            bbox={"facecolor": "white", "alpha": 0.65, "linewidth": 0, "pad": 1},
        )  # fmt: skip
    ax.imshow(grid, cmap="viridis", norm=norm, aspect="auto")
    ax.set_yticks(range(len(rows)), rows, fontsize=7)
    ax.set_xticks(range(len(columns)), columns, fontsize=7, rotation=15, ha="right")
    ax.set_ylabel(pair.names[0])
    ax.set_xlabel(pair.names[1])
    ax.set_title(f"{pair.strength:.0%} of variance, p = {pair.p:.2g}{star}", fontsize=9)


def _ordered(table: StudyTable, name: str, levels: pd.Series) -> list[str]:
    """The levels in order of their values."""
    values: dict[int, Any] = values_of(table, name).to_dict()  # pyright: ignore
    kind = searched(table)[name]
    if isinstance(kind, CategoricalDistribution):
        return [str(choice) for choice in kind.choices if str(choice) in set(levels)]
    first: dict[str, float] = {}
    for number, level in zip(levels.index.tolist(), levels.tolist(), strict=True):
        first[level] = float(values[number])
    return sorted(first, key=lambda level: first[level])


def told(pairs: list[Pair]) -> list[Pair]:
    """Those that stand out among all, by Bonferroni: one alone would in one study of twenty."""
    return [pair for pair in pairs if pair.p < 0.05 / len(pairs)]


def summary(pairs: list[Pair]) -> list[str]:
    """The pairs that stand out, or that none does."""
    said = "; ".join(f"{' with '.join(p.names)} {p.strength:.0%}" for p in told(pairs))
    return [
        f"{len(pairs)} pairs tested; beyond chance, corrected for all of them: {said or 'none'}"
    ]


def drawn(table: StudyTable, _: argparse.Namespace) -> Drawn:
    """The figure of `python -m analysis.interactions`."""
    pairs = strongest(table)
    return Drawn(draw(table, pairs), summary(pairs))
