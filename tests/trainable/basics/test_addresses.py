"""Addresses of stores: by paths of any name, from any folder, and without a password."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from search.study.database import create_study, open_storage
from search.study.flags import check_stores, parser
from search.study.folder import StudyFolder, default_tracking
from search.tracking.projection import connect
from tests.helpers.fake_tune import YARDSTICK, config
from tests.helpers.refusals import refused
from trainable.basics.addresses import (
    absolute_address,
    check_address,
    pasted,
    sqlite_address,
    sqlite_file,
    without_password,
)
from trainable.tracking.client import check_tracking, create_tracking, experiment_id
from trainable.tracking.names import EXPERIMENT

NAMES = [
    "a?b", "a#b", "a%b", "a%20b", "100%", "?", "#x?y%z", "runs[old]", "chest (1)", "Röntgen", "a+b",
    "o'brien", "a@b:c", "a;b&c=d", "$HOME",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_sqlite_file_of_any_path_is_the_same_to_sqlalchemy_and_to_us(name, tmp_path):
    path = tmp_path / name / "x.db"
    assert sqlite_file(sqlite_address(path)) == path
    assert make_url(sqlite_address(path)).database == str(path)


def test_options_of_an_address_are_no_part_of_its_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sqlite_file("sqlite:///a.db?timeout=5") == Path("a.db")
    assert sqlite_file("sqlite+pysqlite:////x/a%3Fb.db") == Path("/x/a?b.db")
    for other in ("sqlite:///:memory:", "sqlite://", "postgresql://h/a.db", "http://h:5000"):
        assert sqlite_file(other) is None
        assert absolute_address(other) == other
    assert absolute_address("sqlite:///a.db?timeout=5") == f"sqlite:///{tmp_path}/a.db?timeout=5"
    assert absolute_address("sqlite:///a%23b.db") == f"sqlite:///{tmp_path}/a#b.db"


@pytest.fixture(scope="module")
def tracking(tmp_path_factory) -> Path:
    """An MLflow store, which takes seconds to make."""
    path = tmp_path_factory.mktemp("made") / "mlflow.db"
    create_tracking(sqlite_address(path))
    return path


@pytest.mark.parametrize("name", ["a#b", "50%", "#x%z [old]", "a@b:c", "Röntgen (1)"])
def test_mlflow_and_optuna_keep_all_in_the_folder_that_is_named(name, tracking, tmp_path):
    output = tmp_path / name
    storage = open_storage(_database(output))
    (output / "mlflow.db").write_bytes(tracking.read_bytes())
    uri = default_tracking(output)
    check_tracking(uri)
    client = connect(uri)
    experiment = experiment_id(client, EXPERIMENT, uri, output)
    run = client.create_run(experiment).info.run_id
    client.log_text(run, "1", "x.txt")
    create_study(storage, config(name="s"), YARDSTICK, {}, [])
    assert sorted(p.name for p in tmp_path.iterdir()) == [name]
    assert sorted(p.name for p in output.iterdir()) == ["mlartifacts", "mlflow.db", "s"]
    assert (output / "s" / "study.db").stat().st_size > 0
    with closing(sqlite3.connect(output / "mlflow.db")) as store:
        assert store.execute(
            "SELECT name FROM experiments WHERE name = ?", (EXPERIMENT,)
        ).fetchall()


@pytest.mark.parametrize(
    ("name", "mark"), [("a?b", "'?'"), ("50%25", "'%25'"), ("my%20runs", "'%20'")]
)
def test_a_path_that_mlflow_would_misread_is_refused(name, mark, tmp_path):
    flags = ["--output", str(tmp_path / name)]
    with refused("--output", tmp_path / name, mark, "--tracking-uri"):
        check_stores(parser().parse_args(flags))
    check_stores(parser().parse_args([*flags, "--tracking-uri", "http://h:5000"]))
    create_study(open_storage(_database(tmp_path / name)), config(name="s"), YARDSTICK, {}, [])
    assert [p.name for p in tmp_path.iterdir()] == [name]


def _database(output: Path) -> str:
    (output / "s").mkdir(parents=True)
    return StudyFolder(output / "s").database_url


PASSWORDS = ["secret", "sec@ret", "sec/ret", "sec:ret", "s/e:c@r@et", "5000/secret", "s?e#cret"]


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("user", ["me", "", "me@corp.org"])
@pytest.mark.parametrize("scheme", ["http", "https", "postgresql+psycopg2", "mysql"])
def test_no_part_of_a_login_is_shown(scheme, user, password):
    line = f"MLflow at {scheme}://{user}:{password}@host:5000/db fails (no route); it goes on"
    assert (
        without_password(line) == f"MLflow at {scheme}://host:5000/db fails (no route); it goes on"
    )


@pytest.mark.parametrize(
    "option", ["password", "PASSWORD", "passwd", "sslpassword", "pwd", "token", "access_token",
               "api_key", "aws_secret_access_key", "X-Amz-Signature", "credential"],
)  # fmt: skip
def test_no_value_of_a_secret_option_is_shown(option):
    for address in (f"mysql:///x?{option}=5ecr%40t", f"http://h/x?a=1&{option}=5ecr%40t&b=2"):
        assert "5ecr" not in without_password(address)
        assert without_password(address).startswith(address.partition("5ecr")[0])
    assert without_password(f"http://h/x?{option}=5ecr&b=2").endswith("&b=2")


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:5000", "sqlite:////home/a:b@c/mlflow.db", "models:/films@champion",
     "s3://bucket/a@b", "postgresql://host/db?sslmode=require", "http://host/#/models/a@b"],
)  # fmt: skip
def test_addresses_without_a_password_stay_as_they_are(address):
    assert without_password(address) == address
    assert without_password(f"at {address} and me@corp.org") == f"at {address} and me@corp.org"


def test_a_printed_command_names_no_password(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert pasted("postgresql://u:p@h/db", "URL") == "URL"
    assert pasted("http://h/?token=x", "URI") == "URI"
    assert pasted("sqlite:///x.db", "URI") == f"sqlite:///{tmp_path}/x.db"


@pytest.mark.parametrize(
    "address",
    ["postgresql://u:sec@ret@h/db", "mysql://u:s@e@cret@h:3306/db", "http://u:sec/ret@h:5000",
     "https://u:sec?ret@h", "postgresql://u:sec ret@h/db", "http://h ost:5000"],
)  # fmt: skip
def test_a_login_that_would_be_misread_is_refused_without_showing_it(address):
    with refused("--database", "%40") as caught:
        check_address("--database", address)
    assert "ret" not in str(caught.value).replace("written", "")


@pytest.mark.parametrize(
    "address",
    ["postgresql://u:sec%40ret@h/db", "postgresql://u:sec/r:et@h/db?options=a@b", "runs/mlruns",
     "https://u:p@h:5000/x", "http://h/a@b", "sqlite:///my runs/mlflow.db", "http://u:s@e@h"],
)  # fmt: skip
def test_a_login_that_is_read_well_is_taken(address):
    check_address("--database", address)
