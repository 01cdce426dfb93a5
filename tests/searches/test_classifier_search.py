"""Whole searches for the generator of the best classifier, alone and beside FID, to their end."""

from __future__ import annotations

import csv
from dataclasses import dataclass

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from tests.helpers.refusals import tells
from tests.helpers.searches import Place
from tests.helpers.toys import make_data, write_pictures

FLAGS = [
    "--trials", "2", "--epochs", "2", "--eval-every", "1", "--grace", "1", "--eta", "2",
    "--top-k", "1", "--winner-images", "20", "--sampler", "random", "--max-concurrent", "1",
]  # fmt: skip
TITLES = {"classifier": "classifier's error", "fid,classifier": "FID and classifier's error"}


@dataclass(frozen=True)
class Searched:
    """What is left of a search."""

    objective: str
    place: Place
    said: str
    rows: list[dict[str, str]]

    def runs(self, store: str) -> tuple[Run, list[Run]]:
        """The study's run and its trials' in the store, by number."""
        client = MlflowClient(f"sqlite:///{self.place.folder / store}")
        (experiment,) = client.search_experiments(filter_string="name = 'cgan-search'")
        runs = client.search_runs([experiment.experiment_id])
        trials = [run for run in runs if "cgan.trial" in run.data.tags]
        (parent,) = [run for run in runs if run not in trials]
        return parent, sorted(trials, key=lambda run: int(run.data.tags["cgan.trial"]))


@pytest.fixture(scope="module", params=TITLES)
def searched(request, tmp_path_factory) -> Searched:
    folder = tmp_path_factory.mktemp("place")
    write_pictures(folder / "pictures", make_data(n=48))
    place = Place(folder, "pictures", *FLAGS, "--objective", request.param, study="s")
    code, said = place.run("search.run", *place.flags)
    assert code == 0, said
    rows = list(csv.DictReader((folder / "runs/s/leaderboard.csv").open()))
    return Searched(request.param, place, said, rows)


def test_the_leaderboard_says_what_it_ranks_by(searched):
    assert tells(searched.said, "held back", "6 class0, 6 class1")
    title = next(line for line in searched.said.splitlines() if line.startswith("s, ranked by"))
    assert title.startswith(f"s, ranked by {TITLES[searched.objective]}. FID: ")
    heads = next(
        line for line in searched.said.splitlines() if line.split()[:2] == ["trial", "FID"]
    )
    assert heads.split()[:8] == ["trial", "FID", "FID", "floor", "KID", "rate", "CAS", "CAS"]
    best = searched.rows[0]
    low, mean, high = (float(best[f"fresh_cas_{end}"]) for end in ("low", "mean", "high"))
    assert 0 <= low <= mean <= high <= 1
    assert float(best["fresh/cas"]) == mean
    for row in searched.rows:
        goals = [float(row["objective"])]
        if searched.objective == "fid,classifier":
            goals.append(float(row["objective_2"]))
            assert goals[0] == float(row["fid"])
        assert goals[-1] == pytest.approx(1 - float(row["cas"]), abs=1e-5)


def test_mlflow_has_it_too_and_publishing_elsewhere_gives_the_same(searched):
    code, text = searched.place.run(
        "search.publish", "s", "--tracking-uri", f"sqlite:///{searched.place.folder}/other.db"
    )
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
