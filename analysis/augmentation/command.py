"""One augmentation study from flags to figures: prepare, run what is missing, conclude."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from torch import Tensor

from analysis.augmentation.classifier.fit import ClassifierRecipe
from analysis.augmentation.classifier.networks import load_weights
from analysis.augmentation.classifier.scores import positive_class
from analysis.augmentation.design.arms import EARLY, ORACLE
from analysis.augmentation.design.cells import Cell, plan
from analysis.augmentation.design.materials import Source, divide, load_real
from analysis.augmentation.design.retrain import Retraining
from analysis.augmentation.findings.conclude import FOUND, conclude
from analysis.augmentation.findings.mlflow_log import EXPERIMENT, FinishedStudy, log_study
from analysis.augmentation.running.looking import Looking
from analysis.augmentation.running.store import Store
from analysis.augmentation.running.train_cell import Materials
from analysis.augmentation.running.work import Work
from analysis.study.artifacts import fetch_generator, kept_instead
from analysis.study.table import load_study
from analysis.study.trials import assessed, winners
from spaces.errors import InputError
from trainable.basics.addresses import without_password
from trainable.basics.files import check_folder_name, disk_fault
from trainable.basics.lock import locked
from trainable.basics.progress import stage
from trainable.basics.terminal import say, say_command
from trainable.data.labelling import Labelling
from trainable.distributed.resources import resolve_resources
from trainable.tracking.client import reason, ui_command
from trainable.tracking.registry import load_generator

EVALUATIONS = 20
"""Looks at the validation images while a classifier is trained."""
RATES = {"small_cnn": 3e-3, "efficientnet-lite0": 1e-3, "vgg11": 1e-4}
"""Learning rates, where they are not `RATE`."""
RATE = 5e-4
DECAY, SMOOTHING = 1e-2, 0.05


def run_study(args: argparse.Namespace, console: Console) -> int:
    """Everything that flags checked by `check_flags` ask for; returns 0, or 1 where MLflow lacks
    part of it.

    Raises:
        InputError: something that the flags ask for cannot be done.
    """
    where = resolve_resources(args)
    recipe = _recipe(args)
    weights, weights_line = None, ""
    if args.pretrained or args.classifier_weights:
        weights, weights_line = load_weights(
            args.classifier, args.classifier_weights, unverified=args.unverified_weights
        )
    source = _source(args, console)
    with stage(console, "reading images") as progress:
        data, test = load_real(source, args.data, args.test, progress, Labelling.of(vars(args)))
    real = divide(data, test, source, args.sizes, args.repeats, args.seed)
    positive, positive_line = _positive(args.positive, source.classes)
    materials = Materials(real, source, recipe, weights, positive, args.seed)
    name = args.name or _name(source, args)
    check_folder_name(name, "--name")  # a file's record may say anything
    folder = args.output / "augmentation" / name
    retraining = None
    if args.retrain:
        early = EARLY in args.arms
        retraining = Retraining(source, real, folder, args.seed, early, args.retrain_kimg)
    cells = [
        cell for cell in plan(real.sizes, args.ratios, args.repeats, args.arms)
        if cell.arm != ORACLE or real.beyond[cell.size, cell.repeat]
    ]  # fmt: skip
    settings = {  # but for sizes, ratios, arms and repeats: more of these may come another time
        "generator_sha256": source.start.sha256, "data_digest": data.digest,
        "test_digest": test.digest, "seed": args.seed,
        "retrain": None if retraining is None else retraining.images,
        "recipe": asdict(recipe), "positive": positive,
        "validation": [data.sources[row] for row in real.valid.tolist()],
        "weights": None if weights is None else _digest(weights),
    }  # fmt: skip
    about = _about(name, materials, cells, retraining, [weights_line, positive_line])
    for line in (*about, *([] if args.retrain else optimism(real.optimistic, len(source.seen)))):
        say(console, line)
    if args.dry_run:
        return 0
    store = Store(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error.strerror) from error
    try:
        with locked(folder):
            store.claim(json.loads(json.dumps(settings)))
            work = Work(store, cells, materials, retraining, console)
            looked = Looking(store, cells, materials, args, console)
            results = work.run(where, looked.stops, looked.enough)
            findings = looked.findings(results)
            about += optimism(findings.optimistic, len(source.seen))
            files = conclude(folder, findings, results, about, test.n, args.reach, console)
            logged = _log(args, FinishedStudy(name, settings, results, findings, files), console)
    except OSError as error:
        if (refused := disk_fault(error)) is None:  # of a file that is read, or of a network
            raise
        raise _unwritable(folder, refused) from error
    return 1 if work.lost or not findings.complete else logged


def _unwritable(folder: Path, why: str | None) -> InputError:
    return InputError(
        f"--output: {folder} cannot be written to ({why}); what is there is kept. Make room, or "
        "choose another folder"
    )


def _recipe(args: argparse.Namespace) -> ClassifierRecipe:
    rate = args.lr if args.lr is not None else RATES.get(args.classifier, RATE)
    return ClassifierRecipe(
        network=args.classifier, steps=args.steps, batch=args.batch, lr=rate, weight_decay=DECAY,
        smoothing=SMOOTHING, evaluations=min(EVALUATIONS, max(1, args.steps)), taught="plain",
    )  # fmt: skip


def _source(args: argparse.Namespace, console: Console) -> Source:
    if args.model is not None:
        return Source.of(load_generator(args.model, args.tracking_uri, flag="--model"))
    with stage(console, "reading the study") as progress:
        table = load_study(args.study, args.tracking_uri, progress)
    won, tried = winners(table), assessed(table)
    if not won and tried:
        raise InputError(f"--study {args.study}: {kept_instead(table, tried[0], '--model')}")
    start = fetch_generator(table, won[0]) if won else None
    if start is None:
        raise InputError(
            f"--study {args.study} has no winner whose generator was kept; let the search end, or "
            "name a generator with --model"
        )
    return Source.of(start)


def _digest(weights: Mapping[str, Tensor]) -> str:
    """SHA-256, in hex, of a network's weights."""
    sha = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        sha.update(name.encode())
        sha.update(tensor.contiguous().numpy().tobytes())
    return sha.hexdigest()


def _positive(asked: str | None, classes: tuple[str, ...]) -> tuple[int | None, str]:
    if asked is not None:
        if len(classes) != 2 or asked not in classes:
            raise InputError(
                f"--positive is {asked!r}, but must be one of two classes; the generator has "
                f"{', '.join(classes)}"
            )
        return classes.index(asked), f"The positive class is {asked}."
    if len(classes) != 2:
        return None, "Of more than two classes, errors are means of each against the rest."
    return positive_class(classes)


def _name(source: Source, args: argparse.Namespace) -> str:
    """The search's name, as the generator's record has it."""
    return args.study or str(source.start.about.get("study") or "single")


def _about(
    name: str,
    materials: Materials,
    cells: list[Cell],
    retraining: Retraining | None,
    more: list[str],
) -> list[str]:
    """What is to be done, and with what, in lines."""
    real = materials.real
    lines = [
        f"study {name}: {len(cells)} cells at most, {materials.recipe.network}, "
        f"{materials.recipe.steps} steps each",
        *real.said,
        *more,
    ]
    if retraining is not None:
        lines.append(retraining.describe())
    return [line for line in lines if line]


def optimism(sizes: list[int], seen: int) -> list[str]:
    """What is to be said of real sizes at which the generator, which saw `seen` images, saw more
    than the classifiers' own."""
    if not sizes:
        return []
    return [
        f"at {', '.join(map(str, sizes))} real images results are optimistic, as the generator "
        f"was trained on {seen}; --retrain trains one for each size"
    ]


def _log(args: argparse.Namespace, study: FinishedStudy, console: Console) -> int:
    uri, folder = args.tracking_uri, study.files[0].parent
    try:
        with stage(console, "writing to MLflow", len(study.results)) as progress:
            log_study(uri, study, args.output, progress)
    except Exception as error:  # any fault of MLflow: the folder has all
        say(
            console,
            f"MLflow at {without_password(uri)} is missing part of the study ({reason(error)}); "
            f"everything is in {folder}. The same command writes the rest",
        )
        return 1
    say(console, "next:")
    say(console, f"  {ui_command(uri, EXPERIMENT)}")
    say_command(console, "less", folder / FOUND)
    return 0
