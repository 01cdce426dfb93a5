"""`StudyConfig`: everything that defines a study, frozen, resolved to numbers, kept as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search.study.names import check_legal
from spaces.errors import InputError
from trainable.basics.ranges import MOST_SEED, check_range
from trainable.basics.wording import format_duration
from trainable.data.reading import Reading
from trainable.data.split.hold_back import check_share
from trainable.trial.objective import Objective
from trainable.trial.report import LONGEST, RESOURCES

SAMPLERS = ("tpe", "random", "gp", "nsgaii")
LENGTH_FLAG = {"epoch": "--epochs", "seconds": "--train-time"}
IMAGES_PER_TRIAL = 180_000
"""Images shown in a complete trial: where the default, on 200 films, stops improving."""
EVALUATIONS = 18
"""In a complete trial, at most; the second is the first rung, so that with eta 3 the rungs lie at a
ninth and at a third, and none close to the end."""

FEWEST = 20
"""Winner images a class, below which their scores' intervals say nothing."""
MOST_EVALUATIONS = 10_000
"""Of a trial: each leaves a report in the database and points in MLflow."""
_RANGES = {
    "trials": (1, 10**6), "eta": (2, 1000), "seed": (0, MOST_SEED), "top_k": (1, 1000),
    "winner_images": (FEWEST, 10**5),
}  # fmt: skip


@dataclass(frozen=True)
class StudyConfig:
    """A search, as it was asked for and resolved. Two studies with equal configs do the same work.

    Attributes:
        name: the study's name, and its folder's.
        space: a catalogue name or ``package.module:function``.
        data: the value of ``--data``; `data_digest` says what was found there.
        image_size, fit: how images were brought to size.
        background: what transparent pixels were laid on.
        levels: values of images of more than 8 bits that became black and white, or None.
        held_out: the value of ``--held-out``, or None; `held_out_digest` says what was found, and
            is None if there are no held-out images.
        hold_back: share of each class that generators do not see; `validation_digest` says what
            that is, and is None for 0.
        trials: how many trials to run.
        time_budget: seconds for the whole search, the scoring of its winners included, or None.
        resource: what trials are given and compared by: ``epoch`` (equal passes over the images) or
            ``seconds`` (equal training time).
        length: what a complete trial gets of it. An epoch shows as many images as the data set has.
        eval_every: how much of it lies between evaluations.
        grace: what a trial gets of it before ASHA may stop it: the first rung.
        eta: ASHA's reduction factor; rungs lie at grace, grace * eta, …, and the best 1 / eta of
            those seen so far at a rung go on.
        max_trial_time: seconds of training and evaluations after which a trial is pruned, or None.
        sampler, seed: how configurations are proposed, and the seed of all that is random.
        objective: the score to improve, or two of them.
        features: the extractor (resolved, never ``auto``); `protocol` and `weights_sha256` fix it.
        backbone: the network that discriminators may stand on, or ``none``; `backbone_sha256` fixes
            its weights.
        init_from: where generators' first weights come from, or None; `init_sha256` fixes them.
        top_k: how many of the best are assessed on fresh latents and kept.
        winner_images: images generated for each class in that assessment.
    """

    name: str
    space: str
    data: str
    data_digest: str
    image_size: int
    fit: str
    background: str
    levels: str | None
    held_out: str | None
    held_out_digest: str | None
    hold_back: float
    validation_digest: str | None
    trials: int
    time_budget: float | None
    resource: str
    length: int
    eval_every: int
    grace: int
    eta: int
    max_trial_time: float | None
    sampler: str
    seed: int
    objective: str
    features: str
    protocol: str
    weights_sha256: str
    backbone: str
    backbone_sha256: str | None
    init_from: str | None
    init_sha256: str | None
    top_k: int
    winner_images: int

    def __post_init__(self):
        """Raise InputError for the first value that breaks a rule."""
        check_legal(self.name)
        check_settings(vars(self))
        length = LENGTH_FLAG[self.resource]
        check_range(length, self.length, 1, LONGEST)
        between = {"--eval-every": self.eval_every, "--grace": self.grace}
        for flag, value in between.items():
            if not 1 <= value <= self.length:
                raise InputError(
                    f"{flag} is {value}, but must lie between 1 and {length}, {self.length}"
                )
        if (times := self.length // self.eval_every) > MOST_EVALUATIONS:
            raise InputError(
                f"--eval-every is {self.eval_every}, which scores a trial {times} times, but "
                f"{MOST_EVALUATIONS} times is the most; raise it"
            )

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict; `from_json` is its inverse."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> StudyConfig:
        """Build a config from `to_json`'s dict; unknown or missing keys raise TypeError.

        Studies from before images could be held back say nothing of it, and held none; likewise
        of backgrounds, which were black, and of levels, which follow from the images.
        """
        former = {"hold_back": 0.0, "validation_digest": None, "background": "black"}
        return cls(**{**former, "levels": None, **values})

    @property
    def reading(self) -> Reading:
        """How image files become pixels."""
        return Reading.of(self.to_json())

    def __str__(self) -> str:
        """What a user wants to check before a long search, in three lines."""
        limit = "" if self.time_budget is None else f", {format_duration(self.time_budget)} at most"
        rungs = ", ".join(map(str, self.rungs)) or "none"
        unit = "epochs" if self.resource == "epoch" else "seconds of training"
        capped = self.max_trial_time
        cap = "" if capped is None else f", in {format_duration(capped)} at most"
        backed = "" if self.backbone == "none" else f", backbone {self.backbone}"
        began = "" if self.init_from is None else f", generators from {self.init_from}"
        goals = " and ".join(goal.name for goal in Objective.parse(self.objective).goals)
        return (
            f"study {self.name}: space {self.space}, {self.trials} trials ({self.sampler}, "
            f"seed {self.seed}{limit}), {self.image_size} pixels ({self.fit})"
            f"{backed}{began}\n"
            f"  {self.length} {unit} a trial{cap}, scored every {self.eval_every} by "
            f"{goals} ({self.protocol})\n"
            f"  ASHA's rungs: {unit} {rungs}; the best 1/{self.eta} go on"
        )

    @property
    def rungs(self) -> tuple[int, ...]:
        """Resources at which ASHA compares trials, ascending, the complete length left out."""
        rungs, rung = [], self.grace
        while rung < self.length:
            rungs.append(rung)
            rung *= self.eta
        return tuple(rungs)

    @property
    def evaluations(self) -> tuple[int, ...]:
        """Resources at which a trial is scored: every `eval_every`, every rung, and the last."""
        regular = range(self.eval_every, self.length, self.eval_every)
        return tuple(sorted({*regular, *self.rungs, self.length}))


def check_settings(values: Mapping[str, Any]) -> None:
    """Raise InputError for the first setting that breaks a rule, of those that need no images.

    Raises:
        InputError: the message names the flag, its value and the rule.
    """
    for name, ends in _RANGES.items():
        check_range(f"--{name.replace('_', '-')}", values[name], *ends)
    for name, choices in (("resource", RESOURCES), ("sampler", SAMPLERS)):
        if values[name] not in choices:
            known = ", ".join(choices)
            raise InputError(f"--{name} is {values[name]!r}, but must be one of {known}")
    for name in ("time_budget", "max_trial_time"):
        if values[name] is not None and not values[name] > 0:
            flag = name.replace("_", "-")
            raise InputError(f"--{flag} is {values[name]} s, but must be above 0")
    share, needed = values["hold_back"], Objective.parse(values["objective"]).needs_validation
    if share is not None:
        check_share(share)
    if share == 0 and needed:
        raise InputError(
            f"--objective {values['objective']} tests classifiers on real images that no generator "
            "sees, but --hold-back is 0; give the share to hold back, such as 0.25"
        )


def check_schedule(values: Mapping[str, Any]) -> None:
    """Raise InputError for --epochs, --train-time, --eval-every and --grace that cannot be."""
    timed = values["resource"] == "seconds"
    if timed and (values["epochs"] is not None or values["train_time"] is None):
        raise InputError(
            "--resource seconds needs --train-time, the training time of a complete trial, such as "
            "2m, and takes no --epochs"
        )
    if not timed and values["train_time"] is not None:
        raise InputError("--train-time goes with --resource seconds; here, give --epochs")
    for name in ("epochs", "eval_every", "grace"):
        if values[name] is not None:
            check_range(f"--{name.replace('_', '-')}", values[name], 1, LONGEST)


def resolve_epochs(
    images: int, epochs: int | None, eval_every: int | None, grace: int | None
) -> tuple[int, int, int]:
    """The numbers behind ``auto`` for epochs, eval-every and grace, for a set of `images` images.

    Some 180,000 images a trial, 18 evaluations at most, and ASHA's first look at the second one.
    """
    if eval_every is None:
        total = epochs if epochs is not None else math.ceil(IMAGES_PER_TRIAL / images)
        eval_every = math.ceil(total / EVALUATIONS)
        epochs = epochs if epochs is not None else max(1, round(total / eval_every)) * eval_every
    elif epochs is None:
        total = math.ceil(IMAGES_PER_TRIAL / images)
        epochs = max(1, round(total / eval_every)) * eval_every
    return epochs, eval_every, min(2 * eval_every, epochs) if grace is None else grace


def resolve_seconds(
    train_time: float, eval_every: int | None, grace: int | None
) -> tuple[int, int, int]:
    """The same in whole seconds of training, for a complete trial of `train_time`."""
    length = round(train_time)
    if eval_every is None:
        eval_every = math.ceil(length / EVALUATIONS)
    return length, eval_every, min(2 * eval_every, length) if grace is None else grace
