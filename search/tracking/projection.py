"""The study as MLflow shows it: one parent run, and one child run a trial.

Optuna's database is the truth, and this its projection: what MLflow lacks is written at the next
`Projection.sync`, in this process or a later one. Runs are found by the tags `STUDY` and `TRIAL`
(see `trainable.tracking.names`); `EPOCH` says how far a trial is written.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from search.study.config import StudyConfig
from search.study.database import load_study, open_storage
from search.study.folder import BEST, LEADERBOARD, SETTINGS, TRIALS
from search.study.records import TrialRecord, read_record
from search.study.versions import settings_of
from search.tracking.dataset import log_data
from search.tracking.flat import by_class, flat, is_number, report_metrics, run_status
from search.tracking.sample_grids import KEPT, log_grids, logged_epochs
from search.tracking.text import code_tags, description, trial_name, trial_tags
from search.tracking.written_run import WrittenRun
from trainable.basics.progress import Progress
from trainable.tracking.client import (
    create_tracking,
    experiment_id,
    quiet_mlflow,
    reason,
    search_runs,
)
from trainable.tracking.names import (
    BEST_FID,
    DATA,
    DEVICE,
    EPOCH,
    EXPERIMENT,
    NOTE,
    OF_PATIENTS,
    PARENT_RUN,
    STUDY,
    TRIAL,
    trials_metric,
)
from trainable.trial.report import Status, trial_folder

if TYPE_CHECKING:  # importing mlflow costs 2.5 s: only those who use it pay
    import optuna
    from mlflow.tracking import MlflowClient

ARTIFACTS = (SETTINGS, LEADERBOARD, BEST)
_COUNTS = ("n_real", "n_generated", "half_n", "counts")  # of the yardstick: facts, not scores


def prepare_mlflow() -> None:
    """Make MLflow fail fast and keep quiet; call it before each first import of mlflow."""
    quiet_mlflow(timeout=5)
    import mlflow  # noqa: F401  (it sets its loggers' levels on import, so ours come after)

    for name in ("alembic", "mlflow.pyfunc"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Pages of SQL for each write that fails; the tracker says it in a line.
    logging.getLogger("mlflow.store").setLevel(logging.CRITICAL)


def connect(uri: str) -> MlflowClient:
    """A client of the store at `uri`; creates a SQLite file, and asks nothing of others yet."""
    prepare_mlflow()
    create_tracking(uri)
    from mlflow.tracking import MlflowClient

    return MlflowClient(uri, uri)


def check(uri: str, limit: float = 10.0) -> str | None:
    """Why the tracking store at `uri` cannot be used now, or None.

    Creates the tables of a new SQLite store, once, 3 to 8 s. Others have `limit` seconds.
    """
    answers: list[str | None] = []

    def ask() -> None:
        try:
            connect(uri).get_experiment_by_name(EXPERIMENT)
            answers.append(None)
        except Exception as error:
            answers.append(reason(error))

    try:
        prepare_mlflow()  # here, so that the import's seconds are not the store's
    except Exception as error:
        return reason(error)
    # A thread, as a database behind a dead route hangs in its driver beyond any setting of ours.
    asking = threading.Thread(target=ask, daemon=True, name="mlflow-check")
    asking.start()
    asking.join(None if uri.startswith("sqlite:") else limit)
    return answers[0] if answers else f"no answer within {limit:g} s"


class Projection:
    """The study in `folder` and the database at the URL `database`, written to the MLflow store at
    `uri`. For one thread.

    Attributes:
        folder, database, uri: see above.
    """

    def __init__(self, folder: Path, database: str, uri: str):
        self.folder = folder
        self.database = database
        self.uri = uri
        self._study: optuna.Study | None = None
        self._config: StudyConfig | None = None
        self._classes: list[str] = []
        self._client: MlflowClient | None = None
        self._experiment = ""
        self._runs: dict[str, WrittenRun] | None = None  # by `TRIAL`; the parent's key is ""
        # How trials ended that are written in full, and FID of those that are complete.
        self._settled: dict[int, tuple[Status, float]] = {}

    def check(self) -> str | None:
        """See `check`."""
        return check(self.uri)

    def sync(self, status: str | None = None, watch: Progress | None = None) -> None:
        """Write what MLflow lacks. `status` ends the parent run, as FINISHED or `PAUSED`.

        `watch` is told how many trials are written, of how many that were not known to be.

        Raises:
            Exception: the store did not take it all; the next call writes the rest.
        """
        try:
            self._sync(status, watch)
        except BaseException:
            self._runs = None  # what the store took is unknown: look again before writing
            self._settled.clear()
            raise

    def run_id(self, number: int | None = None) -> str | None:
        """The run of a trial, or of the study; None if the last `sync` did not get that far."""
        written = (self._runs or {}).get("" if number is None else str(number))
        return written.run_id if written else None

    def _sync(self, status: str | None, watch: Progress | None) -> None:
        study, client = self._open()
        if self._runs is None:
            self._runs = self._find_runs(study, client)
        # What is settled is not read again: a search of thousands would do little else.
        trials = study.get_trials(deepcopy=False)
        fresh = [read_record(trial) for trial in trials if trial.number not in self._settled]
        self._write_parent(study, client, fresh, status or "RUNNING")
        for done, record in enumerate(fresh, start=1):
            self._write_trial(study, client, record)
            if watch:
                watch(done, len(fresh))
            if record.ended is not None:
                self._settled[record.number] = _standing(record)
        if status:
            self._describe(study, client, [read_record(trial) for trial in trials])

    def _open(self) -> tuple[optuna.Study, MlflowClient]:
        """The study, by a connection of its own, and the experiment, created if absent."""
        if self._study is None:
            self._study = load_study(self.folder.name, open_storage(self.database))
            self._config = settings_of(self._study)
            self._classes = list(self._study.user_attrs.get("yardstick", {}).get("counts", {}))
        if self._client is None:
            client = connect(self.uri)
            output = self.folder.parent
            self._experiment = experiment_id(client, EXPERIMENT, self.uri, output)
            self._client = client
        return self._study, self._client

    def _find_runs(self, study: optuna.Study, client: MlflowClient) -> dict[str, WrittenRun]:
        runs: dict[str, WrittenRun] = {}
        mine = f"tags.`{STUDY}` = '{study_key(study)}'"
        for run in search_runs(client, self._experiment, mine):
            data = run.data
            written = WrittenRun(
                run.info.run_id, run.info.status, set(data.params), data.tags, data.metrics
            )
            runs.setdefault(data.tags.get(TRIAL, ""), written)
        return runs

    def _run(
        self, client: MlflowClient, key: str, name: str, tags: dict[str, str], started: float | None
    ) -> WrittenRun:
        """The run of `key`, created if absent."""
        assert self._runs is not None
        if key not in self._runs:
            stamp = int(1000 * (started or time.time()))
            run = client.create_run(self._experiment, stamp, tags, run_name=name)
            self._runs[key] = WrittenRun(run.info.run_id, "RUNNING", set(), dict(tags), {}, set())
        return self._runs[key]

    def _write_parent(
        self, study: optuna.Study, client: MlflowClient, fresh: list[TrialRecord], status: str
    ) -> None:
        started = min((r.started for r in fresh if r.started), default=None)
        key = {STUDY: study_key(study)}
        run = self._run(client, "", study.study_name, key, started)
        yardstick = study.user_attrs.get("yardstick", {})
        counts = {k: v for k, v in yardstick.items() if k in _COUNTS}
        yardstick = {k: v for k, v in yardstick.items() if k not in _COUNTS}
        untrained = by_class(yardstick.get("untrained", {}), self._classes)
        scores = dict(flat({**yardstick, "untrained": untrained}))
        metrics = {k: float(v) for k, v in scores.items() if is_number(v)}
        tags = {k: v for k, v in scores.items() if isinstance(v, str)}
        if fresh:
            tags |= code_tags(fresh[-1].code)
        if DATA not in run.tags:
            assert self._config is not None
            tags[DATA] = log_data(client, run.run_id, self._config, counts.get("counts", {}))
        if "of_patients" in study.user_attrs:
            tags[OF_PATIENTS] = str(study.user_attrs["of_patients"])
        standings = [*self._settled.values(), *map(_standing, fresh)]
        best = min((fid for _, fid in standings), default=math.inf)
        if math.isfinite(best):
            metrics[BEST_FID] = best
        statuses = Counter(status for status, _ in standings)
        metrics |= {trials_metric(status): float(statuses[status]) for status in Status}
        ended = len(self._settled) + sum(r.ended is not None for r in fresh)
        now = int(1000 * time.time())
        new = [(k, v, now, ended) for k, v in metrics.items() if run.metrics.get(k) != v]
        run.write(client, {**study.user_attrs.get("config", {}), **counts}, new, tags)
        run.metrics = run.metrics | metrics
        run.set_status(client, status, time.time())

    def _describe(
        self, study: optuna.Study, client: MlflowClient, records: list[TrialRecord]
    ) -> None:
        """What the parent run says at the end: how it went in words, and the files with it all."""
        assert self._runs is not None
        assert self._config is not None
        run, yardstick = self._runs[""], study.user_attrs.get("yardstick", {})
        said = description(
            self._config, yardstick, records, self.folder, self.uri, self.database,
            study.user_attrs.get("run_flags", ()),
        )  # fmt: skip
        run.write(client, {}, [], {NOTE: said})
        for path in (self.folder / name for name in ARTIFACTS):
            if path.exists():
                client.log_artifact(run.run_id, str(path))

    def _write_trial(self, study: optuna.Study, client: MlflowClient, record: TrialRecord) -> None:
        assert self._runs is not None
        assert self._config is not None
        number = str(record.number)
        tags = {
            STUDY: study_key(study),
            TRIAL: number,
            PARENT_RUN: self._runs[""].run_id,
        }
        run = self._run(client, number, trial_name(record), tags, record.started)
        written = int(run.tags.get(EPOCH, -1))
        new = [report for report in record.reports if report["epoch"] > written]
        tags = trial_tags(record, self._config.rungs)
        if new:
            tags[EPOCH] = str(new[-1]["epoch"])
            tags[DEVICE] = str(new[-1].get("device", "unknown"))
        points = [p for report in new for p in report_metrics(record, report, self._classes)]
        run.write(client, record.params, points, tags)
        self._write_grids(client, run, record)
        # Interrupted trials have no end, and run again later; others' status precedes their end.
        over = record.ended is not None or record.status is Status.INTERRUPTED
        status = run_status(record.status) if over else "RUNNING"
        run.set_status(client, status, record.ended or time.time())

    def _write_grids(self, client: MlflowClient, run: WrittenRun, record: TrialRecord) -> None:
        """The sample grids of a trial that got to the second rung: of many that did not, pictures
        would only be in the way."""
        assert self._config is not None
        rungs = (*self._config.rungs, self._config.length)
        if not record.reports or record.reports[-1]["resource"] < rungs[min(1, len(rungs) - 1)]:
            return
        if run.grids is None:
            run.grids = logged_epochs(client, run.run_id)
        step = math.ceil(len(self._config.evaluations) / KEPT)
        epochs = [report["epoch"] for report in record.reports[::step]]
        trial = trial_folder(self.folder / TRIALS, record.number)
        log_grids(client, run.run_id, trial, epochs, run.grids)


def _standing(record: TrialRecord) -> tuple[Status, float]:
    """How a trial stands, and its FID if it is complete, else infinity."""
    complete = record.status is Status.COMPLETE
    return record.status, record.fid if complete else math.inf


def study_key(study: optuna.Study) -> str:
    """What the tag `STUDY` holds: the name, and the study's id if it has one."""
    unique = study.user_attrs.get("id")
    return f"{study.study_name}-{unique}" if unique else study.study_name
