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
from trainable.gan.footprint import Memory, cap_mb, footprint
from trainable.trial.workload import Workload

PROBED_FROM = 600.0
"""Seconds of a time budget below which measuring, a minute, costs more than it gains."""


@dataclass(frozen=True)
class Shares:
    """How trials share what there is.

    Attributes:
        where, workers, job: as before, with what a trial gets and how many run at a time.
        slower: images a second of one among so many, over those of one alone.
        memory: what a configuration is estimated to need, or None where nothing was measured.
    """

    where: Resources
    workers: int
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
    workload: Workload, space: Space, where: Resources, workers: int, gpus_mb: Sequence[int],
    *, auto: bool, budget: float | None, say: Callable[[str], None],
) -> Shares:  # fmt: skip
    """Settle what a trial gets of a GPU, on the cluster that this process is connected to.

    `gpus_mb` is the memory of each GPU that there is, `auto` whether the number of trials a GPU is
    to be measured, `budget` the search's seconds.
    """
    gpus = where.gpus_per_trial
    if where.device == "cpu" or not gpus:
        return Shares(where, workers, workload)
    if not auto:
        if gpus < 1 and gpus_mb:
            limit = cap_mb(min(gpus_mb), int(1 / gpus + 1e-6))
            workload = replace(workload, gpu_memory_mb=limit)
            say(f"each trial may hold {limit / 1024:.1f} GB of its GPU")
        return Shares(where, workers, workload)
    if budget is not None and budget < PROBED_FROM:
        say(
            f"one trial a GPU: to measure how many takes a minute, and is done from "
            f"--time-budget {format_duration(PROBED_FROM)} on"
        )
        return Shares(where, workers, workload)
    packing = probe_gpu(workload, space, where, say)
    where = replace(where, gpus_per_trial=packing.gpus_per_trial)
    fits = fitting(ray.nodes(), where, packing.gpus_per_trial)
    workers = min(fits, where.max_concurrent or fits)
    slowdown = packing.gain * packing.gpus_per_trial
    return Shares(
        where, workers, replace(workload, gpu_memory_mb=packing.cap_mb), slowdown, packing.memory
    )
