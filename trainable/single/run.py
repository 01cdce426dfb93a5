"""One run without Ray: what ``python -m trainable`` does with its flags."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from spaces.errors import InputError
from spaces.task import Params
from trainable.basics.files import write_whole
from trainable.basics.lock import locked
from trainable.basics.progress import stage
from trainable.basics.stopping import Stop, stopped_gently
from trainable.basics.terminal import say
from trainable.basics.wording import format_duration
from trainable.data.film import FILM, write_film
from trainable.data.sheets import grid_files
from trainable.gan.config import TrialConfig
from trainable.generators.export import CONFIG, Provenance, export_generator
from trainable.metrics.independent import agreement
from trainable.single.recipe import Recipe
from trainable.single.resolve import build_workload
from trainable.trial.checkpoints import newest
from trainable.trial.evaluation import measure
from trainable.trial.identity import RunIdentity
from trainable.trial.report import ASKED, CAS, Report, ScoredReport, Status, has_scores
from trainable.trial.trial import Trial
from trainable.trial.workload import Workload
from trainable.trial.yardstick import Yardstick

_RUN = "run.json"
"""Says whose an output folder is, and what its scores are held against."""
BROKEN_EXIT = 1
"""Exit code of a run that has no generator to show."""
_HEADS = ("seconds", "FID", "KID", "class", "divers.", "copies")


def run_single(args: argparse.Namespace, recipe: Recipe, console: Console) -> int:
    """Train, with progress; returns the exit code: 0 complete, 130 or 143 stopped, 1 broken down.

    Raises:
        InputError: something that the flags ask for cannot be done.
    """
    workload, params, identity = build_workload(args, recipe, console)
    about = {
        "params": params, "number": recipe.number, "resource": workload.resource,
        **identity.named,
    }  # fmt: skip
    _claimed(args.out, about)  # before anything is written to a folder that may be another's
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {args.out} cannot be written to: {error.strerror}") from error
    with locked(args.out.resolve(), "run"):
        return _run(args, recipe, workload, params, identity, about, console)


def _run(
    args: argparse.Namespace, recipe: Recipe, workload: Workload, params: Params,
    identity: RunIdentity, about: Mapping[str, Any], console: Console,
) -> int:  # fmt: skip
    yardstick = _claimed(args.out, about)
    if yardstick is None:
        config = TrialConfig.from_params(params)
        untrained = dataclasses.replace(workload, start=None).build_run(config, workload.seed)
        with stage(console, "scoring an untrained generator"):
            yardstick = measure(
                workload.evaluator, untrained, identity.protocol, seed=workload.seed
            )
        _claim(args.out, about, yardstick)
    held = yardstick.get("cas")
    taught = "" if held is None else f"; the training images' CAS on those held back is {held:.1%}"
    data = workload.data
    size = workload.task.image_size
    if changed := recipe.changed(identity):
        say(console, f"not a replay: these differ from the trial's: {', '.join(changed)}")
    say(console, f"data: {data.name}: {data.counted}, {size} pixels ({data.report})")
    say(
        console,
        f"FID by {yardstick['protocol']}: floor {yardstick['floor']:.1f}, untrained "
        f"{yardstick['untrained']['fid']:.1f}; a classifier trained on "
        f"{'held-out' if identity.held_out_digest else 'the training'} images gets "
        f"{yardstick['witness']:.0%} of others right{taught}",
    )
    trial = Trial(workload, recipe.number, params, heard=sys.maxsize)
    last, stop = _train(trial, console)
    code = _conclude(args, trial, params, identity.settings, last, console)
    return stop.code if stop and last["status"] == Status.INTERRUPTED else code


def _claimed(out: Path, about: Mapping[str, Any]) -> Yardstick | None:
    """The yardstick of the run in the folder `out`, None if there is no run yet.

    Raises:
        InputError: it is another run's or a search's, or cannot be read.
    """
    path = out / _RUN
    if not path.exists():
        if (out / CONFIG).exists():
            raise InputError(f"--out {out} already holds a generator; choose another folder")
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
            f"--out {out} holds another run (these differ: {', '.join(differ)}); choose "
            "another folder, or remove it"
        )
    return yardstick


def _claim(out: Path, about: Mapping[str, Any], yardstick: Yardstick) -> None:
    """Make the folder `out` this run's."""
    whole = json.dumps({"run": about, "yardstick": yardstick}, indent=2) + "\n"
    write_whole(out / _RUN, whole)


def _train(trial: Trial, console: Console) -> tuple[Report, Stop]:
    """Advance to the end, with a bar and a line for each evaluation; returns the last report, and
    whether it was asked to stop."""
    workload = trial.workload
    heads = (
        (workload.resource, *_HEADS)
        if workload.validation is None
        else (workload.resource, *_HEADS, "CAS")
    )
    say(console, _row(heads))
    for report in trial.reports:  # of earlier runs of the command
        say(console, _line(report))
    if trial.reports and trial.reports[-1]["resource"] >= workload.evaluations[-1]:
        say(console, "it has already trained that long; nothing to do")
        last = trial.reports[-1].copy()
        if last["status"] == Status.RUNNING:  # it was to be longer when it was trained
            last["status"] = Status.COMPLETE.value
        return last, Stop()
    if trial.reports and trial.reports[-1]["status"] == Status.COLLAPSED:
        return trial.reports[-1], Stop()
    report: Report | None = None
    total = workload.evaluations[-1]
    unit = "epochs" if workload.resource == "epoch" else "seconds"

    def tell() -> None:
        say(console, "stopping at the end of this epoch; Ctrl-C again stops at once")

    with (
        stage(console, f"training, {unit}", total, int(trial.progress)) as progress,
        stopped_gently(trial.stop, tell) as stop,
    ):
        while report is None or report["status"] == Status.RUNNING:
            report = trial.advance(lambda: progress(int(trial.progress), total))
            if has_scores(report):
                say(console, _line(report))
    return report, stop


def _scored(trial: Trial, last: Report) -> Mapping[str, Any]:
    """The run's state when `last` was scored: it may have gone on since, and been stopped.

    Raises:
        InputError: that checkpoint is gone.
    """
    try:
        return newest(trial.folder, seen=last["images_seen"])["run"]
    except FileNotFoundError as error:
        flag = "--epochs" if trial.workload.resource == "epoch" else "--train-time"
        there = math.ceil(trial.progress)
        raise InputError(
            f"{flag} is {trial.workload.evaluations[-1]}, but the run was stopped at {there}, and "
            f"what it was then is no longer kept; give at least {there}"
        ) from error


def _line(report: ScoredReport) -> str:
    return _row([
        str(report["resource"]), f"{report['train_seconds']:.0f}", f"{report['fid']:.1f}",
        f"{1000 * report['kid']:.1f}", f"{agreement(report):.0%}", f"{report['diversity']:.2f}",
        f"{report['copy_rate']:.1%}", *([f"{report[CAS]:.1%}"] if CAS in report else []),
    ])  # fmt: skip


def _row(cells: Sequence[str]) -> str:
    return " ".join(f"{cell:>7}" for cell in cells)


def _conclude(
    args: argparse.Namespace,
    trial: Trial,
    params: Params,
    settings: Mapping[str, Any],
    last: Report,
    console: Console,
) -> int:
    """Export what there is, say what became of the run and what to type next."""
    status = Status(last["status"])
    reason = last.get("reason", ASKED)
    if reason != ASKED:
        say(console, f"{status}: {reason}")
    if status is Status.INTERRUPTED:
        say(console, "stopped; the same command resumes from here")
        return BROKEN_EXIT
    scored = {k: v for k, v in last.items() if isinstance(v, int | float)}
    if status is Status.COMPLETE:
        provenance = Provenance(
            study="single", trial=int(trial.folder.name), params=params, settings=settings,
            seen=trial.workload.seen,
        )  # fmt: skip
        run = _scored(trial, last)
        export_generator(run, trial.workload.data, args.out, provenance, scored)
        files, film = grid_files(trial.folder), args.out / FILM
        fids = {report["epoch"]: report["fid"] for report in trial.reports}
        write_film(film, files, trial.workload.data.classes, fids)
        say(
            console,
            f"images: {files[max(files)]}\nhow it learned: {film}\n"
            f"generator: {args.out / 'generator.pt2'}",
        )
        say(
            console,
            f"training took {format_duration(last['train_seconds'])}, scoring "
            f"{format_duration(last['eval_seconds'])}; to train further, repeat the command with "
            "a larger --epochs or --train-time",
        )
    return 0 if status is Status.COMPLETE else BROKEN_EXIT
