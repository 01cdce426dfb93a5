"""A study's folder: its files by name, its stores, and the commands that find it again.

    study.json      the settings, for people and MLflow; the database has them too
    study.db        the database, unless that is elsewhere
    study.id        the id of the study that began here, written before the database knows it
    images.csv      the images that it began with; see `trainable.data.fingerprints`
    trials          what trials leave: a folder, or a link to one; see `search.study.trial_files`
    storage         the address of the object store that has the trials' files, if one has
    leaderboard.csv, best.json, winners
                    what the end of the search writes; see `search.winners.conclude`

A study begins in one transaction of its database. A search that is killed before leaves nothing;
one that is killed after leaves a study without study.json, which goes on as any other.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from spaces.errors import InputError
from trainable.basics.addresses import pasted, sqlite_address
from trainable.basics.files import check_text
from trainable.basics.lock import LOCK
from trainable.basics.terminal import NAME, command

SETTINGS, DATABASE, KEY = "study.json", "study.db", "study.id"
TRIALS, STORAGE = "trials", "storage"
IMAGES = "images.csv"
LEADERBOARD, BEST = "leaderboard.csv", "best.json"
WINNERS, NO_WINNERS = "winners", "failed_gates"
"""The folder of what is exported, with a folder for each rank; those that fail a gate are in a
folder of their own within it."""
FIGURES = "figures"
TRACKING = "mlflow.db"
"""MLflow's store, beside the studies."""


@dataclass(frozen=True)
class StudyFolder:
    """Where a study is.

    Attributes:
        path: its folder; the folder's name is the study's.
        tracking_uri, database: addresses of MLflow's store and of the study's database, None for
            those beside the folder and in it.
    """

    path: Path
    tracking_uri: str | None = None
    database: str | None = None

    @classmethod
    def of(cls, args: argparse.Namespace, name: str) -> StudyFolder:
        """The one of the study `name`, where the flags keep studies."""
        return cls(args.output / name, args.tracking_uri, args.database)

    @property
    def name(self) -> str:
        """The study's."""
        return self.path.name

    @property
    def database_url(self) -> str:
        """Of the study's database."""
        return self.database or sqlite_address(self.path.resolve() / DATABASE)

    @property
    def tracking(self) -> str:
        """The address of MLflow's store."""
        return self.tracking_uri or default_tracking(self.path.parent)

    @property
    def trials(self) -> Path:
        """What trials leave."""
        return self.path / TRIALS

    @property
    def winners(self) -> Path:
        """What is exported of trials that were scored on fresh images."""
        return self.path / WINNERS

    @property
    def leaderboard(self) -> Path:
        """All trials, ranked, as a table."""
        return self.path / LEADERBOARD

    @property
    def began(self) -> bool:
        """Whether a study was started here, as far as that can be told without `database`."""
        return (self.path / SETTINGS).exists() or self._in_own_database()

    @property
    def taken(self) -> bool:
        """Whether it holds a study, or anything but what one leaves that was killed before."""
        left = {LOCK, IMAGES, KEY, DATABASE, f"{DATABASE}-journal", TRIALS, STORAGE}
        return self.path.exists() and (
            not self.path.is_dir()
            or self.began
            or bool({path.name for path in self.path.iterdir()} - left)
            or any(self.trials.glob("*"))
        )

    def read_key(self) -> str | None:
        """The id of the study that began here; None if there is none."""
        try:
            return (self.path / KEY).read_text().strip()
        except FileNotFoundError:
            return None

    def check_there(self) -> None:
        """Raise InputError where there is no such study, so far as the folder tells."""
        output = self.path.parent
        if not self.began and (self.database is None or self.read_key() is None):
            there = sorted(p.name for p in output.glob("*") if StudyFolder(p).began)
            raise InputError(
                f"there is no study {self.name} under {output}; "
                + (f"there are {', '.join(there)}" if there else "none exist yet")
            )
        if self.database is None and not (self.path / DATABASE).exists():
            raise InputError(
                f"study {self.name} under {output} keeps its database elsewhere; name it with "
                "--database"
            )

    def command(self, name: str, more: Sequence[str] = ()) -> str:
        """Such as ``cgan-search resume NAME``, with the flags that find the study again
        from any folder.

        A command that trains takes `more`: the search's `run_flags`.
        """
        words = command(NAME, name, self.name, *self.flags)
        return " ".join([words, *more])

    @property
    def flags(self) -> list[str | Path]:
        """Those that say where studies are kept."""
        words: list[str | Path] = ["--output", self.path.parent]
        if self.tracking_uri:
            words += ["--tracking-uri", pasted(self.tracking_uri, "URI")]
        if self.database:
            words += ["--database", pasted(self.database, "URL")]
        return words

    def report_command(self) -> str:
        """The command that makes a page of the study."""
        return command(
            NAME, "report", "--study", self.name,
            "--tracking-uri", pasted(self.tracking, "URI"), "--out", self.path / FIGURES,
        )  # fmt: skip

    def _in_own_database(self) -> bool:
        """Whether the database here holds the study; also where it cannot be read.

        Looked at by hand: Optuna would create its tables in any file.
        """
        path = self.path / DATABASE
        if not path.exists():
            return False
        # Not mode=ro: a killed writer's journal is in the way.
        address = f"{path.resolve().as_uri()}?mode=rw"
        try:
            with closing(sqlite3.connect(address, uri=True)) as database:
                tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
                if not {"studies", "study_user_attributes"} <= tables:
                    return bool(tables)  # then it is something else's
                found = database.execute(
                    "SELECT 1 FROM studies JOIN study_user_attributes USING (study_id) "
                    "WHERE study_name = ? AND key = 'config'",
                    (self.name,),
                ).fetchall()
        except sqlite3.Error:
            return True
        return bool(found)


def default_tracking(output: Path) -> str:
    """The tracking store beside the studies."""
    return sqlite_address((output / TRACKING).resolve())


def check_output(output: Path) -> None:
    """Raise InputError unless `output` is, or can become, a folder that can be written to."""
    check_folder(output, "--output")


def check_folder(folder: Path, flag: str) -> None:
    """Make the `folder` that `flag` names, and write to it; InputError if that cannot be."""
    check_text(flag, folder.resolve())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"{flag} {folder} cannot be written to ({error.strerror}); choose another folder"
        ) from error
