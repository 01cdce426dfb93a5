"""The thread that writes a study's database, so that nobody waits for a disk."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from functools import partial

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from search.proposals.telling import ending, told_of
from search.study.database import set_interrupted
from search.study.records import REPORT, WrittenReport
from search.study.transaction import transact
from search.study.trial_rows import add_to_trial, add_trial, end_trial
from trainable.trial.report import Status

_TOGETHER = 200  # writes in one transaction, at most
_BACKLOG = 10_000  # writes that may wait; beyond, the search is too fast for its disk, and waits


class StudyWriter:
    """The thread that writes the database; the methods other than `put` and `close` run in it.

    What waits is written in one transaction, of whole acts: half of a report or of an end would be
    taken for the whole. So a slow disk is asked less often the more there is to write. An act may
    be called again, where the database ended its transaction for another's sake.
    """

    def __init__(self, study: optuna.Study, storage: RDBStorage, failed: Callable[[str], None]):
        self._storage, self._failed = storage, failed
        self._study_id = storage.get_study_id_from_name(study.study_name)
        self._ids: dict[int, int] = {}  # of trials, by number
        self._acts: queue.Queue[Callable[[StudyWriter], None] | None] = queue.Queue(_BACKLOG)
        self._thread = threading.Thread(target=self._loop, name="study-writer", daemon=True)
        self._thread.start()

    def put(self, act: Callable[[StudyWriter], None]) -> None:
        """Have `act` done, after all that was put before."""
        self._acts.put(act)

    def flush(self) -> None:
        """Wait for all that was put."""
        self._acts.join()

    def close(self) -> None:
        """Wait for all that was put, and end."""
        self._acts.put(None)
        self._thread.join()

    def _loop(self) -> None:
        broken = closed = False
        while not closed:
            acts = [self._acts.get()]
            while len(acts) < _TOGETHER and not self._acts.empty():
                acts.append(self._acts.get())
            closed = acts[-1] is None  # nothing is put after it
            try:
                # The order is the truth's: nothing is written after what was lost.
                if acts[0] is not None and not broken:
                    self._write(acts)
            except Exception as error:
                broken = True
                cause = getattr(error.__cause__, "orig", None) or error.__cause__ or error
                said = str(cause).strip() or type(cause).__name__
                self._failed(f"its database cannot be written: {said.splitlines()[0]}")
            for _ in acts:
                self._acts.task_done()

    def _write(self, acts: list[Callable[[StudyWriter], None] | None]) -> None:
        wanted = [act for act in acts if act is not None]

        def write() -> None:
            for act in wanted:
                act(self)

        try:
            transact(self._storage, write)
        except Exception:
            if len(wanted) == 1:
                raise
            for act in wanted:  # those before the one that fails are kept
                transact(self._storage, partial(act, self))

    def _id(self, number: int) -> int:
        if number not in self._ids:
            found = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
            self._ids[number] = found
        return self._ids[number]

    def create(self, number: int, trial: FrozenTrial) -> None:
        """Write a trial as it was drawn.

        Raises:
            RuntimeError: the database gave it another number.
        """
        given, self._ids[number] = add_trial(self._storage, self._study_id, trial)
        if given != number:
            raise RuntimeError(
                f"trial {number} became {given}: another program is adding trials to this study"
            )

    def run(self, number: int, code: dict[str, str] | None) -> None:
        """An interrupted trial goes on, under that code if it is trained."""
        trial_id = self._id(number)
        if code:
            self._storage.set_trial_user_attr(trial_id, "code", code)
        self._storage.set_trial_user_attr(trial_id, "status", Status.RUNNING.value)
        self._storage.set_trial_state_values(trial_id, TrialState.RUNNING)

    def report(self, number: int, report: WrittenReport) -> None:
        """Write a report: all of it, and what Optuna is told of it."""
        attributes, steps = told_of(report)
        named = {f"{REPORT}{report['resource']:06d}": report, **attributes}
        add_to_trial(self._storage, self._id(number), named, steps)

    def tell_again(self, number: int, reports: list[WrittenReport]) -> None:
        """Tell Optuna of reports that are written, but of which it was not told."""
        attributes: dict[str, list[float]] = {}
        steps: dict[int, float] = {}
        for report in reports:
            more, further = told_of(report)
            attributes |= more
            steps |= further
        add_to_trial(self._storage, self._id(number), attributes, steps)

    def end(self, number: int, status: Status, reason: str, ended: FrozenTrial) -> None:
        """The end of a trial: that of which Optuna was told (`search.proposals.telling`)."""
        end_trial(self._storage, self._id(number), ended, ending(status, reason))

    def interrupt(self, number: int) -> None:
        """A trial stopped with the search."""
        set_interrupted(self._storage, self._id(number))
