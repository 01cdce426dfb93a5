"""From flags to a study that is ready to run: every check that needs no Ray happens here."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from search.cli import STUDY_DEFAULTS
from search.settings import StudyConfig, parse_duration, resolve_schedule
from search.study import load_study
from spaces.catalog import Space, get_space
from spaces.describe import starting_point, validate
from spaces.errors import InputError
from spaces.presets import default
from trainable.config import TrialConfig
from trainable.data import Dataset, load
from trainable.extractors import Extractor, load_extractor


@dataclass(frozen=True)
class Prepared:
    """A study before its first, or next, trial.

    Attributes:
        config, space, data, extractor: what to do, in full.
        study: the database of a resumed study, None for a new one.
        features: one line that says which extractor was taken, and why.
        start: searched values of the default configuration, None if the space leaves it out.
    """

    config: StudyConfig
    space: Space
    data: Dataset
    extractor: Extractor
    study: optuna.Study | None
    features: str
    start: dict[str, Any] | None


def prepare(args: argparse.Namespace, console: Console) -> Prepared:
    """Resolve a new study, or find the one to resume.

    Raises:
        InputError: anything that the flags name cannot be used.
    """
    return _resumed(args, console) if args.resume else _new(args, console)


def _new(args: argparse.Namespace, console: Console) -> Prepared:
    asked = {k: v if (v := getattr(args, k)) is not None else d for k, d in STUDY_DEFAULTS.items()}
    space = get_space(asked["space"])
    budget = parse_duration(asked["time_budget"]) if asked["time_budget"] else None
    name = args.study or _free_name(args.output, asked)
    if (args.output / name).exists():
        raise InputError(
            f"--study {name}: there is such a study under {args.output} already; go on with "
            f"--resume {name}, or choose another name"
        )
    data = _load(asked["data"], asked["image_size"], asked["fit"], console)
    epochs, eval_every, grace = resolve_schedule(
        data.n, asked["epochs"], asked["eval_every"], asked["grace"]
    )
    extractor, features = load_extractor(
        asked["features"],
        args.features_weights,
        resize=asked["protocol"],
        unverified=args.unverified_weights,
    )
    schedule = {"epochs": epochs, "eval_every": eval_every, "grace": grace}
    found = {"name": name, "data_digest": data.digest, "time_budget": budget}
    scored = {
        "features": extractor.name,
        "protocol": extractor.protocol,
        "weights_sha256": extractor.sha256,
    }
    config = StudyConfig(**{**asked, **schedule, **found, **scored})
    validate(space, data.task, lambda p: TrialConfig.from_params(p).check_task(data.task))
    start = starting_point(space, data.task, default(data.task))
    return Prepared(config, space, data, extractor, None, features, start)


def _resumed(args: argparse.Namespace, console: Console) -> Prepared:
    """The stopped study, with more trials or another time budget if they are given."""
    fixed = [k for k in STUDY_DEFAULTS if k not in ("trials", "time_budget")]
    given = [f"--{k.replace('_', '-')}" for k in fixed if getattr(args, k) is not None]
    given += ["--study"] if args.study else []
    if given:
        raise InputError(
            f"--resume keeps the study's own settings, so {', '.join(given)} cannot be given; "
            "--trials and --time-budget can"
        )
    folder = args.output / args.resume
    if not (folder / "study.db").exists():
        there = sorted(p.parent.name for p in args.output.glob("*/study.db"))
        raise InputError(
            f"--resume {args.resume}: there is no such study under {args.output}; "
            + (f"there are {', '.join(there)}" if there else "there are none yet")
        )
    study = load_study(folder)
    old = StudyConfig.from_json(study.user_attrs["config"])
    budget = parse_duration(args.time_budget) if args.time_budget else None
    trials = old.trials if args.trials is None else args.trials
    config = replace(old, trials=trials, time_budget=budget)
    data = _load(config.data, config.image_size, config.fit, console)
    if data.digest != config.data_digest:
        raise InputError(
            f"--resume {config.name}: {config.data} no longer holds the images that the study "
            "began with; bring them back, or start a new study"
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
    study.set_user_attr("config", config.to_json())
    return Prepared(config, get_space(config.space), data, extractor, study, features, None)


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
