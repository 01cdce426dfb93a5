"""A search from its first check to its last line: what `search.run` does with the flags."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import optuna
import torch
from rich.console import Console

from search.cli import check_output, resume_command, ui_command
from search.estimate import search_seconds
from search.launch import connected, run_trials
from search.prepare import Prepared, prepare
from search.resources import Resources, resolve_resources
from search.settings import format_duration
from search.study import create_study
from search.tracking import Tracker, check
from search.winners import conclude, hand_over, print_winners
from spaces.presets import default
from trainable.config import TrialConfig
from trainable.evaluation import measure
from trainable.feature_cache import cached_features
from trainable.metrics.scores import RealSet
from trainable.objective import Objective
from trainable.trial import Job

LONG = 1800
"""Seconds of estimated search above which a smaller one is named."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def run_session(args: argparse.Namespace, console: Console) -> int:
    """Resolve the study, say what it is, and unless it is a dry run, search; returns the exit code.

    Raises:
        InputError: something that the flags ask for cannot be done.
    """
    check_output(args.output)
    where = resolve_resources(args)
    prepared = prepare(args, console)
    counts = ", ".join(f"{n} {name}" for name, n in prepared.data.counts.items())
    console.print(
        f"data: {prepared.data.name}: {counts} ({prepared.data.report})",
        soft_wrap=True,
        markup=False,
    )
    console.print(prepared.features, soft_wrap=True, markup=False)
    console.print(str(prepared.config), soft_wrap=True, markup=False)
    if args.dry_run:
        console.print_json(data=prepared.config.to_json())
        return 0
    return _search(args, prepared, where, console)


def _search(
    args: argparse.Namespace, prepared: Prepared, where: Resources, console: Console
) -> int:
    """Run the trials that the study owes, then score, rank and keep the winners."""
    began = time.monotonic()
    config = prepared.config
    folder = args.output / config.name
    uri = args.tracking_uri or _default_uri(args.output)
    with console.status("opening MLflow"):
        problem = check(uri)
    if problem:
        console.print(f"MLflow at {uri} does not answer ({problem}); results stay in {folder}")
    with console.status("starting Ray") as status, connected(where) as (where, workers):
        status.update("measuring the real images")
        study, job = _open(folder, prepared, where, console)
        _say_duration(prepared, job, workers, where, console)
        status.stop()
        budget = config.time_budget
        left = None if budget is None else max(1.0, budget - (time.monotonic() - began))
        tracker = Tracker(folder, uri, console.print)
        tracker.start()
        done = run_trials(
            study, config, prepared.space, job, where,
            budget=left, console=console, wake=tracker.wake,
        )  # fmt: skip
        if not done and (budget is None or time.monotonic() - began < budget):
            again = resume_command(config.name, args.output)
            console.print(f"stopped; what is trained is kept. To go on:\n  {again}")
            tracker.close(interrupted=True)
            return INTERRUPTED
        rows = conclude(study, config, job, where, folder, console)
        print_winners(rows, default(job.data.task), console)
    version = None
    try:
        with console.status("handing the winners to MLflow"):
            version = hand_over(rows, study, job, folder, uri, tracker)
    except Exception as error:  # whatever ails MLflow, the search has its results
        console.print(f"the winners are not in MLflow ({error}); they are in {folder / 'winners'}")
    if not tracker.close():
        again = resume_command(config.name, args.output)
        console.print(
            f"MLflow lacks part of the study ({tracker.problem}); all is in {folder}. Once it is "
            f"back, this trains nothing more and hands everything over:\n  {again}",
            soft_wrap=True,
        )
    _say_next(args.output, config.name, uri, version, console)
    if not done:
        more = resume_command(config.name, args.output, "--time-budget 1h")
        console.print(f"  {more}   # the time budget is spent; goes on", soft_wrap=True)
    return 0


def _open(
    folder: Path, prepared: Prepared, where: Resources, console: Console
) -> tuple[optuna.Study, Job]:
    """The study's database and what its trials share; for a new study, the yardstick measured."""
    config, data, extractor = prepared.config, prepared.data, prepared.extractor
    features = cached_features(extractor, data.images, data.digest, say=console.print)
    real = RealSet.of(features, torch.tensor(data.labels), len(data.classes))
    study = prepared.study
    if study is None:
        first = TrialConfig.from_params(default(data.task))
        measured = measure(data, extractor, real, first, seed=config.seed)
        folder.mkdir()
        study = create_study(folder, config, asdict(measured))
        if prepared.start is not None:
            study.enqueue_trial(prepared.start)
        else:
            console.print("the default configuration lies outside this space and is not tried")
    (folder / "study.json").write_text(json.dumps(config.to_json(), indent=2) + "\n")
    yardstick = study.user_attrs["yardstick"]
    console.print(
        f"FID floor {yardstick['floor']:.1f} (extrapolated; two real halves of "
        f"{yardstick['half_n']}: {yardstick['half_floor']:.1f}), untrained generator "
        f"{yardstick['untrained']['fid']:.1f}"
    )
    job = Job(
        data=data,
        extractor=extractor,
        real=real,
        objective=Objective.parse(config.objective),
        untrained=yardstick["untrained"],
        evaluations=config.evaluations,
        trials=(folder / "trials").resolve(),
        seed=config.seed,
        device=where.device,
        threads=where.cpus_per_trial,
    )
    return study, job


def _say_duration(
    prepared: Prepared, job: Job, workers: int, where: Resources, console: Console
) -> None:
    """Say how many workers there are and, on CPUs, for how long; name a smaller search if long."""
    config = prepared.config
    speed = f"{workers} trials at a time on {where.device}"
    if where.device != "cpu":
        console.print(speed)
        return
    first = TrialConfig.from_params(default(prepared.data.task))
    seconds = search_seconds(config, job, first, config.trials, workers)
    limit = config.time_budget
    console.print(
        f"{speed}, about {format_duration(min(seconds, limit or seconds))} for this search"
    )
    if seconds > LONG and (limit is None or limit > LONG):
        console.print(
            f"a smaller one: python -m search.run --space {config.space} --data {config.data} "
            "--image-size 32 --trials 16 --time-budget 15m",
            soft_wrap=True, markup=False,
        )  # fmt: skip


def _default_uri(output: Path) -> str:
    return f"sqlite:///{(output / 'mlflow.db').resolve()}"


def _say_next(output: Path, name: str, uri: str, version: str | None, console: Console) -> None:
    """The commands that a user would type next."""
    console.print(f"kept: {output / name / 'leaderboard.csv'}, {output / name / 'study.json'}")
    if version is not None:
        console.print(f"champion: models:/{name}@champion (version {version})")
    console.print("next:")
    console.print(f"  {ui_command(uri)}", soft_wrap=True)
    where = "" if uri == _default_uri(Path("runs")) else f" --tracking-uri {uri}"
    figures = "" if output == Path("runs") else f" --out {output / name / 'figures'}"
    console.print(
        f"  python -m analysis.fid_vs_time --study {name}{where}{figures}", soft_wrap=True
    )
