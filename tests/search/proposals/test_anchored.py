"""The sampler that starts from an anchor, in plain Optuna studies of define-by-run spaces."""

import random
import statistics
from collections import deque
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import TrialState
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from search.proposals import anchored, moves
from search.proposals.anchored import (
    EXPECTED,
    LEAST,
    LENGTH,
    TRUST,
    AnchoredSampler,
    Candidates,
    Process,
)
from search.proposals.history import History

DEFAULT = {"rate": 1e-3, "optimizer": "adam", "beta": 0.5, "width": 16, "noise": 0.0}


def cost(trial: optuna.Trial) -> float:
    """Some 50 where the default is 100; conditional, and of every kind of value."""
    rate = trial.suggest_float("rate", 1e-5, 1e-1, log=True)
    total = 60 + 20 * abs(np.log10(rate / 3e-3))
    if trial.suggest_categorical("optimizer", ["adam", "sgd", "rmsprop"]) == "adam":
        total += 30 * abs(trial.suggest_float("beta", 0.0, 1.0) - 0.2)
    else:
        total += 40 + trial.suggest_float("momentum", 0.0, 1.0)
    total += abs(trial.suggest_int("width", 8, 64, step=8) - 24)
    return total + 100 * trial.suggest_categorical("noise", [0.0, 0.1, 0.2])


def search(seed: int, trials: int, make: Any = AnchoredSampler, given=DEFAULT) -> optuna.Study:
    study = optuna.create_study(sampler=make(seed))
    if given:
        study.enqueue_trial(given)
    study.optimize(cost, trials)
    return study


def test_it_finds_better_than_random_search_and_than_its_anchor():
    mine = [search(seed, 25).best_value for seed in range(9)]
    random = [search(seed, 25, RandomSampler).best_value for seed in range(9)]
    assert statistics.median(mine) < 0.85 * cost_of(DEFAULT)
    assert statistics.median(mine) < 0.9 * statistics.median(random)


def test_it_needs_no_anchor():
    mine = [search(seed, 25, given=None).best_value for seed in range(5)]
    random = [search(seed, 25, RandomSampler, None).best_value for seed in range(5)]
    assert statistics.median(mine) < statistics.median(random)


def test_without_an_anchor_it_does_not_stay_where_it_first_found_something():
    """A valley in four numbers, its floor at 45, scored with the noise of trainings."""
    ends = []
    for seed in range(8):
        luck = random.Random(seed)

        def valley(trial: optuna.Trial, luck: random.Random = luck) -> float:
            rate = trial.suggest_float("rate", 5e-4, 5e-3, log=True)
            off = (
                0.1 * trial.suggest_categorical("batch", [2, 1, 0])
                + 0.4 * np.log10(rate / 2e-3) ** 2
            )
            off += sum(1.5 * (trial.suggest_float(f"x{i}", 0, 1) - 0.3) ** 2 for i in range(4))
            trial.set_user_attr("true", 45 * float(np.exp(off)))
            return trial.user_attrs["true"] * float(np.exp(luck.gauss(0, 0.05)))

        study = optuna.create_study(sampler=AnchoredSampler(seed))
        study.optimize(valley, 40)
        ends.append(study.best_trial.user_attrs["true"])
    assert statistics.geometric_mean(ends) < 51


def cost_of(values: dict) -> float:
    return cost(optuna.trial.FixedTrial(values))  # pyright: ignore[reportArgumentType]


def test_the_first_proposals_change_the_anchor_a_little():
    for seed in range(5):
        _, *first = search(seed, 3).trials
        for trial in first:
            changed = [n for n in DEFAULT if n in trial.params and trial.params[n] != DEFAULT[n]]
            assert 1 <= len(changed) <= 3


def test_equal_seeds_and_trials_make_equal_proposals_and_others_do_not():
    def values(seed: int) -> list[dict]:
        return [trial.params for trial in search(seed, 12).trials]

    assert values(1) == values(1)
    assert values(1)[1:] != values(2)[1:]


def test_workers_that_wait_for_their_scores_try_different_things():
    study = search(0, 12)
    study.sampler = AnchoredSampler(0)
    asked = [study.ask() for _ in range(8)]
    for trial in asked:
        cost(trial)
    proposed = {tuple(sorted(trial.params.items())) for trial in asked}
    assert len(proposed) == 8


@pytest.mark.parametrize("more", [[], ["only"], [["a", "list"], ["another"]]])
def test_nothing_is_tried_twice_while_there_is_something_new(more):
    def coin(trial: optuna.Trial) -> float:
        side = trial.suggest_categorical("side", ["heads", "tails", "edge"])
        throws = trial.suggest_int("throws", 1, 3)
        if more:
            trial.suggest_categorical("more", more)
        if (side, throws) == ("edge", 1):
            raise RuntimeError("it stands")
        return throws + (side == "tails")

    study = optuna.create_study(sampler=AnchoredSampler(0))
    study.enqueue_trial({"side": "heads", "throws": 2} | ({"more": more[0]} if more else {}))
    every = 9 * max(1, len(more))
    study.optimize(coin, every + 3, catch=RuntimeError)
    tried = [repr(sorted(trial.params.items())) for trial in study.trials]
    assert len(set(tried[:every])) == every


def test_what_failed_or_broke_down_is_no_obstacle():
    study = search(0, 4)
    for state in (TrialState.FAIL, TrialState.PRUNED):
        trial = study.ask()
        cost(trial)
        trial.set_constraint("trains", 1.0)
        study.tell(trial, state=state)
    study.optimize(cost, 2)
    assert len(study.trials) == 8


def test_two_goals_are_searched_for_together():
    study = optuna.create_study(directions=("minimize", "minimize"), sampler=AnchoredSampler(0))
    study.enqueue_trial(DEFAULT)

    def two(trial: optuna.Trial) -> tuple[float, float]:
        return cost(trial), float(trial.params["width"])

    study.optimize(two, 30)
    first, second = zip(*(t.values for t in study.best_trials), strict=True)
    assert min(first) < 0.92 * cost_of(DEFAULT)
    assert min(second) == 8


def rows(at: np.ndarray, mean: Any = EXPECTED) -> np.ndarray:
    return np.column_stack([at, np.full(len(at), mean)])


def planted(seen: np.ndarray, anchored: bool = True) -> tuple[np.ndarray, History]:
    rng = np.random.default_rng(0)
    mean = EXPECTED if anchored else np.nanmean(seen)
    at = rows(rng.uniform(-1, 1, (len(seen), 3)), mean)
    noise = rng.uniform(0.05, 0.2, len(seen))
    return at, History([{}] * len(seen), seen, noise, [0], 0 if anchored else 1)


@pytest.mark.parametrize("is_anchored", [True, False])
def test_the_process_is_scikit_learn_s(is_anchored):
    z = np.array([0.0, 0.4, -0.2, 0.3, 0.1, 0.5])
    at, history = planted(z, is_anchored)
    mean = EXPECTED if is_anchored else z.mean()
    variance = max(LEAST, ((z - mean) ** 2).mean())
    kernel = ConstantKernel(variance) * Matern(LENGTH, nu=1.5)
    noise: Any = history.noise**2
    unchanged: Any = None  # by fitting
    oracle: Any = GaussianProcessRegressor(kernel, alpha=noise, optimizer=unchanged)
    oracle.fit(at[:, :-1], z - mean)
    new = np.random.default_rng(1).uniform(-1, 1, (20, 3))
    process = Process(at, history)
    expected, covariance = oracle.predict(new, return_cov=True)
    np.testing.assert_allclose(process.predict(rows(new, mean)), mean + expected)
    np.testing.assert_allclose(process.covariance(rows(new, mean)), covariance, atol=1e-12)
    np.testing.assert_allclose(process.believed, mean + oracle.predict(at[:, :-1]))


def test_a_prior_is_the_mean_and_by_how_much_it_is_off_is_learnt():
    """What trials show of its factor counts everywhere: far from all of them as well."""
    rng = np.random.default_rng(0)
    at = rng.uniform(-1, 1, (40, 3))
    told = at @ [0.3, -0.2, 0.1]
    far = np.array([[90.0, 0.0, 0.0, 0.4]])
    noise = np.full(40, 0.01)
    for factor in (0.0, 0.5, 1.0):
        history = History([{}] * 40, factor * told, noise, [0], 0)
        made = Process(np.column_stack([at, told]), history, TRUST)
        assert made.predict(far)[0] == pytest.approx(factor * 0.4, abs=0.1)
        plain = Process(np.column_stack([at, told]), history)
        assert plain.predict(far)[0] == pytest.approx(0.4)  # where nothing near was seen


class Told:
    """A prior by hand: each step of width is worth so much."""

    def __init__(self, worth: float):
        self.worth = worth

    def __call__(self, rows: Any, anchor: Any) -> np.ndarray:
        return np.array(
            [
                0.1 + self.worth * (values["width"] - anchor["width"]) if values != anchor else 0.0
                for values in rows
            ]
        )


def proposed(worth: float, told: bool) -> list[float]:
    """Widths of first proposals, with and without the anchor's score."""
    found: list[float] = []
    prior: Any = Told(worth)
    for seed in range(12):
        study = optuna.create_study(sampler=AnchoredSampler(seed, prior=prior))
        study.enqueue_trial(DEFAULT)
        first = study.ask()
        value = cost(first)
        if told:
            first.report(value, 1)
            study.tell(first, value)
        cost(trial := study.ask())
        found.append(trial.params["width"])
    return found


@pytest.mark.parametrize("told", [True, False])
def test_the_first_proposals_follow_a_prior(told):
    low, high = (statistics.mean(proposed(worth, told)) for worth in (0.02, -0.02))
    assert low < 16 < high
    assert high - low > 10


def test_a_prior_that_is_wrong_gives_way():
    """By it each step of width is a gain; trials say that the best is 24."""
    wrong: Any = Told(-0.01)
    studies = [search(s, 25, lambda seed: AnchoredSampler(seed, prior=wrong)) for s in range(9)]
    plain = statistics.median(search(s, 25).best_value for s in range(9))
    assert statistics.median(study.best_value for study in studies) < 1.15 * plain
    widths = [t.params["width"] for study in studies for t in study.trials[-5:]]
    assert statistics.median(widths) <= 32


@pytest.mark.parametrize("prior", [None, Told(0.02)])
def test_what_breaks_down_before_any_score_is_no_parent(monkeypatch, prior):
    """With several workers a trial may run out of memory before the default is scored."""
    parents: list[Any] = []

    def mutated(parent: Any, *args: Any) -> Any:
        parents.append(parent)
        return moves.mutated(parent, *args)

    study = optuna.create_study(sampler=AnchoredSampler(0, prior=prior))
    study.enqueue_trial(DEFAULT)
    cost(study.ask())
    cost(trial := study.ask())
    trial.set_constraint("trains", 1.0)
    study.tell(trial, state=TrialState.PRUNED)
    monkeypatch.setattr(anchored, "mutated", mutated)
    for _ in range(3):
        cost(study.ask())
    assert len(parents) >= 60
    assert all(parent == DEFAULT for parent in parents)


def test_a_prior_tells_of_changes_of_the_trial_that_z_is_measured_against():
    """Two workers: what was enqueued reports before the default does."""
    other = {**DEFAULT, "width": 40}
    study = optuna.create_study()
    for values in (DEFAULT, other):
        study.enqueue_trial(values)
    cost(study.ask())
    second = study.ask()
    second.report(cost(second), 1)
    trials = study.get_trials(deepcopy=False)
    history = History.of(trials, study.directions, random.Random(0))
    known = {k: v for t in trials for k, v in t.distributions.items()}
    prior: Any = Told(0.01)
    rows = Candidates(trials, history, known, prior).seen
    assert history.against == 1
    assert history.z[1] == 0
    assert rows[:, -1].tolist() == pytest.approx([0.1 - 0.24, 0.0])


def test_expected_improvement_is_the_mean_of_what_is_gained():
    at, history = planted(np.array([0.0, 0.4, -0.2, 0.3]))
    process = Process(at, history)
    new = rows(np.array([[0.1, -0.3, 0.6], [1.0, 1.0, -1.0]]))
    mean, variance = process.predict(new), process.covariance(new).diagonal()
    sd = np.sqrt(variance)
    z = norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    gains = np.maximum(process.believed.min() - (mean[:, None] + sd[:, None] * z), 0).mean(1)
    np.testing.assert_allclose(process.improvement(mean, variance), gains, rtol=1e-3)


def test_a_trial_under_way_counts_as_believed_and_makes_its_place_less_tempting():
    z = np.array([0.0, 0.4, -0.2, np.nan])
    at, history = planted(z)
    alone, _ = planted(z[:3])
    fewer = Process(alone, History([{}] * 3, z[:3], history.noise[:3], [0], 0))
    process = Process(at, history)
    np.testing.assert_allclose(process.predict(at), fewer.predict(at))
    assert tempts(process, at[3:]) < tempts(fewer, at[3:])
    assert process.believed[3] == pytest.approx(fewer.predict(at)[3])


def tempts(process: Process, at: np.ndarray) -> float:
    return process.improvement(process.predict(at), process.covariance(at).diagonal())[0]


def test_several_at_once_are_those_of_one_after_another():
    z = np.array([0.0, 0.4, -0.2, 0.3])
    at, history = planted(z)
    candidates = rows(np.random.default_rng(2).uniform(-1, 1, (30, 3)))
    chosen: list[int] = []
    for _ in range(6):
        seen = np.concatenate([z, np.full(len(chosen), np.nan)])
        noise = np.concatenate([history.noise, np.full(len(chosen), 0.05)])
        under_way = History([{}] * len(seen), seen, noise, [0], 0)
        left = [place for place in range(30) if place not in chosen]
        process = Process(np.concatenate([at, candidates[chosen]]), under_way)
        chosen.append(left[process.best(candidates[left])[0]])
    assert Process(at, history).best(candidates, 6) == chosen
    assert Process(at, history).best(candidates[:4], 6) == Process(at, history).best(
        candidates[:4], 4
    )


def test_with_very_many_trials_under_way_several_are_chosen_at_once(monkeypatch):
    chosen = []
    best = AnchoredSampler._best
    monkeypatch.setattr(
        AnchoredSampler, "_best", lambda *args: chosen.append(args[-1]) or best(*args)
    )
    study, ahead = search(0, 12), deque()
    chosen.clear()
    asked = []
    for number in range(64):
        study.sampler = AnchoredSampler(number, ahead)
        asked.append(study.ask())
        cost(asked[-1])
    # One at a time for the first 32, then two, then three.
    assert chosen == [1] * 32 + [2] * 8 + [3] * 6
    assert len({tuple(sorted(trial.params.items())) for trial in asked}) == 64


@pytest.fixture(autouse=True)
def _few_candidates(monkeypatch):
    """Enough for what is asserted here."""
    monkeypatch.setattr(anchored, "MUTANTS", 40)
