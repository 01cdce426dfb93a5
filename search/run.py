"""`python -m search.run`: one command from labelled images to ranked winners in MLflow."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import optuna
from rich.console import Console

from search.cli import check_output, parser, resources, resume_command, ui_command
from search.estimate import search_seconds
from search.launch import Resources, connected, run_trials
from search.prepare import Prepared, prepare
from search.settings import format_duration
from search.study import create_study
from search.tracking import Tracker, check
from search.winners import conclude
from spaces.errors import InputError
from spaces.presets import default
from trainable.config import TrialConfig
from trainable.evaluation import measure
from trainable.fid import FeatureStats
from trainable.trial import Job

BAD_INPUT = 2
INTERRUPTED = 130  # as shells have it after Ctrl-C
LONG = 1800
"""Seconds of estimated search above which a smaller one is named."""


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns 0, 2 for bad input, or 130 after Ctrl-C."""
    args = parser().parse_args(argv)
    console = Console(highlight=False)
    try:
        check_output(args.output)
        where = resources(args)
        prepared = prepare(args, console)
        console.print(f"data: {prepared.data.name}: {prepared.data.report}", markup=False)
        console.print(prepared.features, soft_wrap=True, markup=False)
        console.print(f"study {prepared.config}", markup=False)
        if args.dry_run:
            return 0
        return _search(args, prepared, where, console)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return INTERRUPTED


def _search(
    args: argparse.Namespace, prepared: Prepared, where: Resources, console: Console
) -> int:
    """Run the trials that the study owes, then score, rank and keep the winners."""
    began = time.monotonic()
    config, data = prepared.config, prepared.data
    folder = args.output / config.name
    study, job, yardstick = _open(folder, prepared, where, console)
    uri = args.tracking_uri or f"sqlite:///{(args.output / 'mlflow.db').resolve()}"
    with console.status("opening MLflow"):
        problem = check(uri)
    if problem:
        console.print(f"MLflow at {uri}: {problem}; going on, results stay in {folder}")
    tracker = Tracker(folder, uri)
    tracker.start()
    try:
        with connected(where) as workers:
            base = default(data.task)
            _say_duration(prepared, job, workers, where, console)
            budget = config.time_budget
            if budget is not None:
                budget = max(1.0, budget - (time.monotonic() - began))
            done = run_trials(
                study, config, prepared.space, job, where,
                budget=budget, console=console, floor=yardstick["floor"], wake=tracker.wake,
            )  # fmt: skip
            spent = budget is not None and time.monotonic() - began >= config.time_budget
            if not done and not spent:
                console.print(f"stopped. To go on: {resume_command(config.name, args.output)}")
                return INTERRUPTED
            version = conclude(study, config, job, where, yardstick, tracker, base, console)
    finally:
        if not tracker.close(timeout=60):
            console.print(f"MLflow lacks part of the study: {tracker.problem}; all is in {folder}")
    _say_next(args.output, config.name, uri, version, console)
    if not done:
        more = resume_command(config.name, args.output, "--time-budget 1h")
        console.print(f"  {more}   # the time budget is spent; goes on", soft_wrap=True)
    return 0


def _open(
    folder: Path, prepared: Prepared, where: Resources, console: Console
) -> tuple[optuna.Study, Job, dict[str, float]]:
    """The study's database and what its trials share; for a new study, the yardstick measured."""
    config, data, extractor = prepared.config, prepared.data, prepared.extractor
    first = TrialConfig.from_params(default(data.task))
    with console.status("measuring the real images"):
        reference, measured = measure(data, extractor, first, seed=config.seed)
    study = prepared.study
    if study is None:
        folder.mkdir()
        study = create_study(folder, config, asdict(measured))
        if prepared.start is not None:
            study.enqueue_trial(prepared.start)
        else:
            console.print("the default configuration lies outside this space and is not tried")
    (folder / "study.json").write_text(json.dumps(config.to_json(), indent=2) + "\n")
    yardstick = study.user_attrs["yardstick"]
    console.print(
        f"FID floor {yardstick['floor']:.1f} (two real halves of {yardstick['floor_n']}), "
        f"untrained generator {yardstick['untrained']:.1f}"
    )
    return study, _job(folder, prepared, reference, where), yardstick


def _job(folder: Path, prepared: Prepared, reference: FeatureStats, where: Resources) -> Job:
    config = prepared.config
    return Job(
        data=prepared.data,
        extractor=prepared.extractor,
        reference=reference,
        evaluations=config.evaluations,
        trials=(folder / "trials").resolve(),
        seed=config.seed,
        device=where.device,
        threads=where.cpus_per_trial,
    )


def _say_duration(
    prepared: Prepared, job: Job, workers: int, where: Resources, console: Console
) -> None:
    """Say how many workers there are and, on CPUs, for how long; name a smaller search if long."""
    config = prepared.config
    console.print(f"{workers} trials at a time on {where.device}", end="")
    if where.device != "cpu":
        console.print()
        return
    first = TrialConfig.from_params(default(prepared.data.task))
    seconds = search_seconds(config, job, first, config.trials, workers)
    limit = config.time_budget
    console.print(f", about {format_duration(min(seconds, limit or seconds))} for this search")
    if seconds > LONG and (limit is None or limit > LONG):
        console.print(
            f"a smaller one: python -m search.run --space {config.space} --data {config.data} "
            "--image-size 32 --trials 16 --time-budget 15m",
            soft_wrap=True, markup=False,
        )  # fmt: skip


def _say_next(output: Path, name: str, uri: str, version: str | None, console: Console) -> None:
    """The commands that a user would type next."""
    console.print(f"kept: {output / name / 'leaderboard.csv'}, {output / name / 'study.json'}")
    if version is not None:
        console.print(f"champion: models:/{name}@champion (version {version})")
    console.print("next:")
    console.print(f"  {ui_command(uri)}", soft_wrap=True)
    console.print(f"  python -m analysis.fid_vs_time --study {name}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
