"""What a study's sampler starts from: a sum of effects, and when it is used."""

from dataclasses import replace

import numpy as np
import pytest

from search.proposals.prior import SIZE, Numbers, Options, Prior, prior_of, shipped
from spaces.catalog import full
from spaces.describe import describe
from spaces.presets import BACKBONE
from spaces.recorder import Choice
from tests.helpers.fake_tune import TASK, config

RATE = Numbers(1e-4, 1e-2, True, slope=0.2, bend=0.1, absent=0.05)
WIDTH = Numbers(0.0, 10.0, False, slope=-0.1, bend=0.0)
OPTIMIZER = Options({"adam": -0.1, "sgd": 0.3, "absent": 0.02})
PRIOR = Prior(9, 0.15, {"rate": RATE, "width": WIDTH, "optimizer": OPTIMIZER})


def test_a_number_counts_by_its_place_in_its_range():
    assert [RATE.place(x) for x in (1e-4, 1e-3, 1e-2)] == pytest.approx([-1, 0, 1])
    assert [WIDTH.place(x) for x in (0, 7.5, 10)] == pytest.approx([-1, 0.5, 1])
    assert RATE.place(1.0) == 1
    assert RATE.place(1e-9) == -1
    assert RATE(1e-2) == pytest.approx(0.3)
    assert RATE(10**-3.5) == pytest.approx(-0.1 + 0.025)
    assert RATE(None) == 0.05


def test_an_option_counts_by_its_name_and_one_never_tried_as_the_worst():
    assert [OPTIMIZER(x) for x in ("adam", "rmsprop", None)] == [-0.1, 0.3, 0.02]
    assert Options({"True": 0.1})(True) == 0.1


def test_a_configuration_is_expected_at_the_sum_of_what_it_changes():
    anchor = {"rate": 1e-3, "width": 5, "optimizer": "adam", "own": 1}
    both = {**anchor, "rate": 1e-2, "width": 10}
    without = {k: v for k, v in anchor.items() if k != "optimizer"}
    asked = {
        0.0: anchor,
        0.15: {**anchor, "own": 2},
        0.15 + 0.4: {**anchor, "optimizer": "sgd"},
        0.15 + 0.3 - 0.1: both,
        0.15 + 0.12: without,
    }
    np.testing.assert_allclose(PRIOR([*asked.values()], anchor), [*asked])
    assert PRIOR([], anchor).shape == (0,)


def test_what_ships_knows_all_that_the_space_asks_for():
    prior = shipped()
    assert prior.trials >= 100
    task = replace(TASK, image_size=SIZE, backbone=BACKBONE)
    for asked in describe(full, task):
        effect, what = prior.effects[asked.name], asked.distribution
        if isinstance(effect, Options):
            assert isinstance(what, Choice)
            assert {str(option) for option in what.options} <= effect.effects.keys()
        else:
            ends = what.options if isinstance(what, Choice) else what.ends()
            assert effect.low <= min(ends) < max(ends) <= effect.high, asked.name


@pytest.mark.parametrize(
    ("changes", "used"),
    [
        ({}, True),
        ({"space": "architecture"}, True),
        ({"prior": "none"}, False),
        ({"sampler": "tpe"}, False),
        ({"space": "mine.spaces:wide"}, False),  # whose names may mean anything
        ({"objective": "kid"}, False),
        ({"objective": "fid,classifier", "hold_back": 0.2}, False),
        ({"image_size": 64}, False),
        ({"resource": "seconds"}, False),  # it was learnt for equal images
    ],
)
def test_it_is_used_where_it_was_learnt(changes, used):
    settings = {"sampler": "auto", "prior": "auto", **changes}
    assert (prior_of(config(**settings)) is not None) == used
