"""What trials say of their configurations, against an anchor's curve."""

import math
import random
import warnings
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.proposals import history as module
from search.proposals.history import (
    BROKEN,
    EARLY,
    GIVEN,
    NOISE,
    OWN,
    PENALTY,
    SHORTFALL,
    History,
    measured,
)

COMPLETE, PRUNED, RUNNING = TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING


def trial(state=COMPLETE, *scores, given=False, broken=False, values=None, x=0.5) -> FrozenTrial:
    """One scored at steps 10, 20 and so on."""
    steps = {10 * place: score for place, score in enumerate(scores, start=1)}
    if state is COMPLETE and values is None:
        values = [scores[-1]]
    return create_trial(
        state=state, values=values, intermediate_values=steps, params={"x": x},
        distributions={"x": FloatDistribution(0, 1)}, constraints={"trains": float(broken)},
        system_attrs={GIVEN: {"x": x}} if given else {},
    )  # fmt: skip


def history(*trials: FrozenTrial, directions: Any = ("minimize",)) -> History:
    study = optuna.create_study(directions=directions)
    study.add_trials(list(trials))
    return History.of(study.trials, study.directions, random.Random(0))


def test_curves_that_run_side_by_side_are_as_far_apart_wherever_they_stop():
    found = history(
        trial(COMPLETE, 200, 100, 50, given=True),
        trial(PRUNED, 300, 150),
        trial(PRUNED, 180),
        trial(COMPLETE, 180, 90, 45),
        trial(RUNNING),
    )
    np.testing.assert_allclose(np.exp(found.z), [1, 1.5, 0.9, 0.9, math.nan], atol=0.01)
    assert found.anchors == [0]
    assert found.anchored


def test_it_is_measured_at_its_last_two_evaluations():
    """The two that are complete cross: at their last two they are alike in the mean."""
    found = history(trial(COMPLETE, 100, 50, 50, given=True), trial(COMPLETE, 110, 55, 50 / 1.1))
    np.testing.assert_allclose(found.z, [0, 0], atol=1e-12)


def test_what_is_stopped_early_is_not_better_for_an_anchor_that_learns_slowly_at_first():
    """All others that ended were at half the anchor's first score, and ended where it did."""
    ended = [trial(COMPLETE, 100, 80, 50) for _ in range(6)]
    found = history(trial(COMPLETE, 200, 90, 50, given=True), *ended, trial(PRUNED, 100))
    assert abs(found.z[-1]) < 0.15  # and not log 0.5, -0.7


def test_who_spoils_at_the_last_score_moves_no_other():
    whole = (200, 100, 60)
    alike = [trial(COMPLETE, *whole, given=True), trial(COMPLETE, *whole)]
    alike += [trial(PRUNED, *whole[:n]) for n in (1, 1, 2)]
    found = history(*alike, trial(COMPLETE, *whole[:-1], 600))
    assert np.abs(found.z[:-1]).max() < 0.1
    assert found.z[-1] == BROKEN


def test_where_only_two_came_so_far_one_that_spoils_there_moves_no_other_far():
    """Neither says which of them is off, so each is moved by half of it, at its last of two."""
    rows = [(200, 100, 60)] * 2 + [(230,), (230, 115), (190,)]
    usual = history(trial(COMPLETE, *rows[0], given=True), *(trial(PRUNED, *r) for r in rows[1:]))
    for last in (300, 1200, 12):
        spoilt = [trial(COMPLETE, 200, 100, last), *(trial(PRUNED, *r) for r in rows[2:])]
        found = history(trial(COMPLETE, *rows[0], given=True), *spoilt)
        np.testing.assert_allclose(found.z[2:], usual.z[2:], atol=0.12)


@pytest.mark.parametrize("own", [20, 60, 400])
def test_who_was_cut_off_between_two_evaluations_is_held_against_both(own):
    """As by --max-trial-time, at a step that no other has: it was taken to say nothing."""
    whole = {50: 100, 200: 50}
    found = measured([whole, whole, {50: 110}, {100: own}], 0)
    np.testing.assert_allclose(found, [0, 0, math.log(1.1), math.log(own / 70.7)], atol=0.02)
    first = measured([whole, whole, {50: 110}, {20: own}], 0)
    assert first[3] == pytest.approx(math.log(own / 100), abs=0.02)


def test_of_curves_that_have_no_evaluation_in_common_the_last_scores_count():
    np.testing.assert_allclose(measured([{31: 60}, {37: 30}, {40: 90}], 0), np.log([1, 0.5, 1.5]))


@pytest.mark.parametrize("least", [0.0, -0.1])
def test_equal_scores_of_which_one_is_0_stay_equal(least):
    curve = {1: 0.5, 2: 0.3, 3: 0.1, 4: least}
    for curves in ([curve, {1: 0.5}], [curve, curve, {1: 0.5, 2: 0.3}], [{1: least}] * 3):
        np.testing.assert_array_equal(measured(curves, 0).round(6), 0)


def test_the_levels_are_those_of_generalised_least_squares():
    """Solved with the whole covariance of all scores, of 12 curves that end anywhere."""
    rng = np.random.default_rng(0)
    lengths = [6, *rng.integers(1, 7, 11)]
    curves = [
        {k: math.exp(4 + own + rng.normal(0, 0.02) - k / 9) for k in range(1, n + 1)}
        for n, own in zip(lengths, rng.normal(0, 0.3, 12), strict=True)
    ]
    rows = [(trial, k) for trial, curve in enumerate(curves) for k in curve]
    y = np.array([math.log(curves[trial][k]) for trial, k in rows])
    covariance = np.array(
        [
            [(a == b) * (OWN**2 + (k == m) * (NOISE * (k / 6) ** -EARLY) ** 2) for b, m in rows]
            for a, k in rows
        ]
    )
    design = np.array([[float(k == step) for step in range(1, 7)] for _, k in rows])
    weighted = design.T @ np.linalg.inv(covariance)
    levels = np.linalg.solve(weighted @ design, weighted @ y)
    above = [
        np.mean([math.log(curve[k]) - levels[k - 1] for k in sorted(curve)[-2:]])
        for curve in curves
    ]
    np.testing.assert_allclose(measured(curves, 3), np.array(above) - above[3], atol=1e-9)


def test_what_is_far_better_than_a_poor_anchor_is_told_apart():
    found = history(trial(COMPLETE, 360, given=True), trial(COMPLETE, 60), trial(COMPLETE, 40))
    np.testing.assert_allclose(np.exp(found.z), [1, 60 / 360, 40 / 360])


def test_an_anchor_that_was_stopped_is_continued_by_those_that_came_further():
    found = history(
        trial(PRUNED, 200, 100, given=True),
        *(trial(COMPLETE, 100, 50, 40, 30) for _ in range(3)),
        trial(COMPLETE, 130, 70, 80, 60),
    )
    np.testing.assert_allclose(np.exp(found.z[1:4]), 0.5, atol=0.05)
    assert found.z[-1] == pytest.approx(found.z[1] + math.log(2))


def test_who_misses_the_gates_by_more_than_the_anchor_is_worse_for_it():
    trials = [trial(COMPLETE, 50, given=True), *(trial(COMPLETE, 50) for _ in range(3))]
    for trial_, missed in zip(trials, (0.02, 0.1, 0.0, 0.02), strict=True):
        trial_.set_user_attr(SHORTFALL, missed)
    np.testing.assert_allclose(history(*trials).z, [0, PENALTY * 0.08, 0, 0], atol=1e-12)


def test_the_further_a_trial_came_the_surer_it_is():
    found = history(trial(COMPLETE, *range(9, 0, -1)), trial(PRUNED, 9.0, 8, 7), trial(PRUNED, 9.0))
    np.testing.assert_allclose(found.noise / NOISE, [1, 1.79, 3.20], atol=0.01)


def test_one_that_broke_down_is_as_bad_as_any_and_surely():
    found = history(trial(COMPLETE, 50, given=True), trial(PRUNED, 1, broken=True))
    assert found.z[1] == BROKEN
    assert found.noise[1] == NOISE


@pytest.mark.parametrize(
    "first",
    [trial(PRUNED, 30, broken=True, given=True), trial(RUNNING, given=True), trial(COMPLETE, 9)],
)
def test_without_a_sound_anchor_who_came_furthest_stands_in(first):
    found = history(first, trial(PRUNED, 50), trial(COMPLETE, 100, 50), trial(COMPLETE, 100, 40))
    assert not found.anchored
    assert found.z[2] == 0
    assert found.z[3] == pytest.approx(math.log(0.8) / 2)


def test_scores_of_zero_and_below_are_compared_by_difference():
    found = history(trial(COMPLETE, -1.0, given=True), trial(COMPLETE, -3.0), trial(COMPLETE, 1.0))
    assert found.z[0] == 0
    assert found.z[1] == pytest.approx(-found.z[2])
    assert np.std(found.z) == pytest.approx(0.2)


def test_what_is_maximised_is_turned():
    found = history(trial(COMPLETE, 1.0, given=True), trial(COMPLETE, 2.0), directions=["maximize"])
    assert found.z[1] < 0


def test_of_two_goals_nothing_is_known_before_a_trial_has_ended():
    with warnings.catch_warnings(action="error"):
        found = history(trial(RUNNING, given=True), directions=("minimize", "minimize"))
    assert np.isnan(found.z).all()
    assert found.against is None


def test_of_two_goals_who_is_better_in_both_is_better_whatever_the_weights():
    trials = [
        trial(values=[100, 0.5], given=True), trial(values=[50, 0.3]), trial(values=[200, 0.9]),
        trial(values=[60, 0.6]), trial(PRUNED),
    ]  # fmt: skip
    study = optuna.create_study(directions=("minimize", "minimize"))
    study.add_trials(trials)
    traded = set()
    for seed in range(20):
        z = History.of(study.trials, study.directions, random.Random(seed)).z
        assert z[1] < z[0] == 0 < z[2] == z[4]
        traded.add(z[3] < 0)
    assert traded == {True, False}


def test_of_a_long_study_the_best_the_newest_and_the_anchors_are_seen(monkeypatch):
    monkeypatch.setattr(module, "SEEN", 10)
    rng = random.Random(0)
    scores = [rng.uniform(50, 150) for _ in range(100)]
    trials = [trial(COMPLETE, s, given=n == 3, x=n / 100) for n, s in enumerate(scores)]
    found = history(*trials)
    seen = {round(100 * params["x"]) for params in found.params}
    best = sorted(range(100), key=scores.__getitem__)[:5]
    assert seen == {3, *best, *range(95, 100)}
    assert found.params[found.anchors[0]]["x"] == 0.03
