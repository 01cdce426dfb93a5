"""What the user sees while a search runs: a live line on a terminal, a line an event elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray import tune
from rich.console import Console
from rich.live import Live
from rich.text import Text

from search.searcher import StudySearcher
from search.settings import StudyConfig
from search.study import TrialRecord
from trainable.durations import format_duration
from trainable.trial import Status

RETRIES = 3
"""Times a trial whose worker died is started again from its checkpoint."""


def failure(trial: Any) -> str:
    """One line for the last error of a Tune trial: its own words, or Ray's on its worker's end."""
    text = Path(trial.error_file).read_text().rpartition("Failure # ")[2]
    lines = [line.strip() for line in text.splitlines()[1:] if line.strip()]
    if not lines:
        return "no reason given"
    return lines[-1] if "ray::" in lines[0] else lines[0]  # after a traceback, or before details


class Progress(tune.Callback):
    """Counts trials by status, keeps the best, and estimates the time left.

    Tune calls it on its own loop, so it only updates numbers and wakes the tracker; drawing is done
    by rich's thread, four times a second.
    """

    def __init__(
        self,
        console: Console,
        config: StudyConfig,
        yardstick: Mapping[str, Any],
        searcher: StudySearcher,
        wake: Any,
        records: Sequence[TrialRecord] = (),
    ):
        """`records` are what a resumed study has already."""
        self._console, self._config = console, config
        self._floor = yardstick["floor"]
        self._searcher, self._wake = searcher, wake
        self._began = time.monotonic()
        self._done_before = searcher.finished
        self._ended: Counter[str] = Counter(r.status for r in records if r.ended is not None)
        self._running: dict[str, tuple[int, int]] = {}  # Tune's id: (number, epoch)
        scored = [
            (r["objective"], r["fid"], record.number, r["epoch"])
            for record in records for r in record.reports
        ]  # fmt: skip
        self._best = min(scored, default=None)  # objective, FID, number, epoch
        self._live = Live(console=console, get_renderable=self._line, transient=True)

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks into its snapshots, which nobody reads: nothing to keep."""
        return {}

    def say(self, line: str) -> None:
        """A line that stays, on a terminal too."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial began, or began again on a fresh worker."""
        self._running.setdefault(trial.trial_id, (trial.config["number"], 0))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A report came in."""
        report = result["report"]
        number, epoch = trial.config["number"], report["epoch"]
        self._running[trial.trial_id] = (number, epoch)
        fid = report.get("fid")
        if fid is not None and (self._best is None or report["objective"] < self._best[0]):
            self._best = (report["objective"], fid, number, epoch)
        if result["done"]:
            status = Status(report["status"])
            said = Status.PRUNED if status is Status.RUNNING else status
            self._end(trial.trial_id, said, fid, report.get("reason", ""))
        self._wake()

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker died, and its trial is about to go on elsewhere."""
        self.say(
            f"trial {trial.config['number']:>4}  its worker failed ({failure(trial)}); it goes on "
            f"from its last checkpoint on a fresh one, retry {trial.num_failures} of {RETRIES}"
        )

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial failed for good, after its retries."""
        reason = failure(trial)
        self._searcher.fail(trial.trial_id, reason)
        self._end(trial.trial_id, Status.FAILED, None, reason)
        self._wake()

    def _end(self, trial_id: str, status: Status, fid: float | None, reason: str) -> None:
        if trial_id not in self._running:  # Tune may tell of one end twice
            return
        number, epoch = self._running.pop(trial_id)
        self._ended[status] += 1
        if not self._console.is_terminal:
            score = "" if fid is None else f"  FID {fid:.1f}"
            self.say(
                f"trial {number:>4}  {status:<9} epoch {epoch}{score}  {reason}  [{self._line()}]"
            )

    def _line(self) -> Text:
        """Such as: 5 complete, 9 pruned, 2 running of 64 | best FID 112.3 … | 12 min gone, …"""
        counts = [f"{n} {status}" for status, n in sorted(self._ended.items())]
        counts.append(f"{len(self._running)} running of {self._config.trials}")
        parts = [", ".join(counts)]
        if self._best is not None:
            objective, fid, number, epoch = self._best
            name = self._config.objective
            value = "" if name == "fid" else f"{name} {objective:.4g}, "
            parts.append(
                f"best {value}FID {fid:.1f} ({fid / self._floor:.1f} x floor, trial {number}, "
                f"epoch {epoch})"
            )
        elapsed = time.monotonic() - self._began
        parts.append(f"{format_duration(elapsed)} gone{self._eta(elapsed)}")
        return Text(" | ".join(parts))

    def _eta(self, elapsed: float) -> str:
        """Time left, if trials go on ending at the rate so far; none before the third has ended."""
        ended = self._searcher.finished - self._done_before
        if ended < 3:
            return ""
        left = (self._config.trials - self._done_before - ended) * elapsed / ended
        if self._config.time_budget is not None:
            left = min(left, max(0.0, self._config.time_budget - elapsed))
        return f", about {format_duration(left)} left"
