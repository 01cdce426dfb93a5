"""The best trials scored on fresh images, side by side on Ray."""

from __future__ import annotations

import ray
from ray.exceptions import RayError

from search.study.records import TrialRecord
from search.tune.placement import away_from
from trainable.basics.progress import Progress
from trainable.distributed.cluster import cause_of, ray_lost
from trainable.distributed.resources import Resources
from trainable.tracking.client import reason
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
) -> dict[int, Assessment | str]:
    """Assess trials side by side on Ray, by trial number; see `trainable.trial.trial.assess`.

    Of a trial that cannot be, why not: its checkpoints are lost, it does not fit in memory, or its
    features are no numbers. `progress` is told how many trials are done; nothing runs on the nodes
    at the addresses `avoided`.

    Raises:
        RayError: Ray is lost.
    """
    gpus = resources.gpus_per_trial or 0
    task = ray.remote(num_cpus=resources.cpus_per_trial, num_gpus=gpus)(assess)
    task = task.options(label_selector=away_from(avoided))
    shared = ray.put(workload)
    numbers = {task.remote(shared, r.number, r.params, per_class): r.number for r in records}
    assessed: dict[int, Assessment | str] = {}
    waiting = list(numbers)
    while waiting:
        [done], waiting = ray.wait(waiting)  # whichever ends first
        try:
            found = ray.get(done)
        except FileNotFoundError:
            found = "has no valid checkpoint"
        except RayError as error:
            if ray_lost(error):
                raise
            found = f"cannot be scored ({reason(cause_of(error))})"
        assessed[numbers[done]] = found
        progress(len(numbers) - len(waiting), len(numbers))
    return assessed
