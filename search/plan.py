"""What a prepared study comes to on the machines that there are: how fast, how many, until when."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from rich.console import Console

from search.capacity.estimate import (
    Speed,
    budgeted,
    measure_scoring,
    measure_training,
    speed_of,
    total_seconds,
)
from search.capacity.gpu_share import Capacity, share
from search.capacity.nodes import all_in_order, local_gpus
from search.resolve import Prepared, make_workload
from search.study.config import StudyConfig
from search.study.folder import TRIALS
from search.study.trial_files import attach_storage
from spaces.presets import default
from trainable.basics.machine import local_cores
from trainable.basics.progress import stage
from trainable.basics.terminal import say
from trainable.distributed.cluster import fitting
from trainable.distributed.resources import Resources
from trainable.gan.config import TrialConfig
from trainable.gan.run import Run
from trainable.trial.evaluation import real_set, validation_of
from trainable.trial.workload import Workload


@dataclass(frozen=True)
class Outlook:
    """How long a search will take.

    Attributes:
        config: as its time budget has it.
        device: where trials run.
        workers: how many run at a time.
        seconds: of all, whatever its budget.
    """

    config: StudyConfig
    device: str
    workers: int
    seconds: float


@dataclass(frozen=True)
class Plan:
    """A search as it can be on the machines that there are.

    Attributes:
        config: with the length and the winner images that the time budget pays for.
        workload: what its trials share, but for the untrained generator's scores.
        capacity: where they run, and until when.
        speed: of one trial among as many as run at a time.
    """

    config: StudyConfig
    workload: Workload
    capacity: Capacity
    speed: Speed

    @property
    def outlook(self) -> Outlook:
        """How long it takes."""
        workload, workers = self.workload, self.capacity.workers
        seconds = total_seconds(self.config, workload.data, self.speed, workers)
        return Outlook(self.config, workload.device, workers, seconds)


def make_plan(
    args: argparse.Namespace, prepared: Prepared, capacity: Capacity, console: Console, since: float
) -> Plan:
    """Measure the real images, the machines and how many trials share a GPU, within the budget.

    Raises:
        InputError: nodes cannot take part, or the time budget leaves no time to train.
    """
    tell, config = partial(say, console), prepared.config
    folder = args.output / config.name
    object_store = attach_storage(folder, args.storage)
    gpus = local_gpus()
    if capacity.resources.cluster is not None:
        with stage(console, "looking at the cluster's nodes"):
            nodes = all_in_order(object_store or folder / TRIALS, tell)
        gpus = tuple(gpu for node in nodes for gpu in node.gpus)
        capacity = replace(capacity, nodes=frozenset(node.address for node in nodes))
    with stage(console, "measuring the real images") as progress:
        real = real_set(prepared.inputs.data, prepared.inputs.networks.extractor, tell, progress)
    with stage(console, "measuring the default configuration"):
        workload = make_workload(prepared, real, capacity.resources, folder, object_store)
        speed = speed_of(workload, capacity.resources)
        shares = share(
            workload, prepared.space, capacity, [mb for _, mb in gpus],
            auto=args.gpus_per_trial is None, budget=config.time_budget, say=tell,
        )  # fmt: skip
    speed = replace(speed, trained=speed.trained * shares.slowdown)
    capacity = shares.capacity
    config, deadline = budgeted(
        config, prepared.inputs.data, speed, capacity.workers, since,
        left_open=prepared.left_open, say=tell,
    )  # fmt: skip
    capacity = replace(capacity, deadline=deadline, refuse=shares.refusal)
    workload = replace(shares.workload, evaluations=config.evaluations)
    return Plan(config, workload, capacity, speed)


def look_ahead(
    args: argparse.Namespace, prepared: Prepared, where: Resources, since: float,
    say: Callable[[str], None],
) -> Outlook | None:  # fmt: skip
    """How long a study will take on this machine, without Ray; None where a cluster runs it.

    Raises:
        InputError: scoring the winners leaves no time to train.
    """
    config = prepared.config
    if where.cluster is not None:
        say("how long it takes on the cluster, and what a time budget pays for, is not measured")
        return None
    inputs, seed = prepared.inputs, config.seed
    first = TrialConfig.from_params(default(inputs.task))
    trained = measure_training(
        lambda: Run(
            first, inputs.data, seed=seed, device=where.device, backbone=inputs.networks.backbone
        ),
        where.cpus_per_trial,
    )
    speed = measure_scoring(
        inputs.networks.extractor, inputs.data, validation_of(inputs.validation), where.device,
        where.cpus_per_trial,
    )  # fmt: skip
    here = {"CPU": local_cores(), "GPU": torch.cuda.device_count()}
    fits = fitting([{"Alive": True, "Resources": here}], where, where.gpus_per_trial or 0)
    workers = min(fits, where.max_concurrent or fits)
    speed = replace(speed, trained=trained)
    config, _ = budgeted(
        config, inputs.data, speed, workers, since, left_open=prepared.left_open, say=say
    )
    seconds = total_seconds(config, inputs.data, speed, workers)
    return Outlook(config, where.device, workers, seconds)


def undecided(prepared: Prepared, where: Resources) -> frozenset[str]:
    """The settings that `look_ahead` leaves to the plan of the search itself."""
    if prepared.config.time_budget is None:
        return prepared.left_open & {"replicates"}
    return prepared.left_open if where.cluster is not None else frozenset()
