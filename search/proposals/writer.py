"""The thread that writes a study's database, so that nobody waits for a disk."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from search.study.database import set_interrupted
from search.study.new_trial import add_trial
from search.study.records import REPORT, WrittenReport, goals, read_record
from search.study.transaction import one_transaction
from trainable.trial.report import ScoredReport, Status

_BACKLOG = 10_000  # writes that may wait; beyond, the search is too fast for its disk, and waits

GOALS = "goals"
"""The attribute of a trial that holds its two goals."""


def tell_report(trial: optuna.Trial, report: ScoredReport) -> None:
    """Tell Optuna of an evaluation: an intermediate value, or of two goals an attribute."""
    found = goals(report)
    if len(found) == 1:
        trial.report(found[0], report["resource"])
    else:  # Optuna takes no intermediate values of these
        trial.set_user_attr(GOALS, list(found))


def untold_reports(trial: FrozenTrial) -> list[WrittenReport]:
    """Those of a trial's reports that Optuna was not told of, as a kill between both left it."""
    record = read_record(trial)
    if len(record.goals) == 1:
        return [r for r in record.reports if r["resource"] not in trial.intermediate_values]
    if record.last is None or list(record.goals) == trial.user_attrs.get(GOALS):
        return []
    return [record.last]


def tell_end(study: optuna.Study, trial: optuna.Trial, status: Status, reason: str) -> None:
    """Tell Optuna of an end.

    Complete trials count with their objective, pruned ones with their intermediate values. A
    diverged or out-of-memory trial is told as pruned and as violating a constraint, so that the
    sampler ranks it below every other. Failed ones do not count. Of two goals pruned trials have no
    values, and rank below the complete ones and among themselves by chance.
    """
    trial.set_user_attr("status", status.value)
    if reason:
        trial.set_user_attr("reason", reason)
    if status.infeasible:
        trial.set_constraint("trains", 1.0)
    if status is Status.COMPLETE:
        found = study._storage.get_trial(trial._trial_id)
        steps = found.intermediate_values
        study.tell(trial, steps[max(steps)] if steps else found.user_attrs[GOALS])
    elif status is Status.PRUNED or status.infeasible:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, state=TrialState.FAIL)


class StudyWriter:
    """The thread that writes the database; the methods other than `put` and `close` run in it.

    Each of these is one transaction: half of a report or of an end would be taken for the whole.
    """

    def __init__(self, study: optuna.Study, storage: RDBStorage, failed: Callable[[str], None]):
        self._study, self._storage, self._failed = study, storage, failed
        self._study_id = storage.get_study_id_from_name(study.study_name)
        self._live: dict[int, optuna.Trial] = {}
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
        broken = False
        while (act := self._acts.get()) is not None:
            try:
                if not broken:  # else: the order is the truth's, nothing after what was lost
                    act(self)
            except Exception as error:
                broken = True
                cause = getattr(error.__cause__, "orig", None) or error.__cause__ or error
                said = str(cause).strip() or type(cause).__name__
                self._failed(f"its database cannot be written: {said.splitlines()[0]}")
            self._acts.task_done()

    def _trial(self, number: int) -> optuna.Trial:
        if number not in self._live:
            trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
            self._live[number] = optuna.Trial(self._study, trial_id)
        return self._live[number]

    def create(self, number: int, trial: FrozenTrial) -> None:
        """Write a trial as it was drawn.

        Raises:
            RuntimeError: the database gave it another number.
        """
        given = add_trial(self._storage, self._study_id, trial)
        if given != number:
            raise RuntimeError(
                f"trial {number} became {given}: another program is adding trials to this study"
            )

    def run(self, number: int, code: dict[str, str] | None) -> None:
        """An interrupted trial goes on, under that code if it is trained."""
        trial = self._trial(number)
        with one_transaction(self._storage):
            if code and trial.user_attrs.get("code") != code:
                trial.set_user_attr("code", code)
            trial_id = trial._trial_id
            self._storage.set_trial_user_attr(trial_id, "status", Status.RUNNING.value)
            self._storage.set_trial_state_values(trial_id, TrialState.RUNNING)

    def report(self, number: int, report: WrittenReport) -> None:
        """Write a report: all of it, and what Optuna is told of it."""
        trial = self._trial(number)
        with one_transaction(self._storage):
            trial.set_user_attr(f"{REPORT}{report['resource']:06d}", report)
            tell_report(trial, report)

    def tell_again(self, number: int, reports: list[WrittenReport]) -> None:
        """Tell Optuna of reports that are written, but of which it was not told."""
        trial = self._trial(number)
        with one_transaction(self._storage):
            for report in reports:
                tell_report(trial, report)

    def end(self, number: int, status: Status, reason: str) -> None:
        """See `tell_end`."""
        trial = self._trial(number)
        with one_transaction(self._storage):
            tell_end(self._study, trial, status, reason)
        del self._live[number]

    def interrupt(self, number: int) -> None:
        """A trial stopped with the search."""
        set_interrupted(self._storage, self._trial(number)._trial_id)
        del self._live[number]
