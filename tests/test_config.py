"""TrialConfig: what it takes, what it refuses, and that nothing is lost on the way through JSON."""

import dataclasses
import json
import math
import random

import pytest

from spaces import presets
from spaces.catalog import SPACES
from spaces.errors import InputError
from spaces.recorder import Recorder
from spaces.task import Task
from trainable.config import ACTIVATIONS, TrialConfig

XRAYS = Task(image_size=64, channels=1, classes=2, images=200)

ADAM = presets.default(XRAYS)
SGD = {k: v for k, v in ADAM.items() if k not in ("beta1", "beta2")} | {
    "optimizer": "sgd",
    "momentum": 0.9,
}
NOISY = ADAM | {"instance_noise": 0.1, "instance_noise_halflife_kimg": 8.0}


def test_default_preset_is_valid_and_complete():
    config = TrialConfig.from_params(ADAM)
    config.check_task(XRAYS)
    assert config.to_params() == ADAM
    assert config.momentum is None
    assert config.augmentations == ("translation", "brightness", "contrast")


@pytest.mark.parametrize("name", SPACES)
def test_draws_survive_the_round_trip_through_json(name):
    rng = random.Random(1)
    for _ in range(100):
        drawn = SPACES[name](Recorder(lambda _, d: d.draw(rng)), XRAYS)  # type: ignore[arg-type]
        config = TrialConfig.from_params(drawn)
        assert config.to_params() == drawn
        text = json.dumps(config.to_params(), allow_nan=False)
        assert TrialConfig.from_params(json.loads(text)) == config


def test_config_is_frozen_and_hashable():
    config = TrialConfig.from_params(ADAM)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.depth = 3  # type: ignore[misc]
    assert hash(config) == hash(TrialConfig.from_params(ADAM))


# Keys


@pytest.mark.parametrize("name", ADAM)
def test_a_missing_key_is_named(name):
    with pytest.raises(InputError, match=rf"{name} is missing"):
        TrialConfig.from_params({k: v for k, v in ADAM.items() if k != name})


def test_a_conditional_key_that_is_missing_is_named_with_its_condition():
    with pytest.raises(InputError, match=r"momentum is missing \(optimizer is sgd or rmsprop\)"):
        TrialConfig.from_params({k: v for k, v in SGD.items() if k != "momentum"})
    with pytest.raises(InputError, match=r"halflife_kimg is missing \(instance_noise is above 0"):
        TrialConfig.from_params(ADAM | {"instance_noise": 0.1})


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("batchsize", "batchsize is no hyperparameter; did you mean batch_size?"),
        ("lr_g", "lr_g is no hyperparameter"),
        ("G_lr", "G_lr is no hyperparameter; did you mean g_lr?"),
        ("zzz", "zzz is no hyperparameter"),
    ],
)
def test_an_unknown_key_is_named_with_its_neighbour(key, message):
    with pytest.raises(InputError) as caught:
        TrialConfig.from_params(ADAM | {key: 1})
    assert str(caught.value) == message


def test_all_faults_are_named_at_once():
    params = ADAM | {"loss": "wgan", "depth": 0, "typo": 1}
    del params["init"]
    with pytest.raises(InputError) as caught:
        TrialConfig.from_params(params)
    faults = str(caught.value).split("; ")
    assert [fault.split()[0] for fault in faults] == ["typo", "init", "depth", "loss"]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (ADAM | {"momentum": 0.9}, r"momentum is 0\.9, but .* when optimizer is sgd or rmsprop"),
        (SGD | {"beta1": 0.5}, r"beta1 is 0\.5, but .* when optimizer is adam or adamw"),
        (SGD | {"beta2": 0.9}, r"beta2 is 0\.9, but .* when optimizer is rmsprop or adam or adamw"),
        (ADAM | {"activation": "relu"}, r"leaky_slope is 0\.2, but .* activation is leaky_relu"),
        (NOISY | {"instance_noise": 0.0}, r"halflife_kimg is 8\.0, but .* instance_noise is above"),
    ],
)
def test_a_key_that_does_not_apply_is_refused(params, message):
    with pytest.raises(InputError, match=message):
        TrialConfig.from_params(params)


def test_none_stands_for_a_key_that_does_not_apply():
    without = TrialConfig.from_params(ADAM)
    assert TrialConfig.from_params(ADAM | {"momentum": None}) == without
    assert "momentum" not in without.to_params()


def test_none_is_no_value_where_the_key_applies():
    with pytest.raises(InputError, match="beta1 is missing"):
        TrialConfig.from_params(ADAM | {"beta1": None})


# Values: [smallest, largest] accepted, and one refused on either side

BOUNDS = [
    # base, name, refused, accepted, accepted, refused
    (ADAM, "leaky_slope", -0.01, 0.0, 1.0, 1.01),
    (ADAM, "depth", 0, 1, 7, 8),
    (ADAM, "g_width", 1, 2, 512, 513),
    (ADAM, "d_width", 1, 2, 512, 513),
    (ADAM, "latent_size", 0, 1, 1024, 1025),
    (SGD, "momentum", -0.01, 0.0, 0.999, 1.0),
    (ADAM, "beta1", -0.01, 0.0, 0.999, 1.0),
    (ADAM, "beta2", -0.01, 0.0, 0.999, 1.0),
    (ADAM, "g_lr", 0.0, 1e-9, 1.0, 1.01),
    (ADAM, "d_lr", 0.0, 1e-9, 1.0, 1.01),
    (ADAM, "l2", -1e-9, 0.0, 1.0, 1.01),
    (ADAM, "warmup_kimg", -0.1, 0.0, 1000.0, 1000.1),
    (ADAM, "batch_size", 0, 1, 4096, 4097),
    (ADAM, "d_steps", 0, 1, 10, 11),
    (NOISY, "instance_noise", -0.1, 1e-9, 2.0, 2.01),
    (NOISY, "instance_noise_halflife_kimg", 0.0, 1e-9, 1e6, 1e6 + 1),
    (ADAM, "ema_halflife_kimg", -0.1, 0.0, 1000.0, 1000.1),
]


@pytest.mark.parametrize(
    ("base", "name", "below", "low", "high", "above"), BOUNDS, ids=[row[1] for row in BOUNDS]
)
def test_bounds(base, name, below, low, high, above):
    for value in (low, high):
        assert getattr(TrialConfig.from_params(base | {name: value}), name) == value
    for value in (below, above):
        with pytest.raises(InputError, match=rf"{name} is .*but (must lie in|means something)"):
            TrialConfig.from_params(base | {name: value})


def test_every_number_has_its_bounds_tested():
    numbers = {f.name for f in dataclasses.fields(TrialConfig) if "bounds" in f.metadata}
    assert numbers == {row[1] for row in BOUNDS}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("base", "name"),
    [(row[0], row[1]) for row in BOUNDS if isinstance(row[3], float)],
    ids=[row[1] for row in BOUNDS if isinstance(row[3], float)],
)
def test_numbers_that_are_not_finite_are_refused(base, name, value):
    with pytest.raises(InputError, match=rf"{name} is "):
        TrialConfig.from_params(base | {name: value})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("depth", True, "depth is True, but must be of type int"),
        ("depth", 4.0, r"depth is 4\.0, but must be of type int"),
        ("batch_size", "16", "batch_size is '16', but must be of type int"),
        ("l2", False, "l2 is False, but must be of type float"),
        ("g_lr", "0.003", "g_lr is '0.003', but must be of type float"),
        ("spectral_norm", 1, "spectral_norm is 1, but must be of type bool"),
        ("spectral_norm", "no", "spectral_norm is 'no', but must be of type bool"),
        ("loss", 1, "loss is 1, but must be of type str"),
        ("augment", ["translation"], "augment is .* but must be of type str"),
        ("instance_noise", "0.1", "instance_noise is '0.1', but must be of type float"),
        ("loss", "wgan", "loss is 'wgan', but must be one of minimax, non_saturating, hinge"),
        ("optimizer", "Adam", "optimizer is 'Adam', but must be one of sgd, rmsprop, adam, adamw"),
        ("activation", "", "activation is '', but must be one of relu"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(name, value, message):
    with pytest.raises(InputError, match=message):
        TrialConfig.from_params(ADAM | {name: value})


def test_a_whole_number_is_taken_for_a_float():
    config = TrialConfig.from_params(ADAM | {"ema_halflife_kimg": 4, "l2": 0})
    assert type(config.ema_halflife_kimg) is float
    assert config == TrialConfig.from_params(ADAM)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("output_activation", ["tanh", "sigmoid"]),
        ("init", ["he", "normal"]),
        ("upsampling", ["nearest", "transposed"]),
        ("conditioning", ["concat", "projection"]),
        ("loss", ["minimax", "non_saturating", "hinge"]),
        ("spectral_norm", [False, True]),
    ],
)
def test_every_option_is_accepted(name, options):
    for option in options:
        assert getattr(TrialConfig.from_params(ADAM | {name: option}), name) == option


def test_every_activation_is_accepted():
    plain = {k: v for k, v in ADAM.items() if k != "leaky_slope"}
    for activation in ACTIVATIONS:
        slope = {"leaky_slope": 0.1} if activation == "leaky_relu" else {}
        assert TrialConfig.from_params(plain | slope | {"activation": activation})


@pytest.mark.parametrize(
    ("augment", "parts"),
    [
        ("none", ()),
        ("cutout", ("cutout",)),
        ("translation+cutout", ("translation", "cutout")),
        ("contrast+brightness", ("contrast", "brightness")),
    ],
)
def test_augment_is_a_sum_of_parts(augment, parts):
    assert TrialConfig.from_params(ADAM | {"augment": augment}).augmentations == parts


@pytest.mark.parametrize(
    "augment",
    ["", "flip", "none+cutout", "cutout+cutout", "translation+", "cutout, contrast", "Cutout"],
)
def test_augment_refuses_other_sums(augment):
    with pytest.raises(InputError, match=r"augment is .* joined by '\+', each once"):
        TrialConfig.from_params(ADAM | {"augment": augment})


# The task


@pytest.mark.parametrize(("size", "deepest"), [(4, 1), (32, 4), (64, 5), (128, 6)])
def test_depth_must_leave_a_grid_of_two(size, deepest):
    task = Task(size, 1, 2, 200)
    TrialConfig.from_params(ADAM | {"depth": deepest}).check_task(task)
    message = rf"depth is {deepest + 1}, but {size}-pixel images .* at most {deepest} times"
    with pytest.raises(InputError, match=message):
        TrialConfig.from_params(ADAM | {"depth": deepest + 1}).check_task(task)


def test_a_batch_must_not_exceed_the_images():
    config = TrialConfig.from_params(ADAM)
    config.check_task(Task(64, 1, 2, 16))
    with pytest.raises(InputError, match="batch_size is 16, but there are 15 training images"):
        config.check_task(Task(64, 1, 2, 15))
