"""A search from its first check to its last line: what `search.run` does with the flags."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import optuna
import torch
from optuna.storages import RDBStorage
from rich.console import Console

from search.capacity.estimate import Speed, budgeted, measure_scoring, speed_of, total_seconds
from search.capacity.gpu_share import share
from search.capacity.nodes import Node, faults, local_gpus, shown, survey
from search.ending import (
    HALTED,
    EndedError,
    head_watched,
    how_to_go_on,
    said_at_once,
)
from search.resolve import Prepared, make_workload, prepare
from search.study.config import StudyConfig
from search.study.database import (
    TrialRecord,
    check_free,
    create_study,
    database_url,
    new_key,
    open_storage,
    read_records,
)
from search.study.flags import (
    check_output,
    check_stores,
    default_tracking,
    report_command,
    run_flags,
    smaller_command,
    study_command,
)
from search.study.folder import KEY, SETTINGS, began, read_key
from search.study.locate import resume_placed
from search.study.transaction import one_transaction
from search.study.trial_files import TRIALS, settle
from search.tracking.tracker import Tracker, check
from search.tune.run_trials import Outcome, run_trials
from search.winners.conclude import WINNERS, conclude, hand_over, print_winners
from spaces.errors import InputError
from spaces.presets import default
from trainable.basics.addresses import without_password
from trainable.basics.files import disk_fault, write_whole
from trainable.basics.lock import locked
from trainable.basics.machine import local_cores
from trainable.basics.progress import bar
from trainable.basics.stopping import Stop
from trainable.basics.terminal import say
from trainable.basics.wording import counted, format_duration
from trainable.data.fingerprints import IMAGES, write_images
from trainable.distributed.cluster import check_surroundings, connected, fitting
from trainable.distributed.resources import Resources, resolve_resources
from trainable.gan.config import TrialConfig
from trainable.tracking.client import reason, ui_command
from trainable.trial.evaluation import measure, real_set, validation_of
from trainable.trial.object_store import ObjectStore
from trainable.trial.workload import Workload

LONG = 1800
"""Seconds of estimated search above which a smaller one is named."""


def run_session(args: argparse.Namespace, console: Console, since: float) -> int:
    """Resolve the study, say what it is, and unless it is a dry run, search; returns the exit code.

    A time budget counts from `since`, in seconds since 1970.

    Raises:
        InputError: something that the flags ask for cannot be done.
    """
    resume_placed(args)
    check_stores(args)
    check_output(args.output)
    where = resolve_resources(args)
    check_surroundings(where, partial(say, console))
    prepared = prepare(args, console)
    counts = ", ".join(f"{n} {name}" for name, n in prepared.data.counts.items())
    say(console, f"data: {prepared.data.name}: {counts} ({prepared.data.report})")
    for line in prepared.said:
        say(console, line)
    say(console, str(prepared.config))
    if args.dry_run:
        asked = args.winner_images is not None
        config = _tried_budget(prepared, where, since, asked=asked, say=partial(say, console))
        say(console, json.dumps(config.to_json(), indent=2))
        return 0
    try:
        return _search(args, prepared, where, console, since)
    except Exception as error:
        if isinstance(error, InputError) or (fault := disk_fault(error)) is None:
            raise
        say(console, f"the search could not begin: {fault}; make room, and give the command again")
        return HALTED


def _tried_budget(
    prepared: Prepared, where: Resources, since: float, *, asked: bool, say: Callable[[str], None]
) -> StudyConfig:
    """What `budgeted` makes of a study on this machine, without Ray.

    Raises:
        InputError: scoring the winners leaves no time to train.
    """
    config = prepared.config
    if config.time_budget is None:
        return config
    if where.cluster is not None:
        say("whether the cluster can score the winners within the time budget is not measured")
        return config
    validation = validation_of(prepared.validation)
    speed = measure_scoring(
        prepared.extractor, prepared.data, validation, where.device, where.cpus_per_trial
    )
    here = {"CPU": local_cores(), "GPU": torch.cuda.device_count()}
    fits = fitting([{"Alive": True, "Resources": here}], where, where.gpus_per_trial or 0)
    workers = min(fits, where.max_concurrent or fits)
    classes = len(prepared.data.classes)
    return budgeted(config, classes, speed, workers, since, asked=asked, say=say)[0]


def _search(
    args: argparse.Namespace, prepared: Prepared, where: Resources, console: Console, since: float
) -> int:
    """Hold the study's lock while it is worked on; a study that does not come to be leaves none."""
    folder = args.output / prepared.config.name
    ours = not folder.exists()
    folder.mkdir(exist_ok=True)
    with locked(folder):
        try:
            with said_at_once(args, prepared.config, console):
                return _locked_search(args, prepared, where, console, folder, since)
        except EndedError as ended:
            return ended.code
        except BaseException:
            # What others made stays, and so does what a database may know of by now.
            if ours and not began(folder) and read_key(folder) is None:
                shutil.rmtree(folder)
            raise


def _locked_search(
    args: argparse.Namespace, prepared: Prepared, where: Resources, console: Console, folder: Path,
    since: float,
) -> int:  # fmt: skip
    """Run the trials that the study owes, then score, rank and keep the winners."""
    config = prepared.config
    if args.database and prepared.study is None:
        check_free(open_storage(args.database), config.name, read_key(folder))
    uri = args.tracking_uri or default_tracking(args.output)
    with console.status("opening MLflow"):
        problem = check(uri)
    if problem:
        shown_uri = without_password(uri)
        say(console, f"MLflow at {shown_uri} does not answer ({problem}); results stay in {folder}")
    with (
        console.status("starting Ray") as status,
        connected(where, partial(say, console)) as (where, workers),
        said_at_once(args, config, console),
        head_watched(args, config, console),
    ):
        object_store = settle(folder, args.storage)
        nodes, gpus = [], local_gpus()
        if where.cluster is not None:
            status.update("looking at the cluster's nodes")
            nodes = _check_nodes(object_store or folder / TRIALS, console)
            gpus = tuple(gpu for node in nodes for gpu in node.gpus)
        status.stop()  # of a bar and a status, only one can be live
        with bar(console, "measuring the real images") as progress:
            real = real_set(prepared.data, prepared.extractor, partial(say, console), progress)
        status.update("measuring the default configuration")
        status.start()
        workload = make_workload(prepared, real, where, folder, object_store)
        speed = speed_of(workload, where)
        auto = args.gpus_per_trial is None
        shares = share(
            workload, prepared.space, where, workers, [mb for _, mb in gpus],
            auto=auto, budget=config.time_budget, say=partial(say, console),
        )  # fmt: skip
        workload, where, workers = shares.workload, shares.where, shares.workers
        speed = replace(speed, trained=speed.trained * shares.slowdown)
        config, deadline = budgeted(
            config, len(prepared.data.classes), speed, workers, since,
            asked=args.winner_images is not None, say=partial(say, console),
        )  # fmt: skip
        prepared = replace(prepared, config=config)
        study, storage = _open(folder, prepared, workload, args.database, console)
        study.set_user_attr("run_flags", run_flags(args))
        workload = replace(workload, untrained=study.user_attrs["yardstick"]["untrained"])
        if prepared.study is not None:
            _say_standing(config, read_records(study), console)
        _say_duration(args, config, workload, speed, workers, console)
        status.stop()
        tracker = Tracker(folder, storage, uri, partial(say, console))
        tracker.start()
        outcome = run_trials(
            study, storage, config, prepared.space, workload, where,
            workers=workers, deadline=deadline, console=console, progress=args.progress,
            wake=tracker.wake, refuse=shares.refusal, nodes={node.address for node in nodes},
        )  # fmt: skip
        in_time = deadline is None or time.time() < deadline
        if outcome.stopped or outcome.halted or (not outcome.done and in_time):
            return _stopped(args, config, outcome, tracker, console)
        rows = conclude(study, config, workload, where, folder, console, outcome.avoided)
        print_winners(rows, default(workload.task), console)
    version = None
    try:
        with console.status("handing generators to MLflow"):
            if not tracker.flush():
                raise ConnectionError(tracker.problem or "MLflow is slow to answer")
            run_id = tracker.projection.run_id
            version = hand_over(rows, study, workload.trials, folder, uri, run_id)
    except Exception as error:  # whatever ails MLflow, the search has its results
        say(
            console,
            f"the generators are not in MLflow ({reason(error)}); they are in {folder / WINNERS}",
        )
    if not tracker.close():
        again = study_command("search.publish", config.name, args)
        say(
            console,
            f"MLflow lacks part of the study ({tracker.problem}); all is in {folder}. Once it is "
            f"back:\n  {again}",
        )
    _say_next(args.output, config.name, uri, version, console)
    if not outcome.done:
        more = study_command("search.run --resume", config.name, args, run_flags(args))
        say(console, f"  {more} --time-budget 1h   # the time budget is spent; goes on")
    return 0


def _check_nodes(place: Path | ObjectStore, console: Console) -> list[Node]:
    """Say what the cluster is made of.

    Raises:
        InputError: its nodes do not share the folder, or run something else than this machine.
    """
    nodes = survey(place)
    if found := faults(nodes):
        raise InputError(
            "\n  ".join(found) + "\npython -m search.doctor, with the same flags, says more"
        )
    models = Counter(name for node in nodes for name, _ in node.gpus)
    said = ", ".join(f"{n} {name}" for name, n in models.items()) or "no GPU"
    there = counted(len(nodes), "node")
    say(console, f"cluster: {there}, {said}; all share {shown(place)}")
    return nodes


def _stopped(
    args: argparse.Namespace,
    config: StudyConfig,
    outcome: Outcome,
    tracker: Tracker,
    console: Console,
) -> int:
    """Say how to go on after a stop that the study did not ask for; returns the exit code."""
    if outcome.halted:
        say(console, f"the search had to stop: {outcome.halted}")
    say(console, f"stopped; {how_to_go_on(args, config)}")
    with suppress(KeyboardInterrupt):  # again: it is said already
        tracker.close(interrupted=True)
    return HALTED if outcome.halted else Stop(outcome.stopped or signal.SIGINT).code


def _open(
    folder: Path, prepared: Prepared, workload: Workload, database: str | None, console: Console
) -> tuple[optuna.Study, RDBStorage]:
    """The study's database; for a new study, the yardstick measured and what to try first."""
    config, data = prepared.config, prepared.data
    if prepared.study is not None and prepared.storage is not None:
        study, storage = prepared.study, prepared.storage
        with one_transaction(storage):
            study.set_user_attr("config", config.to_json())
            study.set_user_attr("queue", study.user_attrs["queue"] + prepared.queue)
        write_whole(folder / KEY, study.user_attrs["id"])
    else:
        first = TrialConfig.from_params(default(prepared.task))
        here = replace(workload, device="cpu", start=None)  # a cluster's head may have no GPU
        untrained = here.build_run(first, config.seed)
        measured = measure(here.evaluator, untrained, config.protocol, seed=config.seed)
        write_images(folder / IMAGES, data, prepared.validation)
        storage = open_storage(database or database_url(folder))
        queue = ([] if prepared.first is None else [prepared.first]) + prepared.queue
        key = read_key(folder) or new_key()
        write_whole(folder / KEY, key)
        study = create_study(
            storage, config, asdict(measured), prepared.space_snapshot, queue,
            key=key, learnt=prepared.learnt,
        )  # fmt: skip
        study.set_user_attr("of_patients", data.of_patients)
        if prepared.learnt:
            say(console, f"the sampler starts from {len(prepared.learnt)} trials of another study")
        if prepared.first is None:
            say(console, "the default configuration lies outside this space and is not tried")
    write_whole(folder / SETTINGS, json.dumps(config.to_json(), indent=2) + "\n")
    yardstick = study.user_attrs["yardstick"]
    say(
        console,
        f"FID floor {yardstick['floor']:.1f} (extrapolated; two real halves of "
        f"{yardstick['half_n']}: {yardstick['half_floor']:.1f}), untrained generator "
        f"{yardstick['untrained']['fid']:.1f}",
    )
    return study, storage


def _say_standing(config: StudyConfig, records: list[TrialRecord], console: Console) -> None:
    """Where a resumed study stands."""
    ended = sum(r.ended is not None for r in records)
    under_way = len(records) - ended
    ahead = max(0, config.trials - len(records))
    said = f"{counted(ended, 'trial')} ended, {under_way} under way, {ahead} to come"
    say(console, f"resumed: {said}")


def _say_duration(
    args: argparse.Namespace,
    config: StudyConfig,
    workload: Workload,
    speed: Speed,
    workers: int,
    console: Console,
) -> None:
    """Say how many workers there are and for how long; name a smaller search if long."""
    seconds = total_seconds(config, workload, speed, workers)
    limit = config.time_budget
    say(
        console,
        f"{counted(workers, 'trial')} at a time on {workload.device}, about "
        f"{format_duration(min(seconds, limit or seconds))} for this search",
    )
    if seconds > LONG and (limit is None or limit > LONG):
        say(console, f"a smaller one:\n  {smaller_command(config, args)}")


def _say_next(output: Path, name: str, uri: str, version: str | None, console: Console) -> None:
    """The commands that a user would type next."""
    say(console, f"kept: {output / name / 'leaderboard.csv'}, {output / name / SETTINGS}")
    if version is not None:
        say(console, f"champion: models:/{name}@champion (version {version})")
    say(console, f"next:\n  {ui_command(uri)}\n  {report_command(name, output, uri)}")
