"""What the user sees of a search that runs: a screen on a terminal, a line an event elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live

from search.display.screen import Screen
from search.display.standings import Standings
from search.proposals.ledger import Refused
from search.tune.callback import Callback
from search.tune.searcher import StudySearcher
from trainable.basics.progress import SILENCE
from trainable.basics.terminal import say
from trainable.trial.report import Report, Status, has_scores

_LOOK = 1.0  # seconds between looks at that
RETRIES = 3
"""Times a trial whose worker died is started again from its checkpoint."""


def failure(trial: Any) -> str:
    """One line for the last error of a Tune trial: its own words, or Ray's on its worker's end."""
    text = Path(trial.error_file).read_text().rpartition("Failure # ")[2]
    if "its node has died" in text:
        return "its node has left"
    if "ActorUnavailableError" in text or "is unavailable: " in text:
        return "it does not answer"
    lines = [line.strip() for line in text.splitlines()[1:] if line.strip()]
    if not lines:
        return "no reason given"
    return lines[-1] if "ray::" in lines[0] else lines[0]  # after a traceback, or before details


@dataclass(frozen=True)
class Audience:
    """Who is told how a search stands.

    Attributes:
        console, progress: where lines and the screen go, and which of `search.study.flags.MODES`.
        wake: called after every change of the study; it must not block.
    """

    console: Console
    progress: str = "plain"
    wake: Callable[[], None] = lambda: None


class TuneReporter(Callback):
    """Keeps the board up to date, and shows it.

    Tune calls it on its own loop, so it only updates numbers and wakes the tracker; drawing is done
    by rich's thread, twice a second.
    """

    def __init__(
        self, audience: Audience, standings: Standings, screen: Screen, searcher: StudySearcher,
        deadline: float | None = None,
    ):  # fmt: skip
        """`deadline`, in seconds since 1970, is when trials stop."""
        self._console, self._mode, self._wake = audience.console, audience.progress, audience.wake
        self._board, self._screen = standings, screen
        self._searcher = searcher
        searcher.tell_refused = self._refused
        self._began = time.monotonic()
        self._deadline = None if deadline is None else self._began + deadline - time.time()
        self._said = self._began  # when the last line was
        self._over = threading.Event()
        self._live = Live(
            console=self._console, get_renderable=self._draw, transient=True, refresh_per_second=2
        )

    def __enter__(self) -> TuneReporter:
        if self._mode == "live":
            self._live.start()
        elif self._mode == "plain":
            threading.Thread(target=self._break_silence, daemon=True, name="silence").start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._mode == "live":
            self._live.stop()
        if self._mode != "none" and self._board.ended:
            self.say(self._screen.summary(time.monotonic() - self._began))

    def _break_silence(self) -> None:
        """Say where the trials are whenever nothing else was said for long."""
        while not self._over.wait(_LOOK):
            if time.monotonic() - self._said >= SILENCE and (where := self._screen.under_way()):
                self.say(f"{where}  [{self._screen.line(*self._times())}]")

    def say(self, line: str) -> None:
        """A line that stays, in every mode."""
        self._said = time.monotonic()
        say(self._console, line)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial began, or began again on a fresh worker."""
        self._board.begin(trial.config["number"], trial.config["params"], time.monotonic())

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A report came in."""
        report: Report = result["report"]
        number = trial.config["number"]
        if result["done"]:
            status = Status(report["status"])
            said = Status.PRUNED if status is Status.RUNNING else status
            self._end(number, said, report, report.get("reason", ""))
        elif self._board.report(number, report, time.monotonic()):
            self._event(number, "best", report)
        self._wake()

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker died, and its trial is about to go on elsewhere."""
        failures = trial.num_failures  # those by a node's death left out
        counted = f", retry {failures} of {RETRIES}" if failures else ""
        self.say(
            f"trial {trial.config['number']:>4}  its worker failed ({failure(trial)}); it "
            f"resumes from its last checkpoint on a new one{counted}"
        )

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial failed for good, after its retries."""
        reason, number = failure(trial), trial.config["number"]
        if not self._searcher.fail(trial.trial_id, reason):
            return  # Tune may tell of one end twice
        if number not in self._board.seats:  # it never began
            self._board.begin(number, trial.config["params"], time.monotonic())
        self._end(number, Status.FAILED, None, reason)
        self._wake()

    def _refused(self, trial: Refused) -> None:
        self._board.begin(trial.number, trial.params, time.monotonic())
        self._end(trial.number, trial.status, None, trial.reason)
        self._wake()

    def _end(self, number: int, status: Status, report: Report | None, reason: str) -> None:
        self._board.end(number, status, report, reason, time.monotonic())
        self._event(number, status.value, report, reason)

    def _event(self, number: int, what: str, report: Report | None, reason: str = "") -> None:
        if self._mode == "plain":
            epoch = report["epoch"] if report else 0
            score = f"  FID {report['fid']:.1f}" if report and has_scores(report) else ""
            line = f"trial {number:>4}  {what:<9} epoch {epoch}{score}  {reason}"
            self.say(f"{line.rstrip()}  [{self._screen.line(*self._times())}]")

    def _draw(self) -> RenderableType:
        return self._screen.draw(time.monotonic(), *self._times())

    def _times(self) -> tuple[float, float | None]:
        """Seconds since the start, and until the trials have ended, if that can be told."""
        now = time.monotonic()
        left = self._board.seconds_left(now)
        if left is not None and self._deadline is not None:
            left = min(left, max(0.0, self._deadline - now))
        return now - self._began, left
