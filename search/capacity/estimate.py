"""How long a search will take, from seconds of measuring, before it starts."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Container
from dataclasses import dataclass, replace

import ray
import torch

from search.study.config import EVALUATIONS, FEWEST, StudyConfig
from spaces.errors import InputError
from spaces.presets import default
from trainable.basics.wording import format_duration
from trainable.data.dataset import Dataset
from trainable.distributed.resources import Resources
from trainable.gan.config import TrialConfig
from trainable.gan.run import Run
from trainable.metrics.classifier_score import Validation
from trainable.metrics.quick_classifier import NETS
from trainable.pretrained.extractors import Extractor
from trainable.trial.evaluation import GENERATED, SEEDS, fewest_to_assess
from trainable.trial.workload import Workload

WORTH = 10
"""Complete trials that a time budget should pay for: from so many on a search finds better than the
default (`make bench-pays`). Up to 180,000 images a longer trial gains more than one trial more."""
SHORTEST = 30_000
"""Images in the shortest complete trial that is planned. Below that, what the default makes hardly
varies enough to pass the gates: of 200 films at 32 pixels 0.82 and 0.85 after 20,000 (two seeds),
0.84 after 30,000."""
SCORING = 0.25
"""Share of a trial that its evaluations should take at most."""
FRESH_FROM, FRESH_SHARE, MOST_FRESH = 20, 0.2, 6
"""Complete trials' worth from which on a share of them goes to fresh trainings of the best
configuration and the default, and the most of each: before, two of each prove nothing."""
_FEW = 6  # evaluations are enough for two rungs and a curve
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

    @property
    def evaluation(self) -> float:
        """Seconds of one of a trial's evaluations."""
        return GENERATED / self.extracted + self.judging


def measure_training(build: Callable[[], Run], threads: int) -> float:
    """Images a second that the run which `build` makes is trained on, on this machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        run = build()
        began = time.perf_counter()
        while (spent := time.perf_counter() - began) < _PROBE_SECONDS:
            run.train_step().tolist()  # waits for the device
        return run.images_seen / spent
    finally:
        torch.set_num_threads(before)


def measure_speed(workload: Workload, config: TrialConfig) -> Speed:
    """The speed on this machine, which must have the device that trials run on."""
    trained = measure_training(lambda: workload.build_run(config, workload.seed), workload.threads)
    if workload.backbone is not None:
        workload.backbone.to("cpu")
    scoring = measure_scoring(
        workload.extractor, workload.data, workload.validation, workload.device, workload.threads
    )
    return replace(scoring, trained=trained)


def speed_of(workload: Workload, where: Resources) -> Speed:
    """How fast the default configuration is where trials run: here, or on a node of the cluster."""
    config = TrialConfig.from_params(default(workload.task))
    if where.cluster is None:
        return measure_speed(workload, config)
    task = ray.remote(num_cpus=where.cpus_per_trial, num_gpus=where.gpus_per_trial or 0)
    found: Speed = ray.get(task(measure_speed).remote(workload, config))
    return found


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


def trial_seconds(config: StudyConfig, images: int, speed: Speed) -> float:
    """Seconds of a complete trial, if it were like the default."""
    training = float(config.length)
    if config.resource == "epoch":
        training *= images / speed.trained
    return training + len(config.evaluations) * speed.evaluation


def search_seconds(config: StudyConfig, images: int, speed: Speed, workers: int) -> float:
    """Seconds that the study's trials take on `workers` workers, if all were like the default."""
    trial, trials = trial_seconds(config, images, speed), config.trials
    return trials * trial * epoch_share(config, trials) / min(workers, trials)


def afresh_seconds(config: StudyConfig, images: int, speed: Speed, workers: int) -> float:
    """Seconds of the fresh trainings at the search's end."""
    return math.ceil(2 * config.replicates / workers) * trial_seconds(config, images, speed)


def winner_seconds(config: StudyConfig, classes: int, speed: Speed, workers: int) -> float:
    """Seconds that a search needs after its last trial, rather more than less."""
    rounds = math.ceil(config.top_k / workers)
    one = config.winner_images * classes / speed.extracted + len(SEEDS) * speed.judging
    return _MARGIN * rounds * one + _FIXED


def winner_images_within(
    seconds: float, config: StudyConfig, counts: Collection[int], speed: Speed, workers: int
) -> int:
    """The most winner images a class, in tens above the fewest, for which `winner_seconds` is at
    most `seconds`, where there are `counts` real images of each."""
    classes, least = len(counts), max(FEWEST, fewest_to_assess(counts))
    none = winner_seconds(replace(config, winner_images=least), classes, speed, workers)
    rounds = math.ceil(config.top_k / workers)
    more = (seconds - none) * speed.extracted / (_MARGIN * rounds * classes)
    return least + 10 * max(0, math.floor(more / 10))


def total_seconds(config: StudyConfig, data: Dataset, speed: Speed, workers: int) -> float:
    """Seconds of a whole search on `workers` workers, from its first trial to its winners."""
    return (
        search_seconds(config, data.n, speed, workers)
        + winner_seconds(config, len(data.classes), speed, workers)
        + afresh_seconds(config, data.n, speed, workers)
    )


def budgeted(
    config: StudyConfig, data: Dataset, speed: Speed, workers: int, since: float,
    *, left_open: Container[str], say: Callable[[str], None],
) -> tuple[StudyConfig, float | None]:  # fmt: skip
    """The study as its time budget has it, which `say` is told, and when its trials must stop.

    `left_open`: of the settings ``winner_images``, ``length``, ``eval_every``, ``grace`` and
    ``replicates``, those that the user did not set.

    Raises:
        InputError: as `deadline_of`.
    """
    classes, asked = len(data.classes), "winner_images" not in left_open
    config, line = affordable(config, data.counts.values(), speed, workers, asked=asked)
    if line:
        say(line)
    ready = deadline_of(config, classes, speed, workers, since)
    if ready is not None and "length" in left_open:
        config, line = fitted(
            config, data.n, speed, (ready - time.time()) * workers, left_open=left_open
        )
        say(line)
    if "replicates" in left_open:
        trial = trial_seconds(config, data.n, speed)
        worth = config.trials * epoch_share(config, config.trials)
        if ready is not None:
            worth = min(worth, (ready - time.time()) * workers / trial)
        config = replace(config, replicates=fresh_trainings(worth))
    if ready is None:
        return config, None
    deadline = ready - afresh_seconds(config, data.n, speed, workers)
    if deadline <= time.time():
        raise InputError(
            f"--replicates is {config.replicates}, but so many trainings of the best and the "
            f"default take about {format_duration(ready - deadline)}, which leaves nothing of the "
            "--time-budget to the search; lower it, or raise the budget"
        )
    return config, deadline


def fresh_trainings(worth: float) -> int:
    """How often the best and the default are trained afresh in a search of so many complete
    trials' worth."""
    return min(MOST_FRESH, int(FRESH_SHARE * worth / 2)) if worth >= FRESH_FROM else 0


def fitted(
    config: StudyConfig, images: int, speed: Speed, seconds: float, *, left_open: Container[str]
) -> tuple[StudyConfig, str]:
    """The study with trials of a length of which `WORTH` fit in `seconds` of one worker, and a line
    that says so.

    No longer than its own, and no shorter than `SHORTEST`; ``eval_every`` and ``grace`` stay unless
    they are `left_open`.
    """
    share, epoch = seconds / WORTH, images / speed.trained
    least = min(config.length, math.ceil(SHORTEST / images))
    if "eval_every" in left_open:
        times = min(EVALUATIONS, max(_FEW, int(SCORING * share / speed.evaluation)))
        epochs = int((share - times * speed.evaluation) / epoch)
        every = max(math.ceil(least / times), round(min(config.length, epochs) / times))
    else:
        every = config.eval_every
        pays = int(share / (every * epoch + speed.evaluation))
        times = max(math.ceil(least / every), pays)
    length = min(config.length, every * times)
    grace = every * math.ceil(times / 9) if "grace" in left_open else config.grace
    grace = min(length, grace)
    found = replace(config, length=length, eval_every=every, grace=grace)
    worth = seconds / trial_seconds(found, images, speed)
    said = (
        f"the time budget pays for {worth:.0f} complete trials of {length} epochs, "
        f"{images * length:,} images each"
    )
    if worth >= 0.75 * WORTH:
        return found, f"{said}; --epochs sets another length"
    enough = math.ceil((config.time_budget or 0) * WORTH / worth / 60)
    return found, (
        f"{said}: too few to expect better than the default; images of shorter ones vary too "
        f"little, and --time-budget {enough}m pays for {WORTH}"
    )


def affordable(
    config: StudyConfig, counts: Collection[int], speed: Speed, workers: int, *, asked: bool
) -> tuple[StudyConfig, str]:
    """The study, with fewer winner images where scoring them would take over half of its time
    budget, and a line that says so, or an empty one.

    As many as were `asked` for stay.
    """
    budget = config.time_budget
    if budget is None or asked:
        return config, ""
    most = winner_images_within(budget / 2, config, counts, speed, workers)
    if most >= config.winner_images:
        return config, ""
    line = (
        f"--winner-images is reduced from {config.winner_images} to {most} per class, so that "
        f"scoring the winners leaves half of the time budget of {format_duration(budget)} to the "
        "trials"
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
            f"alone takes about {format_duration(needed)}, and {format_duration(now - began)} "
            "have already passed; raise it, or lower --top-k or --winner-images"
        )
    return deadline
