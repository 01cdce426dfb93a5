"""`StudyConfig`: everything that defines a study, frozen, resolved to numbers, kept as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search.study.fields import AUTO, DURATION, Flag, check, flag, flags, flags_of
from spaces.errors import InputError
from spaces.presets import BACKBONE
from trainable.basics.files import check_folder_name
from trainable.basics.ranges import MOST_SEED, check_range
from trainable.basics.wording import format_duration
from trainable.data.labelling import ABOUT, AS_FOLDERS
from trainable.data.split.share import check_share
from trainable.trial.identity import RunIdentity
from trainable.trial.objective import Objective
from trainable.trial.report import LONGEST, RESOURCES
from trainable.trial.schedule import rungs_below

SAMPLERS = ("auto", "tpe", "random", "gp", "nsgaii")
PRIORS = ("auto", "none")
LENGTH_FLAG = {"epoch": "--epochs", "seconds": "--train-time"}
IMAGES_PER_TRIAL = 180_000
"""Images shown in a complete trial: where the default, on 200 films, stops improving."""
EVALUATIONS = 18
"""In a complete trial, at most; the second is the first rung, so that with eta 3 the rungs lie at a
ninth and at a third, and none close to the end."""

FEWEST = 20
"""Winner images a class, whatever the images; how many it takes see `fewest_to_assess`."""
MOST_EVALUATIONS = 10_000
"""Of a trial: each leaves a report in the database and points in MLflow."""


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """A search, as it was asked for and resolved. Two studies with equal configs do the same work.

    Attributes:
        name: the study's name, and its folder's.
        space: a catalogue name or ``package.module:function``.
        data: the value of ``--data``; `data_digest` says what was found there.
        labels: path of a table of the images' classes, or None; `label_columns` says which of its
            columns are which, where that is not known.
        classes: the classes that were chosen, in order, or None for all.
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
        prior: whether ``auto`` starts from what other searches taught (``auto``), or from nothing.
        objective: the score to improve, or two of them.
        features: the extractor (resolved, never ``auto``); `protocol` and `weights_sha256` fix it.
        backbone: the network that discriminators may stand on, or ``none``; `backbone_sha256` fixes
            its weights.
        init_from: where generators' first weights come from, or None; `init_sha256` fixes them.
        top_k: how many of the best are assessed on fresh latents and kept.
        winner_images: images generated for each class in that assessment.
        replicates: how often the best configuration and the default are trained afresh, to tell
            whether it is better.
    """

    name: str
    space: str = flag(
        "full",
        "full, architecture, optimization (see cgan-search spaces), or package.module:function",
    )
    data: str = flag(
        "phantom",
        "phantom, pneumoniamnist, or a folder: ROOT/<class>/*, ROOT/train/<class>/*, or any with "
        "--labels",
    )
    labels: str | None = flag(None, ABOUT["labels"])
    label_columns: str | None = flag(None, ABOUT["label_columns"])
    classes: str | None = flag(None, ABOUT["classes"])
    data_digest: str
    image_size: int = flag(64, "side of the images in pixels: 32, 64, 128 or 256")
    fit: str = flag("crop", "how images become square: crop the centre, pad, or stretch")
    background: str = flag("black", "colour behind transparent pixels: black, white or #rrggbb")
    levels: str | None
    held_out: str | None = flag(
        None,
        "real images of the same classes that no generator sees, for the independent score: a "
        "folder, of which the test split counts (default: what is held back, else the test split "
        "of --data)",
    )
    held_out_digest: str | None
    hold_back: float = flag(
        None,
        "share of each class that no generator sees, whole patients together, on which the "
        "objective classifier is computed (default: 0.25 for that objective, else 0)",
    )
    validation_digest: str | None
    trials: int = flag(64, "configurations to try", bounds=(1, 10**6))
    time_budget: float | None = flag(
        None,
        "finish the search, including scoring the winners, within 90s, 10m, 1h30m ... (default: "
        "no limit)",
        kind=DURATION,
    )
    resource: str = flag(
        "epoch",
        "what ASHA holds equal when it compares trials: epoch, or seconds of training",
        options=RESOURCES,
    )
    length: int = flags(
        Flag(
            None, (
                "epochs of a complete trial (default: auto, about 180,000 images, or with "
                "--time-budget so many that it pays for 10 complete trials)"
            ),
            bounds=(1, LONGEST), kind=AUTO, name="epochs",
        ),
        Flag(
            None, (
                "with --resource seconds, instead of --epochs: training time of a complete "
                "trial, such as 2m"
            ),
            kind=DURATION, name="train_time",
        ),
    )  # fmt: skip
    eval_every: int = flag(
        None,
        "epochs, or seconds, between evaluations (default: auto, 18 per trial at most)",
        bounds=(1, LONGEST),
        kind=AUTO,
    )
    grace: int = flag(
        None,
        "epochs, or seconds, before ASHA may stop a trial (default: auto, some ninth of it)",
        bounds=(1, LONGEST),
        kind=AUTO,
    )
    eta: int = flag(3, "at each rung ASHA lets the best 1/eta go on", bounds=(2, 1000))
    max_trial_time: float | None = flag(
        None,
        "prune a trial that takes longer, evaluations included (default: no limit)",
        kind=DURATION,
    )
    sampler: str = flag(
        "auto",
        "how configurations are proposed: auto (from the default outwards), or Optuna's tpe, "
        "random, gp or nsgaii; the last two learn only from complete trials",
        options=SAMPLERS,
    )
    prior: str = flag(
        "auto",
        "what the sampler auto starts from: auto (what other searches by FID taught of the spaces "
        "that come with the project), or none",
        options=PRIORS,
    )
    seed: int = flag(0, "seed of everything random", bounds=(0, MOST_SEED))
    objective: str = flag(
        "fid",
        "what to improve: fid, kid, is, classifier (how well classifiers of generated images judge "
        "real ones), a weighted sum such as fid+0.5*kid, or two such as fid,classifier",
    )
    features: str = flag(
        "auto", "network that FID is computed on: auto, efficientnet-lite0 or inception"
    )
    protocol: str = flag(
        "bilinear",
        "how images are resized for it: bilinear (as pytorch-fid) or clean (as clean-fid)",
    )
    weights_sha256: str
    backbone: str = flag(
        BACKBONE,
        "pretrained network that a second discriminator stands on: none, googlenet, inception_v3, "
        "densenet121, vgg16, efficientnet-lite0 to -lite2, xrv-densenet121",
    )
    backbone_sha256: str | None
    init_from: str | None = flag(
        None,
        "weights that generators start from: models:/NAME@champion of the tracking store, or a "
        "winner's generator.safetensors",
    )
    init_sha256: str | None
    top_k: int = flag(
        3, "how many of the best trials to score again on fresh images and keep", bounds=(1, 1000)
    )
    winner_images: int = flag(1000, "fresh images per class for that", bounds=(FEWEST, 10**5))
    replicates: int = flag(
        None,
        "how often to train the best configuration and the default afresh, to tell whether it is "
        "better (default: auto, a fifth of a search that is worth 20 complete trials or more)",
        bounds=(0, 100),
        kind=AUTO,
    )

    def __post_init__(self):
        """Raise InputError for the first value that breaks a rule."""
        check_folder_name(self.name, "--study")
        FLAGS["resource"].check(self.resource)
        length = LENGTH_FLAG[self.resource]
        check_range(length, self.length, 1, LONGEST)  # which the others' rules refer to
        check_settings(vars(self))
        between = {"--eval-every": self.eval_every, "--grace": self.grace}
        for name, value in between.items():
            if not 1 <= value <= self.length:
                raise InputError(
                    f"{name} is {value}, but must lie between 1 and {length}, {self.length}"
                )
        if (times := self.length // self.eval_every) > MOST_EVALUATIONS:
            raise InputError(
                f"--eval-every is {self.eval_every}, which scores a trial {times} times, but "
                f"{MOST_EVALUATIONS} is the limit; raise it"
            )

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict; `from_json` is its inverse."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> StudyConfig:
        """Build a config from `to_json`'s dict; unknown or missing keys raise TypeError.

        Studies from before images could be held back say nothing of it, and held none; likewise
        of backgrounds, which were black, of levels, which follow from the images, of replicates and
        priors, of which there were none, and of labels, which were the names of folders.
        """
        former = {
            "hold_back": 0.0, "validation_digest": None, "background": "black", "replicates": 0,
            "levels": None, "prior": "none", **AS_FOLDERS.settings,
        }  # fmt: skip
        return cls(**{**former, **values})

    @property
    def identity(self) -> RunIdentity:
        """What the scores of its trials hang on, beside their parameters."""
        return RunIdentity.of(self.to_json())

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
        return rungs_below(self.length, self.grace, self.eta)

    @property
    def evaluations(self) -> tuple[int, ...]:
        """Resources at which a trial is scored: every `eval_every`, every rung, and the last."""
        regular = range(self.eval_every, self.length, self.eval_every)
        return tuple(sorted({*regular, *self.rungs, self.length}))


FLAGS = flags_of(StudyConfig)
"""How a user sets what defines a study, by the settings' names."""


def check_settings(values: Mapping[str, Any]) -> None:
    """Raise InputError for the first setting that breaks a rule, of those that need no images.

    Raises:
        InputError: the message names the flag, its value and the rule.
    """
    check(FLAGS, values)
    share, needed = values["hold_back"], Objective.parse(values["objective"]).needs_validation
    if share is not None:
        check_share(share)
    if share == 0 and needed:
        raise InputError(
            f"--objective {values['objective']} tests classifiers on real images that no "
            "generator sees, but --hold-back is 0; give the share to hold back, such as 0.25"
        )


def check_schedule(values: Mapping[str, Any]) -> None:
    """Raise InputError where --epochs or --train-time does not go with --resource."""
    timed = values["resource"] == "seconds"
    if timed and (values["epochs"] is not None or values["train_time"] is None):
        raise InputError(
            "--resource seconds needs --train-time, the training time of a complete trial, such as "
            "2m, and takes no --epochs"
        )
    if not timed and values["train_time"] is not None:
        raise InputError("--train-time needs --resource seconds; here, use --epochs")


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
