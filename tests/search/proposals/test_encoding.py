"""Searched values as vectors."""

import math

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution as Choice
from optuna.distributions import FloatDistribution as Float
from optuna.distributions import IntDistribution as Int

from search.proposals.encoding import Encoder, share_of, value_at

KNOWN = {
    "rate": Float(1e-4, 1e-2, log=True),
    "width": Int(8, 32, step=8),
    "batch": Choice((16, 8, 32)),
    "loss": Choice(("hinge", "wgan", None)),
    "biased": Choice((False, True)),
}


@pytest.mark.parametrize(
    ("distribution", "value", "share"),
    [
        (Float(-2, 6), 0.0, 0.25),
        (Float(1e-4, 1e-2, log=True), 1e-3, 0.5),
        (Float(0, 1, step=0.25), 0.75, 0.75),
        (Int(8, 32, step=8), 16, 1 / 3),
        (Int(1, 100, log=True), 10, 0.5),
        (Int(4, 4), 4, 0.5),
    ],
)
def test_a_number_has_a_place_between_its_ends_and_back(distribution, value, share):
    assert share_of(distribution, value) == pytest.approx(share)
    assert value_at(distribution, share) == pytest.approx(value)
    assert type(value_at(distribution, share)) is type(value)


@pytest.mark.parametrize("distribution", [d for d in KNOWN.values() if not isinstance(d, Choice)])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.49, 0.77, 1.0])
def test_every_place_is_a_value_that_can_be_drawn(distribution, share):
    value = value_at(distribution, share)
    assert distribution._contains(distribution.to_internal_repr(value))


def test_each_value_has_its_columns():
    encoder = Encoder(KNOWN)
    rows = [
        {"rate": 1e-3, "width": 32, "batch": 8, "loss": None, "biased": True},
        {"rate": 1e-4, "loss": "hinge"},
    ]
    expected = [
        [0, 0, 0, 1, 0, -1, 0, 0, 1, 0, 1],
        [0, -1, 1, 0, 1, 0, 1, 0, 0, 0, 0],
    ]
    np.testing.assert_allclose(encoder.encode(rows), expected, atol=1e-12)
    assert encoder.size == 11


def test_opposite_ends_are_further_apart_than_two_options():
    low, high = ({"rate": rate, "loss": "hinge"} for rate in (1e-4, 1e-2))
    at = Encoder(KNOWN).encode([low, high, {**low, "loss": "wgan"}])
    assert np.linalg.norm(at[0] - at[1]) == pytest.approx(2)
    assert np.linalg.norm(at[0] - at[2]) == pytest.approx(math.sqrt(2))
