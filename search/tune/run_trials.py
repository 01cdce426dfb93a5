"""A study's trials on Ray Tune: run until they have ended, or until the search is to stop."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ray import tune

from search.capacity.gpu_share import Capacity
from search.display.screen import Screen
from search.display.standings import Standings
from search.proposals.ledger import Ledger
from search.study.database import OpenStudy, interrupt_running, read_learnt
from search.study.records import read_records
from search.study.versions import settings_of
from search.tune.callback import Callback
from search.tune.controller import patient_controller
from search.tune.placement import Placement
from search.tune.reporting import RETRIES, Audience, TuneReporter
from search.tune.rungs import replayed
from search.tune.scheduler import StudyASHA
from search.tune.searcher import StudySearcher
from search.tune.watchdog import Watchdog
from spaces.catalog import Space
from spaces.presets import default
from trainable.basics.files import disk_fault
from trainable.basics.stopping import Stop, stopped_gently
from trainable.basics.terminal import say
from trainable.basics.wording import counted
from trainable.distributed.stop_mark import ask_to_stop, take_back
from trainable.ray_trainable import CGANTrainable
from trainable.trial.workload import Workload

SAVING = 30.0
"""Seconds that trials have to save once the search is asked to stop; an epoch takes less."""


@dataclass(frozen=True)
class Outcome:
    """How a search's trials ended.

    Attributes:
        done: whether all trials that the study owes have ended.
        halted: why it could not go on, or None.
        stopped: the signal that asked it to stop, or None.
        avoided: addresses of nodes on which nothing more is to run.
    """

    done: bool
    halted: str | None
    stopped: int | None = None
    avoided: frozenset[str] = frozenset()


def run_trials(
    opened: OpenStudy,
    space: Space,
    workload: Workload,
    capacity: Capacity,
    audience: Audience,
    trainable: type[tune.Trainable] = CGANTrainable,
) -> Outcome:
    """Run the trials that the study still owes.

    At the deadline, and at the user's Ctrl-C or SIGTERM, running trials save, stop and are marked
    interrupted. `trainable` is given the `workload`; benchmarks run one that costs nothing.

    Raises:
        Stopped: a second signal came before that was done, or the terminal is gone.
    """
    study, storage = opened
    config, resources = settings_of(study), capacity.resources
    interrupt_running(study, storage)  # by a killed session; the caller holds the study's lock
    # A node on which it is not there is found out.
    workload.trials.mkdir(parents=True, exist_ok=True)
    records = read_records(study)
    placement = Placement(
        resources, partial(say, audience.console), there=capacity.nodes,
        quiet=audience.progress == "none", deadline=capacity.deadline,
    )  # fmt: skip
    rungs, stopped = replayed(config, records)
    scheduler = StudyASHA(rungs, placement)
    ledger = Ledger(config, study, storage, read_learnt(study, storage), capacity.refuse)
    searcher = StudySearcher(
        ledger, config, space, workload.task, records, stopped, capacity.deadline
    )
    failed, asked = None, None
    take_back(workload.trials)  # a killed session's
    try:
        if searcher.finished < config.trials:
            ledger.flush()
            standings = Standings(config, read_records(study))
            floor = study.user_attrs["yardstick"]["floor"]
            screen = Screen(standings, floor, default(workload.task), workload.trials)
            shown = TuneReporter(audience, standings, screen, searcher, capacity.deadline)
            watchdog = Watchdog(workload.trials, resources.report_timeout, shown.say)

            def tell_of_stop() -> None:
                waits = workload.object_store is None
                shown.say(_stopping(searcher.under_way, waits))
                if waits:
                    ask_to_stop(workload.trials)

            with shown, patient_controller(), stopped_gently(searcher.close, tell_of_stop) as stop:
                runner: Any = tune.with_parameters(trainable, workload=workload)
                runner.__name__ = runner.__qualname__ = trainable.__name__  # as `ps` shows it
                # A cluster may grow: there Tune itself sees how many trials fit.
                limit = capacity.workers if resources.cluster is None else resources.max_concurrent
                saving = _Saving(stop, waits=workload.object_store is None)
                callbacks = [shown, watchdog, placement, saving]
                halt = _Halt(lambda: saving.over or searcher.halted or placement.halted)
                scratch = _scratch(workload)
                _tuner(runner, searcher, scheduler, callbacks, halt, scratch, limit).fit()
                asked = stop.number
    except Exception as error:  # Tune writes files of its own
        if (failed := disk_fault(error)) is None:
            raise
    finally:
        searcher.interrupt_rest()
        ledger.close()
        shutil.rmtree(_scratch(workload), ignore_errors=True)
        audience.wake()
        with suppress(OSError):  # the next session takes it back
            take_back(workload.trials)
    halted = searcher.halted or placement.halted or failed
    done = searcher.finished >= config.trials
    return Outcome(done, halted, asked, frozenset(placement.avoided))


def _stopping(trials: int, waits: bool) -> str:
    """What is said as soon as a search is asked to stop."""
    if trials == 0:
        return "stopping"
    them = counted(trials, "trial")
    if not waits:  # their nodes do not see that they are to save
        return f"stopping; {them} will resume from the last score; Ctrl-C again stops at once"
    return f"stopping, saving {them}; Ctrl-C again stops at once, back to their last score"


def _tuner(
    runner: Any,
    searcher: StudySearcher,
    scheduler: StudyASHA,
    callbacks: list[tune.Callback],
    halt: _Halt,
    scratch: Path,
    limit: int | None,
) -> tune.Tuner:
    # Tune's own screen, result files and snapshots are all off: the study has what matters.
    os.environ.update(
        RAY_AIR_NEW_OUTPUT="0",
        TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
        TUNE_DISABLE_STRICT_METRIC_CHECKING="1",  # a trial that broke down has no FID to report
        TUNE_PRINT_ALL_TRIAL_ERRORS="0",  # we say them in a line
        TUNE_GLOBAL_CHECKPOINT_S="3600",
        TUNE_DISABLE_SIGINT_HANDLER="1",  # ours lets trials save, and says so
        TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S="0",
    )
    # What goes wrong there reaches the user as a line of ours, or as the exception itself.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    return tune.Tuner(
        runner,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler,
            num_samples=searcher.owed,
            # Without a limit Tune asks one trial ahead, before the last one's score is known.
            max_concurrent_trials=limit,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=scratch.name,
            storage_path=str(scratch.parent),
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            stop=halt,
            # Trials keep their own checkpoints.
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            callbacks=callbacks,
            # Both say nothing; but that for notebooks would clear what ours has said in the cell.
            progress_reporter=tune.CLIReporter(),
            verbose=0,
        ),
    )


def _scratch(workload: Workload) -> Path:
    """Tune insists on a folder for its own state, and that every node sees it."""
    return workload.trials.parent / "tune"


class _Halt(tune.Stopper):
    """Ends the experiment when there is a reason."""

    def __init__(self, reason: Callable[[], object]):
        self._reason = reason

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return bool(self._reason())

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Saving(Callback):
    """Waits, once the search is asked to stop, for the trials at work to save."""

    def __init__(self, stop: Stop, waits: bool):
        self._stop, self._waits = stop, waits
        self._since: float | None = None
        self.over = False

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Whether none is at work any more, or they have had long enough."""
        if not self._stop:
            return
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        busy = any(trial.status == "RUNNING" for trial in trials)
        self.over = not busy or not self._waits or now - self._since > SAVING
