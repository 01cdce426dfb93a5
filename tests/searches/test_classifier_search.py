"""Whole searches for the generator of the best classifier, alone and beside FID, to their end."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from tests.helpers.refusals import tells
from tests.searches.test_session import SPACE, publish, start

QUICK = """
import importlib.abc, importlib.util, sys

class Quick(importlib.abc.MetaPathFinder):
    '''In every process: classifiers that hardly learn, and few images at an evaluation.'''

    changes = {
        "trainable.metrics.quick_classifier": ("STEPS", 3),
        "trainable.trial.evaluation": ("GENERATED", 40),
    }

    def find_spec(self, name, path, target=None):
        if name not in self.changes:
            return None
        change = self.changes.pop(name)
        spec = importlib.util.find_spec(name)
        whole = spec.loader.exec_module

        def exec_module(module):
            whole(module)
            setattr(module, *change)

        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Quick())
"""
FLAGS = """--space mine:tiny --data phantom --image-size 32 --trials 2 --epochs 2 --eval-every 1
--grace 1 --eta 2 --top-k 1 --winner-images 20 --backbone none --features efficientnet-lite0
--sampler random --study s"""
TITLES = {"classifier": "classifier's error", "fid,classifier": "FID and classifier's error"}


@dataclass(frozen=True)
class Searched:
    """What is left of a search."""

    objective: str
    place: Path
    said: str
    rows: list[dict[str, str]]

    def runs(self, store: str) -> tuple[Run, list[Run]]:
        """The study's run and its trials' in the store, by number."""
        client = MlflowClient(f"sqlite:///{self.place / store}")
        (experiment,) = client.search_experiments(filter_string="name = 'cgan-search'")
        runs = client.search_runs([experiment.experiment_id])
        trials = [run for run in runs if "cgan.trial" in run.data.tags]
        (parent,) = [run for run in runs if run not in trials]
        return parent, sorted(trials, key=lambda run: int(run.data.tags["cgan.trial"]))


@pytest.fixture(scope="module", params=TITLES)
def searched(request, tmp_path_factory) -> Searched:
    place = tmp_path_factory.mktemp("place")
    (place / "mine.py").write_text(SPACE)
    (place / "sitecustomize.py").write_text(QUICK)
    process = start(place, *FLAGS.split(), "--objective", request.param)
    said = process.communicate()[0]
    assert process.returncode == 0, said
    assert "Traceback" not in said
    rows = list(csv.DictReader((place / "runs/s/leaderboard.csv").open()))
    return Searched(request.param, place, said, rows)


def test_the_leaderboard_says_what_it_ranks_by(searched):
    assert tells(searched.said, "held back", "25 normal, 25 pneumonia")
    title = next(line for line in searched.said.splitlines() if line.startswith("s, ranked by"))
    assert title.startswith(f"s, ranked by {TITLES[searched.objective]}. FID: ")
    heads = next(
        line for line in searched.said.splitlines() if line.split()[:2] == ["trial", "FID"]
    )
    assert heads.split()[:8] == ["trial", "FID", "FID", "floor", "KID", "rate", "CAS", "CAS"]
    best = searched.rows[0]
    low, mean, high = (float(best[f"fresh_cas_{end}"]) for end in ("low", "mean", "high"))
    assert 0 <= low <= mean <= high <= 1
    assert float(best["fresh_cas_40"]) == mean
    for row in searched.rows:
        goals = [float(row["objective"])]
        if searched.objective == "fid,classifier":
            goals.append(float(row["objective_2"]))
            assert goals[0] == float(row["fid"])
        assert goals[-1] == pytest.approx(1 - float(row["cas"]), abs=1e-5)


def test_mlflow_has_it_too_and_publishing_elsewhere_gives_the_same(searched):
    code, text = publish(searched.place, "s", "--tracking-uri", "sqlite:///other.db")
    assert code == 0, text
    assert tells(text, "MLflow", "2 trials", "study s")
    stores = [searched.runs(store) for store in ("runs/mlflow.db", "other.db")]
    for parent, trials in stores:
        assert 0 <= parent.data.metrics["cas"] <= 1
        assert "CAS on fresh" in parent.data.tags["mlflow.note.content"]
        assert [0 <= run.data.metrics["cas"] <= 1 for run in trials] == [True, True]
        (best,) = [run for run in trials if "gates_failed" in run.data.metrics]
        assert best.data.tags["cgan.trial"] == searched.rows[0]["trial"]
        said = float(searched.rows[0]["fresh_cas_mean"])
        assert best.data.metrics["fresh_cas_mean"] == pytest.approx(said, abs=1e-5)
    first, other = ([run.data.metrics for run in trials] for _, trials in stores)
    assert first == other
