"""Studies at their end, or cut at a write, and their records."""

from __future__ import annotations

import io
import itertools
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy.event
from optuna.storages import RDBStorage

from search.study.records import TrialRecord
from search.winners import conclude as winners
from tests.helpers.fake_tune import YARDSTICK, Search, made_report
from tests.helpers.toys import make_data, make_workload, small_params
from trainable.basics.terminal import make_console
from trainable.distributed.resources import Resources
from trainable.metrics.intervals import Interval
from trainable.trial.evaluation import Assessment
from trainable.trial.report import Status
from trainable.trial.trial import Trial

PASSING = {"copy_rate": 0.01, "pixel_copy_rate": 0.0, "diversity": 0.9, "coverage": 0.6}


def record(
    number: int,
    fid: float,
    status: str = "complete",
    resource: int = 12,
    origin: str = "",
    **more: float,
) -> TrialRecord:
    report = made_report(resource, status, fid=fid, objective=fid, **more)
    return TrialRecord(number, Status(status), "", {}, {}, (report,), 0.0, 1.0, origin)


SOME = Interval(50.0, 60.0, 55.0)
GOOD = {"copy_rate": 0.0, "pixel_copy_rate": 0.0, "diversity": 0.9, "coverage": 0.5}


class Ended:
    """A study whose one trial is trained, and whose winners are scored at no cost.

    Attributes:
        fid: what they score.
        assessed: how often they were scored.
        images_seen: what an assessment says of that; None, as in older studies, has all made anew.
        trained: images that the trial was trained on.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch):
        data = make_data(n=24)
        params: dict[str, Any] = small_params(data)
        self.folder, self.fid, self.assessed = folder, 55.0, 0
        self.images_seen: int | None = None
        search = Search(folder, lambda trial, task: params, trials=1)
        self.workload = make_workload(data, folder / "trials", (1,))
        search.start("a")
        scores = Trial(self.workload, 0, params).advance()
        self.trained = scores["images_seen"]
        own = ("resource", "status", "fid", "objective")
        more = {k: v for k, v in scores.items() if k not in own}
        search.report("a", 12, 50.0, "complete", **more)
        search.ledger.close()
        self.study, self.config = search.study, search.config
        more = {"protocol": "tiny", "n_generated": 40, "witness": 0.9}
        self.study.set_user_attr("yardstick", {**YARDSTICK, **more})
        patch.setattr(winners, "assess_on_ray", self._assess)

    def _assess(self, *args: object) -> dict[int, Assessment | str]:
        self.assessed += 1
        fid = Interval(50.0, 60.0, self.fid)
        return {0: Assessment(GOOD, 40, fid, SOME, images_seen=self.images_seen)}

    def conclude(self) -> None:
        console = make_console(file=io.StringIO())
        where = Resources("local", 1, 0.0, 1)
        winners.conclude(self.study, self.config, self.workload, where, self.folder, console)

    def kept(self) -> dict[str, bytes]:
        """All files of the study but its database and trials."""
        found = (p for p in self.folder.rglob("*") if p.is_file())
        names = {p.relative_to(self.folder).as_posix(): p.read_bytes() for p in found}
        return {n: c for n, c in names.items() if not n.startswith(("trials/", "study.db"))}


class CutError(Exception):
    """In place of a kill."""


def cut_at(storage: RDBStorage, number: int) -> Callable[[], None]:
    """Let statements fail from that number on, counted from 0, of those that write, and commits
    after them, as a kill does; returns how to undo it."""
    left = itertools.count(-number)

    def write(connection, cursor, statement, *_) -> None:
        if statement.split()[0] in ("INSERT", "UPDATE", "DELETE") and next(left) >= 0:
            raise CutError

    def commit(connection) -> None:
        if next(left) >= 0:
            raise CutError

    sqlalchemy.event.listen(storage.engine, "before_cursor_execute", write)
    sqlalchemy.event.listen(storage.engine, "commit", commit)

    def undo() -> None:
        sqlalchemy.event.remove(storage.engine, "before_cursor_execute", write)
        sqlalchemy.event.remove(storage.engine, "commit", commit)

    return undo


def deadlock(storage: RDBStorage, times: int, statement: str) -> Callable[[], int]:
    """Let the first `times` statements that begin so fail as a server's do that ends a deadlock;
    returns how to ask how many there were."""
    met = [0]

    def execute(cursor, said, *_) -> None:
        if said.startswith(statement):
            met[0] += 1
            if met[0] <= times:
                raise sqlite3.OperationalError("deadlock detected")

    for event in ("do_execute", "do_executemany"):
        sqlalchemy.event.listen(storage.engine, event, execute)
    return lambda: met[0]
