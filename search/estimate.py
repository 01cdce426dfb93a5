"""How long a search will take, from a second of measuring, before it starts."""

from __future__ import annotations

import math
import time

import torch

from search.settings import StudyConfig
from trainable.config import TrialConfig
from trainable.evaluation import GENERATED
from trainable.training import Run
from trainable.trial import Job

_PROBE_SECONDS = 1.0


def epoch_share(config: StudyConfig, trials: int) -> float:
    """The share of all epochs of `trials` trials that ASHA lets be trained, if ranks were random.

    Of n trials that reach a rung asynchronously, some n / eta + ln n go on.
    """
    trained, reach, previous = 0.0, float(trials), 0
    for rung in (*config.rungs, config.epochs):
        trained += reach * (rung - previous)
        previous = rung
        reach = min(reach, reach / config.eta + math.log(max(reach, 1)))
    return trained / (trials * config.epochs)


def search_seconds(
    config: StudyConfig, job: Job, default: TrialConfig, trials: int, workers: int
) -> float:
    """Seconds that `trials` trials like `default` take on `workers` workers of this machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(job.threads)
    try:
        run = Run(default, job.data, seed=job.seed)
        began, seen = time.perf_counter(), 0
        while (spent := time.perf_counter() - began) < _PROBE_SECONDS:
            run.train_step()
            seen = run.images_seen
        images = torch.tensor(job.data.images[:16])
        began = time.perf_counter()
        job.extractor(images)
        evaluation = (time.perf_counter() - began) / len(images) * GENERATED
    finally:
        torch.set_num_threads(threads)
    trial = config.epochs * job.data.n * spent / seen + len(config.evaluations) * evaluation
    return trials * trial * epoch_share(config, trials) / min(workers, trials)
