"""What MLflow lacks of a study, written from its database and its folder."""

from __future__ import annotations

from rich.console import Console

from search.study.database import interrupt_running, open_study
from search.study.flags import resume_flags
from search.study.folder import StudyFolder
from search.study.trial_files import existing_storage
from search.study.versions import settings_of
from search.tracking.flat import PAUSED
from search.tracking.projection import Projection, check
from search.winners.conclude import arrange, hand_over, leaderboard
from spaces.errors import InputError
from trainable.basics.addresses import without_password
from trainable.basics.lock import locked
from trainable.basics.progress import stage
from trainable.basics.terminal import say
from trainable.tracking.client import reason, ui_command
from trainable.trial.objective import Objective


def publish(folder: StudyFolder, console: Console) -> int:
    """Write it, and say what is there now; returns 0, or 1 if the store did not take all.

    Raises:
        InputError: the study cannot be read, or MLflow does not answer.
    """
    study, storage = open_study(folder)
    config = settings_of(study)
    if folder.trials.is_symlink():  # else pictures would be missing without a word
        existing_storage(folder.path)
    with locked(folder.path):
        interrupt_running(study, storage)  # a killed search left them so
        with stage(console, "opening MLflow"):
            problem = check(folder.tracking)
        if problem:
            raise InputError(
                f"MLflow at {without_password(folder.tracking)} does not answer ({problem}); start "
                "it, or name another store with --tracking-uri"
            )
        projection = Projection(folder.path, storage.url, folder.tracking)
        rows = leaderboard(study, Objective.parse(config.objective))
        done = sum(row.record.ended is not None for row in rows) >= config.trials
        status = "FINISHED" if done else PAUSED
        try:
            with stage(console, "writing trials", len(rows)) as progress:
                projection.sync(status, progress)
            if arrange(rows, folder.path):
                say(console, f"by this version's gates the ranking is another: see {folder.path}")
                projection.sync(status)  # the run shows the leaderboard's file, and what it says
            with stage(console, "registering the winners"):
                version = hand_over(
                    rows, study, folder.trials, folder.path, folder.tracking, projection.run_id
                )
        except InputError:
            raise
        except Exception as error:  # any fault of MLflow: the folder has all
            say(console, f"MLflow is missing part of the study ({reason(error)}); try again")
            return 1
    say(console, f"MLflow has all {len(rows)} trials of study {folder.name}")
    if version is not None:
        say(console, f"champion: models:/{folder.name}@champion (version {version})")
    if not done:
        more = resume_flags(config, study.user_attrs.get("run_flags", ()))
        again = folder.command("resume", more)
        say(console, f"the study is not finished; to resume:\n  {again}")
    say(console, f"next:\n  {ui_command(folder.tracking)}")
    return 0
