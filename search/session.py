"""A search from its first check to its last line: what `search.run` does with the flags."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import time
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import optuna
from rich.console import Console

from search.capacity.gpu_share import Capacity
from search.ending import HALTED, EndedError, Ending
from search.plan import Outlook, Plan, look_ahead, make_plan, undecided
from search.proposals.prior import prior_of
from search.resolve import NewStudy, Prepared, ResumedStudy, prepare
from search.study.config import StudyConfig
from search.study.database import OpenStudy, check_free, create_study, new_key, open_storage
from search.study.flags import run_flags, smaller_command
from search.study.folder import (
    IMAGES,
    KEY,
    LEADERBOARD,
    SETTINGS,
    WINNERS,
    StudyFolder,
    default_tracking,
)
from search.study.records import TrialRecord, read_records
from search.study.settings_file import write_settings
from search.study.transaction import one_transaction
from search.tracking.tracker import RemoteProjection, Tracker
from search.tune.reporting import Audience
from search.tune.run_trials import Outcome, run_trials
from search.winners.afresh import compare_afresh, say_of
from search.winners.conclude import conclude, hand_over, print_winners
from search.winners.leaderboard import Row
from spaces.errors import InputError
from spaces.presets import default
from trainable.basics.addresses import without_password
from trainable.basics.files import disk_fault, write_whole
from trainable.basics.lock import locked
from trainable.basics.progress import stage
from trainable.basics.stopping import Stop
from trainable.basics.terminal import say
from trainable.basics.wording import counted, format_duration
from trainable.data.film import PICTURE
from trainable.data.fingerprints import write_images
from trainable.distributed.cluster import check_surroundings, connected, head_address
from trainable.distributed.resources import Resources, resolve_resources
from trainable.gan.config import TrialConfig
from trainable.tracking.client import reason, ui_command
from trainable.trial.evaluation import measure
from trainable.trial.workload import Workload

LONG = 1800
"""Seconds of estimated search above which a smaller one is named."""


def run_session(args: argparse.Namespace, console: Console, since: float) -> int:
    """Resolve the study, say what it is, and unless it is a dry run, search; returns the exit code.

    A time budget counts from `since`, in seconds since 1970.

    Raises:
        InputError: something that the flags ask for cannot be done.
    """
    where = resolve_resources(args)
    check_surroundings(where, partial(say, console))
    prepared = prepare(args, console)
    data = prepared.inputs.data
    say(console, f"data: {data.name}: {data.counted} ({data.report})")
    for line in prepared.said:
        say(console, line)
    if args.dry_run:
        with stage(console, "measuring the default configuration"):
            outlook = look_ahead(args, prepared, where, since, partial(say, console))
        config = prepared.config if outlook is None else outlook.config
        say(console, str(config))
        say(console, json.dumps(config.to_json(), indent=2))
        if outlook is not None:
            _say_duration(args, outlook, console)
        if args.write_config is not None:
            auto = undecided(prepared, where)
            hidden = write_settings(args.write_config, config, args, auto)
            without = f", without {', '.join(hidden)}, as there is a password in it"
            say(console, f"written for --config: {args.write_config}{without if hidden else ''}")
        return 0
    try:
        return _search(args, prepared, where, console, since)
    except Exception as error:
        if isinstance(error, InputError) or (fault := disk_fault(error)) is None:
            raise
        say(
            console,
            f"the search could not start: {fault}; free some space and run the command again",
        )
        return HALTED


def _search(
    args: argparse.Namespace, prepared: Prepared, where: Resources, console: Console, since: float
) -> int:
    """Hold the study's lock while it is worked on; a study that does not come to be leaves none."""
    folder = args.output / prepared.config.name
    ours = not folder.exists()
    folder.mkdir(exist_ok=True)
    ending = Ending(args, prepared.config, console)
    uri = args.tracking_uri or default_tracking(args.output)
    database = StudyFolder(folder, database=args.database).database_url
    with locked(folder), closing(RemoteProjection(folder, database, uri)) as projection:
        tracker = Tracker(projection, partial(say, console))
        try:
            with ending.said_at_once():
                return _locked_search(args, prepared, where, ending, tracker, since)
        except EndedError as ended:
            return ended.code
        except BaseException:
            # What others made stays, and so does what a database may know of by now.
            if ours and not StudyFolder(folder).began and StudyFolder(folder).read_key() is None:
                shutil.rmtree(folder)
            raise


def _locked_search(
    args: argparse.Namespace, prepared: Prepared, where: Resources, ending: Ending,
    tracker: Tracker, since: float,
) -> int:  # fmt: skip
    """Run the trials that the study owes, then score, rank and keep the winners."""
    console, name = ending.console, prepared.config.name
    folder = args.output / name
    if args.database and isinstance(prepared, NewStudy):
        check_free(open_storage(args.database), name, StudyFolder(folder).read_key())
    asked = tracker.ask()  # answered while Ray starts
    with ExitStack() as ray:
        with stage(console, "starting Ray"):
            where, workers = ray.enter_context(connected(where, partial(say, console)))
        with stage(console, "opening MLflow"):
            problem = asked.result()
        if problem:
            uri = without_password(tracker.uri)
            say(console, f"MLflow at {uri} does not answer ({problem}); results stay in {folder}")
        ray.enter_context(ending.said_at_once())
        ray.enter_context(ending.head_watched(head_address()))
        capacity = Capacity(where, workers)
        plan = make_plan(args, prepared, capacity, console, since)
        config, wish = plan.config, prepared.config.winner_images  # another budget may pay for all
        prepared = replace(prepared, config=replace(config, winner_images=wish))
        say(console, str(config))
        with stage(console, "opening the study"):
            opened = _open(folder, prepared, plan.workload, args.database, console)
        study = opened.study
        study.set_user_attr("run_flags", run_flags(args))
        if isinstance(prepared, ResumedStudy):
            _say_standing(config, read_records(study), console)
        else:  # of a resumed one only a part is left, which the screen tells as trials end
            _say_duration(args, plan.outlook, console)
        tracker.start()
        workload = replace(plan.workload, untrained=study.user_attrs["yardstick"]["untrained"])
        audience = Audience(console, args.progress, tracker.wake)
        outcome = run_trials(opened, prepared.space, workload, plan.capacity, audience)
        deadline = plan.capacity.deadline
        in_time = deadline is None or time.time() < deadline
        if outcome.stopped or outcome.halted or (not outcome.done and in_time):
            return _stopped(ending, outcome, tracker)
        where = plan.capacity.resources
        rows = conclude(study, config, workload, where, folder, console, outcome.avoided)
        print_winners(rows, default(workload.task), console)
        _prove(study, rows, replace(plan, workload=workload), ending, since, outcome.avoided)
    again = StudyFolder.of(args, name).command("publish")
    version = _hand_over(rows, study, workload.trials, folder, tracker, console, again)
    if not tracker.close():
        say(
            console,
            f"MLflow is missing part of the study ({tracker.problem}); everything is in "
            f"{folder}. Once it is back:\n  {again}",
        )
    _say_next(StudyFolder(folder, tracker.uri), version, console)
    if not outcome.done:
        more = StudyFolder.of(args, name).command("resume", run_flags(args))
        more += f" --trials {config.trials} --time-budget 1h"
        say(console, f"  {more}   # the time budget has run out; this resumes")
    return 0


def _prove(
    study: optuna.Study, rows: list[Row], plan: Plan, ending: Ending, since: float,
    avoided: frozenset[str],
) -> None:  # fmt: skip
    """Train the champion's configuration and the default afresh, as often as is planned, and say
    whether it is better."""
    champion = next((row.record for row in rows if row.wins), None)
    if champion is None:
        return
    config, usual = plan.config, default(plan.workload.task)
    tried = [row.record for row in rows]
    if config.replicates and champion.params != usual:
        until = None if config.time_budget is None else since + config.time_budget
        said, total = "training the best and the default afresh", 2 * config.replicates
        with stage(ending.console, said, total) as progress:
            failed = compare_afresh(
                study, champion, tried, plan.workload, plan.capacity, progress, until, avoided
            )
        if failed is not None:  # the winners are there all the same, and go on to MLflow
            say(ending.console, f"{said} failed: {failed}")
    again = StudyFolder.of(ending.args, config.name).command("resume", run_flags(ending.args))
    if (ended := sum(record.ended is not None for record in tried)) < config.trials:
        again += f" --trials {ended}"  # else those that are owed would run first
    say(ending.console, say_of(study, champion, tried, usual, again))


def _stopped(ending: Ending, outcome: Outcome, tracker: Tracker) -> int:
    """Say how to go on after a stop that the study did not ask for; returns the exit code."""
    ending.say(outcome.halted)
    with suppress(KeyboardInterrupt):  # again: it is said already
        tracker.close(interrupted=True)
    return HALTED if outcome.halted else Stop(outcome.stopped or signal.SIGINT).code


def _hand_over(
    rows: list[Row], study: optuna.Study, trials: Path, folder: Path, tracker: Tracker,
    console: Console, again: str,
) -> str | None:  # fmt: skip
    """Keep generators in MLflow if it takes them, else say that `again` does; returns the
    champion's version."""
    try:
        with stage(console, "registering generators in MLflow"):
            if not tracker.flush():
                raise ConnectionError(tracker.problem or "MLflow is slow to answer")
            return hand_over(rows, study, trials, folder, tracker.uri, tracker.projection.run_id)
    except Exception as error:  # any fault of MLflow: the folder has all
        say(
            console,
            f"the generators are not in MLflow ({reason(error)}); they are in {folder / WINNERS}. "
            f"Once it takes them:\n  {again}",
        )
        return None


def _open(
    folder: Path, prepared: Prepared, workload: Workload, database: str | None, console: Console
) -> OpenStudy:
    """The study's database, created or with what this session adds."""
    opened = (
        _create(folder, prepared, workload, database, console)
        if isinstance(prepared, NewStudy)
        else _continue(folder, prepared)
    )
    write_whole(folder / SETTINGS, json.dumps(prepared.config.to_json(), indent=2) + "\n")
    yardstick = opened.study.user_attrs["yardstick"]
    say(
        console,
        f"FID floor {yardstick['floor']:.1f} (extrapolated; two real halves of "
        f"{yardstick['half_n']}: {yardstick['half_floor']:.1f}), untrained generator "
        f"{yardstick['untrained']['fid']:.1f}",
    )
    return opened


def _continue(folder: Path, resumed: ResumedStudy) -> OpenStudy:
    """Tell the database what may change, and what is to be tried next."""
    study, storage = resumed.opened
    with one_transaction(storage):
        study.set_user_attr("config", resumed.config.to_json())
        study.set_user_attr("queue", study.user_attrs["queue"] + resumed.queue)
    write_whole(folder / KEY, study.user_attrs["id"])
    return resumed.opened


def _create(
    folder: Path, new: NewStudy, workload: Workload, database: str | None, console: Console
) -> OpenStudy:
    """Measure the yardstick, and keep it with what to try first."""
    config, data = new.config, new.inputs.data
    first = TrialConfig.from_params(default(new.inputs.task))
    here = replace(workload, device="cpu", start=None)  # a cluster's head may have no GPU
    untrained = here.build_run(first, config.seed)
    measured = measure(here.evaluator, untrained, config.protocol, seed=config.seed)
    write_images(folder / IMAGES, data, new.inputs.validation)
    storage = open_storage(database or StudyFolder(folder).database_url)
    queue = ([] if new.first is None else [new.first]) + new.queue
    key = StudyFolder(folder).read_key() or new_key()
    write_whole(folder / KEY, key)
    study = create_study(
        storage, config, measured, new.space_snapshot, queue, key=key, learnt=new.learnt
    )
    study.set_user_attr("of_patients", data.of_patients)
    if new.learnt:
        say(console, f"the sampler starts from {len(new.learnt)} trials of another study")
    if (prior := prior_of(config)) is not None:
        said = f"the sampler starts from what {prior.trials} trials of other searches taught"
        say(console, f"{said} (--prior none: without)")
    if new.first is None:
        say(console, "the default configuration is outside this space and is not tried")
    return OpenStudy(study, storage)


def _say_standing(config: StudyConfig, records: list[TrialRecord], console: Console) -> None:
    """Where a resumed study stands."""
    ended = sum(r.ended is not None for r in records)
    under_way = len(records) - ended
    ahead = max(0, config.trials - len(records))
    said = f"{counted(ended, 'trial')} ended, {under_way} running, {ahead} queued"
    say(console, f"resumed: {said}")


def _say_duration(args: argparse.Namespace, outlook: Outlook, console: Console) -> None:
    """Say how many workers there are and for how long; name a smaller search if long."""
    seconds, limit = outlook.seconds, outlook.config.time_budget
    say(
        console,
        f"{counted(outlook.workers, 'trial')} at a time on {outlook.device}, about "
        f"{format_duration(min(seconds, limit or seconds))} for this search",
    )
    if seconds > LONG and (limit is None or limit > LONG):
        say(console, f"a smaller one:\n  {smaller_command(outlook.config, args)}")


def _say_next(folder: StudyFolder, version: str | None, console: Console) -> None:
    """The commands that a user would type next."""
    kept = [folder.path / LEADERBOARD, folder.path / SETTINGS]
    pictures = sorted(folder.winners.glob(f"*/{PICTURE}"), key=lambda path: int(path.parent.name))
    say(console, f"kept: {', '.join(map(str, [*kept, *pictures[:1]]))}")
    if version is not None:
        say(console, f"champion: models:/{folder.name}@champion (version {version})")
    say(console, f"next:\n  {folder.report_command()}\n  {ui_command(folder.tracking)}")
