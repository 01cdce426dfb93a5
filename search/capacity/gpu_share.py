"""What each trial gets of a GPU: measured, or as the user says; and what would not fit there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import ray

from search.capacity.gpu_probe import probe_gpu
from spaces.catalog import Space
from trainable.basics.wording import format_duration
from trainable.distributed.cluster import fitting
from trainable.distributed.resources import Resources
from trainable.gan.config import TrialConfig
from trainable.gan.footprint import footprint
from trainable.gan.gpu_memory import Memory, cap_mb
from trainable.trial.workload import Workload

PROBED_FROM = 600.0
"""Seconds of a time budget below which measuring, a minute, costs more than it gains."""


@dataclass(frozen=True)
class Capacity:
    """What a search has for its trials.

    Attributes:
        resources: what each trial gets.
        workers: how many run at a time.
        nodes: addresses of the cluster's nodes that have been looked at.
        deadline: when trials stop, in seconds since 1970, or None.
        refuse: why a configuration is not worth trying, for want of memory, or None.
    """

    resources: Resources
    workers: int
    nodes: frozenset[str] = frozenset()
    deadline: float | None = None
    refuse: Callable[[TrialConfig], str | None] = lambda config: None


@dataclass(frozen=True)
class Shares:
    """How trials share what there is.

    Attributes:
        capacity, workload: as before, with what a trial gets and how many run at a time.
        slowdown: images a second of one among so many, over those of one alone.
        memory: what a configuration is estimated to need, or None where nothing was measured.
    """

    capacity: Capacity
    workload: Workload
    slowdown: float = 1.0
    memory: Memory | None = None

    def refusal(self, config: TrialConfig) -> str | None:
        """Why a configuration is not worth trying here, or None."""
        if self.memory is None or self.workload.gpu_memory_mb is None:
            return None
        needs = footprint(config, self.workload.task)
        return self.memory.refusal(needs, self.workload.gpu_memory_mb)


def share(
    workload: Workload, space: Space, capacity: Capacity, gpus_mb: Sequence[int],
    *, auto: bool, budget: float | None, say: Callable[[str], None],
) -> Shares:  # fmt: skip
    """Settle what a trial gets of a GPU, on the cluster that this process is connected to.

    `gpus_mb` is the memory of each GPU that there is, `auto` whether the number of trials a GPU is
    to be measured, `budget` the search's seconds.
    """
    resources = capacity.resources
    gpus = resources.gpus_per_trial
    if resources.device == "cpu" or not gpus:
        return Shares(capacity, workload)
    if not auto:
        if gpus < 1 and gpus_mb:
            limit = cap_mb(min(gpus_mb), int(1 / gpus + 1e-6))
            workload = replace(workload, gpu_memory_mb=limit)
            say(f"each trial may hold {limit / 1024:.1f} GB of its GPU")
        return Shares(capacity, workload)
    if budget is not None and budget < PROBED_FROM:
        say(
            "one trial per GPU: measuring how many fit takes a minute, which needs a "
            f"--time-budget of {format_duration(PROBED_FROM)} or more"
        )
        return Shares(capacity, workload)
    packing = probe_gpu(workload, space, resources, say)
    resources = replace(resources, gpus_per_trial=packing.gpus_per_trial)
    fits = fitting(ray.nodes(), resources, packing.gpus_per_trial)
    capacity = replace(
        capacity, resources=resources, workers=min(fits, resources.max_concurrent or fits)
    )
    slowdown = packing.gain * packing.gpus_per_trial
    workload = replace(workload, gpu_memory_mb=packing.cap_mb)
    return Shares(capacity, workload, slowdown, packing.memory)
