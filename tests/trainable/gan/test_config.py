"""TrialConfig: what it takes, what it refuses, and that nothing is lost on the way through JSON."""

import dataclasses
import json
import math
import random

import pytest

from spaces import presets
from spaces.errors import InputError
from tests.helpers.configs import ADAM, BACKED, BACKED_TASK, NOISY, ONLY, OWN_D, XRAYS, without
from tests.helpers.refusals import refused
from trainable.gan.config import ACTIVATIONS, AUGMENTATIONS, BACKBONES, TrialConfig
from trainable.gan.fields import meanings

SGD = without(ADAM, "beta1", "beta2") | {"optimizer": "sgd", "momentum": 0.9}
ADAPTIVE = without(ADAM, "augment_probability") | {
    "augment_control": "adaptive",
    "augment_target": 0.6,
}
BASES = {
    "adam": ADAM, "sgd": SGD, "noisy": NOISY, "adaptive": ADAPTIVE, "backed": BACKED, "only": ONLY,
    "study2023": presets.study2023(XRAYS),
}  # fmt: skip
FIELDS = {f.name: f for f in dataclasses.fields(TrialConfig)}


@pytest.mark.parametrize("base", BASES)
def test_presets_and_their_kin_are_valid_and_complete(base):
    config = TrialConfig.from_params(BASES[base])
    config.check_task(BACKED_TASK)
    assert config.to_params() == BASES[base]
    assert TrialConfig.from_params(json.loads(json.dumps(config.to_params()))) == config


def test_each_hyperparameter_says_what_it_is():
    said = meanings(TrialConfig)
    assert list(said) == list(FIELDS)
    assert said["g_lr"] == "Learning rate of the generator after warm-up."
    assert "\n" not in "".join(said.values())


def test_what_the_default_says():
    config = TrialConfig.from_params(ADAM)
    assert (config.momentum, config.augment_target, config.backbone_role) == (None, None, None)
    assert config.augmentations == ("translation", "brightness", "contrast")
    assert config.output_range == (-1, 2)
    sigmoid = TrialConfig.from_params(ADAM | {"output_activation": "sigmoid"})
    assert sigmoid.output_range == (0, 1)


def draw(rng: random.Random) -> dict:
    """Valid parameters, over all that the fields allow."""
    params: dict = {}
    for name, spec in FIELDS.items():
        when = spec.metadata.get("when")
        if when is not None and not when.holds(params.get(when.field)):
            continue
        if options := spec.metadata.get("options"):
            params[name] = rng.choice(options)
        elif parts := spec.metadata.get("parts"):
            params[name] = "+".join(rng.sample(parts, rng.randint(0, 3))) or "none"
        else:
            low, high, open_low, open_high = spec.metadata["bounds"]
            if str(spec.type).startswith("int"):
                params[name] = rng.randint(low, high)
            else:
                share = rng.choice([0.5, 0.01, 0.0 if not open_low else 0.1, 0.9 + 0.0999])
                params[name] = low + share * (high - low)
                assert not (open_high and params[name] >= high)
    return params


def contradiction(drawn: dict) -> tuple[object, ...]:
    """What is named where values that are each allowed must be refused together."""
    adaptive = drawn.get("augment_control") == "adaptive"
    if drawn.get("backbone_role") == "only" and (drawn["instance_noise"] or adaptive):
        return ("backbone_role only",)
    if drawn.get("d_norm") == "batch" and drawn["penalty"] != "none":
        return ("penalty", drawn["penalty"], "d_norm batch")
    if drawn.get("loss") == "relativistic" and adaptive:
        return ("augment_control", "adaptive", "loss relativistic")
    if drawn["backbone"] == "inception_v3" and drawn["backbone_size"] < 75:
        return ("backbone_size", drawn["backbone_size"], "inception_v3", 75)
    return ()


def test_draws_survive_the_round_trip_through_json():
    rng, valid = random.Random(1), 0
    while valid < 300:
        drawn = draw(rng)
        if fault := contradiction(drawn):
            with refused(*fault):
                TrialConfig.from_params(drawn)
            continue
        valid += 1
        config = TrialConfig.from_params(drawn)
        assert config.to_params() == drawn
        text = json.dumps(config.to_params(), allow_nan=False)
        assert TrialConfig.from_params(json.loads(text)) == config


def test_a_field_stands_after_the_one_that_governs_it():
    for place, spec in enumerate(FIELDS.values()):
        if when := spec.metadata.get("when"):
            assert when.field in list(FIELDS)[:place]
            assert str(spec.type).endswith(" | None")


def test_config_is_frozen_and_hashable():
    config = TrialConfig.from_params(ADAM)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.g_depth = 3  # type: ignore[misc]
    assert hash(config) == hash(TrialConfig.from_params(ADAM))


# Keys


@pytest.mark.parametrize(
    ("base", "name"), [(b, n) for b in ("adam", "adaptive", "backed", "only") for n in BASES[b]]
)
def test_a_missing_key_is_named(base, name):
    with refused(name, "missing"):
        TrialConfig.from_params(without(BASES[base], name))


@pytest.mark.parametrize(
    ("base", "name", "condition"),
    [
        (SGD, "momentum", ("optimizer", "sgd", "rmsprop")),
        (NOISY, "instance_noise_halflife_kimg", ("instance_noise", 0)),
        (ADAM, "penalty_weight", ("penalty", "not none")),
        (ADAM, "d_depth", ("backbone_role", "not only")),
        (ADAM, "augment_probability", ("augment_control", "fixed")),
        (ADAPTIVE, "augment_target", ("augment_control", "adaptive")),
        (ADAM, "ema_rampup", ("ema_halflife_kimg", 0)),
        (BACKED, "backbone_interval", ("backbone_role", "auxiliary")),
        (BACKED, "backbone_size", ("backbone", "not none")),
    ],
)
def test_a_conditional_key_that_is_missing_is_named_with_its_condition(base, name, condition):
    with refused(name, "missing", *condition):
        TrialConfig.from_params(without(base, name))


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("batchsize", "batch_size?"),
        ("lr_g", ""),
        ("G_lr", "g_lr?"),
        ("conditioning", "d_conditioning?"),
        ("zzz", ""),
    ],
)
def test_an_unknown_key_is_named_with_its_neighbour(key, meant):
    with refused(key, "hyperparameter", meant) as caught:
        TrialConfig.from_params(ADAM | {key: 1})
    assert ("?" in str(caught.value)) == bool(meant)


def test_all_faults_are_named_at_once():
    params = ADAM | {"loss": "wgan", "g_depth": 0, "typo": 1}
    del params["init"]
    with pytest.raises(InputError) as caught:
        TrialConfig.from_params(params)
    faults = str(caught.value).split("; ")
    assert [fault.split()[0] for fault in faults] == ["typo", "init", "g_depth", "loss"]


def test_what_hangs_on_a_faulty_field_is_not_judged():
    """Nor what hangs on that in turn: augment rules augment_control, which rules the rest."""
    with refused("augment", "'sepia'") as caught:
        TrialConfig.from_params(ADAM | {"augment": "sepia", "augment_target": 5.0})
    assert "; " not in str(caught.value)


@pytest.mark.parametrize(
    ("base", "changes", "parts"),
    [
        (ADAM, {"momentum": 0.9}, ("momentum", 0.9, "optimizer", "sgd", "rmsprop")),
        (SGD, {"beta1": 0.5}, ("beta1", 0.5, "optimizer", "adam", "adamw")),
        (SGD, {"beta2": 0.9}, ("beta2", 0.9, "optimizer", "rmsprop", "adam", "adamw")),
        (ADAM, {"activation": "relu"}, ("leaky_slope", 0.2, "activation", "leaky_relu")),
        (
            NOISY,
            {"instance_noise": 0.0},
            ("instance_noise_halflife_kimg", 8.0, "instance_noise", 0),
        ),
        (ADAM, {"penalty": "none"}, ("penalty_weight", 0.3, "penalty_interval", 4)),
        (ADAM, {"augment": "none"}, ("augment_control", "'fixed'", "augment", "not none")),
        (
            ADAPTIVE,
            {"augment_probability": 0.5},
            ("augment_probability", 0.5, "augment_control", "fixed"),
        ),
        (ADAM, {"augment_target": 0.5}, ("augment_target", 0.5, "augment_control", "adaptive")),
        (ADAM, {"ema_halflife_kimg": 0}, ("ema_rampup", 0.05, "ema_halflife_kimg", 0)),
        (BACKED, {"backbone": "none"}, ("backbone_role", "'auxiliary'", "backbone", "not none")),
        (ONLY, {"backbone_weight": 2.0}, ("backbone_weight", 2.0, "backbone_role", "auxiliary")),
        *((ONLY, {n: ADAM[n]}, (n, repr(ADAM[n]), "not")) for n in OWN_D),
    ],
)
def test_a_key_that_does_not_apply_is_refused(base, changes, parts):
    with refused(*parts):
        TrialConfig.from_params(base | changes)


def test_none_stands_for_a_key_that_does_not_apply():
    plain = TrialConfig.from_params(ADAM)
    assert TrialConfig.from_params(ADAM | {"momentum": None}) == plain
    assert "momentum" not in plain.to_params()


def test_none_is_no_value_where_the_key_applies():
    with refused("beta1", "missing"):
        TrialConfig.from_params(ADAM | {"beta1": None})


# Values: [smallest, largest] accepted, and one refused on either side

BOUNDS = [
    # base, name, refused, accepted, accepted, refused
    (ADAM, "leaky_slope", -0.01, 0.0, 1.0, 1.01),
    (ADAM, "latent_size", 0, 1, 1024, 1025),
    (ADAM, "g_depth", 0, 1, 7, 8),
    (ADAM, "g_width", 1, 2, 512, 513),
    (ADAM, "g_residuals", -1, 0, 4, 5),
    (BACKED, "backbone_interval", 0, 1, 64, 65),
    (BACKED, "backbone_weight", 0.0, 1e-9, 100.0, 100.1),
    (BACKED, "backbone_size", 31, 32, 512, 513),
    (BACKED, "backbone_channels", 0, 1, 512, 513),
    (BACKED, "backbone_width", 0, 1, 512, 513),
    (BACKED, "backbone_lr", 0.0, 1e-9, 1.0, 1.01),
    (ADAM, "d_depth", 0, 1, 7, 8),
    (ADAM, "d_width", 1, 2, 512, 513),
    (ADAM, "d_residuals", -1, 0, 4, 5),
    (ADAM, "penalty_weight", 0.0, 1e-9, 1000.0, 1000.1),
    (ADAM, "penalty_interval", 0, 1, 64, 65),
    (SGD, "momentum", -0.01, 0.0, 0.999, 1.0),
    (ADAM, "beta1", -0.01, 0.0, 0.999, 1.0),
    (ADAM, "beta2", -0.01, 0.0, 0.999, 1.0),
    (ADAM, "g_lr", 0.0, 1e-9, 1.0, 1.01),
    (ADAM, "lr_ratio", 0.0, 1e-9, 100.0, 100.1),
    (ADAM, "warmup_kimg", -0.1, 0.0, 1000.0, 1000.1),
    (ADAM, "lr_halflife_kimg", -0.1, 0.0, 1e6, 1e6 + 1),
    (ADAM, "l2", -1e-9, 0.0, 1.0, 1.01),
    (ADAM, "batch_size", 0, 1, 4096, 4097),
    (ADAM, "d_steps", 0, 1, 10, 11),
    (NOISY, "instance_noise", -0.1, 1e-9, 2.0, 2.01),
    (NOISY, "instance_noise_halflife_kimg", 0.0, 1e-9, 1e6, 1e6 + 1),
    (ADAM, "augment_probability", 0.0, 1e-9, 1.0, 1.01),
    (ADAPTIVE, "augment_target", -1.01, -1.0, 1.0, 1.01),
    (ADAM, "ema_halflife_kimg", -0.1, 1e-9, 1000.0, 1000.1),
    (ADAM, "ema_rampup", 0.0, 1e-9, 1.0, 1.01),
]


@pytest.mark.parametrize(
    ("base", "name", "below", "low", "high", "above"), BOUNDS, ids=[row[1] for row in BOUNDS]
)
def test_bounds(base, name, below, low, high, above):
    for value in (low, high):
        assert getattr(TrialConfig.from_params(base | {name: value}), name) == value
    for value in (below, above):
        with refused(name, repr(value)):
            TrialConfig.from_params(base | {name: value})


def test_every_number_has_its_bounds_tested():
    numbers = {name for name, spec in FIELDS.items() if "bounds" in spec.metadata}
    assert numbers == {row[1] for row in BOUNDS}
    others = {n for n, s in FIELDS.items() if "options" in s.metadata or "parts" in s.metadata}
    assert numbers | others == set(FIELDS)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("base", "name"), [row[:2] for row in BOUNDS if isinstance(row[3], float)]
)  # fmt: skip
def test_numbers_that_are_not_finite_are_refused(base, name, value):
    with refused(name, value):
        TrialConfig.from_params(base | {name: value})


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("g_depth", True, "int"),
        ("d_depth", 4.0, "int"),
        ("batch_size", "16", "int"),
        ("l2", False, "float"),
        ("g_lr", "0.003", "float"),
        ("d_norm", True, "str"),
        ("loss", 1, "str"),
        ("augment", ["translation"], "str"),
        ("instance_noise", "0.1", "float"),
        ("loss", "wgan", "minimax, non_saturating, hinge, relativistic"),
        ("optimizer", "Adam", "sgd, rmsprop, adam, adamw"),
        ("activation", "", ", ".join(ACTIVATIONS)),
        ("g_lr", 2.0, "(0, 1]"),
        ("beta1", 1.0, "[0, 1)"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(name, value, rule):
    with refused(name, repr(value), rule):
        TrialConfig.from_params(ADAM | {name: value})


def test_a_whole_number_is_taken_for_a_float():
    config = TrialConfig.from_params(ADAM | {"ema_halflife_kimg": 40, "l2": 0})
    assert type(config.ema_halflife_kimg) is float
    assert config == TrialConfig.from_params(ADAM)


def test_every_option_is_accepted():
    """Whatever hangs on one, those of a configuration at hand complete it."""
    values = {k: v for base in BASES.values() for k, v in base.items()} | {"loss": "hinge"}
    for name, spec in FIELDS.items():
        for option in spec.metadata.get("options", ()):
            params: dict = {}
            fitting = {"backbone_size": 96, "augment_control": "fixed"}
            if option == "batch" and name == "d_norm":
                fitting["penalty"] = "none"
            for key, other in FIELDS.items():
                when = other.metadata.get("when")
                if when is None or when.holds(params.get(when.field)):
                    params[key] = {**values, **BACKED, **fitting, name: option}[key]
            assert getattr(TrialConfig.from_params(params), name) == option
    assert FIELDS["activation"].metadata["options"] == ACTIVATIONS
    assert FIELDS["backbone"].metadata["options"] == BACKBONES


@pytest.mark.parametrize(
    "parts", [(), ("cutout",), ("translation", "cutout"), ("contrast", "brightness"), AUGMENTATIONS]
)
def test_augment_is_a_sum_of_parts(parts):
    base = ADAM if parts else without(ADAM, "augment_control", "augment_probability")
    config = TrialConfig.from_params(base | {"augment": "+".join(parts) or "none"})
    assert config.augmentations == parts


@pytest.mark.parametrize(
    "augment",
    ["", "sepia", "none+cutout", "cutout+cutout", "translation+", "cutout, contrast", "Cutout"],
)
def test_augment_refuses_other_sums(augment):
    with refused("augment", repr(augment), ", ".join(AUGMENTATIONS), "'+'"):
        TrialConfig.from_params(ADAM | {"augment": augment})
