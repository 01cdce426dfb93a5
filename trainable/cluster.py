"""Being connected to Ray, on this machine or on a cluster."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import ray

from spaces.errors import InputError
from trainable.resources import Resources, local_cores


@contextmanager
def connected(resources: Resources) -> Iterator[tuple[Resources, int]]:
    """Be connected to Ray; gives the settled resources and how many trials run at a time.

    Raises:
        InputError: the cluster does not answer, or has not the CPUs or GPUs that one trial needs.
    """
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
