"""FID against what classifiers learn: winners, front and agreement by hand, and the figure."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient
from PIL import Image
from scipy.stats import rankdata, spearmanr

from analysis import objectives as objectives_command
from analysis.figures import objectives
from analysis.figures.objectives import agreed, agreement, best, front, scored, summary
from analysis.study.table import StudyTable, load_study
from tests.helpers.refusals import refused, tells
from tests.helpers.tables import study
from trainable.tracking.names import EXPERIMENT, STATUS, STUDY, TRIAL

ROWS = (  # status, FID, cas
    ("complete", 50.0, 0.80),
    ("complete", 60.0, 0.90),
    ("complete", 55.0, 0.70),
    ("pruned", 90.0, 0.95),
    ("diverged", 10.0, 0.99),
    ("running", math.nan, math.nan),
)


def made(rows=ROWS, curves=()) -> StudyTable:
    trials = pd.DataFrame(rows, columns=["status", "fid", "cas"])
    trials.insert(0, "number", range(len(trials)))
    trials = trials.assign(winner=math.nan, fresh=math.nan, fresh_cas=math.nan, train_seconds=1.0)
    trials["failed"] = None
    columns = ["number", "epoch", "fid", "cas", "train_seconds"]
    settings = {"grace": "2", "eta": "3", "length": "6"}
    return StudyTable(
        "made", "tiny/1", 200, 20.0, 120.0, trials, pd.DataFrame(curves, columns=columns), settings
    )


def test_winners_are_complete_and_the_front_is_of_all_that_hold():
    rows = scored(made())
    assert [row["number"] for row in rows] == [0, 1, 2, 3]
    assert {how: row["number"] for how, row in best(rows).items()} == {
        "by FID": 0, "by classifier": 1,
    }  # fmt: skip
    assert [row["number"] for row in front(rows)] == [0, 1, 3]


def test_a_pruned_trial_counts_where_it_was_scored_as_a_winner():
    rows = scored(made([("complete", 180.0, 0.88), ("pruned", 70.0, 0.87), ("pruned", 60.0, 0.95)]))
    rows[1]["fresh"] = 72.0
    assert [row["number"] for row in best(rows).values()] == [1, 0]


def test_the_best_by_a_score_is_no_winner_where_it_fails_a_gate():
    table = made([("complete", 50.0, 0.7), ("complete", 60.0, 0.8)])
    table.trials["failed"] = ["copies", None]
    by_fid, by_classifier = summary(table)[:2]
    assert by_fid.endswith("; it fails: copies")
    assert "fails" not in by_classifier


def test_without_complete_trials_the_best_of_the_others_serve():
    rows = scored(made([("pruned", 50.0, 0.6), ("running", 40.0, 0.5)]))
    assert [row["number"] for row in best(rows).values()] == [1, 0]


def test_a_study_that_held_nothing_back_is_told_what_to_do():
    with refused("--study", "--hold-back 0.25", "--objective classifier"):
        scored(made([("complete", 50.0, math.nan)]))


def test_agreement_is_spearmans_and_its_interval_holds_it():
    rng = np.random.default_rng(0)
    fid = rng.uniform(50, 100, 30)
    error = fid + rng.normal(0, 20, 30)
    found = agreement(fid, error)
    assert found is not None
    assert found.rho == pytest.approx(spearmanr(fid, error)[0])
    assert found.low < found.rho < found.high <= 1
    for other, rho in ((2 * fid, 1.0), (-fid, -1.0)):
        clear = agreement(fid, other)
        assert clear is not None
        assert (clear.rho, clear.low, clear.high) == pytest.approx((rho, rho, rho))


def test_too_few_trials_or_no_differences_have_no_agreement():
    assert agreement([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) is None
    assert agreement([1.0, 2.0, 3.0, 4.0], [0.5] * 4) is None


def test_rankings_are_compared_where_trials_had_the_same_training():
    """The last scores agree, as pruned trials are bad at both; at the first rung they do not."""
    curves = [(n, 2, 90.0 - 10 * n, 0.6 - 0.1 * n, 1.0) for n in range(4)]
    curves += [(n, 6, 50.0 - n, 0.9 - 0.01 * n, 1.0) for n in range(2)]
    rows = [
        ("complete", 50.0, 0.9), ("complete", 49.0, 0.89), ("pruned", 70.0, 0.4),
        ("pruned", 60.0, 0.3),
    ]  # fmt: skip
    assert tells(agreed(made(rows, curves)), "epoch 2", "FID", "error -1.00", "4 trials")
    assert tells(agreed(made(rows[:2], curves[:2])), "epoch 2", "too few", 2)


def test_those_let_through_for_their_scores_are_not_asked_how_far_these_agree():
    """Of scores that have nothing in common, a third go on for being good by either."""
    rng = np.random.default_rng(0)
    fid, error = rng.uniform(50, 90, 120), rng.uniform(0.1, 0.5, 120)
    on = np.argsort(np.minimum(rankdata(fid), rankdata(error)))[:40]
    curves = [(n, 2, fid[n], 1 - error[n], 1.0) for n in range(120)]
    curves += [(n, 6, fid[n] - 9, 1 - error[n], 9.0) for n in on]
    survivors = agreement(fid[on], error[on])
    assert survivors is not None
    assert survivors.high < 0  # which says nothing of the scores
    rows = [("complete" if n in on else "pruned", fid[n], 1 - error[n]) for n in range(120)]
    said = summary(made(rows, curves))
    assert tells(said[-1], "epoch 2", "120 trials")
    assert not any("epoch 6" in line for line in said)


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = MlflowClient(uri, uri)
    experiment = client.create_experiment(EXPERIMENT, (folder / "artifacts").as_uri())
    for name in ("held", "bare"):
        key = f"{name}-0123456789ab"
        parent = client.create_run(experiment, 1000, {STUDY: key}).info.run_id
        if name == "held":
            client.log_metric(parent, "cas", 0.9)
        for number, (fid, cas) in enumerate([(50.0, 0.7), (60.0, 0.8)]):
            tags = {STUDY: key, TRIAL: str(number), STATUS: "complete"}
            run = client.create_run(experiment, 1000 + number, tags).info.run_id
            for epoch in (1, 2):
                client.log_metric(run, "fid", fid + 2 - epoch, step=epoch)
                client.log_metric(run, "train_seconds", 10.0 * epoch, step=epoch)
                if name == "held":
                    client.log_metric(run, "cas", cas - 0.1 * (2 - epoch), step=epoch)
            client.log_metric(run, "fresh_2000/cas", cas + 0.01)
            client.log_metric(run, "fresh_fid_mean", fid + 1)
            client.log_image(run, Image.new("L", (64, 16), 90), key="samples", step=2)
    return uri


def test_the_command_draws_and_says_it(uri, tmp_path, capsys):
    argv = ["--study", "held", "--tracking-uri", uri, "--out", str(tmp_path)]
    assert objectives_command.main(argv) == 0
    said = capsys.readouterr().out
    by_fid, by_classifier = (line for line in said.splitlines() if line.startswith("best by "))
    assert tells(by_fid, "FID", "trial 0", "FID 50.0", "30.0%", "FID 51.0")
    assert tells(by_classifier, "classifier", "trial 1", "FID 60.0", "20.0%")
    assert tells(said, "Pareto front", "trials 0, 1")
    with Image.open(tmp_path / "objectives.png") as drawn:
        assert min(drawn.size) > 500


def test_the_table_has_the_score_where_it_was_recorded(uri):
    table = load_study("held", uri)
    assert table.real_cas == 0.9
    assert table.curves["cas"].tolist() == pytest.approx([0.6, 0.7, 0.7, 0.8])
    assert table.trials["fresh_cas"].tolist() == pytest.approx([0.71, 0.81])
    bare = load_study("bare", uri)
    assert math.isnan(bare.real_cas)
    assert all(math.isnan(cas) for cas in bare.trials["cas"])


def test_a_study_without_it_is_a_users_mistake(uri, tmp_path, capsys):
    argv = ["--study", "bare", "--tracking-uri", uri, "--out", str(tmp_path)]
    assert objectives_command.main(argv) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --study bare")
    assert tells(error, "classification accuracy score", "--hold-back 0.25")


def test_a_study_whose_trials_all_broke_is_not_said_to_have_held_nothing_back():
    broken = study({0: ("diverged", {"x": 1}, [(10, 50.0)])}, hold_back="0.25")
    with refused(f"--study {broken.name}", "no trial") as caught:
        objectives.scored(replace(broken, trials=broken.trials.assign(cas=math.nan)))
    assert "--hold-back" not in str(caught.value)
