"""How long a search is said to take, with and without classifiers to train, and the smaller one."""

from __future__ import annotations

import io
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from search import estimate
from search.estimate import Speed, measure_speed, search_seconds, winner_seconds
from search.session import _say_duration
from tests.by_hand import config
from tests.conftest import make_job, small_config
from trainable.evaluation import GENERATED, SEEDS, validation_of
from trainable.metrics import quick_classifier


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
    job = make_job(data.at(~rows), tmp_path)
    for validation, costs in ((None, False), (validation_of(data.at(rows)), True)):
        speed = measure_speed(replace(job, validation=validation), small_config(job.data))
        assert speed.trained > 0 < speed.extracted
        assert (speed.judging > 0) == costs


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, "--data phantom --image-size 32"),
        (
            {"objective": "fid,0.5*kid+classifier", "hold_back": 0.25},
            "--data phantom --objective 'fid,0.5*kid+classifier' --hold-back 0.25 --image-size 32",
        ),
    ],
)
def test_the_smaller_search_asks_for_the_same(changes, kept):
    said = io.StringIO()
    job: Any = SimpleNamespace(data=SimpleNamespace(n=100, classes=("a", "b")), device="cpu")
    _say_duration(config(length=10**6, **changes), job, Speed(10.0, 10.0), 1, Console(file=said))
    assert f"a smaller one: python -m search.run --space full {kept} --trials 16" in said.getvalue()
