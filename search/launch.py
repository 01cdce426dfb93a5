"""Ray: connecting to it, running a study's trials on it, and scoring winners there."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import optuna
import ray
from ray import tune
from rich.console import Console

from search.progress import Progress
from search.resources import Resources, local_cores
from search.scheduler import build_scheduler
from search.searcher import StudySearcher, build_sampler
from search.settings import StudyConfig
from search.study import TrialRecord, mark_interrupted, read_records
from spaces.catalog import Space
from spaces.errors import InputError
from trainable.evaluation import Assessment
from trainable.ray_trainable import CGANTrainable
from trainable.trial import Job, assess

RETRIES = 2
"""Times a trial whose worker died is started again from its checkpoint."""


@contextmanager
def connected(resources: Resources) -> Iterator[tuple[Resources, int]]:
    """Be connected to Ray; gives the settled resources and how many trials run at a time.

    Raises:
        InputError: the cluster does not answer, or has not the CPUs or GPUs that one trial needs.
    """
    # Tune's own screen, result files and snapshots are all off: the study has what matters.
    os.environ.update(
        RAY_AIR_NEW_OUTPUT="0",
        TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
        TUNE_DISABLE_STRICT_METRIC_CHECKING="1",  # a trial that broke down has no FID to report
        TUNE_GLOBAL_CHECKPOINT_S="3600",
        TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S="0",
    )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if resources.cluster is None:
        # "local" and no less: a stale address file would otherwise capture this call.
        ray.init(address="local", num_cpus=local_cores(), include_dashboard=False, **quiet)
    else:
        try:
            ray.init(address=resources.cluster, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"--address {resources.cluster} does not answer ({reason}); start the cluster, or "
                "use --address local"
            ) from error
    try:
        there = ray.cluster_resources()
        gpus = resources.gpus_per_trial
        if gpus is None:
            gpus = 1.0 if there.get("GPU") else 0.0
            resources = replace(resources, gpus_per_trial=gpus)
        fits = int(there.get("CPU", 0) // resources.cpus_per_trial)
        if gpus:
            fits = min(fits, int(there.get("GPU", 0) / gpus))
        if fits < 1:
            raise InputError(
                f"a trial needs {resources.cpus_per_trial} CPUs and {gpus:g} "
                f"GPUs, but there are {there.get('CPU', 0):g} and {there.get('GPU', 0):g}; lower "
                "--cpus-per-trial or --gpus-per-trial"
            )
        yield resources, min(fits, resources.max_concurrent or fits)
    finally:
        ray.shutdown()


def run_trials(
    study: optuna.Study,
    config: StudyConfig,
    space: Space,
    job: Job,
    resources: Resources,
    *,
    budget: float | None,
    console: Console,
    wake: Callable[[], None],
) -> bool:
    """Run the trials that the study still owes; False if stopped before they had all ended.

    `budget` seconds after the start, and at the user's Ctrl-C, running trials are stopped and
    marked interrupted. `wake` is called after every change of the study, and must not block.
    """
    history = [r for r in read_records(study) if r.ended is not None]
    scheduler = build_scheduler(config, history)
    study.sampler = build_sampler(config, len(history))
    searcher = StudySearcher(study, config, space, job.data.task, scheduler)
    if searcher.finished >= config.trials:
        return True
    progress = Progress(console, config, study.user_attrs["yardstick"], searcher, wake)
    trainable = tune.with_resources(
        tune.with_parameters(CGANTrainable, job=job),
        {"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial or 0},
    )
    # Tune insists on a folder for its own state, and that every node sees it.
    scratch = job.trials.parent / "tune"
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler,
            num_samples=config.trials - searcher.finished,
            max_concurrent_trials=resources.max_concurrent,
            time_budget_s=budget,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(scratch.parent.resolve()),
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            # Trials keep their own checkpoints.
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            callbacks=[progress],
            verbose=0,
        ),
    )
    try:
        with progress:
            tuner.fit()
    finally:
        mark_interrupted(study)
        shutil.rmtree(scratch, ignore_errors=True)
        wake()
    return searcher.finished >= config.trials


def assess_on_ray(
    job: Job, records: list[TrialRecord], per_class: int, resources: Resources
) -> dict[int, Assessment]:
    """Assess trials side by side on Ray, by trial number; see `Evaluator.assess`."""
    gpus = resources.gpus_per_trial or 0
    task = ray.remote(num_cpus=resources.cpus_per_trial, num_gpus=gpus)(assess)
    shared = ray.put(job)
    futures = {r.number: task.remote(shared, r.number, r.params, per_class) for r in records}
    return {number: ray.get(future) for number, future in futures.items()}
