"""From flags to a study that is ready to run: every check that needs no Ray happens here."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial
from rich.console import Console

from search.proposals.queue import read_queue
from search.proposals.warm_start import learn_from, space_differences
from search.study.asked import SCHEDULE, check_resumed, left_open, new_settings
from search.study.config import (
    FLAGS,
    StudyConfig,
    resolve_epochs,
    resolve_seconds,
)
from search.study.database import OpenStudy, open_study
from search.study.flags import FREE, MOVED
from search.study.folder import DATABASE, IMAGES, TRIALS, StudyFolder, default_tracking
from search.study.locate import placed
from search.study.names import free_name
from search.study.versions import settings_of
from spaces.catalog import Space, get_space
from spaces.describe import space_snapshot, starting_point, validate
from spaces.errors import InputError
from spaces.presets import default
from spaces.task import Params
from trainable.data.dataset import Dataset
from trainable.data.fingerprints import image_differences
from trainable.data.sources import located
from trainable.data.split.share import SHARE
from trainable.distributed.resources import Resources
from trainable.generators.saved import SavedGenerator
from trainable.metrics.scores import RealSet
from trainable.tracking.registry import load_generator
from trainable.trial.evaluation import GENERATED, fewest_to_assess
from trainable.trial.identity import RunIdentity
from trainable.trial.inputs import Inputs, load_inputs
from trainable.trial.object_store import ObjectStore
from trainable.trial.objective import Objective
from trainable.trial.workload import Workload


@dataclass(frozen=True)
class _Prepared:
    """A study before its first, or next, trial.

    Attributes:
        config, space, inputs: what to do, in full.
        queue: searched values that the user wants tried next.
        left_open: the settings that the plan decides on.
    """

    config: StudyConfig
    space: Space
    inputs: Inputs
    queue: list[Params]
    left_open: frozenset[str]

    @property
    def said(self) -> tuple[str, ...]:
        """Lines that say what is held back or out, and which extractor was taken and why."""
        return (*self.inputs.said, self.inputs.networks.said)


@dataclass(frozen=True)
class NewStudy(_Prepared):
    """One that is not in a database yet.

    Attributes:
        space_snapshot: what the space looks like.
        first: searched values of the default configuration, None if the space leaves it out.
        learnt: ended trials of an earlier study, for the sampler.
        unlike: in what it differs from the study that it is to repeat, if that is so.
    """

    space_snapshot: dict[str, str]
    first: Params | None
    learnt: list[FrozenTrial]
    unlike: tuple[str, ...] = ()

    @property
    def said(self) -> tuple[str, ...]:
        """As of any study, and in what it is no repetition."""
        if not self.unlike:
            return super().said
        return (*super().said, f"not the same as the study of --config: {', '.join(self.unlike)}")


@dataclass(frozen=True)
class ResumedStudy(_Prepared):
    """One that goes on where it stopped, from its database `opened`."""

    opened: OpenStudy


Prepared = NewStudy | ResumedStudy


def prepare(args: argparse.Namespace, console: Console) -> Prepared:
    """Resolve a new study, or find the one to resume.

    Raises:
        InputError: anything that the flags name cannot be used.
    """
    found = _new(args, console) if args.resume is None else _resumed(args, console)
    _check_winner_images(found.config, found.inputs.data)
    return found


def _check_winner_images(config: StudyConfig, data: Dataset) -> None:
    """Raise InputError where the winners' images would make smaller samples than evaluations do."""
    least = fewest_to_assess(data.counts.values())
    if config.winner_images < least:
        raise InputError(
            f"--winner-images is {config.winner_images}, but must be at least {least} here: FID on "
            f"fresh images is that of samples of {GENERATED}, as in the search, which takes twice "
            "as many to draw them from"
        )


def _new(args: argparse.Namespace, console: Console) -> NewStudy:
    asked = new_settings(args)
    space = get_space(asked["space"])
    name = args.study or free_name(args.output, asked["space"], asked["data"], asked["image_size"])
    if asked["hold_back"] is None:
        asked["hold_back"] = SHARE if Objective.parse(asked["objective"]).needs_validation else 0.0
    inputs = load_inputs(
        RunIdentity.of(asked), args, _generator(args), console, shared=args.allow_shared_features
    )
    asked["replicates"] = asked["replicates"] or 0  # until the plan says what there is time for
    earlier, opened = _earlier(args), left_open(args)
    asked |= {"name": name, **_schedule(asked, inputs.data), **inputs.identity.settings}
    if earlier is not None and "length" in opened:  # only trials as long as its own compare
        was, same = settings_of(earlier), opened & {"length", *SCHEDULE}
        asked |= {name: getattr(was, name) for name in same}
        opened -= same
    config, task = StudyConfig(**asked), inputs.task
    validate(space, task, inputs.check)
    seen = space_snapshot(space, task)
    first = starting_point(space, task, default(task))
    queue = read_queue(args.enqueue, space, task) if args.enqueue else []
    queue = [values for values in queue if values != first]  # it is tried anyway
    _check_queue(queue, int(first is not None), config)
    learnt = [] if earlier is None else learn_from(earlier, config, seen)
    repeated: RunIdentity | None = args.repeats
    unlike = [] if repeated is None else repeated.differences(inputs.identity)
    differs = tuple(map(str, unlike))
    return NewStudy(config, space, inputs, queue, opened, seen, first, learnt, differs)


def _earlier(args: argparse.Namespace) -> optuna.Study | None:
    """The study that ``--warm-start`` names."""
    if not args.warm_start:
        return None
    output, name = placed(args.output, args.warm_start, "--warm-start")
    beside = (output / name / DATABASE).exists()
    return open_study(StudyFolder(output / name, database=None if beside else args.database)).study


def _generator(args: argparse.Namespace) -> Callable[[str], SavedGenerator]:
    """What loads the generator that ``--init-from`` names."""
    return partial(load_generator, uri=args.tracking_uri or default_tracking(args.output))


def _schedule(asked: dict[str, Any], data: Dataset) -> dict[str, int]:
    """Length, eval-every and grace from their flags, which are taken out of `asked`."""
    epochs, train_time = asked.pop("epochs"), asked.pop("train_time")
    every, grace = asked["eval_every"], asked["grace"]
    if asked["resource"] == "seconds":
        found = resolve_seconds(train_time, every, grace)
    else:
        found = resolve_epochs(data.n, epochs, every, grace)
    return dict(zip(("length", "eval_every", "grace"), found, strict=True))


def _resumed(args: argparse.Namespace, console: Console) -> ResumedStudy:
    """The stopped study, with more trials or another time budget if they are given."""
    check_resumed(args)
    opened = open_study(StudyFolder(args.output / args.resume, database=args.database))
    old = settings_of(opened.study)
    changes: dict[str, Any] = {k: v for k in FREE if (v := getattr(args, k)) is not None}
    budget = FLAGS["time_budget"].value(args.time_budget)
    for name in MOVED:
        flag, now, before = str(FLAGS[name]), getattr(args, name), getattr(old, name)
        if before is None and now is not None:
            raise InputError(f"--resume {old.name}: the study began without {flag}; leave it out")
        if before is not None:
            changes[name] = located(flag, before if now is None else now)
    config = replace(old, **{**changes, "time_budget": budget})
    inputs = load_inputs(
        config.identity, args, _generator(args), console,
        shared=True,  # what was allowed once need not be said again
        reading=partial(_perhaps_moved, config),
        check=partial(_check_same, config, args),
    )  # fmt: skip
    space = get_space(config.space)
    seen = space_snapshot(space, inputs.task)
    if changed := space_differences(opened.study.user_attrs["space"], seen):
        raise InputError(
            f"--resume {config.name}: its space {config.space} has changed: "
            f"{'; '.join(changed)}. Restore it, or start a new study; --enqueue with this one's "
            "best.json tries its best configurations first"
        )
    queue = read_queue(args.enqueue, space, inputs.task) if args.enqueue else []
    _check_queue(queue, len(opened.study.get_trials(deepcopy=False)), config)
    still = left_open(args)
    if old.winner_images != FLAGS["winner_images"].value(None):  # asked for when it began
        still -= {"winner_images"}
    return ResumedStudy(config, space, inputs, queue, still, opened)


def _check_queue(queue: list[Params], before: int, config: StudyConfig) -> None:
    """Raise InputError where not all that is enqueued comes to be tried, after `before` trials."""
    if queue and before + len(queue) > config.trials:
        raise InputError(
            f"--enqueue: {len(queue)} configurations, but of {config.trials} trials only "
            f"{max(0, config.trials - before)} are left for them; give --trials "
            f"{before + len(queue)}"
        )


def _check_same(
    config: StudyConfig, args: argparse.Namespace, found: RunIdentity, whole: Dataset
) -> None:
    """Raise InputError unless what was found, of all images `whole`, is what the study had."""
    differences = config.identity.differences(found)
    if not differences:
        return
    first = differences[0]
    match first.fact:
        case "data_digest":
            how = image_differences(args.output / config.name / IMAGES, whole)
            holds = "no longer holds" if args.data is None else "does not hold"
            fault = (
                f"{config.data} {holds} the images that the study began with ({how}); restore "
                "them, or start a new study"
            )
        case "validation_digest" | "held_out_digest":
            what = {
                "validation_digest": "images that are held back",
                "held_out_digest": f"held-out images ({config.held_out or config.data})",
            }[first.fact]
            fault = (
                f"the {what} are no longer those that the study began with; restore them, or "
                "start a new study"
            )
        case "protocol" | "weights_sha256":
            fault = (
                f"its scores were made with {config.protocol} and weights "
                f"{config.weights_sha256[:12]}…, but here are {found.protocol} and "
                f"{str(found.weights_sha256)[:12]}…; the scores would not be comparable"
            )
        case _:
            flag = {"backbone_sha256": "--backbone", "init_sha256": "--init-from"}[first.fact]
            fault = (
                f"the weights of its {flag} have SHA-256 {str(first.now)[:12]}… here, but had "
                f"{str(first.was)[:12]}…; restore those"
            )
    raise InputError(f"--resume {config.name}: {fault}")


@contextmanager
def _perhaps_moved(config: StudyConfig, name: str) -> Iterator[None]:
    """Where the setting `name` is a path that is not there, say how to tell where it is now.

    Of data, the table of labels is part.
    """
    try:
        yield
    except InputError as error:
        paths = {"data": ("data", "labels")}.get(name, (name,))
        named = {path: getattr(config, path) for path in paths}
        gone = [path for path, where in named.items() if where and not Path(where).exists()]
        if not gone:
            raise
        raise InputError(
            f"--resume {config.name}: {error}. If it has moved, name its place with "
            f"{FLAGS[gone[0]]}"
        ) from error


def make_workload(
    prepared: Prepared, real: RealSet, where: Resources, folder: Path,
    object_store: ObjectStore | None = None,
) -> Workload:  # fmt: skip
    """What all trials of the study in `folder` share, but for the untrained generator's scores.

    `object_store` is the object store that has the trials' files, if it is one.
    """
    config = prepared.config
    return Workload.of(
        prepared.inputs,
        real,
        objective=Objective.parse(config.objective),
        evaluations=config.evaluations,
        trials=(folder / TRIALS).resolve(),
        device=where.device,
        threads=where.cpus_per_trial,
        resource=config.resource,
        max_seconds=config.max_trial_time,
        object_store=object_store,
    )
