"""One augmentation study from flags to figures: prepare, run what is missing, conclude."""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console
from torch import Tensor

from analysis.artifacts import fetch_generator
from analysis.augmentation import draw
from analysis.augmentation.cells import COMPLETE, Materials, Result, run_cells, run_retraining
from analysis.augmentation.log import log_study
from analysis.augmentation.materials import Source, divide, load_real
from analysis.augmentation.plan import Cell, parse_ratios, parse_sizes, plan
from analysis.augmentation.results import Findings
from analysis.augmentation.retrain import Retraining, Which
from analysis.augmentation.store import Store
from analysis.augmentation.tables import as_markdown, as_table, comparison_rows, score_rows
from analysis.figures import save
from analysis.store import load_study
from spaces.errors import InputError
from trainable.bars import bar
from trainable.classifiers.fit import Recipe
from trainable.classifiers.networks import load_weights
from trainable.classifiers.scores import positive_class
from trainable.cluster import connected
from trainable.lock import locked
from trainable.registry import load_start
from trainable.resources import Resources, resolve_resources
from trainable.stores import reason, without_password

EVALUATIONS = 20
"""Looks at the validation images while a classifier is trained."""
RATES = {"small_cnn": 3e-3, "efficientnet-lite0": 1e-3, "vgg11": 1e-4}
"""Learning rates, where they are not `RATE`."""
RATE = 5e-4
DECAY, SMOOTHING = 1e-2, 0.05
FOUND = "findings.md"


def run_study(args: argparse.Namespace, console: Console) -> int:
    """Everything; returns 0, or 1 where MLflow lacks part of it.

    Raises:
        InputError: something that the flags ask for cannot be done.
    """
    if args.repeats < 1 or args.seed < 0 or not 0 < args.reach <= 1:
        raise InputError(
            f"--repeats is {args.repeats}, --seed {args.seed} and --reach {args.reach:g}, but must "
            "be at least 1, at least 0, and a share above 0"
        )
    sizes, ratios = parse_sizes(args.sizes), parse_ratios(args.ratios)
    where = resolve_resources(args)
    recipe = _recipe(args)
    weights, weights_line = None, ""
    if args.pretrained or args.classifier_weights:
        weights, weights_line = load_weights(
            args.classifier, args.classifier_weights, unverified=args.unverified_weights
        )
    source = _source(args, console)
    with bar(console, "reading images") as progress:
        data, test = load_real(source, args.data, args.test, progress)
    real = divide(data, test, source, sizes, args.repeats, args.seed)
    positive, positive_line = _positive(args.positive, source.classes)
    materials = Materials(real, source, recipe, weights, positive, args.seed)
    name = args.name or _name(source, args)
    folder = args.output / "augmentation" / name
    retraining = Retraining(source, real, folder, args.seed) if args.retrain else None
    cells = plan(real.sizes, ratios, args.repeats)
    settings = {
        "generator_sha256": source.start.sha256, "data_digest": data.digest,
        "test_digest": test.digest, "sizes": real.sizes, "ratios": ratios,
        "repeats": args.repeats, "seed": args.seed, "retrain": args.retrain,
        "recipe": asdict(recipe), "positive": positive,
        "weights": None if weights is None else _digest(weights),
    }  # fmt: skip
    _say(console, name, materials, cells, retraining, [weights_line, positive_line])
    if args.dry_run:
        return 0
    store = Store(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--output {args.output} cannot be written to: {error}") from error
    with locked(folder):
        store.claim(json.loads(json.dumps(settings)))
        results = _run(store, cells, materials, retraining, where, console)
        findings = Findings(results, test.labels, positive)
        files = _conclude(store, findings, results, test.n, args.reach, console)
        key = f"{name}-{hashlib.sha256(str(sorted(settings.items())).encode()).hexdigest()[:12]}"
        return _log(args, key, settings, results, files, console)


def _recipe(args: argparse.Namespace) -> Recipe:
    rate = args.lr if args.lr is not None else RATES.get(args.classifier, RATE)
    return Recipe(
        network=args.classifier, steps=args.steps, batch=args.batch, lr=rate, weight_decay=DECAY,
        smoothing=SMOOTHING, evaluations=min(EVALUATIONS, max(1, args.steps)), classical=False,
    )  # fmt: skip


def _source(args: argparse.Namespace, console: Console) -> Source:
    if args.model is not None:
        return Source.of(load_start(args.model, args.tracking_uri, flag="--model"))
    with bar(console, "reading the study") as progress:
        table = load_study(args.study, args.tracking_uri, progress)
    winners = table.trials[table.trials["winner"] == 1]["number"].tolist()
    start = fetch_generator(table, int(winners[0])) if winners else None
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


def _say(
    console: Console,
    name: str,
    materials: Materials,
    cells: list[Cell],
    retraining: Retraining | None,
    more: list[str],
) -> None:
    real = materials.real
    optimistic = [str(size) for size in real.sizes if size < real.seen]
    lines = [
        f"study {name}: {len(cells)} cells, {materials.recipe.network}, "
        f"{materials.recipe.steps} steps each",
        *real.said,
        *more,
    ]
    if retraining is not None:
        lines.append(f"{len(retraining.wanted)} generators are trained on their size's own images")
    elif optimistic:
        lines.append(
            f"at {', '.join(optimistic)} real images results are optimistic: the generator was "
            f"trained on {real.seen}; --retrain trains one for each"
        )
    for line in filter(None, lines):
        console.print(line, soft_wrap=True, markup=False)


def _run(
    store: Store,
    cells: list[Cell],
    materials: Materials,
    retraining: Retraining | None,
    where: Resources,
    console: Console,
) -> dict[Cell, Result]:
    """Train what is not there yet, generators first; all cells' results."""
    results = {cell: found for cell in cells if (found := store.read(cell)) is not None}
    missing = [cell for cell in cells if cell not in results]
    if results:
        console.print(f"{len(results)} cells are done already, {len(missing)} are to come")
    if not missing:
        return results
    with console.status("starting Ray") as status, connected(where) as (settled, workers):
        status.stop()
        console.print(f"{workers} at a time on {settled.device}")
        if retraining is not None:
            own = _retrained(retraining, settled, workers, console)
            materials = replace(materials, own=own)
        with bar(console, "training", len(cells), len(results)) as progress:

            def keep(cell: Cell, result: Result) -> None:
                store.keep(cell, result)
                results[cell] = result
                progress(len(results), len(cells))
                if result["status"] != COMPLETE:
                    console.print(f"cell {cell.key}: {result['reason']}", markup=False)

            run_cells(missing, materials, settled, workers, keep)
    return results


def _retrained(
    retraining: Retraining, where: Resources, workers: int, console: Console
) -> dict[Which, Source]:
    """All generators of their own, trained where they are not there yet."""
    missing = [which for which in retraining.wanted if retraining.read(which) is None]
    done = len(retraining.wanted) - len(missing)
    with bar(console, "training generators", len(retraining.wanted), done) as progress:

        def keep(_: Which) -> None:
            nonlocal done
            done += 1
            progress(done, len(retraining.wanted))

        run_retraining(retraining, missing, where, workers, keep)
    found = {which: retraining.read(which) for which in retraining.wanted}
    return {which: source for which, source in found.items() if source is not None}


def _conclude(
    store: Store,
    findings: Findings,
    results: dict[Cell, Result],
    test: int,
    reach: float,
    console: Console,
) -> list[Path]:
    """Print and write what was found; returns the files."""
    files = [store.write_table(results)]
    if not findings.complete:
        console.print("no classifier could be trained: see the reasons above")
        return files
    scores, compared = score_rows(findings, reach), comparison_rows(findings.comparisons())
    said = findings.sentences()
    if findings.diverged:
        said.append(f"{findings.diverged} cells diverged and are in no mean")
    page = store.folder / FOUND
    page.write_text(
        "\n".join(f"- {line}" for line in said)
        + f"\n\nPercent, mean of repeats ± half of the 95 % interval:\n\n{as_markdown(scores)}\n"
        f"{as_markdown(compared)}"
    )
    figures: dict[str, Figure] = {
        "accuracy": draw.accuracy(findings, test),
        "errors": draw.errors(findings),
        "training": draw.training(findings),
    }
    for name, figure in figures.items():
        files += save(figure, store.folder, name)
    console.print(as_table("percent, mean of repeats ± half of the 95 % interval", scores))
    console.print(as_table("differences", compared))
    for line in said:
        console.print(line, soft_wrap=True, markup=False)
    files.append(page)
    for path in files:
        console.print(str(path), soft_wrap=True, markup=False)
    return files


def _log(
    args: argparse.Namespace,
    key: str,
    settings: dict[str, Any],
    results: dict[Cell, Result],
    files: list[Path],
    console: Console,
) -> int:
    uri = args.tracking_uri
    write = partial(log_study, uri, key, settings, results, files, args.output)
    try:
        with bar(console, "writing to MLflow", len(results)) as progress:
            write(progress)
    except Exception as error:  # whatever ails MLflow; all is in the folder
        console.print(
            f"MLflow at {without_password(uri)} lacks part of the study ({reason(error)}); "
            f"everything is in {files[0].parent}. The same command writes the rest",
            soft_wrap=True, markup=False,
        )  # fmt: skip
        return 1
    console.print(
        f"next:\n  mlflow ui --backend-store-uri {shlex.quote(uri)}   # experiment "
        f"cgan-augmentation\n  less {files[0].parent / FOUND}",
        soft_wrap=True, markup=False,
    )  # fmt: skip
    return 0
