"""What Tune asks for configurations, and tells results: a thin hand between it and the study.

Tune's own OptunaSearch tells a trial stopped by ASHA as complete, with its early FID, and leaves a
trial whose score is NaN running for ever; this one tells each by its status.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, cast

from ray.tune.search import Searcher

from search.proposals.ledger import Entry, Ledger, Refused
from search.study.config import StudyConfig
from search.study.records import TrialRecord
from search.tune.rungs import left_as
from spaces.catalog import Space
from spaces.task import Task
from trainable.trial.report import ASKED, SPENT, Report, Status


class StudySearcher(Searcher):
    """Proposes trials until `config.trials` have ended: first those that an earlier session
    left unfinished, then what the study's queue and sampler say.

    Attributes:
        halted: why the search must stop at once (a full disk, a lost database), or None.
        tell_refused: called with each trial that ended as it was drawn, which Tune never sees.
    """

    def __init__(
        self,
        ledger: Ledger,
        config: StudyConfig,
        space: Space,
        task: Task,
        records: list[TrialRecord],
        stopped: set[int],
        deadline: float | None = None,
    ):
        """`records` and `stopped` are the study's past, as `rungs.replayed` takes and gives it.

        `deadline`, in seconds since 1970: no trial begins or goes on after it.
        """
        super().__init__(metric="objective", mode="min")
        self._ledger, self._space, self._task = ledger, space, task
        self._deadline = deadline
        self._halted: str | None = None
        self._closed = False
        self._live: dict[str, Entry] = {}
        self.tell_refused: Callable[[Refused], None] = lambda refused: None
        self._unfinished: list[TrialRecord] = []
        for record in records:
            if record.ended is None:
                self._resolve(record, stopped)
        self._owed = config.trials - ledger.ended

    def _resolve(self, record: TrialRecord, stopped: set[int]) -> None:
        """Queue an unfinished trial, unless the search died between its end and that being told."""
        last, status = record.last, left_as(record, stopped)
        if last is None or status is Status.RUNNING:
            self._unfinished.append(record)
        else:
            heard = last["resource"]
            entry = self._ledger.take_up(record.number, record.params, heard, trains=False)
            self._ledger.end(entry, status, last.get("reason", ""))

    @property
    def halted(self) -> str | None:
        """Why the search must stop at once, or None."""
        return self._halted or self._ledger.problem

    @property
    def finished(self) -> int:
        """Trials that have ended, in all sessions of the study."""
        return self._ledger.ended

    @property
    def owed(self) -> int:
        """Trials that are still to be given to Tune."""
        return self._owed

    @property
    def under_way(self) -> int:
        """Trials that have been given to Tune and have not ended."""
        return len(self._live)

    def close(self) -> None:
        """Propose no more."""
        self._closed = True

    def suggest(  # pyright: ignore[reportIncompatibleMethodOverride]  # Tune's FINISHED is text
        self, trial_id: str
    ) -> dict[str, Any] | str:
        """The arguments of the next `Trial`, or that there are no more to come."""
        late = self._deadline is not None and time.time() >= self._deadline
        while self._owed > 0 and not late and not self._closed and self.halted is None:
            self._owed -= 1
            if self._unfinished:
                old = self._unfinished.pop(0)
                heard = old.last["resource"] if old.last else 0
                entry = self._ledger.take_up(old.number, old.params, heard, trains=True)
            else:
                entry = self._ledger.draw(self._space, self._task)
                if isinstance(entry, Refused):
                    self.tell_refused(entry)
                    continue
            self._live[trial_id] = entry
            return {
                "number": entry.number,
                "params": entry.params,
                "heard": entry.heard,
                "deadline": self._deadline,
            }
        return Searcher.FINISHED

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Write a report to the study."""
        report = _report(result)
        assert report is not None  # every step of a trial gives one
        self._ledger.report(self._live[trial_id], report)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """End a trial by its status; the report that made ASHA stop it arrives only here.

        Of an error Tune says no more here, so its trial ends in `fail`.
        """
        if error or trial_id not in self._live:
            return
        entry = self._live.pop(trial_id)
        report = _report(result or {})
        if report is None:  # it never began: the search was stopped first
            self._ledger.interrupt(entry)
            return
        self._ledger.report(entry, report)
        status, reason = Status(report["status"]), report.get("reason", "")
        if status is Status.RUNNING:  # had more to do, and Tune ended it: the scheduler's decision
            status = Status.PRUNED
        if status is Status.INTERRUPTED:
            if reason not in (SPENT, ASKED):
                self._halted = reason
            self._ledger.interrupt(entry)
        else:
            self._ledger.end(entry, status, reason)

    def fail(self, trial_id: str, reason: str) -> bool:
        """A trial's worker died, and it has been tried often enough; whether that is news."""
        if trial_id not in self._live:
            return False
        self._ledger.end(self._live.pop(trial_id), Status.FAILED, reason)
        return True

    def interrupt_rest(self) -> None:
        """Tune has been stopped: what still ran is to go on another time."""
        for entry in self._live.values():
            self._ledger.interrupt(entry)
        self._live.clear()

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the study's database has it all."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its searcher into files that nobody reads."""
        return {}


def _report(result: Mapping[str, Any]) -> Report | None:
    """The trial's own report, if there is one, which Tune hands over flattened among its own
    keys."""
    found = {k.removeprefix("report/"): v for k, v in result.items() if k.startswith("report/")}
    return cast(Report, found) if found else None
