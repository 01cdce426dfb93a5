"""How long a search will take, from seconds of measuring, before it starts."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import torch

from search.study.config import FEWEST, StudyConfig
from trainable.data import Dataset
from trainable.gan.config import TrialConfig
from trainable.metrics.classifier_score import Validation
from trainable.metrics.quick_classifier import NETS
from trainable.pretrained.extractors import Extractor
from trainable.trial.evaluation import GENERATED, SEEDS
from trainable.trial.workload import Workload

_PROBE_SECONDS = 1.0
_MARGIN = 1.5  # distances, intervals and two workers that share a memory bus come on top
_FIXED = 20.0  # the end of the epochs under way, export, and handing over to MLflow


def epoch_share(config: StudyConfig, trials: int) -> float:
    """The share of all training of `trials` trials that ASHA lets be trained, if ranks were random.

    Of n trials that reach a rung asynchronously, some n / eta + ln n go on.
    """
    trained, reach, previous = 0.0, float(trials), 0
    for rung in (*config.rungs, config.length):
        trained += reach * (rung - previous)
        previous = rung
        reach = min(reach, reach / config.eta + math.log(max(reach, 1)))
    return trained / (trials * config.length)


@dataclass(frozen=True)
class Speed:
    """How fast a worker is, roughly.

    Attributes:
        trained, extracted: images that it trains on, or extracts features of, in a second.
        judging: seconds of a classification accuracy score; 0 if no images are held back.
    """

    trained: float
    extracted: float
    judging: float = 0.0


def measure_speed(workload: Workload, default: TrialConfig) -> Speed:
    """The speed on this machine, which must have the device that trials run on."""
    threads = torch.get_num_threads()
    torch.set_num_threads(workload.threads)
    try:
        run = workload.build_run(default, workload.seed)
        began = time.perf_counter()
        while (spent := time.perf_counter() - began) < _PROBE_SECONDS:
            run.train_step().tolist()  # waits for the device
        trained = run.images_seen / spent
        if workload.backbone is not None:
            workload.backbone.to("cpu")
    finally:
        torch.set_num_threads(threads)
    scoring = measure_scoring(
        workload.extractor, workload.data, workload.validation, workload.device, workload.threads
    )
    return replace(scoring, trained=trained)


def measure_scoring(
    extractor: Extractor, data: Dataset, validation: Validation | None, device: str, threads: int
) -> Speed:
    """The speed at all but training on this machine; `trained` is not measured, and infinite."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        images = torch.tensor(data.images[:16], device=device)
        network = extractor.to(device)
        network(images)
        began = time.perf_counter()
        network(images).cpu()
        extracted = len(images) / (time.perf_counter() - began)
        network.to("cpu")
        judging = 0.0
        if validation is not None:
            sample = torch.tensor(data.images), torch.tensor(data.labels)
            began = time.perf_counter()
            validation.score(*sample, seed=0, nets=1)
            judging = NETS * (time.perf_counter() - began)
    finally:
        torch.set_num_threads(before)
    return Speed(math.inf, extracted, judging)


def search_seconds(config: StudyConfig, images: int, speed: Speed, workers: int) -> float:
    """Seconds that the study's trials take on `workers` workers, if all were like the default."""
    training = float(config.length)
    if config.resource == "epoch":
        training *= images / speed.trained
    trial = training + len(config.evaluations) * (GENERATED / speed.extracted + speed.judging)
    trials = config.trials
    return trials * trial * epoch_share(config, trials) / min(workers, trials)


def winner_seconds(config: StudyConfig, classes: int, speed: Speed, workers: int) -> float:
    """Seconds that a search needs after its last trial, rather more than less."""
    rounds = math.ceil(config.top_k / workers)
    one = config.winner_images * classes / speed.extracted + len(SEEDS) * speed.judging
    return _MARGIN * rounds * one + _FIXED


def winner_images_within(
    seconds: float, config: StudyConfig, classes: int, speed: Speed, workers: int
) -> int:
    """The most winner images a class, in tens, for which `winner_seconds` is at most `seconds`."""
    none = winner_seconds(replace(config, winner_images=FEWEST), classes, speed, workers)
    rounds = math.ceil(config.top_k / workers)
    more = (seconds - none) * speed.extracted / (_MARGIN * rounds * classes)
    return FEWEST + 10 * max(0, math.floor(more / 10))
