"""What a study is: its settings, in their ranges, resolved, and read back."""

from __future__ import annotations

import math

import pytest

from search.study.config import StudyConfig, resolve_epochs, resolve_seconds
from tests.helpers.fake_tune import config
from tests.helpers.refusals import refused, tells


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"trials": 0}, ["--trials", 0, 1]),
        ({"grace": 13}, ["--grace", 13, 1, "--epochs", 12]),
        ({"eval_every": 13}, ["--eval-every", 13, 1, "--epochs", 12]),
        ({"eta": 1}, ["--eta", 1, 2]),
        ({"sampler": "cma"}, ["--sampler", "'cma'", "tpe", "random"]),
        ({"name": "a/b"}, ["--study", "'a/b'"]),
        ({"time_budget": 0.0}, ["--time-budget", "0.0 s", 0]),
        ({"max_trial_time": -1.0}, ["--max-trial-time", "-1.0 s", 0]),
        ({"resource": "steps"}, ["--resource", "'steps'", "epoch", "seconds"]),
        ({"resource": "seconds", "grace": 13}, ["--grace", 13, 1, "--train-time", 12]),
        ({"resource": "seconds", "eval_every": 13}, ["--eval-every", 13, 1, "--train-time", 12]),
        ({"length": 0, "eval_every": 0, "grace": 0}, ["--epochs", 0, 1]),
        ({"winner_images": 19}, ["--winner-images", 19, 20]),
        ({"seed": -1}, ["--seed", -1, 0]),
        ({"seed": 2**63}, ["--seed", 2**63, 2**63 - 1]),
        ({"trials": 10**6 + 1}, ["--trials", 10**6 + 1, 10**6]),
        ({"eta": 1001}, ["--eta", 1001, 1000]),
        ({"top_k": 0}, ["--top-k", 0, 1]),
        ({"top_k": 1001}, ["--top-k", 1001, 1000]),
        ({"winner_images": 10**5 + 1}, ["--winner-images", 10**5 + 1, 10**5]),
        ({"length": 10**9 + 1}, ["--epochs", 10**9 + 1, 10**9]),
        ({"length": 10**9}, ["--eval-every", 1, 10**9, 10**4]),
        ({"hold_back": 0.51}, ["--hold-back", 0.51, 0.5]),
        ({"hold_back": math.nan}, ["--hold-back", "nan"]),
        ({"hold_back": -0.1}, ["--hold-back", -0.1]),
    ],
)
def test_settings_out_of_range_are_refused(changes, parts):
    with refused(*parts):
        config(**changes)


@pytest.mark.parametrize(
    "changes",
    [{"seed": 2**63 - 1}, {"trials": 10**6}, {"eta": 1000}, {"top_k": 1000}, {"hold_back": 0.5},
     {"winner_images": 20}, {"winner_images": 10**5}, {"length": 10**9, "eval_every": 10**5}],
)  # fmt: skip
def test_settings_at_their_bounds_are_taken(changes):
    settings = config(**changes)
    assert settings.to_json().items() >= changes.items()
    assert str(settings)
    assert len(settings.evaluations) <= 10_000 + len(settings.rungs) + 1


def test_config_survives_json_and_names_its_rungs():
    settings = config(length=100, eval_every=7, grace=10, eta=3)
    assert StudyConfig.from_json(settings.to_json()) == settings
    assert settings.rungs == (10, 30, 90)
    assert set(settings.rungs) <= set(settings.evaluations)
    assert settings.evaluations[-1] == 100


def test_a_study_in_seconds_has_its_rungs_in_seconds():
    settings = config(resource="seconds", length=60, eval_every=4, grace=8, max_trial_time=150.0)
    assert settings.rungs == (8, 24)
    assert settings.evaluations == (*range(4, 60, 4), 60)
    assert StudyConfig.from_json(settings.to_json()) == settings
    assert tells(str(settings), "60 seconds", "2 min", "every 4", "FID", "ASHA", "8, 24", "1/3")
    assert tells(str(config()), "12 epochs", "every 1", "FID")


def test_old_or_foreign_settings_are_not_taken_for_ours():
    values = config().to_json()
    with pytest.raises(TypeError):
        StudyConfig.from_json({**values, "epochs": 12})
    del values["resource"]
    with pytest.raises(TypeError):
        StudyConfig.from_json(values)


def test_a_study_from_before_images_were_held_back_held_none():
    values = config().to_json()
    for key in ("hold_back", "validation_digest"):
        del values[key]
    assert StudyConfig.from_json(values) == config()


def test_a_study_from_before_there_were_tables_of_labels_has_none():
    values = config().to_json()
    for key in ("labels", "label_columns", "classes"):
        del values[key]
    assert StudyConfig.from_json(values) == config()


def test_auto_schedule():
    assert resolve_epochs(200, None, None, None) == (900, 50, 100)
    assert resolve_epochs(200, 90, None, None) == (90, 5, 10)
    assert resolve_epochs(200, None, 50, None) == (900, 50, 100)
    assert resolve_epochs(500_000, None, None, None) == (1, 1, 1)
    assert resolve_epochs(200, 10, 10, 5) == (10, 10, 5)


def test_auto_schedule_in_seconds():
    assert resolve_seconds(600.0, None, None) == (600, 34, 68)
    assert resolve_seconds(90.4, None, None) == (90, 5, 10)
    assert resolve_seconds(600.0, 50, None) == (600, 50, 100)
    assert resolve_seconds(600.0, 50, 7) == (600, 50, 7)
    assert resolve_seconds(3.0, None, None) == (3, 1, 2)
    assert resolve_seconds(1.0, None, None) == (1, 1, 1)
    for length in range(100, 1000):  # two rungs, the last of them at about a third
        rungs = config(**dict(zip(
            ("length", "eval_every", "grace"), resolve_epochs(200, length, None, None), strict=True
        ))).rungs  # fmt: skip
        assert len(rungs) == 2
        assert rungs[-1] < 0.4 * length
    for seconds in (1, 7, 59, 600, 86400):
        config(resource="seconds", **dict(zip(
            ("length", "eval_every", "grace"), resolve_seconds(seconds, None, None), strict=True
        )))  # fmt: skip
