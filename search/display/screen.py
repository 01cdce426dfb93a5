"""A search on the terminal: one calm screen, drawn from a `Standings`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from search.display.standings import Best, RunningTrial, Standings
from search.study.records import changes, goals
from trainable.basics.terminal import printable
from trainable.basics.wording import format_duration, times
from trainable.data.sheets import grid_file
from trainable.trial.objective import Objective
from trainable.trial.report import Status, has_scores, trial_folder
from trainable.trial.signs import Sign, read_sign

WORKERS = 12
"""Workers that are shown one by one; more would push the rest off the screen."""
PARAMETERS = 8
"""Hyperparameters shown of the best trial."""
_COLOURS = {
    Status.COMPLETE: "green", Status.PRUNED: "yellow", Status.DIVERGED: "red",
    Status.COLLAPSED: "red", Status.OUT_OF_MEMORY: "red", Status.FAILED: "red",
}  # fmt: skip


class Screen:
    """Draws a board. `floor` is the FID of real images against real ones, `base` the default
    configuration, `trials` the folder of the trials' files."""

    def __init__(self, standings: Standings, floor: float, base: Mapping[str, Any], trials: Path):
        self.standings, self.floor, self.base, self.trials = standings, floor, base, trials

    def draw(self, now: float, elapsed: float, left: float | None) -> RenderableType:
        """The screen at `now`, `elapsed` seconds after the start and `left` before the end."""
        facts = Table.grid(padding=(0, 2))
        facts.add_column(style="dim", no_wrap=True)
        facts.add_column(overflow="fold")
        facts.add_row("passed", self._rungs())
        if self.standings.best is not None:
            facts.add_row("best", self._best(self.standings.best))
        hint = Text("Ctrl-C shuts down cleanly; no training is lost", style="dim")
        return Group(self._head(elapsed, left), facts, self._workers(now), hint)

    def line(self, elapsed: float, left: float | None) -> str:
        """The same in a line, for output that is no terminal."""
        standings, counts = self.standings, self._ended()
        counts.append(f"{len(standings.seats)} running of {standings.config.trials}")
        parts = [", ".join(counts)]
        if standings.best is not None:
            parts.append(f"best {self.score(standings.best)}")
        parts.append(times(elapsed, left))
        return " | ".join(parts)

    def summary(self, elapsed: float) -> str:
        """What stays of the screen when the trials are over."""
        ended, total = self.standings.ended, self.standings.config.trials
        counts = ", ".join(self._ended())
        return (
            f"{ended.total()} of {total} trials ended: {counts}; {format_duration(elapsed)}\n"
            f"  passed {self._rungs()}"
        )

    def _ended(self) -> list[str]:
        """How many trials ended how."""
        return [f"{n} {status}" for status, n in sorted(self.standings.ended.items())]

    def score(self, best: Best) -> str:
        """Such as: FID 62.1 (1.7 x floor, trial 3, epoch 240)."""
        report, objective = best.report, Objective.parse(self.standings.config.objective)
        value = "".join(
            f"{goal.name} {goal.shown(found)}, "
            for goal, found in zip(objective.goals, goals(report), strict=True)
            if goal.text != "fid"
        )
        fid = report["fid"]
        return (
            f"{value}FID {fid:.1f} ({fid / self.floor:.1f} x floor, trial {best.number}, epoch "
            f"{report['epoch']})"
        )

    def _head(self, elapsed: float, left: float | None) -> RenderableType:
        standings, total = self.standings, self.standings.config.trials
        ended = standings.ended.total()
        title = Text(f"{standings.config.name}  ", style="bold")
        title.append(f"{ended} of {total} trials ended", style="default")
        for status, n in sorted(standings.ended.items()):
            title.append(f"  {n} {status}", style=_COLOURS.get(status, "default"))
        row = Table.grid(padding=(0, 1), expand=True)
        row.add_column(ratio=1)
        row.add_column(no_wrap=True)
        row.add_row(ProgressBar(total=total, completed=ended), times(elapsed, left))
        return Group(title, row)

    def _rungs(self) -> str:
        """How many came to each rung, and how many went on."""
        config = self.standings.config
        unit = f"{config.resource} "
        parts = []
        for rung in self.standings.rungs:
            parts.append(f"{rung.passed} of {rung.reached} at {unit}{rung.resource}")
            unit = ""
        parts.append(
            f"{self.standings.ended[Status.COMPLETE]} reached the end at {unit}{config.length}"
        )
        return ", ".join(parts)

    def _best(self, best: Best) -> RenderableType:
        changed = changes(best.params, self.base)
        shown = printable(", ".join(changed[:PARAMETERS]))
        more = f" and {len(changed) - PARAMETERS} more" if len(changed) > PARAMETERS else ""
        grid = grid_file(trial_folder(self.trials, best.number), best.report["epoch"])
        text = Text(self.score(best), style="bold green")
        text.append(f"\n{shown}{more}" if changed else "\nthe default configuration", "default")
        text.append(f"\n{printable(os.path.relpath(grid))}", "default")
        return text

    def under_way(self) -> str:
        """Where the trials at work are between their reports; nothing where none says it."""
        parts = []
        for seat in self._seats()[:WORKERS]:
            if sign := self._sign(seat):
                rate = f" ({sign.rate:.0f} images/s)" if sign.rate else ""
                parts.append(f"trial {seat.number} at epoch {_epoch(seat, sign)}{rate}")
        return ", ".join(parts)

    def _seats(self) -> list[RunningTrial]:
        # A copy: another thread asks while trials end.
        return sorted(self.standings.seats.copy().values(), key=lambda seat: seat.number)

    def _sign(self, seat: RunningTrial) -> Sign | None:
        return read_sign(trial_folder(self.trials, seat.number))

    def _workers(self, now: float) -> RenderableType:
        """What each worker does."""
        seats = self._seats()
        memory = any(seat.report and "gpu_memory_mb" in seat.report for seat in seats)
        out = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        heads = [
            "trial",
            f"epoch of {self.standings.config.length}",
            "images/s",
            "FID",
            "last report",
        ]
        if self.standings.config.resource != "epoch":
            heads[1] = "epoch"
        for head in heads + (["GPU MB"] if memory else []):
            out.add_column(head, justify="right", no_wrap=True)
        for seat in seats[:WORKERS]:
            report, sign = seat.report, self._sign(seat)
            cells = [
                str(seat.number),
                _epoch(seat, sign),
                _rate(seat, sign),
                f"{report['fid']:.1f}" if report and has_scores(report) else "",
                f"{format_duration(now - seat.since)} ago" if report else "begun",
            ]
            if memory:
                cells.append(str(report.get("gpu_memory_mb", "") if report else ""))
            out.add_row(*cells)
        if len(seats) > WORKERS:
            return Group(out, Text(f"and {len(seats) - WORKERS} more workers", style="dim"))
        return out


def _epoch(seat: RunningTrial, sign: Sign | None) -> str:
    """How far a trial has come, and whether it is scored there."""
    reported = seat.report["epoch"] if seat.report else 0
    if sign is None:
        return str(reported)
    return f"{max(sign.epoch, reported)}{' scoring' if sign.scoring else ''}"


def _rate(seat: RunningTrial, sign: Sign | None) -> str:
    """Images a second in training: now, or else until the last report."""
    if sign and sign.rate:
        return f"{sign.rate:.0f}"
    report = seat.report
    if report is None or not report["train_seconds"]:
        return ""
    return f"{report['images_seen'] / report['train_seconds']:.0f}"
