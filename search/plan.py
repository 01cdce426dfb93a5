"""What a prepared study comes to: the job that its trials share, how long it takes, until when."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ray
import torch

from search.capacity.estimate import (
    Speed,
    measure_scoring,
    measure_speed,
    search_seconds,
    winner_images_within,
    winner_seconds,
)
from search.resolve import Prepared
from search.study.config import StudyConfig
from search.study.trial_files import TRIALS
from spaces.errors import InputError
from spaces.presets import default
from trainable.basics.machine import local_cores
from trainable.basics.wording import format_duration
from trainable.distributed.cluster import fitting
from trainable.distributed.resources import Resources
from trainable.gan.config import TrialConfig
from trainable.metrics.scores import RealSet
from trainable.trial.evaluation import validation_of, witness_of
from trainable.trial.object_store import ObjectStore
from trainable.trial.objective import Objective
from trainable.trial.workload import Workload


def counted(number: int, what: str) -> str:
    """``1 node``, ``3 nodes``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def make_workload(
    prepared: Prepared,
    real: RealSet,
    where: Resources,
    folder: Path,
    object_store: ObjectStore | None = None,
) -> Workload:
    """What all trials of the study in `folder` share, but for the untrained generator's scores.

    `object_store` is the object store that has the trials' files, if it is one.
    """
    config = prepared.config
    return Workload(
        data=prepared.data,
        extractor=prepared.extractor,
        real=real,
        witness=witness_of(prepared.data, prepared.held_out, seed=config.seed),
        objective=Objective.parse(config.objective),
        untrained={},
        evaluations=config.evaluations,
        trials=(folder / TRIALS).resolve(),
        seed=config.seed,
        device=where.device,
        threads=where.cpus_per_trial,
        resource=config.resource,
        max_seconds=config.max_trial_time,
        backbone=prepared.backbone,
        start=prepared.start,
        validation=validation_of(prepared.validation),
        object_store=object_store,
    )  # fmt: skip


def speed_of(workload: Workload, where: Resources) -> Speed:
    """How fast the default configuration is where trials run: here, or on a node of the cluster."""
    config = TrialConfig.from_params(default(workload.task))
    if where.cluster is None:
        return measure_speed(workload, config)
    task = ray.remote(num_cpus=where.cpus_per_trial, num_gpus=where.gpus_per_trial or 0)
    found: Speed = ray.get(task(measure_speed).remote(workload, config))
    return found


def total_seconds(config: StudyConfig, workload: Workload, speed: Speed, workers: int) -> float:
    """Seconds of a whole search on `workers` workers, from its first trial to its winners."""
    return search_seconds(config, workload.data.n, speed, workers) + winner_seconds(
        config, len(workload.data.classes), speed, workers
    )


def tried_budget(
    prepared: Prepared, where: Resources, since: float, *, asked: bool, say: Callable[[str], None]
) -> Prepared:
    """What `budgeted` makes of a study on this machine, without Ray.

    Raises:
        InputError: as `deadline_of`.
    """
    if prepared.config.time_budget is None:
        return prepared
    if where.cluster is not None:
        say("whether the cluster can score the winners within the time budget is not measured")
        return prepared
    speed = measure_scoring(
        prepared.extractor, prepared.data, validation_of(prepared.validation), where.device,
        where.cpus_per_trial,
    )  # fmt: skip
    here = {"CPU": local_cores(), "GPU": torch.cuda.device_count()}
    fits = fitting([{"Alive": True, "Resources": here}], where, where.gpus_per_trial or 0)
    workers = min(fits, where.max_concurrent or fits)
    return budgeted(prepared, speed, workers, since, asked=asked, say=say)[0]


def budgeted(
    prepared: Prepared, speed: Speed, workers: int, since: float,
    *, asked: bool, say: Callable[[str], None],
) -> tuple[Prepared, float | None]:  # fmt: skip
    """The study as `affordable` has it, which `say` is told, and when its trials must stop.

    Raises:
        InputError: as `deadline_of`.
    """
    classes = len(prepared.data.classes)
    config, line = affordable(prepared.config, classes, speed, workers, asked=asked)
    if line:
        say(line)
    deadline = deadline_of(config, classes, speed, workers, since)
    return replace(prepared, config=config), deadline


def affordable(
    config: StudyConfig, classes: int, speed: Speed, workers: int, *, asked: bool
) -> tuple[StudyConfig, str]:
    """The study, with fewer winner images where scoring them would take over half of its time
    budget, and a line that says so, or an empty one.

    As many as were `asked` for stay.
    """
    budget = config.time_budget
    if budget is None or asked:
        return config, ""
    most = winner_images_within(budget / 2, config, classes, speed, workers)
    if most >= config.winner_images:
        return config, ""
    line = (
        f"--winner-images is {most} a class instead of {config.winner_images}, so that scoring the "
        f"winners leaves half of the time budget of {format_duration(budget)} to the trials"
    )
    return replace(config, winner_images=most), line


def deadline_of(
    config: StudyConfig, classes: int, speed: Speed, workers: int, began: float
) -> float | None:
    """When trials must stop so that the winners are scored within the time budget.

    Raises:
        InputError: that leaves no time to train.
    """
    if config.time_budget is None:
        return None
    needed, now = winner_seconds(config, classes, speed, workers), time.time()
    deadline = began + config.time_budget - needed
    if deadline <= now:
        raise InputError(
            f"--time-budget is {format_duration(config.time_budget)}, but scoring the winners "
            f"alone takes some {format_duration(needed)}, and {format_duration(now - began)} "
            "are gone already; raise it, or lower --top-k or --winner-images"
        )
    return deadline
