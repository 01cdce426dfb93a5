"""From flags to a study that is ready to run: every check that needs no Ray happens here."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from search.cli import STUDY_DEFAULTS
from search.sampling import learn_from, read_queue, space_differences
from search.settings import StudyConfig, parse_duration, resolve_epochs, resolve_seconds
from search.study import open_study
from spaces.catalog import Space, get_space
from spaces.describe import portrait, starting_point, validate
from spaces.errors import InputError
from spaces.presets import default
from trainable.config import TrialConfig
from trainable.data import Dataset, load
from trainable.data.images import IMAGES, image_differences
from trainable.extractors import Extractor, load_extractor


@dataclass(frozen=True)
class Prepared:
    """A study before its first, or next, trial.

    Attributes:
        config, space, data, extractor: what to do, in full.
        portrait: what the space looks like now.
        study, storage: a resumed study and its database, None for a new one.
        features: one line that says which extractor was taken, and why.
        start: searched values of the default configuration, None if a new study's space leaves it
            out.
        queue: searched values that the user wants tried next.
        learnt: ended trials of an earlier study, for the sampler.
    """

    config: StudyConfig
    space: Space
    data: Dataset
    extractor: Extractor
    portrait: dict[str, str]
    study: optuna.Study | None
    storage: RDBStorage | None
    features: str
    start: dict[str, Any] | None
    queue: list[dict[str, Any]]
    learnt: list[FrozenTrial]


def prepare(args: argparse.Namespace, console: Console) -> Prepared:
    """Resolve a new study, or find the one to resume.

    Raises:
        InputError: anything that the flags name cannot be used.
    """
    return _resumed(args, console) if args.resume else _new(args, console)


def _new(args: argparse.Namespace, console: Console) -> Prepared:
    asked = {k: v if (v := getattr(args, k)) is not None else d for k, d in STUDY_DEFAULTS.items()}
    space = get_space(asked["space"])
    for name in ("time_budget", "max_trial_time"):
        asked[name] = parse_duration(asked[name]) if asked[name] else None
    name = args.study or _free_name(args.output, asked)
    if _taken(args.output / name):
        raise InputError(
            f"--study {name}: there is such a study under {args.output} already; go on with "
            f"--resume {name}, or choose another name"
        )
    data = _load(asked["data"], asked["image_size"], asked["fit"], console)
    extractor, features = load_extractor(
        asked["features"],
        args.features_weights,
        resize=asked["protocol"],
        unverified=args.unverified_weights,
    )
    found = {"name": name, "data_digest": data.digest, **_schedule(asked, data)}
    scored = {
        "features": extractor.name,
        "protocol": extractor.protocol,
        "weights_sha256": extractor.sha256,
    }
    config = StudyConfig(**{**asked, **found, **scored})
    validate(space, data.task, lambda p: TrialConfig.from_params(p).check_task(data.task))
    seen = portrait(space, data.task)
    start = starting_point(space, data.task, default(data.task))
    queue = read_queue(args.enqueue, space, data.task) if args.enqueue else []
    learnt = []
    if args.warm_start:
        beside = (args.output / args.warm_start / "study.db").exists()
        old, _ = open_study(args.output, args.warm_start, None if beside else args.database)
        learnt = learn_from(old, config, seen)
    return Prepared(
        config, space, data, extractor, seen, None, None, features, start, queue, learnt
    )


def _schedule(asked: dict[str, Any], data: Dataset) -> dict[str, int]:
    """Length, eval-every and grace from their flags, which are taken out of `asked`.

    Raises:
        InputError: --epochs and --train-time do not go with the resource.
    """
    epochs, train_time = asked.pop("epochs"), asked.pop("train_time")
    every, grace = asked["eval_every"], asked["grace"]
    if asked["resource"] == "seconds":
        if epochs is not None or train_time is None:
            raise InputError(
                "--resource seconds needs --train-time, the training time of a complete trial, "
                "such as 2m, and takes no --epochs"
            )
        found = resolve_seconds(parse_duration(train_time), every, grace)
    elif train_time is not None:
        raise InputError("--train-time goes with --resource seconds; here, give --epochs")
    else:
        found = resolve_epochs(data.n, epochs, every, grace)
    return dict(zip(("length", "eval_every", "grace"), found, strict=True))


def _resumed(args: argparse.Namespace, console: Console) -> Prepared:
    """The stopped study, with more trials or another time budget if they are given."""
    fixed = [k for k in STUDY_DEFAULTS if k not in ("trials", "time_budget")]
    given = [f"--{k.replace('_', '-')}" for k in fixed if getattr(args, k) is not None]
    given += [f"--{k.replace('_', '-')}" for k in ("study", "warm_start") if getattr(args, k)]
    if given:
        raise InputError(
            f"--resume keeps the study's own settings, so {', '.join(given)} cannot be given; "
            "--trials, --time-budget and --enqueue can"
        )
    study, storage = open_study(args.output, args.resume, args.database)
    old = StudyConfig.from_json(study.user_attrs["config"])
    budget = parse_duration(args.time_budget) if args.time_budget else None
    trials = old.trials if args.trials is None else args.trials
    config = replace(old, trials=trials, time_budget=budget)
    data = _load(config.data, config.image_size, config.fit, console)
    if data.digest != config.data_digest:
        how = image_differences(args.output / config.name / IMAGES, data)
        raise InputError(
            f"--resume {config.name}: {config.data} no longer holds the images that the study "
            f"began with ({how}); bring them back, or start a new study"
        )
    space = get_space(config.space)
    seen = portrait(space, data.task)
    if changed := space_differences(study.user_attrs["space"], seen):
        raise InputError(
            f"--resume {config.name}: its space {config.space} is no longer what it was: "
            f"{'; '.join(changed)}. Bring it back, or start a new study, which --warm-start or "
            "--enqueue can give a good start"
        )
    extractor, features = load_extractor(
        config.features,
        args.features_weights,
        resize=config.protocol.partition("/")[2].partition("-")[0],
        unverified=args.unverified_weights,
    )
    if (extractor.protocol, extractor.sha256) != (config.protocol, config.weights_sha256):
        raise InputError(
            f"--resume {config.name}: its scores were made with {config.protocol} and weights "
            f"{config.weights_sha256[:12]}…, here are {extractor.protocol} and "
            f"{extractor.sha256[:12]}…; scores of both would not compare"
        )
    queue = read_queue(args.enqueue, space, data.task) if args.enqueue else []
    return Prepared(config, space, data, extractor, seen, study, storage, features, None, queue, [])


def _taken(folder: Path) -> bool:
    """Whether `folder` holds anything but what a study leaves that was killed while it began."""
    left = {"lock", IMAGES, "study.db", "study.db-journal"}
    return folder.exists() and (
        not folder.is_dir() or bool({path.name for path in folder.iterdir()} - left)
    )


def _free_name(output: Path, asked: dict[str, Any]) -> str:
    """Such as ``full-phantom-64-1``: the first number that is free."""
    space = asked["space"].rpartition(":")[2]
    data = Path(asked["data"]).resolve().name.replace(" ", "-")
    stem = f"{space}-{data}-{asked['image_size']}"
    return next(n for i in range(1, 10**6) if not (output / (n := f"{stem}-{i}")).exists())


def _load(spec: str, size: int, fit: str, console: Console) -> Dataset:
    """Load the images, with a bar for folders that take a while."""
    with Progress(
        TextColumn("reading images"), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    ) as bar:  # fmt: skip
        task = bar.add_task("", total=None)
        return load(
            spec, size, fit=fit,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )  # fmt: skip
