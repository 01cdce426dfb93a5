"""`python -m analysis.augmentation` as its user meets it: killed, resumed, published, refused."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mlflow.tracking import MlflowClient

from analysis.augmentation import __main__ as command
from analysis.augmentation.design.arms import REAL
from analysis.augmentation.findings.mlflow_log import CELL, EXPERIMENT
from analysis.augmentation.running import work
from analysis.augmentation.running.train_cell import train_cell
from search.tracking import champion
from search.tracking.projection import connect
from tests.helpers.faults import as_soon_as
from tests.helpers.forked import Command
from tests.helpers.refusals import tells
from tests.helpers.searches import shared_ray
from tests.helpers.toys import export_trial, make_data, make_workload, small_params, write_pictures
from trainable.data.fingerprints import fingerprints
from trainable.data.sources import load
from trainable.generators.export import WEIGHTS
from trainable.generators.weights_file import read_generator
from trainable.tracking.names import EXPERIMENT as SEARCHES
from trainable.tracking.names import STATUS, STUDY, TRIAL
from trainable.trial.trial import Trial


@pytest.fixture(scope="module", autouse=True)
def _ray():
    """For the commands that run in this process."""
    with shared_ray():
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> SimpleNamespace:
    """A folder of pictures with a test split, and a generator that knows some of them."""
    folder = tmp_path_factory.mktemp("augmentation")
    whole = make_data(n=120)
    parts = {"known": slice(0, 60), "train": slice(0, 90), "test": slice(90, 120)}
    for name, rows in parts.items():
        part = SimpleNamespace(
            images=whole.images[rows], labels=whole.labels[rows], classes=("ill", "normal")
        )
        write_pictures(folder / ("known" if name == "known" else f"data/{name}"), part)  # pyright: ignore
    data = load(str(folder / "known"), 32)
    trial = Trial(make_workload(data, folder / "trials", (1,)), 0, small_params(data))
    trial.advance()
    export_trial(trial, folder / "out", study="made", settings={"fit": "crop"})
    return SimpleNamespace(folder=folder, model=folder / "out" / WEIGHTS)


ARMS = "real,classical,real+synthetic,real+duplicates,classical+synthetic,synthetic only"
"""Six, so that a study takes seconds."""


def flags(place: SimpleNamespace, output: Path, *more: str) -> list[str]:
    return [
        "--model", str(place.model), "--data", str(place.folder / "data"),
        "--output", str(output), "--tracking-uri", f"sqlite:///{output / 'mlflow.db'}",
        "--sizes", "10,40", "--ratios", "0,1", "--repeats", "2", "--steps", "40",
        "--arms", ARMS, "--batch", "8", "--address", "local", *more,
    ]  # fmt: skip


def test_a_killed_study_goes_on_without_repeating_a_cell(place, tmp_path, capsys):
    done = tmp_path / "augmentation" / "made" / "cells"
    log = tmp_path / "killed.log"
    process = Command("analysis.augmentation.__main__", flags(place, tmp_path), tmp_path, log)
    try:
        while len(list(done.glob("*.json"))) < 3:
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    before = {file: file.stat().st_mtime_ns for file in done.glob("*.json")}
    assert 3 <= len(before) < 24
    assert command.main(flags(place, tmp_path)) == 0
    said = capsys.readouterr().out
    assert tells(said, f"{len(before)} cells", 24 - len(before))
    assert len(list(done.glob("*.json"))) == 24
    assert json.loads((done.parent / "looks.json").read_text()) == [2]
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert re.search(r"\b10, 40 .*\boptimistic\b.* 60\b", said)
    assert re.search(r"positive class .*\bill\b.*\bnormal\b", said)
    folder = done.parent
    rows = list(csv.DictReader((folder / "cells.csv").open()))
    assert len(rows) == 24
    assert {row["status"] for row in rows} == {"complete"}
    names = {file.name for file in folder.iterdir()}
    assert {"accuracy.png", "benefit.svg", "errors.svg", "training.png", "findings.md"} <= names
    assert {row["generator"] for row in rows} == {"optimistic", "none"}
    compared = list(csv.DictReader((folder / "comparisons.csv").open()))
    assert len(compared) == 2 * 7
    for c in compared:
        low, high, p = float(c["low"]), float(c["high"]), float(c["p"])
        assert low <= float(c["difference"]) <= high
        assert (p < 0.05) == (low > 0 or high < 0)
    claimed = list(csv.DictReader((folder / "claims.csv").open()))
    assert len(claimed) == 2 * 2
    for c in claimed:
        assert float(c["p"]) <= float(c["p_adjusted"])
    assert len(list(csv.DictReader((folder / "crossovers.csv").open()))) == 1
    page = (folder / "findings.md").read_text()
    assert page.count("| 40 |") == 6 + 2 + 7 + 3  # arms, claims, comparisons, rates
    check_mlflow(tmp_path)
    capsys.readouterr()
    assert command.main(flags(place, tmp_path)) == 0  # again: nothing to train
    assert tells(capsys.readouterr().out, "24 cells", 0)
    check_mlflow(tmp_path)
    more = ("--sizes", "20", "--repeats", "3")
    assert command.main(flags(place, tmp_path, *more)) == 0  # beside what is there
    assert "24 cells" not in capsys.readouterr().out
    rows = list(csv.DictReader((folder / "cells.csv").open()))
    assert {(row["size"], row["repeat"]) for row in rows} == {
        *((size, repeat) for size in ("10", "40") for repeat in "01"),
        *(("20", repeat) for repeat in "012"),
    }
    check_mlflow(tmp_path, cells=24 + 18)
    page = (folder / "findings.md").read_text()
    assert len(re.findall(r"10, 20, 40 .*optimistic", page)) == 1


def test_retrained_generators_know_their_sizes_images_alone(place, tmp_path, capsys):
    assert command.main(flags(place, tmp_path, "--retrain", "--repeats", "1")) == 0
    said = capsys.readouterr().out
    assert tells(said, "generators are trained", "2 on")
    assert "optimistic" not in said
    folder = tmp_path / "augmentation" / "made" / "generators"
    shared: tuple[Any, Any] = read_generator(place.model)
    marks = set(fingerprints(load(str(place.folder / "data"), 32).images))
    for size in (10, 40):
        kept: tuple[Any, Any] = read_generator(folder / f"{size}-0.safetensors")
        weights, about = kept
        assert len(about["images"]) == about["task"]["images"] == size
        assert set(about["images"]) < marks
        assert shared[1]["images_seen"] <= about["images_seen"] < shared[1]["images_seen"] + size
        assert not all(torch.equal(weights[name], shared[0][name]) for name in weights)
    before = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    next((folder.parent / "cells").iterdir()).unlink()
    assert command.main(flags(place, tmp_path, "--retrain", "--repeats", "1")) == 0
    assert {file: file.stat().st_mtime_ns for file in folder.iterdir()} == before


def test_generators_may_be_retrained_on_fewer_images(place, tmp_path, capsys):
    more = ("--retrain", "--retrain-kimg", "0.05", "--repeats", "1", "--sizes", "10")
    assert command.main(flags(place, tmp_path, *more)) == 0
    said = capsys.readouterr().out
    seen = read_generator(place.model)[1].get("images_seen", 0)
    assert tells(said, 50, f"{seen:,}")
    folder = tmp_path / "augmentation" / "made" / "generators"
    assert 50 <= read_generator(folder / "10-0.safetensors")[1].get("images_seen", 0) < 60 < seen
    again = ("--retrain", "--repeats", "1", "--sizes", "10")
    assert command.main(flags(place, tmp_path, *again)) == 2
    assert "retrain" in capsys.readouterr().err


def test_generators_stopped_early_and_one_that_saw_more_are_arms(place, tmp_path, capsys):
    more = ("--retrain", "--arms", "real+synthetic,real+early,real+oracle,real+blurred")
    more += ("--repeats", "1", "--sizes", "10")
    assert command.main(flags(place, tmp_path, *more)) == 0
    assert tells(capsys.readouterr().out, "1 stopped early")
    folder = tmp_path / "augmentation" / "made"
    rows = list(csv.DictReader((folder / "cells.csv").open()))
    drawn = {row["arm"]: row["generator"] for row in rows}
    assert drawn == {
        "real + synthetic": "own", "real + early": "own", "real + oracle": "optimistic",
        "real + blurred": "none",
    }  # fmt: skip
    assert [float(row["sigma"]) >= 0 for row in rows if row["sigma"]] == [True]
    early, own = (
        read_generator(folder / "generators" / f"10-0{kind}.safetensors")[1].get("images_seen", 0)
        for kind in ("-early", "")
    )
    assert 0.1 * own <= early < 0.1 * own + 10


def test_a_study_stops_where_its_answer_is_plain_unless_it_is_to_go_on(place, tmp_path, capsys):
    more = ("--repeats", "6", "--sizes", "10", "--arms", "real,real+synthetic,real+duplicates")
    more += ("--detect", "0.99", "--steps", "4")
    done = tmp_path / "augmentation" / "made"
    assert command.main(flags(place, tmp_path, *more)) == 0
    said = capsys.readouterr().out
    assert tells(said, "after 3 repeats", "plain after 5 of 6 repeats", "--all-repeats")
    assert len(list((done / "cells").iterdir())) == 3 * 5
    assert command.main(flags(place, tmp_path, *more, "--all-repeats")) == 0
    assert len(list((done / "cells").iterdir())) == 3 * 6
    assert json.loads((done / "looks.json").read_text()) == [5, 6]


SMALL = ("--sizes", "10", "--ratios", "1", "--repeats", "1")
"""Six cells."""


def test_a_cell_that_fails_is_said_and_tried_again(place, tmp_path, capsys, monkeypatch):
    def fails(materials, cell, device, threads):
        if cell.arm == REAL:
            raise RuntimeError("no luck")
        return train_cell(materials, cell, device, threads)

    monkeypatch.setattr(work, "train_cell", fails)
    assert command.main(flags(place, tmp_path, *SMALL)) == 1
    said = capsys.readouterr().out
    (line,) = [line for line in said.splitlines() if "10-0.0-real-0" in line]
    assert tells(line, "failed", "RuntimeError", "no luck")
    monkeypatch.undo()
    assert command.main(flags(place, tmp_path, *SMALL)) == 0
    assert tells(capsys.readouterr().out, "5 cells", 1)


def test_without_mlflow_the_folder_has_it_all(place, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri = "http://127.0.0.1:9"
    assert command.main(flags(place, tmp_path, *SMALL, "--tracking-uri", uri)) == 1
    said = capsys.readouterr().out
    assert tells(said, "MLflow", uri, "same command")
    assert (tmp_path / "augmentation" / "made" / "findings.md").exists()
    assert command.main(flags(place, tmp_path, *SMALL)) == 0
    check_mlflow(tmp_path, cells=6, sizes="10")


def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(place, tmp_path, capsys):
    done = tmp_path / "augmentation" / "made" / "cells"
    with as_soon_as(lambda: any(done.glob("*.json")), lambda: os.kill(os.getpid(), signal.SIGINT)):
        code = command.main(flags(place, tmp_path, "--repeats", "20"))
    wrong = capsys.readouterr().err
    assert code == 130, wrong
    assert tells(wrong, "same command")
    assert "Traceback" not in wrong
    assert 1 <= len(list(done.glob("*.json"))) < 240


def check_mlflow(folder: Path, cells: int = 24, sizes: str = "10,40") -> None:
    """One run for the study, with its files, and one for each cell, with its scores."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    children = [run for run in runs if CELL in run.data.tags]
    (parent,) = [run for run in runs if CELL not in run.data.tags]
    assert len({run.data.tags[CELL] for run in children}) == len(children) == cells
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {"accuracy", "type_1_error", "type_2_error"} <= children[0].data.metrics.keys()
    history = client.get_metric_history(children[0].info.run_id, "valid_accuracy")
    assert len(history) == len({point.step for point in history}) == 20
    gains = {name for name in parent.data.metrics if name.startswith("gain/")}
    assert bool(gains) == (sizes != "10")  # a difference takes two repeats
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {"findings.md", "cells.csv", "accuracy.png"} <= files


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        (("--repeats", "0"), ["--repeats", 0]),
        (("--sizes", "500"), ["500 images", "size"]),
        (("--ratios", "-1"), ["--ratios", -1]),
        (("--positive", "cat"), ["--positive", "'cat'"]),
        (("--classifier", "alexnet"), ["'alexnet'", "small_cnn"]),
        (("--pretrained",), ["small_cnn", "published weights"]),
        (("--model", "nowhere.safetensors"), ["--model", "nowhere.safetensors"]),
        (("--steps", "0"), ["steps", 0]),
        (("--retrain-kimg", "1"), ["--retrain-kimg", "--retrain"]),
        (("--retrain", "--retrain-kimg", "0"), ["--retrain-kimg", 0]),
        (("--name", "a/b"), ["--name", "'a/b'", "letters"]),
        (("--arms", "real,dogs"), ["--arms", "'dogs'", "real+synthetic"]),
        (("--arms", "real,real+oracle"), ["--arms", "real + oracle", "--retrain"]),
        (("--ratios", "0", "--arms", "real+synthetic"), ["--ratios", "--arms", "nothing to train"]),
        (("--detect", "3"), ["--detect", 3, "share"]),
    ],
)
def test_bad_input_is_said_before_anything_is_trained(place, tmp_path, capsys, more, parts):
    assert command.main(flags(place, tmp_path, *more)) == 2
    assert tells(capsys.readouterr().err, *parts)
    assert not (tmp_path / "augmentation").exists()


def test_a_study_without_a_winner_names_the_generator_that_there_is(place, tmp_path, capsys):
    """And that is what --model takes."""
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = connect(uri)
    experiment = client.create_experiment(SEARCHES, (tmp_path / "artifacts").as_uri())
    key = {STUDY: "lost-0123456789ab"}
    client.create_run(experiment, 1, key)
    run_id = client.create_run(experiment, 2, {**key, TRIAL: "7", STATUS: "complete"}).info.run_id
    client.log_metric(run_id, "fid", 9.0, step=1)
    verdict = champion.Verdict(1, {}, failed=("coverage 0.00",))
    champion.log_winner(uri, run_id, tmp_path, place.model.parent, verdict)
    given = ["--data", str(place.folder / "data"), "--tracking-uri", uri, "--sizes", "10"]
    given += ["--output", str(tmp_path), "--dry-run", "--address", "local"]
    assert command.main(["--study", "lost", *given]) == 2
    error = capsys.readouterr().err
    said, _, kept = error.removesuffix("\n").partition(" --model ")
    assert tells(said, "--study lost", "no winner", "trial 7", "coverage 0.00")
    assert command.main(["--model", kept, *given]) == 0


def test_a_dry_run_says_what_it_would_do_and_leaves_nothing(place, tmp_path, capsys):
    assert command.main(flags(place, tmp_path, "--dry-run")) == 0
    assert tells(capsys.readouterr().out, "made", "24 cells", "small_cnn", "40 steps")
    assert list(tmp_path.iterdir()) == []
