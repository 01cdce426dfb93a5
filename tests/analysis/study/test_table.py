"""A study read back from MLflow, and what is said of one that cannot be."""

from __future__ import annotations

import math
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from analysis.study.table import StudyTable, again_by, load_study
from analysis.study.trials import assessed, winners
from analysis.study.verdict import verdict
from spaces.errors import InputError
from tests.helpers.planted import (
    AFRESH,
    BETTER,
    NAME,
    TRIALS,
    plant_parent,
    plant_trial,
    planted_store,
)
from tests.helpers.refusals import refused, tells
from trainable.tracking.client import TRACKING
from trainable.tracking.names import EXPERIMENT, FAILED, IMPROVEMENT, RANK, STUDY, TRIAL


@pytest.fixture(scope="module")
def uri(tmp_path_factory) -> str:
    """One store for all: its tables take seconds."""
    return planted_store(tmp_path_factory.mktemp("store") / "mlflow.db")


@pytest.fixture(scope="module")
def table(uri) -> StudyTable:
    return load_study(NAME, uri)


def test_the_study_is_read_whole(table):
    assert (table.name, table.protocol, table.n_generated) == (NAME, "tiny/1", 200)
    assert (table.floor, table.untrained, table.note) == (20.0, 120.0, "")
    assert table.score == "FID (tiny/1, 200 generated)"
    trials = table.trials.set_index("number")
    assert list(trials.index) == list(TRIALS)
    assert list(trials["status"]) == [status for status, _, _ in TRIALS.values()]
    assert trials["winner"].dropna().to_dict() == {0: 2, 4: 1}
    assert trials["fid"].dropna().to_dict() == {0: 50.0, 1: 80.0, 2: 40.0, 4: 48.0, 10: 99.0}
    assert trials["train_seconds"].dropna().to_dict() == {0: 30.0, 1: 5.0, 2: 4.0, 4: 60.0, 10: 7.0}
    assert trials.loc[0, "epoch"] == 3
    assert trials.loc[0, "eval_seconds"] == 6.0
    assert trials.loc[3, ["fid", "epoch", "train_seconds", "eval_seconds"]].isna().all()


def test_what_was_trained_afresh_is_read_and_said_of_the_winner(table):
    trials = table.trials.set_index("number")
    assert trials.loc[4, "afresh"] == AFRESH
    assert trials.loc[0, "afresh"] == ()
    assert tuple(trials.loc[4, list(IMPROVEMENT)]) == BETTER
    assert trials.loc[0, list(IMPROVEMENT)].isna().all()
    assert tells(verdict(table), "4 is the winner", "afresh", "8.0% below", "2.0% to 14.0%", "0.01")
    worse = table.trials.assign(improvement=-0.08)
    assert tells(verdict(replace(table, trials=worse)), "8.0% above the default")
    unknown = {"improvement": math.nan, "improvement_low": math.nan}
    senseless = {"improvement": 0.0, "improvement_low": -math.inf}  # a score was not finite
    for values in (unknown, senseless):
        assert "default" not in verdict(replace(table, trials=table.trials.assign(**values)))


def test_parameters_have_their_types_back(table):
    trials = table.trials.set_index("number")
    assert trials.loc[4, "params.g_lr"] == pytest.approx(0.4)
    assert trials["params.spectral_norm"].dtype == bool
    assert set(trials["params.loss"]) == {"hinge"}
    assert trials["params.momentum"].isna().to_dict() == {n: n == 0 for n in TRIALS}


def test_curves_hold_the_evaluations_and_no_winners_score(table):
    curves = {n: list(g[["epoch", "fid", "train_seconds"]].itertuples(index=False, name=None))
              for n, g in table.curves.groupby("number")}  # fmt: skip
    assert curves == {n: sorted(points) for n, (_, _, points) in TRIALS.items() if points}


def test_how_many_trials_are_read_is_told(uri):
    steps = []
    load_study(NAME, uri, lambda done, total: steps.append((done, total)))
    assert steps == [(i + 1, len(TRIALS)) for i in range(len(TRIALS))]


def test_of_two_studies_of_one_name_the_newest_is_read(uri):
    table = load_study("twice", uri)
    assert list(table.trials["fid"]) == [60.0]
    assert tells(table.note, "2 studies", "twice")
    assert math.isnan(table.floor)
    assert table.score == "FID (tiny/1)"


def test_unknown_study_is_told_what_there_is(uri):
    with refused("--study plante_", "ended", "planted, twice, unscored"):
        load_study("plante_", uri)


def test_study_without_a_score(uri):
    beside = Path(uri.removeprefix("sqlite:///")).parent  # where the search had the study's folder
    again = f"cgan-search resume unscored --output DIR --tracking-uri {uri}"
    with refused("--study unscored", "1 trials", again):
        load_study("unscored", uri)
    (beside / "unscored").mkdir()
    with refused("--study unscored", f"cgan-search resume unscored --output {beside}"):
        load_study("unscored", uri)
    counts = ("3 trials", "2 failed", "1 out of memory", "no such device")
    with refused("--study ended", *counts) as caught:
        load_study("ended", uri)
    assert "--resume" not in str(caught.value)  # nothing is to come


def test_what_is_advised_finds_the_store_and_the_study_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "s").mkdir(parents=True)
    assert again_by("publish", "s", TRACKING) == "cgan-search publish s"
    for uri, shown in (
        ("http://lab:5000", "http://lab:5000"),
        ("http://me:secret@lab:5000", "URI"),
        (f"sqlite:///{tmp_path}/other/mlflow.db", f"sqlite:///{tmp_path}/other/mlflow.db"),
        (f"sqlite:///{tmp_path}/runs/x.db", f"sqlite:///{tmp_path}/runs/x.db"),
    ):
        said = again_by("publish", "s", uri)
        assert said == f"cgan-search publish s --output {tmp_path}/runs --tracking-uri {shown}"
    elsewhere = again_by("resume", "t", "http://lab:5000")
    assert elsewhere == "cgan-search resume t --output DIR --tracking-uri http://lab:5000"


def test_what_was_deleted_in_mlflow_is_named_with_the_remedy(uri):
    with refused("--study gone", "cgan-search publish gone --output"):
        load_study("gone", uri)
    client = MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    try:
        with pytest.raises(InputError) as caught:
            load_study(NAME, uri)
    finally:
        client.restore_experiment(experiment.experiment_id)
    assert tells(str(caught.value), f"--study {NAME}", "experiment cgan-search", "deleted")
    assert str(caught.value).endswith(
        f" env MLFLOW_TRACKING_URI={uri} {sys.executable} -m mlflow experiments restore "
        f"--experiment-id {experiment.experiment_id}"
    )
    assert len(load_study(NAME, uri).trials) == len(TRIALS)


@pytest.mark.parametrize("later", [True, False])
def test_what_the_gates_said_is_read_of_this_version_and_of_earlier_ones(uri, later):
    client = MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    name = f"gates-{later}"
    key, place = f"{name}-0123456789ab", experiment.experiment_id
    parent = plant_parent(client, place, key, 3)
    for number, (failed, rank) in enumerate([(1, 3), (0, 1), (2, 2), (None, None)]):
        won = rank if failed == 0 else None
        points = [(1, 50.0, 5.0)]
        plant_trial(client, place, parent, key, number, "complete", won, points)
        (run,) = client.search_runs(
            [place], f"tags.`{STUDY}` = '{key}' AND tags.`{TRIAL}` = '{number}'"
        )
        metrics = {"copy_rate": 0.5, "coverage": 0.25}
        if failed is not None:
            metrics |= {"gates_failed": failed, "fresh_fid_mean": 40.0 + number}
            fresh = "fresh" if later else "fresh_2000"  # as the version before had it
            metrics |= {f"{fresh}/copy_rate": 0.01 * number, f"{fresh}/cas": 0.9}
        for metric, value in metrics.items():
            client.log_metric(run.info.run_id, metric, value)
        # Of a trial that is no longer among the assessed, the scores stay.
        if later and failed is not None and number:
            client.set_tag(run.info.run_id, RANK, rank)
            client.set_tag(run.info.run_id, FAILED, "; ".join(["coverage 0.00"] * failed))
    found = load_study(name, uri)
    rows = {row["number"]: row for row in found.trials.to_dict("records")}
    failed = [None, "", "coverage 0.00; coverage 0.00", None]
    if not later:
        failed = ["1 of the gates", "", "2 of the gates", None]
    assert [None if row["failed"] != row["failed"] else row["failed"] for row in rows.values()] == (
        failed
    )
    assert [rows[n]["copy_rate"] for n in range(4)] == pytest.approx([0, 0.01, 0.02, 0.5])
    assert rows[1]["coverage"] == 0.25
    assert winners(found) == [1]
    assert assessed(found) == ([1, 2] if later else [1, 0, 2])


def test_a_missing_database_is_not_created(tmp_path):
    missing = tmp_path / "none" / "mlflow.db"
    with refused("--tracking-uri", missing, "no file"):
        load_study(NAME, f"sqlite:///{missing}")
    assert not missing.parent.exists()


@pytest.mark.parametrize(("content", "word"), [(b"", "MLflow"), (b"x" * 4096, "read")])
def test_a_foreign_file_is_left_as_it_is(tmp_path, content, word):
    path = tmp_path / "study.db"
    path.write_bytes(content)
    with refused("--tracking-uri", path, word):
        load_study(NAME, f"sqlite:///{path}")
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_dead_server_is_said_without_the_password(monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with refused("--tracking-uri", f"127.0.0.1:{port}", "refused") as caught:
        load_study(NAME, f"http://me:secret@127.0.0.1:{port}")
    assert "secret" not in str(caught.value)


def test_a_path_is_no_tracking_uri():
    with refused("--tracking-uri", "runs/mlflow.db", "sqlite:///"):
        load_study(NAME, "runs/mlflow.db")
