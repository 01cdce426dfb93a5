"""A study's folder: whether a study began in it, and what proves that one in a database is its own.

    study.json   the settings, for people and MLflow; the database has them too
    study.db     the database, unless that is elsewhere
    study.id     the id of the study that began here, written before the database knows it

A study begins in one transaction of its database. A search that is killed before leaves nothing;
one that is killed after leaves a study without study.json, which goes on as any other.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

SETTINGS, DATABASE, KEY = "study.json", "study.db", "study.id"


def began(folder: Path) -> bool:
    """Whether a study was started in `folder`, as far as that can be told without --database."""
    return (folder / SETTINGS).exists() or _in_own_database(folder)


def read_key(folder: Path) -> str | None:
    """The id of the study that `folder` is of; None if it says none."""
    try:
        return (folder / KEY).read_text().strip()
    except FileNotFoundError:
        return None


def _in_own_database(folder: Path) -> bool:
    """Whether the database in `folder` holds the study; also where it cannot be read.

    Looked at by hand: Optuna would create its tables in any file.
    """
    path = folder / DATABASE
    if not path.exists():
        return False
    address = (
        f"{path.resolve().as_uri()}?mode=rw"  # not ro: a killed writer's journal is in the way
    )
    try:
        with closing(sqlite3.connect(address, uri=True)) as database:
            tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
            if not {"studies", "study_user_attributes"} <= tables:
                return bool(tables)  # then it is something else's
            found = database.execute(
                "SELECT 1 FROM studies JOIN study_user_attributes USING (study_id) "
                "WHERE study_name = ? AND key = 'config'",
                (folder.name,),
            ).fetchall()
    except sqlite3.Error:
        return True
    return bool(found)
