"""`python -m search.publish STUDY`: write to MLflow what it lacks of a study, winners included.

For a store that was away while the study was searched, or for another store. It trains nothing, and
does nothing twice.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from search.study.flags import OUTPUT, add_stores, check_stores, default_tracking, study_command
from spaces.errors import InputError
from trainable.basics.addresses import without_password
from trainable.basics.stopping import run_command
from trainable.basics.terminal import make_console, say, say_error


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns 0, 1 if the store did not take all, or 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m search.publish",
        description="Write to MLflow what it lacks of a study, winners included.",
    )
    parser.add_argument("study", help="the study's name")
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, help="folder of all studies (default: runs)"
    )
    add_stores(parser)
    try:
        return _publish(parser.parse_args(argv), make_console())
    except InputError as error:
        say_error(error)
        return 2


def _publish(args: argparse.Namespace, console: Console) -> int:
    from search.study.database import interrupt_running, open_study
    from search.study.locate import placed
    from search.study.versions import settings_of
    from search.tracking.projection import Projection
    from search.tracking.tracker import check
    from search.winners.conclude import arrange, hand_over, leaderboard
    from trainable.basics.lock import (
        locked,  # what follows costs seconds to import, bad flags need not
    )
    from trainable.basics.progress import stage
    from trainable.tracking.client import reason, ui_command
    from trainable.trial.objective import Objective

    args.output, args.study = placed(args.output, args.study, "the study")
    check_stores(args)
    study, storage = open_study(args.output, args.study, args.database)
    uri = args.tracking_uri or default_tracking(args.output)
    folder = args.output / args.study
    config = settings_of(study)
    with locked(folder):
        interrupt_running(study, storage)  # a killed search left them so
        with stage(console, "opening MLflow"):
            problem = check(uri)
        if problem:
            raise InputError(
                f"MLflow at {without_password(uri)} does not answer ({problem}); start it, or name "
                "another store with --tracking-uri"
            )
        projection = Projection(folder, storage, uri)
        rows = leaderboard(study, Objective.parse(config.objective))
        done = sum(row.record.ended is not None for row in rows) >= config.trials
        try:
            with stage(console, "writing trials", len(rows)) as progress:
                projection.sync("FINISHED" if done else "KILLED", progress)
            if arrange(rows, folder):
                say(console, f"by this version's gates the ranking is another: see {folder}")
            with stage(console, "handing over the winners"):
                trials = folder / "trials"
                version = hand_over(rows, study, trials, folder, uri, projection.run_id)
        except InputError:
            raise
        except Exception as error:  # whatever ails MLflow; all is still here
            say(console, f"MLflow lacks part of the study ({reason(error)}); try again")
            return 1
    say(console, f"MLflow has all {len(rows)} trials of study {args.study}")
    if version is not None:
        say(console, f"champion: models:/{args.study}@champion (version {version})")
    if not done:
        more = study.user_attrs.get("run_flags", ())
        again = study_command("search.run --resume", args.study, args, more)
        say(console, f"the study is not finished; to go on:\n  {again}")
    say(console, f"next:\n  {ui_command(uri)}")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
