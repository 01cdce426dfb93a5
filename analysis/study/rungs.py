"""FID of trials at one and the same amount of training.

A trial that was stopped early has a worse FID than it would have had, so last scores of trials are
no common measure: whatever makes a trial last looks good. At a rung every trial that got there has
had as much as any other. What ASHA stopped before is *censored*: its FID there is unknown, but it
was not among the best, if FID is what ASHA stopped it by.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pandas as pd

from analysis.study.table import StudyTable
from analysis.study.trials import BROKEN
from spaces.errors import InputError
from trainable.trial.schedule import rungs_below


@dataclass(frozen=True)
class AtRung:
    """All trials of a study at one rung.

    Attributes:
        rung: epochs, or seconds of training.
        fid: by the trial's number: FID there, infinity for a trial that broke down before it, NaN
            for one that was stopped or interrupted before it or is not there yet.
    """

    rung: float
    fid: pd.Series

    @property
    def observed(self) -> pd.Series:
        """FID of the trials that got there."""
        return pd.Series({k: v for k, v in self.fid.items() if math.isfinite(v)}, dtype=float)


def rungs(table: StudyTable) -> tuple[float, ...]:
    """Where ASHA compared the study's trials, ascending, the complete length the last one.

    Of a study that does not say, the ends of its trials.
    """
    try:
        length, grace, eta = (int(table.settings[k]) for k in ("length", "grace", "eta"))
    except (KeyError, ValueError):
        ends: dict[int, float] = {}
        for number, at in zip(table.curves["number"], table.curves[axis(table)], strict=True):
            ends[number] = max(at, ends.get(number, 0.0))
        return tuple(sorted({min(ends.values()), max(ends.values())}))
    return (*rungs_below(length, grace, eta), length)


def first_at(table: StudyTable, rung: float, column: str) -> dict[int, float]:
    """A column of the curves at the first evaluation that lies at `rung` or after it, by trial."""
    along = axis(table)
    first: dict[int, float] = {}
    for row in sorted(table.curves.to_dict("records"), key=lambda row: row[along]):
        if row[along] >= rung:
            first.setdefault(row["number"], row[column])
    return first


def at_rung(table: StudyTable, rung: float) -> AtRung:
    """Every trial's FID at the first evaluation that lies at `rung` or after it."""
    first = first_at(table, rung, "fid")
    fid = {
        number: first.get(number, math.inf if status in BROKEN else math.nan)
        for number, status in zip(table.trials["number"], table.trials["status"], strict=True)
    }
    return AtRung(rung, pd.Series(fid, dtype=float))


def by_classifier(table: StudyTable) -> StudyTable:
    """The same study, with the error of classifiers that learned from its images, in percent, in
    the place of FID along the curves.

    Raises:
        InputError: no image was held back for them.
    """
    curves = table.curves.assign(fid=100 * (1 - table.curves["cas"])).dropna(subset=["fid"])
    if curves.empty:
        raise no_classifier(table)
    return replace(table, curves=curves, ranked_by="classifier")


def stopped_by_another(table: StudyTable) -> str:
    """The ``--objective`` by which ASHA stopped trials, where that is not the score of the curves;
    else empty. Early studies, which do not say, had FID alone."""
    objective = table.settings.get("objective", "fid").strip()
    return "" if objective == table.ranked_by else objective


def no_classifier(table: StudyTable) -> InputError:
    """That a study has no score of classifiers."""
    return InputError(
        f"--study {table.name} has no classification accuracy score, as it held back no images; "
        "search with --hold-back 0.25, or with --objective classifier"
    )


def axis(table: StudyTable) -> str:
    """The column of `table.curves` that rungs count: ``epoch`` or ``train_seconds``."""
    return "train_seconds" if table.settings.get("resource") == "seconds" else "epoch"


def at(table: StudyTable, rung: float) -> str:
    """A rung as a reader may have it: ``at epoch 90``, ``after 120 s of training``."""
    return f"at epoch {rung:g}" if axis(table) == "epoch" else f"after {rung:g} s of training"
