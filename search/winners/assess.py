"""The best trials scored on fresh images, side by side on Ray."""

from __future__ import annotations

from contextlib import suppress

import ray

from search.study.records import TrialRecord
from search.tune.placement import away_from
from trainable.basics.progress import Progress
from trainable.distributed.resources import Resources
from trainable.trial.evaluation import Assessment
from trainable.trial.trial import assess
from trainable.trial.workload import Workload


def assess_on_ray(
    workload: Workload,
    records: list[TrialRecord],
    per_class: int,
    resources: Resources,
    progress: Progress,
    avoided: frozenset[str] = frozenset(),
) -> dict[int, Assessment]:
    """Assess trials side by side on Ray, by trial number; see `trainable.trial.trial.assess`.

    A trial whose checkpoints are lost is left out. `progress` is told how many trials are done;
    nothing runs on the nodes at the addresses `avoided`.
    """
    gpus = resources.gpus_per_trial or 0
    task = ray.remote(num_cpus=resources.cpus_per_trial, num_gpus=gpus)(assess)
    task = task.options(label_selector=away_from(avoided))
    shared = ray.put(workload)
    numbers = {task.remote(shared, r.number, r.params, per_class): r.number for r in records}
    assessed: dict[int, Assessment] = {}
    waiting = list(numbers)
    while waiting:
        [done], waiting = ray.wait(waiting)  # whichever ends first
        with suppress(FileNotFoundError):
            assessed[numbers[done]] = ray.get(done)
        progress(len(numbers) - len(waiting), len(numbers))
    return assessed
