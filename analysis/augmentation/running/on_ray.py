"""Calls of one function on Ray, some at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ray
import ray.exceptions

from trainable.distributed.resources import Resources


def run_on_ray(
    function: Callable[..., Any],
    shared: Any,
    given: Sequence[Any],
    resources: Resources,
    workers: int,
    keep: Callable[[Any, Any], None],
    lose: Callable[[Any, str], None],
) -> None:
    """Call ``function(shared, one, device, threads)`` for each `one` given, on Ray.

    `workers` run at a time. As they come, `keep` is given each result, and `lose` the reason of
    each that failed.
    """
    shared = ray.put(shared)
    gpus = resources.gpus_per_trial or 0
    task: Any = ray.remote(num_cpus=resources.cpus_per_trial, num_gpus=gpus)(function)
    ahead = list(reversed(given))
    running: dict[Any, Any] = {}
    while ahead or running:
        while ahead and len(running) < workers:
            one = ahead.pop()
            running[task.remote(shared, one, resources.device, resources.cpus_per_trial)] = one
        [done], _ = ray.wait(list(running))
        one = running.pop(done)
        try:
            result = ray.get(done)
        except ray.exceptions.RayTaskError as error:  # it raised; else its worker was lost
            lose(one, f"{type(error.cause).__name__}: {error.cause}".splitlines()[0])
        except ray.exceptions.RayError as error:
            lose(one, str(error).splitlines()[0])
        else:
            keep(one, result)
