"""One run without Ray: what ``python -m trainable`` does with its flags."""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from spaces.errors import InputError
from spaces.presets import BACKBONE, PRESETS
from trainable.backbones import backed_task
from trainable.config import TrialConfig
from trainable.data import load
from trainable.data.held_out import held_out
from trainable.durations import format_duration, parse_duration
from trainable.evaluation import measure, real_set, witness_of
from trainable.export import export_generator
from trainable.judges import load_judges
from trainable.metrics.independent import agreement
from trainable.objective import Objective
from trainable.recipe import Recipe, read_recipe
from trainable.registry import load_start
from trainable.trial import SPENT, Job, Report, Status, Trial

_RUN = "run.json"
"""Says whose an output folder is, and what its scores are held against."""
_EVALUATIONS = 10
_TRAIN_TIME = "10m"
_EXIT = {Status.COMPLETE: 0, Status.INTERRUPTED: 130}
_ROW = "{:>7} {:>8} {:>7} {:>7} {:>7} {:>7} {:>7}"


def run_single(args: argparse.Namespace, console: Console) -> int:
    """Train, with progress; returns the exit code: 0 complete, 130 stopped, 1 broken down.

    Raises:
        InputError: something that the flags ask for cannot be done.
    """
    recipe = read_recipe(args)
    resource, evaluations = _schedule(args)
    device = _device(args.device)
    job, params, about = _job(args, recipe, resource, evaluations, device)
    yardstick = _claimed(args.out, about)
    if yardstick is None:
        config = TrialConfig.from_params(params)
        untrained = dataclasses.replace(job, start=None).build(config, job.seed)
        measured = measure(job.evaluator, untrained, about["protocol"], seed=job.seed)
        yardstick = dataclasses.asdict(measured)
        _claim(args.out, about, yardstick)
    counts = ", ".join(f"{n} {name}" for name, n in job.data.counts.items())
    size = job.task.image_size
    console.print(f"data: {job.data.name}: {counts}, {size} pixels", markup=False)
    console.print(
        f"FID by {yardstick['protocol']}: floor {yardstick['floor']:.1f}, untrained "
        f"{yardstick['untrained']['fid']:.1f}; a classifier that knows "
        f"{'held-out' if about['held_out'] else 'the training'} images finds "
        f"{yardstick['witness']:.0%} of others' classes",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    trial = Trial(job, recipe.number, params, heard=sys.maxsize)
    last = _train(trial, console)
    return _conclude(args, trial, params, last, console)


def _schedule(args: argparse.Namespace) -> tuple[str, tuple[int, ...]]:
    """What the run is given, and how much of it lies before each evaluation."""
    if args.epochs is not None:
        resource, length, flag = "epoch", args.epochs, "--epochs"
    else:
        resource, flag = "seconds", "--train-time"
        length = round(parse_duration(args.train_time or _TRAIN_TIME))
    if length < 1:
        raise InputError(f"{flag} is {length}, but must be at least 1")
    if args.evaluate_at is None:
        step = max(1, length // _EVALUATIONS)
        return resource, (*range(step, length - step + 1, step), length)
    parts = args.evaluate_at.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise InputError(
            f"--evaluate-at is {args.evaluate_at!r}, but must be whole numbers, such as 100,360"
        )
    chosen = {int(part) for part in parts}
    if not all(1 <= part <= length for part in chosen):
        raise InputError(
            f"--evaluate-at is {args.evaluate_at}, but must lie between 1 and {flag}, {length}"
        )
    return resource, tuple(sorted(chosen | {length}))


def _device(asked: str) -> str:
    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        raise InputError("--device is cuda, but PyTorch finds no GPU here; take --device cpu")
    return "cuda" if there and asked != "cpu" else "cpu"


def _job(
    args: argparse.Namespace,
    recipe: Recipe,
    resource: str,
    evaluations: tuple[int, ...],
    device: str,
) -> tuple[Job, dict[str, Any], dict[str, Any]]:
    """The job, the configuration, and what identifies them."""

    def asked(name: str, otherwise: str) -> str:
        given = getattr(args, name)
        known = recipe.study.get(name, "None")
        return str(given) if given is not None else otherwise if known == "None" else known

    spec, fit = asked("data", "phantom"), asked("fit", "crop")
    seed = int(asked("seed", "0"))
    if seed < 0 or args.threads < 1:
        raise InputError(
            f"--seed is {seed} and --threads {args.threads}, but must be at least 0 and 1"
        )
    data = load(spec, int(asked("image_size", "64")), fit=fit)
    named = asked("held_out", "")
    apart = held_out(data, spec, named or None, fit)
    wanted = (recipe.params or {}).get("backbone", "none")
    if recipe.params is None and recipe.preset == "default":
        wanted = BACKBONE
    judges = load_judges(
        asked("features", "auto"), asked("protocol", "bilinear"), asked("backbone", str(wanted)),
        args, shared=args.allow_shared_features,
    )  # fmt: skip
    backbone = judges.backbone
    init = asked("init_from", "")
    start = load_start(init, args.tracking_uri) if init else None
    params = recipe.params
    task = backed_task(data.task, backbone)
    if params is None:
        params = PRESETS[recipe.preset](task)
    config = TrialConfig.from_params(params)
    config.check_task(task)
    if start is not None:
        start.check(config, task)
    job = Job(
        data=data,
        extractor=judges.extractor,
        real=real_set(data, judges.extractor),  # from here on it takes time
        witness=witness_of(data, apart, seed=seed),
        objective=Objective.parse("fid"),
        untrained={},
        evaluations=evaluations,
        trials=args.out.resolve(),
        seed=seed,
        device=device,
        threads=args.threads,
        resource=resource,
        backbone=backbone,
        start=start,
    )
    about = {
        "params": params,
        "seed": seed,
        "number": recipe.number,
        "resource": resource,
        "data": data.digest,
        "held_out": apart.digest if apart else None,
        "protocol": judges.protocol,
        "backbone": backbone.sha256 if backbone else None,
        "init": start.sha256 if start else None,
    }
    return job, params, about


def _claimed(out: Path, about: dict[str, Any]) -> dict[str, Any] | None:
    """The yardstick of the run in the folder `out`, None if there is no run yet.

    Raises:
        InputError: it is another run's, or cannot be read.
    """
    path = out / _RUN
    if not path.exists():
        return None
    try:
        there = json.loads(path.read_text())
        differ = [key for key in about if there["run"].get(key) != about[key]]
        yardstick = there["yardstick"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"--out {out}: {path} is not what a run leaves there; choose another folder, or "
            "remove it"
        ) from error
    if differ:
        raise InputError(
            f"--out {out} holds another run (another {', '.join(differ)}); choose another folder, "
            "or remove it"
        )
    return yardstick


def _claim(out: Path, about: dict[str, Any], yardstick: dict[str, Any]) -> None:
    """Make the folder `out` this run's.

    Raises:
        InputError: it cannot be written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        part = out / f"{_RUN}.part"
        part.write_text(json.dumps({"run": about, "yardstick": yardstick}, indent=2) + "\n")
        part.replace(out / _RUN)
    except OSError as error:
        raise InputError(f"--out {out} cannot be written to: {error.strerror}") from error


def _train(trial: Trial, console: Console) -> Report:
    """Advance to the end, with a bar and a line for each evaluation; returns the last report."""
    job = trial.job
    console.print(_ROW.format(job.resource, "seconds", "FID", "KID", "class", "divers.", "copies"))
    for report in trial.reports:  # of former lives
        console.print(_line(report))
    if trial.reports and trial.reports[-1]["resource"] >= job.evaluations[-1]:
        console.print("it has had all of that already; nothing is trained")
        last = dict(trial.reports[-1])
        if last["status"] == Status.RUNNING:  # it was to be longer when it was trained
            last["status"] = Status.COMPLETE.value
        return last
    report = {}
    with (
        Progress(
            TextColumn("training"), BarColumn(), TextColumn("{task.percentage:.0f} %"),
            TimeRemainingColumn(), console=console, transient=True,
            disable=not console.is_terminal,
        ) as bar,
        _stopping(trial),
    ):  # fmt: skip
        task = bar.add_task("", total=job.evaluations[-1], completed=int(trial.progress))
        while not report or report["status"] == Status.RUNNING:
            report = trial.advance(lambda: bar.update(task, completed=trial.progress))
            if "fid" in report:
                bar.console.print(_line(report))
    return report


def _line(report: Report) -> str:
    return _ROW.format(
        report["resource"], f"{report['train_seconds']:.0f}", f"{report['fid']:.1f}",
        f"{1000 * report['kid']:.1f}", f"{agreement(report):.0%}", f"{report['diversity']:.2f}",
        f"{report['copy_rate']:.1%}",
    )  # fmt: skip


def _conclude(
    args: argparse.Namespace, trial: Trial, params: dict[str, Any], last: Report, console: Console
) -> int:
    """Export what there is, say what became of the run and what to type next."""
    status = Status(last["status"])
    if (reason := last.get("reason")) and reason != SPENT:
        console.print(f"{status}: {reason}", soft_wrap=True, markup=False)
    if status is Status.INTERRUPTED:
        console.print("stopped; the same command goes on from here")
    scored = {k: v for k, v in last.items() if isinstance(v, int | float)}
    if status is Status.COMPLETE:
        export_generator(
            trial.folder, params, trial.job.task, trial.job.data.classes, args.out,
            study="single", seed=trial.job.seed, number=int(trial.folder.name), scores=scored,
        )  # fmt: skip
        grid = max(trial.folder.glob("samples_*.png"))
        console.print(f"images: {grid}\ngenerator: {args.out / 'generator.pt2'}", soft_wrap=True)
        console.print(
            f"it took {format_duration(last['train_seconds'])} to train and "
            f"{format_duration(last['eval_seconds'])} to score; to train on, the same command "
            "with a larger --epochs or --train-time",
            soft_wrap=True,
        )
    return _EXIT.get(status, 1)


@contextmanager
def _stopping(trial: Trial) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the run in order, at the end of the epoch under way."""
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(s, lambda *_: trial.stop()) for s in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
