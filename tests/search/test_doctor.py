"""The doctor: facts that are true, what breaks found before a search would, nothing left behind."""

import io
import os
import re
from contextlib import nullcontext

import pytest
from rich.console import Console

from search.doctor import examine as doctor
from search.study.flags import parser
from search.tracking import projection as tracking
from tests.helpers.refusals import tells
from tests.helpers.searches import shared_ray
from tests.helpers.toys import make_data, write_pictures
from trainable.basics import machine

QUICK = ["--image-size", "32", "--backbone", "none", "--features", "efficientnet-lite0"]


def examine(*flags: str) -> tuple[int, str]:
    said = io.StringIO()
    console = Console(file=said, width=500, highlight=False)
    code = doctor.examine(parser().parse_args([*QUICK, *flags]), console)
    return code, said.getvalue()


def broken(said: str) -> list[str]:
    return [line.split()[1] for line in said.splitlines() if line.startswith("BREAKS")]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "pictures", make_data(n=24))
    with shared_ray():
        yield tmp_path


def test_a_search_that_works(place):
    code, said = examine("--data", "pictures", "--epochs", "8", "--trials", "3")
    assert code == 0, said
    assert tells(said, "12 class0, 12 class1", "8 epochs")
    assert re.search(r"\bok +time .* \d+ images", said)
    assert re.search(r"\bok +disk +\d+\.\d GB .*, \d+ GB", said)
    assert tells(said.splitlines()[-1], "no problem")
    assert {path.name for path in place.iterdir()} == {"pictures"}


def test_everything_that_breaks_is_said_at_once(place):
    (place / "file").write_text("")
    code, said = examine(
        "--data", "nowhere", "--output", "file", "--cpus-per-trial", "4096",
        "--database", "mysql://nobody",
    )  # fmt: skip
    assert code == 1
    assert broken(said) == ["output", "resources", "search", "database"]
    assert tells(said.splitlines()[-1], 4)
    assert broken(examine("--resume", "nosuch")[1]) == ["search"]  # and not its trials' folder


def test_the_storage_is_tried_and_measured(place, monkeypatch):
    flags = ["--epochs", "8", "--storage"]
    code, said = examine("--data", "pictures", *flags, f"file://{place}/store")
    assert code == 0, said
    assert re.search(r"\bok +storage +file://.*/store/: .*object store", said)
    assert re.search(r"\bok +disk +\d+\.\d GB .*object store", said)
    left = {path.name for path in place.iterdir()}
    monkeypatch.setattr(doctor, "connected", lambda where, say: nullcontext((where, 1)))
    _, said = examine("--data", "nowhere", *flags, "deep/new")
    assert re.search(rf"storage +{place}/deep/new: \d+ GB free", said)
    assert {path.name for path in place.iterdir()} == left
    (place / "file").write_text("")
    code, said = examine("--data", "nowhere", *flags, "file/new")
    assert (code, broken(said)) == (1, ["storage", "search"])
    assert tells(said, f"--storage {place}/file/new", "Not a directory")


def test_a_budget_that_leaves_no_time_to_train(place):
    code, said = examine("--data", "pictures", "--epochs", "8", "--time-budget", "1s")
    assert (code, broken(said)) == (1, ["time"])
    assert tells(said, "--time-budget", "1 s", "--winner-images")


def test_mlflow_away_is_no_reason_not_to_search(place, monkeypatch):
    monkeypatch.setattr(doctor, "check", lambda uri: "Connection refused")
    code, said = examine(
        "--data", "pictures", "--epochs", "8", "--tracking-uri", "http://me:secret@127.0.0.1:9"
    )
    assert code == 0
    assert re.search(r"note +MLflow +http://127\.0\.0\.1:9 .*\(Connection refused\)", said)
    assert "secret" not in said
    assert tracking.check is not doctor.check


def test_a_database_on_a_network_file_system_is_for_one_machine(place, monkeypatch):
    monkeypatch.setattr(doctor, "file_system", lambda path: "nfs4")
    _, said = examine("--data", "nowhere")
    assert re.search(r"note +database .*\bnfs4\b.* --database postgresql://", said)


def test_a_system_other_than_linux_has_facts_left_out_and_no_crash(place, monkeypatch, tmp_path):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.delattr(os, "sysconf")
    monkeypatch.setattr(machine, "_MOUNTS", tmp_path / "absent")
    monkeypatch.setattr(doctor, "connected", lambda where, say: nullcontext((where, 1)))
    code, said = examine("--data", "nowhere", "--cpus-per-trial", str(os.cpu_count()))
    assert (code, broken(said)) == (1, ["search"])  # the data alone
    assert re.search(rf"\bok +machine +{os.cpu_count()} cores, .*unknown", said)
    assert re.search(r"\bok +database +SQLite in runs, .*unknown", said)
