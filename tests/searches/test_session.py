"""A whole tiny search in a process of its own: interrupted, resumed, finished, read back."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import re
import shutil
import signal
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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
from search.study import gates
from search.study.database import open_study
from search.study.flags import parser
from search.study.folder import StudyFolder
from search.study.records import read_records
from search.tracking.projection import Projection
from search.tracking.tracker import Tracker
from search.winners.afresh import AFRESH
from search.winners.conclude import hand_over
from search.winners.leaderboard import Row, rank
from spaces.errors import InputError
from tests.helpers.fake_tune import config
from tests.helpers.forked import Command
from tests.helpers.refusals import refused, tells
from tests.helpers.registered import load_champion
from tests.helpers.searches import Place, free_port, shared_ray, wait_for_reports
from tests.helpers.toys import make_data, write_pictures
from trainable.basics.terminal import make_console
from trainable.data.fingerprints import Seen
from trainable.generators.export import Provenance, export_generator
from trainable.metrics.intervals import Interval
from trainable.tracking.names import afresh_interval
from trainable.trial.checkpoints import newest
from trainable.trial.evaluation import Assessment
from trainable.trial.objective import Objective

TRIALS = 5
FLAGS = [
    "--trials", str(TRIALS), "--epochs", "6", "--eval-every", "3", "--grace", "3", "--eta", "2",
    "--top-k", "1", "--winner-images", "20", "--sampler", "random", "--report-timeout", "20m",
    "--max-concurrent", "2",
]  # fmt: skip
Scores = dict[tuple[int, int], float]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Place:
    """A folder with pictures of two classes, and a space of the user's own."""
    root = tmp_path_factory.mktemp("place")
    write_pictures(root / "pictures", make_data(n=24))
    return Place(root, "pictures", *FLAGS, study="tiny")


def wait_until(process: Command, place: Place, what: Callable[[], object]) -> None:
    while not what():
        assert process.poll() is None, place.log.read_text()
        place.watch()
        time.sleep(0.2)


class Terminal(io.StringIO):
    """A signal comes as soon as a search has said something."""

    def __init__(self, what: str, signal_number: int):
        super().__init__()
        self._what, self._signal = what, signal_number

    def write(self, text: str) -> int:
        written = super().write(text)
        if self._what in text:
            self._what = "\0"  # once
            os.kill(os.getpid(), self._signal)
        return written


@dataclass(frozen=True)
class Lives:
    """Of one study.

    Attributes:
        stopped: what was said up to Ctrl-C.
        resumed: what was said by the last life.
        published: what publishing it elsewhere said between.
        kept: the scores in the study's database after each life.
    """

    stopped: str
    resumed: str
    published: str
    kept: list[Scores]


@pytest.fixture(scope="module")
def lives(place) -> Lives:
    """A worker of the first is killed, and then its driver; Ctrl-C ends the second in training.

    Only the first has processes of its own: `tests.searches.chaos` stops others so, by Ctrl-C too.
    """
    process = place.fork("search.run", *place.flags_now())
    try:
        wait_for_reports(place, 1, process)
        wait_until(process, place, lambda: place.kill_a_worker(random.Random(0)))
        wait_for_reports(place, 2, process)
        place.watch()
    finally:
        process.kill()
    process.wait()
    kept = [place.reports()]
    more = ("--report-timeout", "20m", "--max-concurrent", "2")
    screen = Terminal(" running of ", signal.SIGINT)
    code, stopped = place.run("search.run", *place.flags_now(*more), screen=screen)
    assert code == 130, stopped
    kept.append(place.reports())
    code, published = place.run("search.publish", "tiny", "--tracking-uri", "sqlite:///stopped.db")
    assert code == 0, published
    code, resumed = place.run("search.run", "--resume", "tiny", "--max-concurrent", "2")
    assert code == 0, resumed
    return Lives(stopped, resumed, published, [*kept, place.reports()])


def test_no_life_loses_a_score(lives, place):
    """Drivers and workers killed, and stopped by Ctrl-C: the study and MLflow are whole."""
    first, second, last = lives.kept
    assert 2 <= len(first) < len(second) < len(last)
    assert first.items() <= second.items() <= last.items()
    place.check(TRIALS, place.store)


def test_ctrl_c_says_how_to_go_on_and_so_does_who_publishes_it(lives, place):
    again = f"cgan-search resume tiny --output {place.folder}/runs"
    elsewhere = f"--tracking-uri sqlite:///{place.folder}/stopped.db"
    asked = "--report-timeout 20m"
    assert re.search(rf"\n  {again} .*{asked}", lives.stopped), lives.stopped
    assert re.search(rf"\n  {again} {elsewhere} .*{asked}", lives.published), lives.published
    assert "Traceback" not in lives.stopped
    assert "\nstopping" in lives.stopped
    ran = rf"\nstopped\b.* \d of {TRIALS} trials .*\bkept"
    assert re.search(ran, lives.stopped), lives.stopped


def test_a_time_budget_counts_from_the_command(place, monkeypatch):
    """Imports and reading images are the user's time too."""
    monkeypatch.chdir(place.folder)
    flags = ["--data", "pictures", "--image-size", "32", "--trials", "1", "--epochs", "1"]
    flags += ["--backbone", "none", "--features", "efficientnet-lite0"]
    flags += ["--study", "late", "--time-budget", "10m"]
    console = Console(file=io.StringIO())
    with (
        shared_ray(),
        refused("--time-budget", "10 min", "--winner-images"),
    ):
        run_session(parser().parse_args(flags), console, time.time() - 600)
    assert not (place.folder / "runs" / "late").exists()


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


def opened(place: Place) -> tuple[optuna.Study, RDBStorage]:
    return open_study(StudyFolder(place.folder / "runs" / "tiny"))


def test_every_trial_ended_once_after_the_resume(lives, place):
    records = read_records(opened(place)[0])
    assert len(records) == TRIALS
    assert {r.status.value for r in records} <= {"complete", "pruned"}
    for record in records:
        epochs = [r["epoch"] for r in record.reports]
        assert epochs == [3, 6][: len(epochs)]


def test_the_leaderboard_is_kept_and_printed(lives, place):
    study = place.folder / "runs" / "tiny"
    rows = list(csv.DictReader((study / "leaderboard.csv").open()))
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert float(rows[0]["fresh_fid_low"]) < float(rows[0]["fresh_fid_high"])
    assert float(rows[0]["fid_over_floor"]) > 1
    assert {"kid", "one_nn", "coverage", "copy_rate", "diversity"} <= set(rows[0])
    assert "g_lr" in rows[0]
    assert "fresh" in lives.resumed
    assert json.loads((study / "study.json").read_text())["trials"] == TRIALS
    assert not list(study.glob("tune*"))
    images = list(csv.DictReader((study / "images.csv").open()))
    assert len(images) == 24
    best = json.loads((study / "best.json").read_text())
    assert [values["g_lr"] for values in best] == [pytest.approx(float(rows[0]["g_lr"]), rel=1e-5)]


def test_the_plain_output_is_quiet(lives):
    for said in (lives.stopped, lives.resumed):
        lines = [line for line in said.splitlines() if line.strip()]
        assert len(lines) < 50, said
        for noise in ("WARNING", "Warning", "[I 20", "INFO", "Tune Status"):
            assert noise not in said, said


def test_a_generator_that_fails_a_gate_is_no_champion(lives, place):
    """A few steps of training reach no real image: coverage says so."""
    board = place.folder / "runs" / "tiny" / "leaderboard.csv"
    first = next(csv.DictReader(board.open()))
    assert tells(first["failed_gates"], "coverage 0.00", 0.005)
    assert tells(lives.resumed, "no winner", "no trial")
    assert "champion:" not in lives.resumed


def mlflow_runs(place: Place) -> list[Run]:
    """What the store holds now: a copy, as MLflow keeps a file open that has been replaced."""
    copy = place.folder / f"{uuid.uuid4().hex}.db"
    shutil.copy(place.folder / "runs" / "mlflow.db", copy)
    client = MlflowClient(f"sqlite:///{copy}")
    (experiment,) = client.search_experiments(filter_string="name = 'cgan-search'")
    return list(client.search_runs([experiment.experiment_id]))


def by_trial(runs: list[Run]) -> dict[str, Run]:
    """The children, each once."""
    found = [(r.data.tags["cgan.trial"], r) for r in runs if "cgan.trial" in r.data.tags]
    assert len(found) == len(dict(found))
    return dict(sorted(found))


def test_mlflow_has_one_run_a_trial(lives, place):
    client = MlflowClient(place.store)
    runs = mlflow_runs(place)
    assert list(by_trial(runs)) == ["0", "1", "2", "3", "4"]
    assert len(runs) == 1 + TRIALS
    assert not any("cgan.winner" in r.data.tags for r in runs)  # it fails a gate
    (best,) = [r for r in runs if "gates_failed" in r.data.metrics]
    assert [m.step for m in client.get_metric_history(best.info.run_id, "fid")][:1] == [3]
    assert best.data.params["latent_size"] == "8"
    assert best.data.metrics["gates_failed"] >= 1
    assert "fresh/precision" in best.data.metrics


def test_a_lost_store_is_published_anew_and_twice_is_once(lives, place):
    """Runs, metrics and winners are all there again, from the study's folder alone."""
    before = by_trial(mlflow_runs(place))
    store = place.folder / "runs" / "mlflow.db"
    kept = place.folder / "runs" / "kept.db"
    store.rename(kept)
    try:
        for _ in range(2):
            # A process of its own, as MLflow in this one keeps the file open that is away.
            code = place.fork("search.publish", "tiny").wait()
            text = place.log.read_text()
            assert code == 0, text
            assert tells(text, "MLflow", f"{TRIALS} trials", "study tiny")
            runs = mlflow_runs(place)
            assert len(runs) == 1 + TRIALS
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


def test_publish_of_an_unknown_study_lists_what_there_is(lives, place):
    code, text = place.run("search.publish", "tinny")
    assert code == 2
    assert text.startswith("error: ")
    assert tells(text, "tinny", "runs", "tiny")


def test_publish_to_a_dead_server_says_so(lives, place):
    uri = f"http://me:secret@127.0.0.1:{free_port()}"
    code, text = place.run("search.publish", "tiny", "--tracking-uri", uri)
    assert code == 2
    assert text.startswith("error: ")
    assert tells(text, uri.replace("me:secret@", ""), "refused")
    assert "secret" not in text
    assert len(text.strip().splitlines()) == 1


def test_a_finished_study_resumed_trains_nothing_and_says_the_same(lives, place):
    study = place.folder / "runs" / "tiny"
    standings = (study / "leaderboard.csv").read_bytes()
    kept = sorted(p.name for p in study.glob("trials/*/attempt-*/*.pt"))
    code, text = place.run("search.run", "--resume", "tiny")
    assert code == 0, text
    (resumed,) = [line for line in text.splitlines() if line.startswith("resumed")]
    assert re.search(rf"\b{TRIALS} trials\b.* 0 .* 0 ", resumed), resumed
    assert (study / "leaderboard.csv").read_bytes() == standings
    assert sorted(p.name for p in study.glob("trials/*/attempt-*/*.pt")) == kept
    assert len(mlflow_runs(place)) == 1 + TRIALS


def test_sigterm_while_winners_are_scored_says_how_to_go_on_and_keeps_the_former_ones(lives, place):
    study = place.folder / "runs" / "tiny"
    standings = (study / "leaderboard.csv").read_bytes()
    kept = sorted(study.glob("winners/*/*"))
    screen = Terminal("resumed:", signal.SIGTERM)  # no trial is owed: the next is to score
    code, text = place.run("search.run", "--resume", "tiny", screen=screen)
    assert code == 143, text
    assert re.search(rf"\nstopped\b.* {TRIALS} of {TRIALS} trials .*\bkept", text), text
    assert "SIGTERM" not in text, text
    assert (study / "leaderboard.csv").read_bytes() == standings
    assert sorted(study.glob("winners/*/*")) == kept


def exported(folder: Path, row: Row) -> Path:
    """Where a search leaves the generator of a row."""
    return folder / "winners" / ("" if row.wins else "failed_gates") / str(row.rank)


def test_the_champion_is_the_best_that_passes_and_answers(lives, place):
    """The same study, had its best trial failed and its second passed the gates."""
    uri = place.store
    folder = place.folder / "runs" / "tiny"
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
        provenance = Provenance(
            study="tiny", trial=row.record.number, params=row.record.params,
            settings={"seed": 0}, seen=Seen.of(make_data(n=24)),
        )  # fmt: skip
        run = newest(folder / "trials" / f"{row.record.number:05d}")["run"]
        export_generator(run, make_data(n=24), exported(folder, row), provenance, {})
    tracker = Tracker(Projection(folder, storage.url, uri))
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

    model = load_champion(uri, "tiny")
    asked = pd.DataFrame({"class": ["class0", "class1", "class0"], "seed": [1, 1, 1]})
    images = model.predict(asked)
    assert images.shape == (3, 32, 32)
    assert images.dtype == np.uint8
    assert (images[0] == images[2]).all()
    assert (images[0] != images[1]).any()


def test_the_winner_and_the_default_are_trained_afresh(lives, place, monkeypatch):
    """The same study, had all passed the gates; what was trained is not trained again."""
    monkeypatch.setattr(gates, "GATES", ())
    code, text = place.run("search.run", "--resume", "tiny", "--replicates", "1")
    assert code == 0, text
    assert tells(text, "improvement of trial", "over the default", "1 + 1 trainings", "champion:")
    kept = opened(place)[0].user_attrs[AFRESH]
    assert len(kept["scores"]) == 2
    code, text = place.run("search.run", "--resume", "tiny", "--replicates", "2")
    assert code == 0, text
    assert tells(text, "2 + 2 trainings")
    assert kept["scores"].items() < opened(place)[0].user_attrs[AFRESH]["scores"].items()
    (run,) = [r for r in mlflow_runs(place) if "improvement" in r.data.metrics]
    again = MlflowClient(place.store).get_metric_history(run.info.run_id, afresh_interval("mean"))
    assert {m.step for m in again} == {1, 2}
    assert run.data.tags["cgan.winner"] == "1"


def test_no_process_outlives_its_driver(lives, place):
    """The last test here, as what Ray itself leaves takes a minute to end."""
    place.no_orphans()
