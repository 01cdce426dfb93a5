"""Where a study is kept: its database, its folder, its lock, and what is said if they are amiss."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.trial import create_trial

from search.study import (
    create_study,
    database_url,
    keep_learnt,
    load_study,
    open_storage,
    open_study,
    read_learnt,
    read_records,
)
from spaces.errors import InputError
from tests.by_hand import YARDSTICK, config
from trainable.basics.addresses import without_password
from trainable.lock import locked

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    """Studies one and two; the second's database is elsewhere."""
    output = tmp_path_factory.mktemp("runs")
    for name in ("one", "two"):
        folder = output / name
        folder.mkdir()
        url = database_url(folder) if name == "one" else f"sqlite:///{output / 'shared.db'}"
        create_study(open_storage(url), config(name=name), YARDSTICK, {"a": "1"}, [{"x": 1}])
        (folder / "study.json").write_text("{}")
    (output / "begun").mkdir()  # killed while it began
    (output / "begun" / "lock").touch()
    return output


def test_a_study_is_found_whole(output):
    study, _ = open_study(output, "one", None)
    assert study.study_name == "one"
    assert study.user_attrs["config"] == config(name="one").to_json()
    assert study.user_attrs["yardstick"] == YARDSTICK
    assert study.user_attrs["space"] == {"a": "1"}
    assert study.user_attrs["queue"] == [{"x": 1}]
    assert study.direction.name == "MINIMIZE"
    assert read_records(study) == []
    elsewhere, _ = open_study(output, "two", f"sqlite:///{output / 'shared.db'}")
    ids = {study.user_attrs["id"], elsewhere.user_attrs["id"]}
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("name", "database", "message"),
    [
        ("three", None, "there is no study three under .*; there are one, two$"),
        ("begun", None, "there is no study begun under .*; there are one, two$"),
        ("two", None, "keeps its database elsewhere; name it with --database"),
        ("one", "shared.db", "--database holds no study one; it holds two$"),
        ("one", "empty.db", "--database holds no study one; it holds none$"),
    ],
)
def test_a_study_that_is_not_there_is_said(output, name, database, message):
    url = f"sqlite:///{output / database}" if database else None
    with pytest.raises(InputError, match=message):
        open_study(output, name, url)
    if name == "begun":
        assert sorted(p.name for p in (output / "begun").iterdir()) == ["lock"]


def test_where_nothing_is_there_are_none_yet(tmp_path):
    with pytest.raises(InputError, match="there are none yet"):
        open_study(tmp_path, "one", None)
    assert list(tmp_path.iterdir()) == []


def test_a_study_killed_while_it_began_is_begun_anew(tmp_path):
    """Whatever of it was written before its folder said that it had begun."""
    storage = open_storage(f"sqlite:///{tmp_path / 'study.db'}")
    optuna.create_study(storage=storage, study_name="s")
    first = create_study(storage, config(), YARDSTICK, {}, [])
    keep_learnt(first, storage, [])
    key = first.user_attrs["id"]
    study = create_study(storage, config(trials=3), YARDSTICK, {}, [])
    keep_learnt(study, storage, [create_trial(value=1.0)])
    assert study.user_attrs["id"] != key
    assert load_study("s", storage).user_attrs["config"]["trials"] == 3
    assert len(read_learnt(study, storage)) == 1


def test_in_a_shared_database_a_name_is_taken_once(tmp_path):
    storage = open_storage(f"sqlite:///{tmp_path / 'shared.db'}")
    optuna.create_study(storage=storage, study_name="s")  # all that a killed one left
    study = create_study(storage, config(), YARDSTICK, {}, [], ours=False)
    with pytest.raises(InputError, match="holds a study s already; choose another name"):
        create_study(storage, config(), YARDSTICK, {}, [], ours=False)
    assert load_study("s", storage).user_attrs["id"] == study.user_attrs["id"]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nonsense", "Could not parse"),
        ("runs/study.db", "Could not parse"),
        ("foo://me:secret@host/db", "foo"),
        ("postgresql+nodriver://me:secret@host/db", "nodriver"),
        ("sqlite:////proc/none/study.db", "unable to open database file"),
        ("mysql+pymysql://me:secret@127.0.0.1:1/db", ""),
    ],
)
def test_a_database_that_cannot_be_opened_is_said_without_the_password(url, reason):
    with pytest.raises(InputError) as caught:
        open_storage(url)
    said = str(caught.value)
    assert said.startswith(f"--database {without_password(url)} cannot be opened (")
    assert reason in said
    assert "secret" not in said
    assert "\n" not in said


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path):
    path = tmp_path / "study.db"
    path.write_bytes(b"no database at all, but long enough to look at" * 100)
    before = path.read_bytes()
    with pytest.raises(InputError, match="file is not a database"):
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
        "from trainable.lock import locked\n"
        "with locked(Path(sys.argv[1])):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], cwd=PROJECT,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("end", ["killed", "done"])
def test_a_study_is_held_by_one_process_for_as_long_as_that_lives(tmp_path, end):
    holder = hold(tmp_path)
    refused = (
        f"study {tmp_path.name} is at work in process {holder.pid} on {socket.gethostname()}; "
        "wait for it"
    )
    for _ in range(2):  # to be refused does not disturb the one who holds it
        with pytest.raises(InputError) as caught, locked(tmp_path):
            pass
        assert refused in str(caught.value)
    if end == "killed":
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    else:
        holder.communicate("")
    with locked(tmp_path):
        assert (tmp_path / "lock").read_text() == f"process {os.getpid()} on {socket.gethostname()}"
    with locked(tmp_path):  # and let go at the end
        pass
