"""A whole tiny search in a process of its own: interrupted, resumed, finished, read back."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import numpy as np
import optuna
import pandas as pd
import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from optuna.storages import RDBStorage
from rich.console import Console

from search import session
from search.session import run_session
from search.study.database import open_study, read_records
from search.study.flags import parser
from search.tracking.tracker import Tracker
from search.winners.conclude import hand_over
from search.winners.leaderboard import Row, rank
from spaces.errors import InputError
from tests.helpers import ROOT
from tests.helpers.fake_tune import config
from tests.helpers.refusals import refused, tells
from tests.helpers.toys import make_data, write_pictures
from trainable.basics.terminal import make_console
from trainable.data.fingerprints import Seen
from trainable.generators.export import export_generator
from trainable.metrics.intervals import Interval
from trainable.trial.checkpoints import newest
from trainable.trial.evaluation import Assessment
from trainable.trial.objective import Objective

SPACE = """
from spaces.presets import default

def tiny(trial, task):
    lr = trial.suggest_float("g_lr", 1e-4, 1e-2, log=True)
    return {**default(task), "g_lr": lr, "g_width": 4, "d_width": 4, "latent_size": 8}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with twenty pictures of two classes, and a space of the user's own."""
    root = tmp_path_factory.mktemp("place")
    write_pictures(root / "pictures", make_data(n=24))
    (root / "mine.py").write_text(SPACE)
    return root


def start(place: Path, *flags: str, module: str = "search.run") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *flags],
        cwd=place, env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{place}"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def said(place) -> tuple[str, str, str]:
    """What the search printed: until Ctrl-C after its first report, and after it was resumed.

    And what publishing it elsewhere printed between.
    """
    flags = ["--space", "mine:tiny", "--data", "pictures", "--image-size", "32", "--trials", "3"]
    flags += [
        "--epochs",
        "6",
        "--eval-every",
        "3",
        "--grace",
        "3",
        "--eta",
        "2",
        "--top-k",
        "1",
        "--winner-images",
        "20",
    ]
    flags += ["--features", "efficientnet-lite0", "--backbone", "none", "--sampler", "random"]
    flags += ["--study", "tiny", "--report-timeout", "20m"]
    process = start(place, *flags)
    try:
        while not list(place.glob("runs/tiny/trials/*/attempt-*/*.pt")):
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        first = process.communicate()[0]
    finally:
        process.kill()
    assert process.returncode == 130, first
    code, published = publish(place, "tiny", "--tracking-uri", "sqlite:///stopped.db")
    assert code == 0, published
    again = start(place, "--resume", "tiny")
    second = again.communicate()[0]
    assert again.returncode == 0, second
    return first, second, published


def test_ctrl_c_says_how_to_go_on_and_so_does_who_publishes_it(said, place):
    again = f"python -m search.run --resume tiny --output {place}/runs"
    stopped = f"--tracking-uri sqlite:///{place}/stopped.db"
    assert f"\n  {again} --report-timeout 20m\n" in said[0]
    assert f"\n  {again} {stopped} --report-timeout 20m\n" in said[2]
    assert "Traceback" not in said[0] + said[1]
    assert "\nstopping" in said[0]
    ran = r"\nstopped\b.* \d of 3 trials .*\bkept"
    assert re.search(ran, said[0]), said[0]


def test_a_time_budget_counts_from_the_command(place, monkeypatch):
    """Imports and reading images are the user's time too."""
    monkeypatch.chdir(place)
    flags = ["--data", "pictures", "--image-size", "32", "--trials", "1", "--epochs", "1"]
    flags += ["--study", "late", "--time-budget", "10m"]
    console = Console(file=io.StringIO())
    with refused("--time-budget", "10 min", "--winner-images"):
        run_session(parser().parse_args(flags), console, time.time() - 600)
    assert not (place / "runs" / "late").exists()


@pytest.mark.parametrize("error", [InputError("no room"), KeyboardInterrupt(), OSError("disk")])
@pytest.mark.parametrize("left", [(), ("lock",), ("images.csv", "trials"), ("study.id",)])
def test_a_search_that_fails_as_it_begins_removes_what_it_made_and_no_more(
    tmp_path, monkeypatch, left, error
):
    """What was there before may be anyone's, and a study.id may stand in a database elsewhere."""
    folder = tmp_path / "s"
    if left:
        folder.mkdir()
    for name in left:
        (folder / name).write_text("mine")

    def fail(*args: Any) -> None:
        (folder / "trials").touch()
        raise error

    monkeypatch.setattr(session, "_locked_search", fail)
    prepared: Any = SimpleNamespace(config=config())
    where: Any = None
    args = parser().parse_args(["--output", str(tmp_path)])
    with pytest.raises(type(error)):
        session._search(args, prepared, where, make_console(), 0.0)
    assert folder.exists() == bool(left)
    assert all((folder / name).exists() for name in left)


def test_what_a_database_elsewhere_may_know_of_is_not_removed(tmp_path, monkeypatch):
    def fail(*args: Any) -> None:
        (tmp_path / "s" / "study.id").write_text("mine")
        raise OSError("disk")

    monkeypatch.setattr(session, "_locked_search", fail)
    prepared: Any = SimpleNamespace(config=config())
    where: Any = None
    args = parser().parse_args(["--output", str(tmp_path)])
    with pytest.raises(OSError, match="disk"):
        session._search(args, prepared, where, make_console(), 0.0)
    assert (tmp_path / "s" / "study.id").read_text() == "mine"


def opened(place: Path) -> tuple[optuna.Study, RDBStorage]:
    return open_study(place / "runs", "tiny", None)


def test_every_trial_ended_once_after_the_resume(said, place):
    records = read_records(opened(place)[0])
    assert len(records) == 3
    assert {r.status.value for r in records} <= {"complete", "pruned"}
    for record in records:
        epochs = [r["epoch"] for r in record.reports]
        assert epochs == [3, 6][: len(epochs)]
    orders = [report["order"] for record in records for report in record.reports]
    assert sorted(orders) == list(range(len(orders)))


def test_the_leaderboard_is_kept_and_printed(said, place):
    rows = list(csv.DictReader((place / "runs/tiny/leaderboard.csv").open()))
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    assert float(rows[0]["fresh_fid_low"]) < float(rows[0]["fresh_fid_high"])
    assert float(rows[0]["fid_over_floor"]) > 1
    assert {"kid", "one_nn", "coverage", "copy_rate", "diversity"} <= set(rows[0])
    assert "g_lr" in rows[0]
    assert "fresh" in said[1]
    assert json.loads((place / "runs/tiny/study.json").read_text())["trials"] == 3
    assert not list(place.glob("runs/tiny/tune*"))
    images = list(csv.DictReader((place / "runs/tiny/images.csv").open()))
    assert len(images) == 24
    best = json.loads((place / "runs/tiny/best.json").read_text())
    assert [values["g_lr"] for values in best] == [pytest.approx(float(rows[0]["g_lr"]), rel=1e-5)]


def test_the_plain_output_is_quiet(said):
    lines = [line for line in said[1].splitlines() if line.strip()]
    assert len(lines) < 40, said[1]
    for noise in ("WARNING", "Warning", "[I 20", "INFO", "Tune Status"):
        assert noise not in said[1], said[1]


def test_a_generator_that_fails_a_gate_is_no_champion(said, place):
    """A few steps of training reach no real image: coverage says so."""
    first = next(csv.DictReader((place / "runs/tiny/leaderboard.csv").open()))
    assert tells(first["failed_gates"], "coverage 0.00", 0.005)
    assert tells(said[1], "no winner", "no trial")
    assert "champion:" not in said[1]


def mlflow_runs(place: Path) -> list[Run]:
    """What the store holds now: a copy, as MLflow keeps a file open that has been replaced."""
    copy = place / f"{uuid.uuid4().hex}.db"
    shutil.copy(place / "runs" / "mlflow.db", copy)
    client = MlflowClient(f"sqlite:///{copy}")
    (experiment,) = client.search_experiments(filter_string="name = 'cgan-search'")
    return list(client.search_runs([experiment.experiment_id]))


def by_trial(runs: list[Run]) -> dict[str, Run]:
    """The children, each once."""
    found = [(r.data.tags["cgan.trial"], r) for r in runs if "cgan.trial" in r.data.tags]
    assert len(found) == len(dict(found))
    return dict(sorted(found))


def test_mlflow_has_one_run_a_trial(said, place):
    client = MlflowClient(f"sqlite:///{place / 'runs' / 'mlflow.db'}")
    runs = mlflow_runs(place)
    assert list(by_trial(runs)) == ["0", "1", "2"]
    assert len(runs) == 4
    assert not any("cgan.winner" in r.data.tags for r in runs)  # it fails a gate
    (best,) = [r for r in runs if "gates_failed" in r.data.metrics]
    assert [m.step for m in client.get_metric_history(best.info.run_id, "fid")][:1] == [3]
    assert best.data.params["latent_size"] == "8"
    assert best.data.metrics["gates_failed"] >= 1
    assert "fresh_40/precision" in best.data.metrics


def publish(place: Path, *flags: str) -> tuple[int, str]:
    process = start(place, *flags, module="search.publish")
    said = process.communicate()[0]
    assert "Traceback" not in said, said
    return process.returncode, said


def test_a_lost_store_is_published_anew_and_twice_is_once(said, place):
    """Runs, metrics and winners are all there again, from the study's folder alone."""
    before = by_trial(mlflow_runs(place))
    store = place / "runs" / "mlflow.db"
    kept = place / "runs" / "kept.db"
    store.rename(kept)
    try:
        for _ in range(2):
            code, text = publish(place, "tiny")
            assert code == 0, text
            assert tells(text, "MLflow", "3 trials", "study tiny")
            runs = mlflow_runs(place)
            assert len(runs) == 4
            after = by_trial(runs)
            assert after.keys() == before.keys()
            for number, run in after.items():
                assert run.data.metrics == before[number].data.metrics
                assert run.data.params == before[number].data.params
                assert run.info.status == before[number].info.status == "FINISHED"
                assert run.info.run_id != before[number].info.run_id
            (parent,) = [r for r in runs if "cgan.trial" not in r.data.tags]
            assert parent.info.status == "FINISHED"
    finally:
        kept.replace(store)


def test_publish_of_an_unknown_study_lists_what_there_is(said, place):
    code, text = publish(place, "tinny")
    assert code == 2
    assert text.startswith("error: ")
    assert tells(text, "tinny", "runs", "tiny")


def test_publish_to_a_dead_server_says_so(said, place):
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    uri = f"http://me:secret@127.0.0.1:{port}"
    code, text = publish(place, "tiny", "--tracking-uri", uri)
    assert code == 2
    assert text.startswith("error: ")
    assert tells(text, f"http://127.0.0.1:{port}", "refused")
    assert "secret" not in text
    assert len(text.strip().splitlines()) == 1


def test_a_finished_study_resumed_trains_nothing_and_says_the_same(said, place):
    standings = (place / "runs/tiny/leaderboard.csv").read_bytes()
    kept = sorted(p.name for p in place.glob("runs/tiny/trials/*/attempt-*/*.pt"))
    process = start(place, "--resume", "tiny")
    text = process.communicate()[0]
    assert process.returncode == 0, text
    (resumed,) = [line for line in text.splitlines() if line.startswith("resumed")]
    assert re.search(r"\b3 trials\b.* 0 .* 0 ", resumed), resumed
    assert (place / "runs/tiny/leaderboard.csv").read_bytes() == standings
    assert sorted(p.name for p in place.glob("runs/tiny/trials/*/attempt-*/*.pt")) == kept
    assert len(mlflow_runs(place)) == 4


def test_sigterm_while_winners_are_scored_says_how_to_go_on_and_keeps_the_former_ones(said, place):
    """A process of its own, as Ray's code in it takes the signal away unless it is taken back."""
    standings = (place / "runs/tiny/leaderboard.csv").read_bytes()
    kept = sorted(place.glob("runs/tiny/winners/*/*"))
    process = start(place, "--resume", "tiny")
    assert process.stdout is not None
    first = []
    for line in process.stdout:
        first.append(line)
        if " at a time on " in line:  # no trial is owed: the next thing is to score
            process.send_signal(signal.SIGTERM)
            break  # a line that is being written when the signal comes is written again
    text = "".join([*first, *process.stdout])
    assert process.wait() == 143, text
    assert re.search(r"\nstopped\b.* 3 of 3 trials .*\bkept", text), text
    assert "Traceback" not in text, text
    assert "SIGTERM" not in text, text
    assert (place / "runs/tiny/leaderboard.csv").read_bytes() == standings
    assert sorted(place.glob("runs/tiny/winners/*/*")) == kept


def exported(folder: Path, row: Row) -> Path:
    """Where a search leaves the generator of a row."""
    return folder / "winners" / ("" if row.wins else "failed_gates") / str(row.rank)


def test_the_champion_is_the_best_that_passes_and_answers(said, place):
    """The same study, had its best trial failed and its second passed the gates."""
    uri = f"sqlite:///{place / 'runs' / 'mlflow.db'}"
    folder = place / "runs" / "tiny"
    study, storage = opened(place)
    first, second, *_ = sorted(read_records(study), key=lambda r: r.objective)
    good = {"copy_rate": 0.0, "pixel_copy_rate": 0.0, "diversity": 0.9, "coverage": 0.5}
    some = Interval(50.0, 60.0, 55.0)
    assessed = {
        first.number: Assessment({**good, "coverage": 0.0}, 40, some, some),
        second.number: Assessment(good, 40, some, some),
    }
    yardstick = study.user_attrs["yardstick"]
    rows = rank(read_records(study), assessed, Objective.parse("fid"), yardstick)
    for row in rows[:2]:
        export_generator(
            newest(folder / "trials" / f"{row.record.number:05d}")["run"], row.record.params,
            make_data(n=24), exported(folder, row),
            study="tiny", settings={"seed": 0}, number=row.record.number, scores={},
            seen=Seen.of(make_data(n=24)),
        )  # fmt: skip
    tracker = Tracker(folder, storage, uri)
    tracker.start()
    assert tracker.flush()
    run_id = tracker.projection.run_id
    for _ in range(2):  # as after a search that had to publish again: the same version
        assert hand_over(rows, study, folder / "trials", folder, uri, run_id) == "1"
    assert tracker.close()
    client = MlflowClient(uri, uri)
    run = client.get_run(client.get_model_version_by_alias("tiny", "champion").run_id or "")
    assert run.data.tags["cgan.trial"] == str(second.number)
    assert run.data.tags["cgan.winner"] == "1"

    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    mlflow.set_tracking_uri(uri)
    try:
        model = mlflow.pyfunc.load_model("models:/tiny@champion")
    finally:
        mlflow.set_tracking_uri(before[0])
        mlflow.set_registry_uri(before[1])
    asked = pd.DataFrame({"class": ["class0", "class1", "class0"], "seed": [1, 1, 1]})
    images = model.predict(asked)
    assert images.shape == (3, 32, 32)
    assert images.dtype == np.uint8
    assert (images[0] == images[2]).all()
    assert (images[0] != images[1]).any()
