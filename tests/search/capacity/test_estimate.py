"""How long a search is said to take, with and without classifiers to train, and the smaller one."""

from __future__ import annotations

import io
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from search.capacity import estimate
from search.capacity.estimate import (
    SCORING,
    SHORTEST,
    WORTH,
    Speed,
    affordable,
    budgeted,
    deadline_of,
    fitted,
    fresh_trainings,
    measure_speed,
    search_seconds,
    trial_seconds,
    winner_seconds,
)
from search.plan import Outlook
from search.session import _say_duration
from search.study.flags import parser
from spaces.presets import BACKBONE
from tests.helpers.fake_tune import config
from tests.helpers.refusals import refused, tells
from tests.helpers.toys import make_workload, small_config
from trainable.metrics import quick_classifier
from trainable.trial.evaluation import GENERATED, SEEDS, validation_of


def test_a_score_by_classifiers_counts_at_every_evaluation_and_seed():
    study = config(trials=1, length=12, eval_every=1, grace=12)
    plain, judged = Speed(100.0, 50.0), Speed(100.0, 50.0, judging=7.0)
    assert search_seconds(study, 50, plain, 1) == pytest.approx(12 * 50 / 100 + 12 * GENERATED / 50)
    more = search_seconds(study, 50, judged, 1) - search_seconds(study, 50, plain, 1)
    assert more == pytest.approx(12 * 7.0)
    more = winner_seconds(study, 2, judged, 1) - winner_seconds(study, 2, plain, 1)
    assert more == pytest.approx(1.5 * study.top_k * len(SEEDS) * 7.0)


def test_its_cost_is_measured_where_images_are_held_back(data, tmp_path, monkeypatch):
    monkeypatch.setattr(estimate, "_PROBE_SECONDS", 0.02)
    monkeypatch.setattr(quick_classifier, "STEPS", 4)
    rows = np.arange(data.n) % 5 == 0
    workload = make_workload(data.at(~rows), tmp_path)
    for validation, costs in ((None, False), (validation_of(data.at(rows)), True)):
        speed = measure_speed(replace(workload, validation=validation), small_config(workload.data))
        assert speed.trained > 0 < speed.extracted
        assert (speed.judging > 0) == costs


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, "--data phantom"),
        (
            {"objective": "fid,0.5*kid+classifier", "hold_back": 0.25},
            "--data phantom --hold-back 0.25 --objective 'fid,0.5*kid+classifier'",
        ),
        ({"data": "/x/chest (1)", "fit": "pad"}, "--data '/x/chest (1)' --fit pad"),
        ({"classes": "-neg,COVID+"}, "--data phantom --classes=-neg,COVID+"),
    ],
)
def test_the_smaller_search_asks_for_the_same(changes, kept):
    said = io.StringIO()
    args = parser().parse_args(["--output", "a b", "--devices", "cpu"])
    usual = {"sampler": "auto", "prior": "auto", "top_k": 3, "backbone": BACKBONE}
    study = config(length=10**6, eval_every=1000, **usual, **changes)
    _say_duration(args, Outlook(study, "cpu", 1, 10**6), Console(file=said, width=500))
    assert said.getvalue().splitlines()[-1] == (
        f"  cgan-search run --space full {kept} --image-size 32 --trials 16 --time-budget 15m "
        f"--output '{Path.cwd()}/a b' --devices cpu"
    )


EVEN = [50, 50]
"""Images of each of two classes."""


def test_as_many_winner_images_as_half_of_the_budget_pays_for():
    study = config(winner_images=1000, time_budget=900.0, top_k=3)
    slow, quick = Speed(1.0, 5.0), Speed(1.0, 500.0)
    assert affordable(study, EVEN, quick, 2, asked=False) == (study, "")
    assert affordable(study, EVEN, slow, 2, asked=True) == (study, "")
    assert affordable(replace(study, time_budget=None), EVEN, slow, 2, asked=False)[1] == ""
    less, line = affordable(study, EVEN, slow, 2, asked=False)
    assert less == replace(study, winner_images=less.winner_images)
    assert GENERATED <= less.winner_images < 1000
    assert winner_seconds(less, 2, slow, 2) <= 450
    more = replace(less, winner_images=less.winner_images + 10)
    assert winner_seconds(more, 2, slow, 2) > 450
    assert tells(line, "--winner-images", less.winner_images, 1000, "half", "15 min")
    short = replace(study, time_budget=30.0)
    for counts, fewest in ((EVEN, GENERATED), ([150, 50], 1.5 * GENERATED), ([9] * 40, 20)):
        assert affordable(short, counts, slow, 2, asked=False)[0].winner_images == fewest


def test_a_budget_without_time_to_train_is_refused_whoever_chose_the_images():
    study = config(winner_images=1000, time_budget=900.0, top_k=3)
    slow = Speed(1.0, 5.0)
    now = time.time()
    with refused("--time-budget", "15 min", "0 s", "--top-k", "--winner-images"):
        deadline_of(study, 2, slow, 2, now)
    less, _ = affordable(study, EVEN, slow, 2, asked=False)
    assert now + 440 < (deadline_of(less, 2, slow, 2, now) or 0) < now + 520
    with refused("--time-budget", "15 min", "8 min"):
        deadline_of(less, 2, slow, 2, now - 500)


FILMS = 200
LONG = {"length": 900, "eval_every": 50, "grace": 100, "time_budget": 3600.0}


def worth(study, speed: Speed, seconds: float) -> float:
    """How many complete trials fit in so many seconds of a worker."""
    quick = replace(study, trials=1, grace=study.length)
    return seconds / search_seconds(replace(quick, eval_every=study.eval_every), FILMS, speed, 1)


OPEN = frozenset({"length", "eval_every", "grace"})


@pytest.mark.parametrize("seconds", [2_000.0, 7_000.0, 20_000.0])
@pytest.mark.parametrize("speed", [Speed(200.0, 45.0), Speed(800.0, 400.0), Speed(300.0, 20.0)])
def test_a_trial_is_as_long_as_lets_the_time_budget_pay_for_enough_of_them(seconds, speed):
    study, line = fitted(config(**LONG), FILMS, speed, seconds, left_open=OPEN)
    assert FILMS * study.length >= SHORTEST
    assert study.length <= 900
    assert len(study.rungs) == 2
    scoring = len(study.evaluations) * speed.evaluation
    if SHORTEST < FILMS * study.length < 180_000:
        assert scoring <= (SCORING + 0.1) * seconds / WORTH
    found = worth(study, speed, seconds)
    assert tells(line, f"{found:.0f} complete trials", study.length)
    if found < 0.75 * WORTH:
        assert FILMS * study.length < 1.2 * SHORTEST
        assert tells(line, "too few", "--time-budget")
    elif study.length < 890:
        assert found == pytest.approx(WORTH, rel=0.25)
        assert tells(line, "--epochs")


def test_few_epochs_of_many_images_are_not_rounded_up_past_the_budget():
    study, line = fitted(config(**LONG), 5216, Speed(200.0, 45.0), 6500.0, left_open=OPEN)
    assert 15 <= study.length <= 23
    assert tells(line, "--epochs")


def test_a_budget_that_pays_for_many_long_trials_leaves_their_length():
    study = config(**LONG)
    assert fitted(study, FILMS, Speed(2000.0, 500.0), 50_000.0, left_open=OPEN)[0] == study


def test_one_that_is_too_small_names_one_that_is_not():
    study, speed = config(**{**LONG, "time_budget": 600.0}), Speed(200.0, 45.0)
    _, line = fitted(study, FILMS, speed, 600.0, left_open=OPEN)
    found = re.search(r"--time-budget (\d+)m", line)
    assert found
    seconds = 60.0 * int(found[1])
    again, said = fitted(study, FILMS, speed, seconds, left_open=OPEN)
    assert worth(again, speed, seconds) > 0.75 * WORTH
    assert "too few" not in said


@pytest.mark.parametrize(
    "given", [{"eval_every": 25}, {"grace": 50}, {"eval_every": 25, "grace": 25}]
)
def test_evaluations_that_were_asked_for_stay_and_the_length_still_fits_the_budget(given):
    study, speed = config(**{**LONG, **given}), Speed(300.0, 45.0)
    found, line = fitted(study, FILMS, speed, 4_000.0, left_open=OPEN - given.keys())
    assert given.items() <= found.__dict__.items()
    assert found.length % found.eval_every == 0
    assert SHORTEST <= FILMS * found.length < 180_000
    assert tells(line, "complete trials", found.length)
    assert worth(found, speed, 4_000.0) == pytest.approx(WORTH, rel=0.25)


def test_a_set_of_many_images_has_one_epoch_at_least(data):
    study = config(**{**LONG, "length": 1, "eval_every": 1, "grace": 1})
    assert fitted(study, 500_000, Speed(2000.0, 500.0), 5_000.0, left_open=OPEN)[0].length == 1


def test_a_length_that_was_asked_for_stays(data):
    many = {"length": 9000, "eval_every": 500, "grace": 1000}  # there are 40 images
    study, lines = config(**{**LONG, **many}), []
    for opened, changes in (({"length"}, True), (set(), False)):
        found, _ = budgeted(
            study, data, Speed(10.0, 45.0), 2, time.time(), left_open=opened, say=lines.append
        )
        assert (found != study) == changes == bool(lines)
        lines.clear()


def test_a_fifth_of_a_long_search_goes_to_fresh_trainings_and_nothing_of_a_short_one():
    assert [fresh_trainings(worth) for worth in (0, 19.9, 20, 30, 40, 1000)] == [0, 0, 2, 3, 4, 6]


def test_the_trials_stop_in_time_for_them(data):
    speed, since = Speed(200.0, 400.0), time.time()
    ends = {}
    for replicates in (0, 2):
        study = config(**{**LONG, "replicates": replicates})
        found, ends[replicates] = budgeted(
            study, data, speed, 2, since, left_open=set(), say=lambda line: None
        )
        assert found.replicates == replicates
    assert ends[0] is not None
    assert ends[2] == pytest.approx(ends[0] - 2 * trial_seconds(config(**LONG), data.n, speed))
    with refused("--replicates", 100, "--time-budget"):
        budgeted(
            config(**{**LONG, "replicates": 100}), data, Speed(10.0, 400.0), 2, since,
            left_open=set(), say=lambda line: None,
        )  # fmt: skip


def test_how_many_is_planned_where_it_was_left_open(data):
    speed = Speed(200.0, 400.0)
    for trials, budget, expected in ((5, None, 0), (200, None, 5), (200, 3600.0, 3)):
        study = config(**{**LONG, "trials": trials, "time_budget": budget})
        found, _ = budgeted(
            study, data, speed, 2, time.time(), left_open={"replicates"}, say=lambda line: None
        )
        assert found.replicates == expected, (trials, budget)
