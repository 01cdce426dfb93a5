"""The study's database in the words of MLflow: which keys, numbers and statuses it gets."""

from __future__ import annotations

import math
from typing import Any

import pytest

from search.tracking.flat import by_class, flat, report_metrics, run_status
from tests.helpers.studies import record
from trainable.trial.report import Status


def test_leaves_have_names_of_their_own_that_mlflow_allows():
    nested = {"a": 1, "scores": {"viral: yes": 2, "viral_ yes": 3, "viral; yes": 4, "none": None}}
    assert dict(flat(nested)) == {
        "a": 1, "scores/viral_ yes 2": 2, "scores/viral_ yes": 3, "scores/viral_ yes 3": 4,
    }  # fmt: skip


def test_metrics_are_the_finite_numbers_at_a_time_that_follows_from_the_report():
    report: Any = {
        "resource": 6, "epoch": 3, "fid": 5.0, "kid": math.nan, "device": "cpu", "good": True,
        "train_seconds": 2.0, "eval_seconds": 0.5,
    }  # fmt: skip
    found = list(report_metrics(record(0, 5.0), report, []))
    assert [point[0] for point in found] == ["fid", "train_seconds", "eval_seconds"]
    assert {point[2:] for point in found} == {(2500, 3)}


def test_scores_of_a_class_bear_its_name():
    scores = {"diversity/0": 1, "diversity/1": 2, "fresh/fid/2": 3, "fid": 4, "fid/7": 5}
    assert by_class(scores, ["normal", "COVID+", "COVID-"]) == {
        "diversity/normal": 1, "diversity/COVID_": 2, "fresh/fid/COVID-": 3, "fid": 4, "fid/7": 5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (Status.COMPLETE, "FINISHED"),
        (Status.PRUNED, "FINISHED"),
        (Status.COLLAPSED, "FAILED"),
        (Status.DIVERGED, "FAILED"),
        (Status.INTERRUPTED, "SCHEDULED"),
        (Status.RUNNING, "RUNNING"),
    ],
)
def test_a_status_in_the_words_of_mlflow(status, word):
    assert run_status(status) == word
