"""From flags to a study that is ready to run: every check that needs no Ray happens here."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from rich.console import Console

from search.proposals.samplers import learn_from, read_queue, space_differences
from search.study.asked import FREE, MOVED, check_resumed, new_settings
from search.study.config import (
    FLAGS,
    StudyConfig,
    resolve_epochs,
    resolve_seconds,
)
from search.study.database import open_study
from search.study.folder import DATABASE, IMAGES, TRIALS, StudyFolder, default_tracking
from search.study.locate import placed
from search.study.names import free_name
from search.study.versions import settings_of
from spaces.catalog import Space, get_space
from spaces.describe import space_snapshot, starting_point, validate
from spaces.errors import InputError
from spaces.presets import default
from spaces.task import Task
from trainable.basics.progress import stage
from trainable.data.dataset import Dataset
from trainable.data.fingerprints import image_differences
from trainable.data.reading import Reading
from trainable.data.sources import load, located
from trainable.data.split.held_out import held_out
from trainable.data.split.hold_back import split_held_back
from trainable.data.split.share import SHARE
from trainable.distributed.resources import Resources
from trainable.gan.config import TrialConfig
from trainable.generators.saved import SavedGenerator
from trainable.metrics.scores import RealSet
from trainable.pretrained.backbones import Backbone, backed_task
from trainable.pretrained.extractors import Extractor
from trainable.pretrained.load import load_frozen_networks
from trainable.tracking.registry import load_generator
from trainable.trial.evaluation import validation_of, witness_of
from trainable.trial.object_store import ObjectStore
from trainable.trial.objective import Objective
from trainable.trial.workload import Workload


@dataclass(frozen=True)
class Prepared:
    """A study before its first, or next, trial.

    Attributes:
        config, space, data, held_out, extractor, backbone: what to do, in full.
        validation: images held back from the generators, or None.
        start: the generator that all trials begin with, or None.
        portrait: what the space looks like now.
        study, storage: a resumed study and its database, None for a new one.
        said: lines that say what is held back or out, and which extractor was taken and why.
        first: searched values of the default configuration, None if a new study's space leaves it
            out.
        queue: searched values that the user wants tried next.
        learnt: ended trials of an earlier study, for the sampler.
    """

    config: StudyConfig
    space: Space
    data: Dataset
    held_out: Dataset | None
    validation: Dataset | None
    extractor: Extractor
    backbone: Backbone | None
    start: SavedGenerator | None
    space_snapshot: dict[str, str]
    study: optuna.Study | None
    storage: RDBStorage | None
    said: tuple[str, ...]
    first: dict[str, Any] | None
    queue: list[dict[str, Any]]
    learnt: list[FrozenTrial]

    @property
    def task(self) -> Task:
        """What configurations are to fit."""
        return replace(self.data.task, backbone=self.config.backbone)


def prepare(args: argparse.Namespace, console: Console) -> Prepared:
    """Resolve a new study, or find the one to resume.

    Raises:
        InputError: anything that the flags name cannot be used.
    """
    return _new(args, console) if args.resume is None else _resumed(args, console)


def _new(args: argparse.Namespace, console: Console) -> Prepared:
    asked = new_settings(args)
    space = get_space(asked["space"])
    name = args.study or free_name(args.output, asked["space"], asked["data"], asked["image_size"])
    with stage(console, "reading images") as progress:
        whole = load(asked["data"], asked["image_size"], how=Reading.of(asked), progress=progress)
    asked |= whole.report.reading.settings
    if asked["hold_back"] is None:
        asked["hold_back"] = SHARE if Objective.parse(asked["objective"]).needs_validation else 0.0
    data, validation, parted = split_held_back(whole, asked["hold_back"])
    said = [*parted]
    with stage(console, "reading held-out images") as progress:
        apart = held_out(
            data, asked["data"], asked["held_out"], progress, instead=validation, say=said.append
        )
    networks = load_frozen_networks(
        asked["features"], asked["protocol"], asked["backbone"], args,
        shared=args.allow_shared_features,
    )  # fmt: skip
    extractor, backbone = networks.extractor, networks.backbone
    start = _start(asked["init_from"], args, validation)
    found = {"name": name, "data_digest": data.digest, **_schedule(asked, data)}
    found["held_out_digest"] = apart.digest if apart else None
    found["validation_digest"] = validation.digest if validation else None
    scored = {
        "features": extractor.name,
        "protocol": networks.protocol,
        "weights_sha256": extractor.sha256,
        "backbone_sha256": backbone.sha256 if backbone else None,
        "init_sha256": start.sha256 if start else None,
    }
    config = StudyConfig(**{**asked, **found, **scored})
    task = backed_task(data.task, backbone)
    validate(space, task, lambda p: _check(p, task, start))
    seen = space_snapshot(space, task)
    first = starting_point(space, task, default(task))
    queue = read_queue(args.enqueue, space, task) if args.enqueue else []
    learnt = []
    if args.warm_start:
        output, earlier = placed(args.output, args.warm_start, "--warm-start")
        beside = (output / earlier / DATABASE).exists()
        old, _ = open_study(
            StudyFolder(output / earlier, database=None if beside else args.database)
        )
        learnt = learn_from(old, config, seen)
    return Prepared(
        config, space, data, apart, validation, extractor, backbone, start, seen, None, None,
        (*said, networks.said), first, queue, learnt,
    )  # fmt: skip


def _start(
    init_from: str | None, args: argparse.Namespace, validation: Dataset | None
) -> SavedGenerator | None:
    """The generator that all trials begin with, if one is named; it saw nothing of `validation`."""
    if init_from is None:
        return None
    start = load_generator(init_from, args.tracking_uri or default_tracking(args.output))
    if validation is not None:
        start.check_unseen(validation)
    return start


def _check(params: dict[str, Any], task: Task, start: SavedGenerator | None) -> None:
    """Raise InputError if a run of these parameters could not be built."""
    config = TrialConfig.from_params(params)
    config.check_task(task)
    if start is not None:
        start.check_fits(config, task)


def _schedule(asked: dict[str, Any], data: Dataset) -> dict[str, int]:
    """Length, eval-every and grace from their flags, which are taken out of `asked`."""
    epochs, train_time = asked.pop("epochs"), asked.pop("train_time")
    every, grace = asked["eval_every"], asked["grace"]
    if asked["resource"] == "seconds":
        found = resolve_seconds(train_time, every, grace)
    else:
        found = resolve_epochs(data.n, epochs, every, grace)
    return dict(zip(("length", "eval_every", "grace"), found, strict=True))


def _resumed(args: argparse.Namespace, console: Console) -> Prepared:
    """The stopped study, with more trials or another time budget if they are given."""
    check_resumed(args)
    study, storage = open_study(StudyFolder(args.output / args.resume, database=args.database))
    old = settings_of(study)
    changes: dict[str, Any] = {k: v for k in FREE if (v := getattr(args, k)) is not None}
    budget = FLAGS["time_budget"].value(args.time_budget)
    for name in MOVED:
        flag, now, before = str(FLAGS[name]), getattr(args, name), getattr(old, name)
        if before is None and now is not None:
            raise InputError(f"--resume {old.name}: the study began without {flag}; leave it out")
        if before is not None:
            changes[name] = located(flag, before if now is None else now)
    config = replace(old, **{**changes, "time_budget": budget})
    with stage(console, "reading images") as progress, _perhaps_moved(config, "data"):
        whole = load(config.data, config.image_size, how=config.reading, progress=progress)
    data, validation, parted = split_held_back(whole, config.hold_back)
    if data.digest != config.data_digest:
        how = image_differences(args.output / config.name / IMAGES, whole)
        holds = "no longer holds" if args.data is None else "does not hold"
        raise InputError(
            f"--resume {config.name}: {config.data} {holds} the images that the study began with "
            f"({how}); restore them, or start a new study"
        )
    said = [*parted]
    with (
        stage(console, "reading held-out images") as progress,
        _perhaps_moved(config, "held_out"),
    ):
        apart = held_out(
            data, config.data, config.held_out, progress, instead=validation, say=said.append
        )
    for part, digest, what in (
        (validation, config.validation_digest, "images that are held back"),
        (apart, config.held_out_digest, f"held-out images ({config.held_out or config.data})"),
    ):
        if (part.digest if part else None) != digest:
            raise InputError(
                f"--resume {config.name}: the {what} are no longer those that the study began "
                "with; restore them, or start a new study"
            )
    space = get_space(config.space)
    task = replace(data.task, backbone=config.backbone)
    seen = space_snapshot(space, task)
    if changed := space_differences(study.user_attrs["space"], seen):
        raise InputError(
            f"--resume {config.name}: its space {config.space} has changed: "
            f"{'; '.join(changed)}. Restore it, or start a new study, which --warm-start or "
            "--enqueue can give a good start"
        )
    # What was allowed once need not be said again.
    networks = load_frozen_networks(
        config.features, config.protocol, config.backbone, args, shared=True
    )
    extractor, backbone, protocol = networks.extractor, networks.backbone, networks.protocol
    if (protocol, extractor.sha256) != (config.protocol, config.weights_sha256):
        raise InputError(
            f"--resume {config.name}: its scores were made with {config.protocol} and weights "
            f"{config.weights_sha256[:12]}…, but here are {protocol} and "
            f"{extractor.sha256[:12]}…; the scores would not be comparable"
        )
    with _perhaps_moved(config, "init_from"):
        start = _start(config.init_from, args, validation)
    for what, here, there in (
        ("--backbone", backbone.sha256 if backbone else None, config.backbone_sha256),
        ("--init-from", start.sha256 if start else None, config.init_sha256),
    ):
        if here != there:
            raise InputError(
                f"--resume {config.name}: the weights of its {what} have SHA-256 "
                f"{str(here)[:12]}… here, but had {str(there)[:12]}…; restore those"
            )
    queue = read_queue(args.enqueue, space, task) if args.enqueue else []
    return Prepared(
        config, space, data, apart, validation, extractor, backbone, start, seen, study, storage,
        (*said, networks.said), None, queue, [],
    )  # fmt: skip


@contextmanager
def _perhaps_moved(config: StudyConfig, name: str) -> Iterator[None]:
    """Where the setting `name` is a path that is not there, say how to tell where it is now."""
    try:
        yield
    except InputError as error:
        if (known := getattr(config, name)) is None or Path(known).exists():
            raise
        raise InputError(
            f"--resume {config.name}: {error}. If it has moved, name its place with {FLAGS[name]}"
        ) from error


def make_workload(
    prepared: Prepared, real: RealSet, where: Resources, folder: Path,
    object_store: ObjectStore | None = None,
) -> Workload:  # fmt: skip
    """What all trials of the study in `folder` share, but for the untrained generator's scores.

    `object_store` is the object store that has the trials' files, if it is one.
    """
    config = prepared.config
    return Workload(
        data=prepared.data,
        extractor=prepared.extractor,
        real=real,
        witness=witness_of(prepared.data, prepared.held_out, seed=config.seed),
        objective=Objective.parse(config.objective),
        untrained={},
        evaluations=config.evaluations,
        trials=(folder / TRIALS).resolve(),
        seed=config.seed,
        device=where.device,
        threads=where.cpus_per_trial,
        resource=config.resource,
        max_seconds=config.max_trial_time,
        backbone=prepared.backbone,
        start=prepared.start,
        validation=validation_of(prepared.validation),
        object_store=object_store,
    )
