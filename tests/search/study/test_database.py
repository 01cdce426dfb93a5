"""Where a study is kept: its database, its folder, its lock, and what is said if they are amiss."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import optuna
import pytest
import sqlalchemy.exc
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import create_trial

from search.study.database import create_study, load_study, open_storage, open_study, read_learnt
from search.study.folder import StudyFolder
from search.study.records import read_records
from tests.helpers import ROOT
from tests.helpers.fake_tune import YARDSTICK, config
from tests.helpers.refusals import refused
from tests.helpers.studies import CutError, cut_at
from trainable.basics.addresses import without_password
from trainable.basics.lock import locked


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    """Studies one and two; the second's database is elsewhere."""
    output = tmp_path_factory.mktemp("runs")
    for name in ("one", "two"):
        folder = output / name
        folder.mkdir()
        url = (
            StudyFolder(folder).database_url
            if name == "one"
            else f"sqlite:///{output / 'shared.db'}"
        )
        create_study(open_storage(url), config(name=name), YARDSTICK, {"a": "1"}, [{"x": 1}])
        (folder / "study.json").write_text("{}")
    (output / "begun").mkdir()  # killed before it began
    (output / "begun" / "lock").touch()
    return output


def test_a_study_is_found_whole(output):
    study, _ = open_study(StudyFolder(output / "one"))
    assert study.study_name == "one"
    assert study.user_attrs["config"] == config(name="one").to_json()
    assert study.user_attrs["yardstick"] == YARDSTICK
    assert study.user_attrs["space"] == {"a": "1"}
    assert study.user_attrs["queue"] == [{"x": 1}]
    assert study.direction.name == "MINIMIZE"
    assert study.metric_names == ["FID"]
    assert read_records(study) == []
    elsewhere, _ = open_study(
        StudyFolder(output / "two", database=f"sqlite:///{output / 'shared.db'}")
    )
    ids = {study.user_attrs["id"], elsewhere.user_attrs["id"]}
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("name", "database", "parts"),
    [
        ("three", None, ["three", "one, two"]),
        ("begun", None, ["begun", "one, two"]),
        ("two", None, ["two", "--database"]),
        ("one", "shared.db", ["--database", "one", "two"]),
        ("one", "empty.db", ["--database", "one", "none"]),
    ],
)
def test_a_study_that_is_not_there_is_said(output, name, database, parts):
    url = f"sqlite:///{output / database}" if database else None
    with refused(*parts):
        open_study(StudyFolder(output / name, database=url))
    if name == "begun":
        assert sorted(p.name for p in (output / "begun").iterdir()) == ["lock"]


def test_where_nothing_is_there_are_none_yet(tmp_path):
    with refused("one", "none", tmp_path):
        open_study(StudyFolder(tmp_path / "one"))
    assert list(tmp_path.iterdir()) == []


def test_a_study_begins_whole_or_not_at_all(tmp_path):
    """What a search leaves that is killed at any write is no study, and the same name is free."""
    storage, cuts = open_storage(f"sqlite:///{tmp_path / 'study.db'}"), 0
    learnt = [create_trial(value=1.0)]
    study = None
    while study is None:
        undo = cut_at(storage, cuts)
        with suppress(CutError, StorageInternalError):
            study = create_study(storage, config(), YARDSTICK, {}, [], learnt=learnt)
        undo()
        if study is None:
            assert optuna.get_all_study_names(storage) == []
            cuts += 1
    assert cuts > 10
    assert len(read_learnt(study, storage)) == 1


def test_a_name_in_a_database_is_taken_once_and_nothing_is_removed(tmp_path):
    """Another's study may be called the same, or a user's own of no search."""
    storage = open_storage(f"sqlite:///{tmp_path / 'shared.db'}")
    optuna.create_study(storage=storage, study_name="s")
    with refused("bin/optuna delete-study --study-name s --storage URL"):
        create_study(storage, config(), YARDSTICK, {}, [])
    study = create_study(storage, config(name="t"), YARDSTICK, {}, [], key="mine")
    for key in (None, "another's"):
        with refused("study t", "another name"):
            create_study(storage, config(name="t"), YARDSTICK, {}, [], key=key)
    with refused("study t", "--resume t"):
        create_study(storage, config(name="t"), YARDSTICK, {}, [], key="mine")
    assert sorted(optuna.get_all_study_names(storage)) == ["s", "t"]
    assert load_study("t", storage).user_attrs["id"] == study.user_attrs["id"] == "mine"


def test_a_study_whose_settings_file_is_gone_is_found_by_its_database(tmp_path):
    folder = tmp_path / "a #1 é" / "s"
    folder.mkdir(parents=True)
    create_study(open_storage(f"sqlite:///{folder / 'study.db'}"), config(), YARDSTICK, {}, [])
    assert StudyFolder(folder).began
    study, _ = open_study(StudyFolder(folder.parent / "s"))
    assert study.user_attrs["config"] == config().to_json()
    with refused("study t", folder.parent, "s"):
        open_study(StudyFolder(folder.parent / "t"))


def test_in_a_database_elsewhere_a_study_is_known_by_the_id_in_its_folder(tmp_path):
    """As after a kill between its beginning and study.json; another's of the same name is not."""
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    create_study(open_storage(url), config(), YARDSTICK, {}, [], key="mine")
    (tmp_path / "s").mkdir()
    with refused("study s", "none", tmp_path):
        open_study(StudyFolder(tmp_path / "s", database=url))
    (tmp_path / "s" / "study.id").write_text("mine")
    assert open_study(StudyFolder(tmp_path / "s", database=url))[0].user_attrs["id"] == "mine"
    (tmp_path / "s" / "study.id").write_text("another's")
    with refused("--database", "study s", tmp_path / "s"):
        open_study(StudyFolder(tmp_path / "s", database=url))


def test_a_renamed_folder_is_named(tmp_path):
    path = tmp_path / "s"
    path.mkdir()
    create_study(open_storage(StudyFolder(path).database_url), config(name="s"), YARDSTICK, {}, [])
    (path / "study.json").write_text("{}")
    with refused(tmp_path / "films", "study s", "renamed"):
        open_study(StudyFolder(path.rename(tmp_path / "films")))


@pytest.mark.parametrize("kind", ["empty", "tables alone", "a study of another name"])
def test_a_database_in_which_nothing_began_is_no_study(tmp_path, kind):
    path = tmp_path / "s" / "study.db"
    path.parent.mkdir()
    path.touch()
    if kind != "empty":
        storage = open_storage(f"sqlite:///{path}")
        if kind != "tables alone":
            create_study(storage, config(name="t"), YARDSTICK, {}, [])
    before = path.read_bytes()
    assert not StudyFolder(path.parent).began
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", ["no database", "another program's"])
def test_a_file_that_may_be_anyones_counts_as_begun(tmp_path, kind):
    """So that nothing is begun, or removed, in its place."""
    path = tmp_path / "study.db"
    if kind == "no database":
        path.write_bytes(b"no database at all" * 100)
    else:
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("CREATE TABLE thesis (text TEXT)")
    before = path.read_bytes()
    assert StudyFolder(tmp_path).began
    assert path.read_bytes() == before


def foreign(study: optuna.Study, fault: str) -> None:
    """Have the study look as another version might have written it."""
    settings = study.user_attrs["config"]
    trial = study._storage.get_all_trials(study._study_id)[0]._trial_id
    match fault:
        case "unknown setting":
            study.set_user_attr("config", {**settings, "new_flag": 3})
        case "missing setting":
            study.set_user_attr("config", {k: v for k, v in settings.items() if k != "eta"})
        case "wrong type":
            study.set_user_attr("config", {**settings, "trials": "many"})
        case "no settings":
            study.set_user_attr("config", [1])
        case "no floor":
            study.set_user_attr("yardstick", {"untrained": {}})
        case "no yardstick":
            study.set_user_attr("yardstick", 5)
        case "other space":
            study.set_user_attr("space", [])
        case "other report":
            study._storage.set_trial_user_attr(trial, "report/000001", 5)
        case "unknown status":
            study._storage.set_trial_user_attr(trial, "status", "paused")
        case "bare report":
            study._storage.set_trial_user_attr(trial, "report/000001", {"epoch": 1})


@pytest.mark.parametrize(
    ("fault", "parts"),
    [
        ("unknown setting", ["settings", "new_flag"]),
        ("missing setting", ["settings", "eta"]),
        ("wrong type", ["settings"]),
        ("no settings", ["settings", "name"]),
        ("no floor", ["yardstick/floor"]),
        ("no yardstick", ["yardstick"]),
        ("other space", ["space"]),
        ("other report", ["trial 0", "resource"]),
        ("unknown status", ["trial 0", "'paused'"]),
        ("bare report", ["trial 0", "resource"]),
    ],
)
def test_a_study_of_another_version_is_said_in_a_line(tmp_path, fault, parts):
    (tmp_path / "s").mkdir()
    storage = open_storage(StudyFolder(tmp_path / "s").database_url)
    study = create_study(storage, config(), YARDSTICK, {}, [])
    study.ask().set_user_attr("code", {"version": "9.1"})
    open_study(StudyFolder(tmp_path / "s"))
    foreign(study, fault)
    with refused("study s", "cgan-search", "9.1", *parts) as caught:
        open_study(StudyFolder(tmp_path / "s"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nonsense", "parse"),
        ("runs/study.db", "parse"),
        ("foo://me:secret@host/db", "foo"),
        ("postgresql+nodriver://me:secret@host/db", "nodriver"),
        ("sqlite:////proc/none/study.db", "unable to open database file"),
        ("mysql+pymysql://me:secret@127.0.0.1:1/db", ""),
    ],
)
def test_a_database_that_cannot_be_opened_is_said_without_the_password(url, reason):
    with refused("--database", without_password(url), reason) as caught:
        open_storage(url)
    said = str(caught.value)
    assert "secret" not in said
    assert "\n" not in said


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path):
    path = tmp_path / "study.db"
    path.write_bytes(b"no database at all, but long enough to look at" * 100)
    before = path.read_bytes()
    with refused("--database", path, "not a database"):
        open_storage(f"sqlite:///{path}")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:se:c@ret@host:5/db", "postgresql://host:5/db"),
        ("postgresql://me:se/cret@host/db", "postgresql://host/db"),
        ("postgresql://me:secret@host/db?x=a@b", "postgresql://host/db?x=a@b"),
        ("http://me@host/x", "http://host/x"),
        ("https://host/a@b", "https://host/a@b"),
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
        ("no url", "no url"),
    ],
)
def test_passwords_are_not_shown(url, shown):
    assert without_password(url) == shown


def hold(folder: Path) -> subprocess.Popen[str]:
    """Another process that holds the study, and says so when it does."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from trainable.basics.lock import locked\n"
        "with locked(Path(sys.argv[1])):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], cwd=ROOT,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("end", ["killed", "done"])
def test_a_study_is_held_by_one_process_for_as_long_as_that_lives(tmp_path, end):
    holder = hold(tmp_path)
    at_work = (f"study {tmp_path.name}", f"process {holder.pid}", socket.gethostname())
    for _ in range(2):  # to be refused does not disturb the one who holds it
        with refused(*at_work), locked(tmp_path):
            pass
    if end == "killed":
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    else:
        holder.communicate("")
    with locked(tmp_path):
        assert (tmp_path / "lock").read_text() == f"process {os.getpid()} on {socket.gethostname()}"
    with locked(tmp_path):  # and let go at the end
        pass


def test_two_processes_may_create_one_database(tmp_path, monkeypatch):
    """Optuna looks for tables, then creates those that lack; the other one was faster."""
    tries = []

    def create(url: str, **options: object) -> RDBStorage:
        tries.append(url)
        if len(tries) < 3:
            raise sqlalchemy.exc.OperationalError("CREATE", {}, Exception("a already exists"))
        return RDBStorage(url)

    monkeypatch.setattr("search.study.database.RDBStorage", create)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    assert isinstance(open_storage(StudyFolder(tmp_path).database_url), RDBStorage)
    assert len(tries) == 3
