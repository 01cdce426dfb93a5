"""Writing the study: at once in memory, where the sampler looks, and soon after in the database.

Tune's loop must not wait for a disk, nor the sampler for a database: each drawn value alone would
be a transaction. So a trial is drawn in memory, and one thread repeats there what was done here, in
the same order. A crash loses the last moments at most, and nothing of value: what trials reported
they keep in their checkpoints and say again (see `trainable.trial.trial`), and a proposal that was
lost is drawn again from the same seed (but for those chosen ahead, with 32 trials under way and
more).
"""

from __future__ import annotations

import copy
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache

import optuna
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState
from threadpoolctl import ThreadpoolController

from search.proposals.anchored import Ahead
from search.proposals.history import SHORTFALL
from search.proposals.prior import prior_of
from search.proposals.samplers import build_sampler
from search.proposals.telling import GOALS, tell_end, tell_report, untold_reports
from search.proposals.tpe_window import WindowedStorage
from search.proposals.writer import StudyWriter
from search.study.config import StudyConfig
from search.study.database import directions
from search.study.gates import shortfall
from search.study.records import REPORT, WrittenReport, goals, read_record
from spaces.catalog import Space
from spaces.errors import InputError
from spaces.presets import default
from spaces.task import Params, Task
from trainable.distributed.code import code_version
from trainable.gan.config import TrialConfig
from trainable.trial.report import Report, Status, has_scores

_libraries = cache(ThreadpoolController)  # looks through all that is loaded


@contextmanager
def _one_thread() -> Iterator[None]:
    """Linear algebra on one thread: more would wait for cores that train, for several times what
    one takes."""
    with _libraries().limit(limits=1, user_api="blas"):
        yield


@dataclass
class Entry:
    """A trial under way.

    Attributes:
        number: the study's number of it.
        params: its whole configuration.
        heard: the resource of its last report.
    """

    number: int
    params: Params
    heard: int = 0
    trial: optuna.Trial = field(repr=False, kw_only=True)


@dataclass(frozen=True)
class Refused:
    """A trial that ended as it was drawn: its number, configuration, status, and why."""

    number: int
    params: Params
    status: Status
    reason: str


class Ledger:
    """The one writer of a study. For the driver's thread.

    Attributes:
        ended: trials that have ended, in all sessions of the study.
        problem: why the database takes no more, or None. What was written stays good.
    """

    def __init__(
        self,
        config: StudyConfig,
        study: optuna.Study | None,
        storage: RDBStorage | None,
        learnt: list[FrozenTrial] | None = None,
        refuse: Callable[[TrialConfig], str | None] = lambda config: None,
    ):
        """`study` in `storage` is taken up where it stands; without one, nothing is kept.

        `learnt`: ended trials of an earlier study, for the sampler alone. `refuse` says why a
        configuration has not the memory that it needs, or None.
        """
        self.problem: str | None = None
        self._config, self._refuse = config, refuse
        aims = directions(config.objective)
        tpe_alone = config.sampler == "tpe" and len(aims) == 1
        self._memory = WindowedStorage() if tpe_alone else InMemoryStorage()
        self._sampled = optuna.create_study(storage=self._memory, directions=aims)
        self._sampled.add_trials(learnt or [])
        self._learnt = len(learnt or [])
        known = study.get_trials(deepcopy=False) if study else []
        self._queue: list[Params] = study.user_attrs["queue"] if study else []
        self._queued = {t.user_attrs["queued"] for t in known if "queued" in t.user_attrs}
        for trial in known:
            self._remember(trial)
        self._started = len(known)
        self._ahead: Ahead = deque()
        self._prior = prior_of(config)
        self.ended = sum(trial.state.is_finished() for trial in known)
        reports = (report for trial in known for report in read_record(trial).reports)
        self._order = max((r["order"] for r in reports), default=-1) + 1
        self._writer = StudyWriter(study, storage, self._failed) if study and storage else None
        for trial in known:
            if not trial.state.is_finished() and (untold := untold_reports(trial)):
                self._tell_again(trial.number, untold)

    def _tell_again(self, number: int, reports: list[WrittenReport]) -> None:
        self._write(lambda writer: writer.tell_again(number, reports))

    def _remember(self, trial: FrozenTrial) -> None:
        """Hold a trial in memory, without its reports' text but with all that they say."""
        record = read_record(trial)
        attrs = {k: v for k, v in trial.user_attrs.items() if not k.startswith(REPORT)}
        steps, values = trial.intermediate_values, trial.values
        if len(record.goals) == 1:
            steps = {r["resource"]: goals(r)[0] for r in record.reports}
        elif record.goals:
            attrs[GOALS] = list(record.goals)
        if trial.state is TrialState.COMPLETE and record.goals:
            values = list(record.goals)
            attrs[SHORTFALL] = shortfall(record.last or {})
        remembered = optuna.trial.create_trial(
            state=trial.state if trial.state.is_finished() else TrialState.RUNNING,
            values=values,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=attrs,
            system_attrs=trial.system_attrs,
            intermediate_values=steps,
        )
        self._sampled.add_trial(remembered)

    @_one_thread()
    def draw(self, space: Space, task: Task) -> Entry | Refused:
        """The next trial of the study.

        A corner of a space that its validation did not meet is a failed trial, with the reason; a
        configuration for which memory cannot suffice is out of memory before it begins.
        """
        number = self._started
        self._started += 1
        name, seed = self._config.sampler, self._config.seed
        self._sampled.sampler = build_sampler(name, seed, number, self._ahead, self._prior)
        place = next((i for i in range(len(self._queue)) if i not in self._queued), None)
        if place is not None:
            self._queued.add(place)
            self._sampled.enqueue_trial(self._queue[place], user_attrs={"queued": place})
        trial = self._sampled.ask()
        trial.set_user_attr("started", time.time())
        trial.set_user_attr("code", code_version())
        fault, params, status = None, {}, Status.FAILED
        try:
            params = space(trial, task)
            made = TrialConfig.from_params(params)
            made.check_task(task)
            if (fault := self._refuse(made)) is not None:
                status = Status.OUT_OF_MEMORY
        except (Exception, SystemExit) as error:  # a user's space may fail in any way
            fault = str(error) if isinstance(error, InputError) else f"the space raised {error!r}"
        trial.set_user_attr("params", params)
        if place is not None:
            trial.set_user_attr("origin", "default" if params == default(task) else "enqueued")
        entry = Entry(number, params, trial=trial)
        # A copy: memory's own goes on while the writer is still on its way here.
        frozen = copy.deepcopy(self._memory.get_trial(trial._trial_id))
        self._write(lambda writer: writer.create(number, frozen))
        if fault is None:
            return entry
        self.end(entry, status, fault)
        return Refused(number, params, status, fault)

    def take_up(self, number: int, params: Params, heard: int, *, trains: bool) -> Entry:
        """A trial that an earlier session left; it `trains` on, or its end is all it lacks."""
        self._sampled.sampler = optuna.samplers.RandomSampler()  # Trial's constructor asks it
        trial = optuna.Trial(self._sampled, self._trial_id(number))
        code = code_version() if trains else None
        self._write(lambda writer: writer.run(number, code))
        return Entry(number, params, heard, trial=trial)

    def _trial_id(self, number: int) -> int:
        study_id = self._memory.get_study_id_from_name(self._sampled.study_name)
        place = self._learnt + number
        return self._memory.get_trial_id_from_study_id_trial_number(study_id, place)

    def report(self, entry: Entry, report: Report) -> None:
        """Write a report with scores; one that was heard before is not written again."""
        resource = report["resource"]
        if not has_scores(report) or resource <= entry.heard:
            return
        entry.heard = resource
        tell_report(entry.trial, report)
        if report["status"] == Status.COMPLETE:
            entry.trial.set_user_attr(SHORTFALL, shortfall(report))
        kept: WrittenReport = {**report, "order": self._order}
        self._order += 1
        self._write(lambda writer: writer.report(entry.number, kept))

    def end(self, entry: Entry, status: Status, reason: str = "") -> None:
        """End a trial, once: what the status means to Optuna's samplers is decided here."""
        tell_end(self._sampled, entry.trial, status, reason)
        self.ended += 1
        ended = self._memory.get_trial(entry.trial._trial_id)
        self._write(lambda writer: writer.end(entry.number, status, reason, ended))

    def interrupt(self, entry: Entry) -> None:
        """Say that a trial stopped with the search."""
        self._write(lambda writer: writer.interrupt(entry.number))

    def flush(self) -> None:
        """Wait until all is written, or the database has failed."""
        if self._writer:
            self._writer.flush()

    def close(self) -> None:
        """Flush, and write no more."""
        if self._writer:
            self._writer.close()

    def _write(self, act: Callable[[StudyWriter], None]) -> None:
        if self._writer and self.problem is None:
            self._writer.put(act)

    def _failed(self, reason: str) -> None:
        self.problem = reason
