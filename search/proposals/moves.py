"""Configurations made of others: a value moved, some changed, all drawn anew."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from search.proposals.encoding import Values, share_of, value_at

Distributions = Mapping[str, BaseDistribution]

CHANGED = 0.1
"""Probability that a mutation changes a value; it changes one at least."""
NUDGE = 0.2
"""Standard deviation by which it moves a number, in shares of its range."""
KEPT = 0.7
"""Probability that a choice stays in a draw around a configuration."""
SPREAD = 0.25
"""Standard deviation of numbers there."""
_LEAST = 0.6  # standard deviation of whole numbers, in steps, lest most moves end where they began


def anywhere(distribution: BaseDistribution, rng: random.Random) -> Any:
    """A value of the whole range."""
    if isinstance(distribution, CategoricalDistribution):
        return rng.choice(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return value_at(distribution, rng.random())


def moved(distribution: BaseDistribution, value: Any, sd: float, rng: random.Random) -> Any:
    """Another value: of a number one near by, of a choice any other."""
    if isinstance(distribution, CategoricalDistribution):
        others = [choice for choice in distribution.choices if choice != value]
        return rng.choice(others) if others else value
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    spread = distribution.high - distribution.low
    if distribution.step is not None and not distribution.log and spread > 0:
        sd = max(sd, _LEAST * distribution.step / spread)
    place = share_of(distribution, value)
    for _ in range(50):
        if 0 <= (new := place + rng.gauss(0, sd)) <= 1:
            found = value_at(distribution, new)
            if found != value:
                return found
    return value


def mutated(parent: Values, known: Distributions, rng: random.Random) -> dict[str, Any]:
    """`parent` with some values moved; what it has no value of is drawn."""
    names = [name for name in known if name in parent]
    changed = {name for name in names if rng.random() < CHANGED} or {rng.choice(names)}
    return {
        name: moved(d, parent[name], NUDGE, rng) if name in changed
        else parent[name] if name in parent
        else anywhere(d, rng)
        for name, d in known.items()
    }  # fmt: skip


def around(centre: Values, known: Distributions, rng: random.Random) -> dict[str, Any]:
    """A draw from all values around those of `centre`."""
    found = {}
    for name, distribution in known.items():
        keeps = isinstance(distribution, CategoricalDistribution)
        if name not in centre or (keeps and rng.random() >= KEPT):
            found[name] = anywhere(distribution, rng)
        else:
            value = centre[name]
            found[name] = value if keeps else moved(distribution, value, SPREAD, rng)
    return found


_ABSENT = object()


class Conditions:
    """Which values a space asks for, learnt from what it asked for: it is known by running alone.

    A value is taken to depend on the first choice whose options tell the trials that have it from
    those that have not.
    """

    def __init__(self, seen: Sequence[Values], known: Distributions):
        self._gates: dict[str, tuple[str, set[Any]]] = {}
        choices = [n for n, d in known.items() if isinstance(d, CategoricalDistribution)]
        for name in known:
            if all(name in values for values in seen):
                continue
            for choice in choices:
                on = {values.get(choice, _ABSENT) for values in seen if name in values}
                off = {values.get(choice, _ABSENT) for values in seen if name not in values}
                if choice != name and not on & off:
                    self._gates[name] = choice, off
                    break

    def asked(self, values: Values) -> dict[str, Any]:
        """Those of `values` that the space would ask for, as far as is known."""
        found = dict(values)
        for name in values:
            if name in self._gates:
                choice, off = self._gates[name]
                if found.get(choice, _ABSENT) in off:
                    del found[name]
        return found
