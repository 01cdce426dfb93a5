"""Rungs by hand: closed forms, Tune's own ASHA as an oracle, and the past replayed."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from search.study.records import TrialRecord, WrittenReport
from search.tune.rungs import Rungs, left_as, replayed
from tests.helpers.fake_tune import config, made_report
from trainable.trial.report import Status


def record(number: int, *reports: WrittenReport) -> TrialRecord:
    return TrialRecord(number, Status.INTERRUPTED, "", {}, {}, reports, 0.0, None)


def report(order: int, resource: int, fid: float, status: str = "running") -> WrittenReport:
    return made_report(resource, status, objective=fid, order=order)


def test_the_first_goes_on_and_one_below_the_best_third_does_not():
    rungs = Rungs(config(grace=2, eta=3, length=12))
    assert rungs.goes_on(0, 1, (99.0,))  # no rung yet
    assert rungs.goes_on(0, 2, (90.0,))
    assert not rungs.goes_on(1, 2, (90.1,))
    assert rungs.goes_on(2, 2, (90.0,))
    # Of 90, 90 and 90.1 the best third ends at 90.
    assert not rungs.goes_on(3, 2, (90.01,))
    assert rungs.scores == {2: {0: (90.0,), 1: (90.1,), 2: (90.0,), 3: (90.01,)}, 6: {}}


def test_a_trial_is_compared_once_and_at_the_last_rung_that_it_leapt_over():
    rungs = Rungs(config(grace=2, eta=3, length=12))
    assert rungs.goes_on(0, 7, (50.0,))
    assert rungs.scores == {2: {}, 6: {0: (50.0,)}}
    assert not rungs.goes_on(1, 6, (60.0,))
    assert rungs.goes_on(0, 6, (50.0,))


@pytest.mark.parametrize("seed", range(8))
def test_with_one_goal_it_decides_as_tunes_own_asha(seed):
    dice = random.Random(seed)
    eta, grace = dice.choice([2, 3, 4]), dice.choice([1, 2, 5])
    settings = config(grace=grace, eta=eta, length=grace * eta**3 - 1, seed=seed)
    rungs = Rungs(settings)
    oracle = ASHAScheduler(
        time_attr="resource", metric="objective", mode="min", max_t=settings.length,
        grace_period=grace, reduction_factor=eta,
    )  # fmt: skip
    trials = [SimpleNamespace(trial_id=str(number)) for number in range(60)]
    at = [0] * len(trials)
    nowhere: Any = None
    for trial in trials:
        oracle.on_trial_add(nowhere, trial)  # pyright: ignore[reportArgumentType]
    decisions = set()
    for _ in range(1500):
        number = dice.randrange(len(trials))
        at[number] += dice.randrange(1, 1 + 2 * grace)
        if at[number] >= settings.length:
            continue
        fid = dice.choice([round(dice.uniform(20, 90)), dice.uniform(20, 90)])
        result = {"resource": at[number], "objective": fid}
        told: Any = trials[number]
        expected = oracle.on_trial_result(nowhere, told, result) == TrialScheduler.CONTINUE
        assert rungs.goes_on(number, at[number], (fid,)) == expected
        decisions.add(expected)
    assert decisions == {True, False}


def test_the_past_is_heard_in_its_order_whatever_the_trials_numbers():
    settings = config(grace=2, eta=3, length=12)
    records = [
        record(0, report(2, 2, 95.0)),
        record(1, report(0, 2, 90.0), report(3, 5, 40.0, "complete")),
        record(2, report(1, 1, 99.0)),
    ]
    rungs, stopped = replayed(settings, records)
    assert rungs.scores == {2: {1: (90.0,), 0: (95.0,)}, 6: {}}
    assert list(rungs.scores[2]) == [1, 0]
    assert stopped == {0}
    assert replayed(settings, [])[1] == set()


def test_how_a_trial_was_left_is_its_last_word_unless_a_rung_had_stopped_it():
    asked = record(0, report(0, 2, 95.0))
    assert left_as(asked, set()) is Status.RUNNING
    assert left_as(asked, {0}) is Status.PRUNED
    assert left_as(record(0), set()) is Status.RUNNING
    assert left_as(record(0, report(0, 12, 9.0, "complete")), set()) is Status.COMPLETE
