"""Ray: connecting to it, running a study's trials on it, and scoring winners there."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import ray
from optuna.storages import RDBStorage
from ray import tune
from rich.console import Console

from search.board import Board
from search.controller import patient_controller
from search.ledger import Ledger
from search.placement import Placement, away_from
from search.progress import RETRIES, Progress
from search.scheduler import StudyASHA, rebuild
from search.screen import Screen
from search.searcher import StudySearcher
from search.settings import StudyConfig
from search.study import TrialRecord, interrupt_running, read_learnt, read_records
from search.watchdog import Watchdog
from spaces.catalog import Space
from spaces.presets import default
from trainable.basics.terminal import say
from trainable.config import TrialConfig
from trainable.evaluation import Assessment
from trainable.job import Job
from trainable.ray_trainable import CGANTrainable
from trainable.resources import Resources
from trainable.trial import assess

_SCRATCH = "tune"


@dataclass(frozen=True)
class Outcome:
    """How a search's trials ended.

    Attributes:
        done: whether all trials that the study owes have ended.
        halted: why it could not go on, or None.
        avoided: addresses of nodes on which nothing more is to run.
    """

    done: bool
    halted: str | None
    avoided: frozenset[str] = frozenset()


def run_trials(
    study: optuna.Study,
    storage: RDBStorage,
    config: StudyConfig,
    space: Space,
    job: Job,
    resources: Resources,
    *,
    workers: int,
    deadline: float | None,
    console: Console,
    progress: str,
    wake: Callable[[], None],
    refuse: Callable[[TrialConfig], str | None] = lambda config: None,
    nodes: Collection[str] = (),
    trainable: type[tune.Trainable] = CGANTrainable,
) -> Outcome:
    """Run the trials that the study still owes.

    At `deadline` (seconds since 1970), and at the user's Ctrl-C, running trials are stopped and
    marked interrupted. `progress` is one of `search.cli.MODES`. `wake` is called after every
    change of the study, and must not block. `refuse` says why a configuration is not worth trying,
    for want of memory, or None. `nodes` are the addresses of the cluster's nodes that have been
    looked at. `trainable` is given the `job`; benchmarks run one that costs nothing.
    """
    interrupt_running(study, storage)  # of a former life; who calls this holds the study's lock
    job.trials.mkdir(parents=True, exist_ok=True)  # a node on which it is not there is found out
    records = read_records(study)
    placement = Placement(
        resources, partial(say, console), there=nodes, quiet=progress == "none", deadline=deadline
    )
    scheduler, stopped = rebuild(config, records, placement)
    ledger = Ledger(config, study, storage, read_learnt(study, storage), refuse)
    searcher = StudySearcher(ledger, config, space, job.task, records, stopped, deadline=deadline)
    failed = None
    try:
        if searcher.finished < config.trials:
            ledger.flush()
            board = Board(config, read_records(study))
            floor = study.user_attrs["yardstick"]["floor"]
            screen = Screen(board, floor, default(job.task), job.trials)
            shown = Progress(console, progress, board, screen, searcher, wake, deadline)
            watchdog = Watchdog(job.trials, resources.report_timeout, shown.say)
            with shown, patient_controller(), _terminated_like_interrupted():
                runner: Any = tune.with_parameters(trainable, job=job)
                runner.__name__ = runner.__qualname__ = trainable.__name__  # as `ps` shows it
                # A cluster may grow: there Tune itself sees how many trials fit.
                limit = workers if resources.cluster is None else resources.max_concurrent
                callbacks = [shown, watchdog, placement]
                halt = _Halt(lambda: searcher.halted or placement.halted)
                _tuner(config, job, runner, limit, searcher, scheduler, callbacks, halt).fit()
    except Exception as error:  # Tune writes files of its own, and has no mercy on a full disk
        if (failed := os.strerror(errno.ENOSPC)) not in str(error):
            raise
    finally:
        searcher.interrupt_rest()
        ledger.close()
        shutil.rmtree(_scratch(job), ignore_errors=True)
        wake()
    halted = searcher.halted or placement.halted or failed
    return Outcome(searcher.finished >= config.trials, halted, frozenset(placement.avoided))


def _tuner(
    config: StudyConfig,
    job: Job,
    runner: Any,
    limit: int | None,
    searcher: StudySearcher,
    scheduler: StudyASHA,
    callbacks: list[tune.Callback],
    halt: _Halt,
) -> tune.Tuner:
    # Tune's own screen, result files and snapshots are all off: the study has what matters.
    os.environ.update(
        RAY_AIR_NEW_OUTPUT="0",
        TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
        TUNE_DISABLE_STRICT_METRIC_CHECKING="1",  # a trial that broke down has no FID to report
        TUNE_PRINT_ALL_TRIAL_ERRORS="0",  # we say them in a line
        TUNE_GLOBAL_CHECKPOINT_S="3600",
        TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S="0",
    )
    # What goes wrong there reaches the user as a line of ours, or as the exception itself.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    return tune.Tuner(
        runner,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler,
            num_samples=config.trials - searcher.finished,
            # Without a limit Tune asks one trial ahead, before the last one's score is known.
            max_concurrent_trials=limit,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=_SCRATCH,
            storage_path=str(_scratch(job).parent),
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            stop=halt,
            # Trials keep their own checkpoints.
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            callbacks=callbacks,
            verbose=0,
        ),
    )


def _scratch(job: Job) -> Path:
    """Tune insists on a folder for its own state, and that every node sees it."""
    return job.trials.parent / _SCRATCH


class _Halt(tune.Stopper):
    """Ends the experiment when there is a reason."""

    def __init__(self, reason: Callable[[], str | None]):
        self._reason = reason

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._reason() is not None

    def __getstate__(self) -> dict[str, Any]:
        return {}


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM, as from a cluster's scheduler, end the search in order, as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def assess_on_ray(
    job: Job,
    records: list[TrialRecord],
    per_class: int,
    resources: Resources,
    progress: Callable[[int, int], None],
    avoided: frozenset[str] = frozenset(),
) -> dict[int, Assessment]:
    """Assess trials side by side on Ray, by trial number; see `trainable.trial.assess`.

    A trial whose checkpoints are lost is left out. `progress` is told how many trials are done;
    nothing runs on the nodes at the addresses `avoided`.
    """
    gpus = resources.gpus_per_trial or 0
    task = ray.remote(num_cpus=resources.cpus_per_trial, num_gpus=gpus)(assess)
    task = task.options(label_selector=away_from(avoided))
    shared = ray.put(job)
    numbers = {task.remote(shared, r.number, r.params, per_class): r.number for r in records}
    found: dict[int, Assessment] = {}
    waiting = list(numbers)
    while waiting:
        [done], waiting = ray.wait(waiting)  # whichever ends first
        with suppress(FileNotFoundError):
            found[numbers[done]] = ray.get(done)
        progress(len(numbers) - len(waiting), len(numbers))
    return found
