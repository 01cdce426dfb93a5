"""Reading a space by drawing from it: conditions, starting points, and faults put into words."""

import random

import optuna
import pytest

from spaces import presets
from spaces.catalog import SPACES
from spaces.describe import describe, starting_point, validate
from spaces.recorder import Choice, Interval
from spaces.task import Task
from tests.helpers.refusals import refused
from trainable.gan.config import TrialConfig

XRAYS = Task(image_size=64, channels=1, classes=2, images=200)


def check(params):
    TrialConfig.from_params(params).check_task(XRAYS)


def with_unknown_key(trial, task):
    return presets.default(task) | {"batchsize": trial.suggest_int("batchsize", 1, 8)}


def with_missing_key(trial, task):
    params = presets.default(task) | {"g_lr": trial.suggest_float("g_lr", 1e-4, 1e-2, log=True)}
    del params["loss"]
    return params


def too_deep_at_one_end(trial, task):
    return presets.default(task) | {"g_depth": trial.suggest_int("g_depth", 1, task.max_depth + 1)}


def open_bound_at_one_end(trial, task):
    return presets.default(task) | {"beta1": trial.suggest_float("beta1", 0, 1)}


@pytest.mark.parametrize(
    ("space", "parts"),
    [
        (with_unknown_key, ("draw 0", "(batchsize=", "batch_size")),
        (with_missing_key, ("draw 0", "(g_lr=", "loss", "missing")),
        (too_deep_at_one_end, ("(g_depth=6)", "g_depth", "64-pixel")),
        (open_bound_at_one_end, ("(beta1=1)", "beta1", "1.0", "[0, 1)")),
    ],
)
def test_validate_names_the_space_the_draw_and_the_key(space, parts):
    with refused(space.__name__, *parts):
        validate(space, XRAYS, check)


def changes_between_draws(trial, task):
    optimizer = trial.suggest_categorical("optimizer", ["adam", "sgd"])
    return {"g_lr": trial.suggest_float("g_lr", 1e-4, 1e-2 if optimizer == "adam" else 1e-1)}


def changes_within_a_draw(trial, task):
    return {"a": trial.suggest_int("a", 1, 2), "b": trial.suggest_int("a", 1, 3)}


def divides_by_zero(trial, task):
    return {"a": 1 / trial.suggest_int("a", 0, 0)}


def leaves(trial, task):
    raise SystemExit(3)


def has_low_above_high(trial, task):
    return {"a": trial.suggest_int("a", 3, 2)}


def returns_nothing(trial, task):
    trial.suggest_float("a", 0, 1)


@pytest.mark.parametrize(
    ("space", "parts"),
    [
        (changes_between_draws, ("g_lr", "0.0001 to 0.01", "0.0001 to 0.1", "Optuna")),
        (changes_within_a_draw, ("a", "1 to 2", "1 to 3", "Optuna")),
        (divides_by_zero, ("draw 0", "(a=0)", "ZeroDivisionError: division by zero")),
        (leaves, ("draw 0", "SystemExit: 3")),
        (has_low_above_high, ("draw 0", "low 3", "high 2")),
        (returns_nothing, ("draw 0", "NoneType", "dict")),
    ],
)
def test_a_faulty_space_is_explained(space, parts):
    with refused(space.__name__, *parts):
        describe(space, XRAYS)
    with refused(space.__name__, *parts):
        validate(space, XRAYS, lambda params: None)


def branches(trial, task):
    deep = trial.suggest_int("depth", 1, 5) >= 3
    norm = trial.suggest_categorical("norm", [False, True])
    width = trial.suggest_int("width", 1, 1000)
    rate = trial.suggest_float("rate", 0, 1)
    if deep:
        trial.suggest_int("skip", 0, 1)
    if norm:
        kind = trial.suggest_categorical("kind", ["batch", "group", "layer"])
        if kind == "group":
            trial.suggest_int("groups", 2, 8)
        if kind != "layer" and rate < 0.5:
            trial.suggest_int("both", 0, 1)
    if trial.suggest_categorical("mode", ["a", "b"]) == "a" and norm:
        trial.suggest_int("pair", 0, 1)
    if hash((width, rate)) % 2:
        trial.suggest_int("erratic", 0, 1)
    return {}


def test_conditions_of_any_kind_are_put_into_words():
    assert {p.name: p.condition for p in describe(branches, XRAYS) if p.condition} == {
        "skip": "when depth is above 2",
        "kind": "when norm is True",
        "groups": "when kind is group",
        "both": "sometimes, when norm is True and kind is batch or group",
        "pair": "when norm is True and mode is a",
        "erratic": "sometimes",
    }


def test_no_starting_point_where_the_space_excludes_the_preset():
    preset = presets.default(XRAYS)
    full = SPACES["full"]
    assert starting_point(full, XRAYS, preset | {"g_lr": 1e-5}) is None  # outside its range
    assert starting_point(full, XRAYS, preset | {"g_width": 17}) is None  # off its step
    assert starting_point(full, XRAYS, preset | {"warmup_kimg": 5.0}) is None  # not searched
    assert starting_point(with_unknown_key, XRAYS, preset) is None  # no such name in the preset
    sgd = preset | {"optimizer": "sgd", "g_lr": 3e-3, "momentum": 0.5}
    assert starting_point(full, XRAYS, sgd) is None  # the value returned is ten times the drawn


@pytest.mark.parametrize(
    ("mine", "optunas"),
    [
        (Interval(0.0, 1.0), optuna.distributions.FloatDistribution(0, 1)),
        (Interval(0.1, 0.7, 0.2), optuna.distributions.FloatDistribution(0.1, 0.7, step=0.2)),
        (Interval(1e-4, 1.0, log=True), optuna.distributions.FloatDistribution(1e-4, 1, log=True)),
        (Interval(1, 9, 4, whole=True), optuna.distributions.IntDistribution(1, 9, step=4)),
        (Interval(1, 3, None, True, True), optuna.distributions.IntDistribution(1, 3, log=True)),
    ],
)
def test_intervals_mean_what_optunas_mean(mine, optunas):
    rng = random.Random(0)
    drawn = [mine.draw(rng) for _ in range(100)]
    assert {type(number) for number in drawn} == {int if mine.whole else float}
    others = (1, 2, 4, 5, 10) if mine.whole else (1e-5, 0.3, 0.5, 0.7, 1.0, 1.5)
    for number in (*drawn, *mine.ends(), *others):
        assert mine.contains(number) == optunas._contains(optunas.to_internal_repr(number))


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Choice(()), "option"),
        (lambda: Choice(([1, 2],)), "list"),
        (lambda: Interval(2, 1), "low 2, high 1"),
        (lambda: Interval(0, 1, log=True), "log .* low 0, high 1"),
        (lambda: Interval(0, 1, step=0), "step .* 0"),
        (lambda: Interval(1, 8, step=2, log=True), "log .* step"),
        (lambda: Interval(float("nan"), 1), "low nan, high 1"),
    ],
)
def test_ranges_that_optuna_refuses_are_refused(make, named):
    with pytest.raises(ValueError, match=named):
        make()
