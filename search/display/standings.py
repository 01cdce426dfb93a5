"""How a search stands, in numbers: who trains what, what has ended, which rungs were passed, the
best so far, and the time left. It draws nothing and knows no clock: callers give the time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from search.study.config import StudyConfig
from search.study.records import TrialRecord
from trainable.trial.report import Report, ScoredReport, Status, has_scores


@dataclass
class RunningTrial:
    """A trial at a worker.

    Attributes:
        number, params: the trial.
        report: its last report, None before the first.
        since: when that came in, or when the trial began.
    """

    number: int
    params: Mapping[str, Any]
    report: Report | None
    since: float


@dataclass(frozen=True)
class Best:
    """The best evaluation so far; with two goals, by the first."""

    number: int
    params: Mapping[str, Any]
    report: ScoredReport


@dataclass(frozen=True)
class Rung:
    """How many trials came to a rung, and how many of them went on from it."""

    resource: int
    reached: int
    passed: int


class Standings:
    """Kept up to date by whoever hears of the trials."""

    def __init__(self, config: StudyConfig, records: Iterable[TrialRecord] = ()):
        """`records` are what a resumed study has already."""
        self.config = config
        self.ended: Counter[Status] = Counter()
        self.seats: dict[int, RunningTrial] = {}
        self.best: Best | None = None
        self._reached: Counter[int] = Counter()
        self._passed: Counter[int] = Counter()
        self._spent, self._trained = 0.0, 0.0  # seconds, and the resource that they gave
        self._past: dict[int, Report | None] = {}  # last reports of trials that are to go on
        for record in records:
            self._recall(record)

    def _recall(self, record: TrialRecord) -> None:
        before: Report | None = None
        for report in record.reports:
            self._pass(before)
            self._count(before, report)
            self._judge(record.number, record.params, report)
            before = report
        if record.ended is None:
            self._past[record.number] = before
            self._pass(before)
        else:
            self._close(before, record.status, record.reason)

    @property
    def owed(self) -> int:
        """Trials that have not begun, or are to go on and have no worker yet."""
        return max(0, self.config.trials - self.ended.total() - len(self.seats))

    @property
    def rungs(self) -> list[Rung]:
        """The rungs by resource."""
        return [Rung(r, self._reached[r], self._passed[r]) for r in self.config.rungs]

    def begin(self, number: int, params: Mapping[str, Any], now: float) -> None:
        """A worker takes up a trial."""
        if number in self.seats:  # again, on another worker
            self.seats[number].since = now
        else:
            self.seats[number] = RunningTrial(number, params, self._past.pop(number, None), now)

    def report(self, number: int, report: Report, now: float) -> bool:
        """A trial that goes on reported; returns whether it is the best so far."""
        return self._hear(self.seats[number], report, now, goes_on=True)

    def end(
        self, number: int, status: Status, report: Report | None, reason: str, now: float
    ) -> None:
        """A trial ended, with a last report if it said one."""
        seat = self.seats.pop(number)
        if report:
            self._hear(seat, report, now, goes_on=False)
        self._close(seat.report, status, reason)

    def seconds_left(self, now: float) -> float | None:
        """Until the trials have ended, if they are pruned as those so far; None if nothing is known
        of their speed yet."""
        seats = list(self.seats.values())  # a copy: the screen's thread asks while trials end
        if not self._trained or not seats:
            return None
        pace = self._spent / self._trained
        under_way = [self._left(seat, pace, now) for seat in seats]
        total = sum(under_way) + self.owed * pace * self.work_left(0)
        return max(total / len(seats), *under_way)

    def work_left(self, resource: float) -> float:
        """What a trial that has had `resource` will still be given, on average: as many pass a rung
        as did so far, one in eta where nobody has come yet."""
        left, share, at = 0.0, 1.0, resource
        for rung in self.rungs:
            if rung.resource <= resource:
                continue
            left += share * (rung.resource - at)
            share *= (rung.passed + 1) / (rung.reached + self.config.eta)
            at = rung.resource
        return left + share * max(0.0, self.config.length - at)

    def _left(self, seat: RunningTrial, pace: float, now: float) -> float:
        """Seconds that a trial under way will take, at its own pace where it has one."""
        resource = _resource(seat.report)
        own = _seconds(seat.report) / resource if resource else pace
        return max(0.0, own * self.work_left(resource) - (now - seat.since))

    def _hear(self, seat: RunningTrial, report: Report, now: float, *, goes_on: bool) -> bool:
        seat.since = now
        if report["resource"] <= _resource(seat.report):  # told again by a fresh worker
            return False
        self._count(seat.report, report)
        if goes_on:
            self._pass(report)
        seat.report = report
        return self._judge(seat.number, seat.params, report)

    def _count(self, before: Report | None, report: Report) -> None:
        """What a report adds to the trial's one before."""
        self._spent += _seconds(report) - _seconds(before)
        was, now = _resource(before), report["resource"]
        self._trained += now - was
        self._reached.update(r for r in self.config.rungs if was < r <= now)
        # A trial whose epochs leap over a rung was not compared there.
        self._passed.update(r for r in self.config.rungs if was < r < now)

    def _pass(self, report: Report | None) -> None:
        """A trial that stands at a rung goes on from it."""
        if report and report["resource"] in self.config.rungs:
            self._passed[report["resource"]] += 1

    def _close(self, report: Report | None, status: Status, reason: str) -> None:
        """A trial ended after `report`; pruned for a reason, it was the clock and not the rung."""
        self.ended[status] += 1
        if status is Status.PRUNED and reason:
            self._pass(report)

    def _judge(self, number: int, params: Mapping[str, Any], report: Report) -> bool:
        if not has_scores(report):
            return False
        if self.best is not None and self.best.report["objective"] <= report["objective"]:
            return False
        self.best = Best(number, params, report)
        return True


def _resource(report: Report | None) -> int:
    return report["resource"] if report else 0


def _seconds(report: Report | None) -> float:
    return report["train_seconds"] + report["eval_seconds"] if report else 0.0
