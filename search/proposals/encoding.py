"""Searched values as vectors between which a distance means something."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

Values = Mapping[str, Any]
Number = FloatDistribution | IntDistribution


def share_of(distribution: Number, value: float) -> float:
    """Where a value lies between the ends of its range, 0 to 1, on the range's own scale."""
    scale = math.log if distribution.log else float
    low, high = scale(distribution.low), scale(distribution.high)
    return 0.5 if low == high else (scale(value) - low) / (high - low)


def value_at(distribution: Number, share: float) -> float:
    """The value nearest to a place between the ends that can be drawn."""
    low, high = float(distribution.low), float(distribution.high)
    if distribution.log:
        value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    else:
        value = low + share * (high - low)
    step = distribution.step
    if step is not None and not (distribution.log and isinstance(distribution, IntDistribution)):
        value = low + step * round((value - low) / step)
    value = min(max(value, low), high)
    return round(value) if isinstance(distribution, IntDistribution) else value


class Encoder:
    """Encodes values of known distributions.

    A number is whether it is absent, and its place between its ends from -1 to 1; so is a choice
    among numbers, by their order. Of any other choice each option has a place of its own, 0 or 1.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution]):
        self._distributions = distributions
        self._at: dict[str, int] = {}
        self._ranks: dict[str, dict[Any, float] | None] = {}
        self.size = 0
        for name, distribution in distributions.items():
            self._at[name] = self.size
            if isinstance(distribution, CategoricalDistribution):
                self._ranks[name] = ranks = _ranks(distribution.choices)
                self.size += 2 if ranks else len(distribution.choices)
            else:
                self.size += 2

    def encode(self, rows: Sequence[Values]) -> np.ndarray:
        """Float64 [rows, size]."""
        found = np.zeros((len(rows), self.size))
        for name, distribution in self._distributions.items():
            at = self._at[name]
            if isinstance(distribution, CategoricalDistribution):
                ranks = self._ranks[name]
                for row, values in zip(found, rows, strict=True):
                    if name not in values:
                        row[at] = ranks is not None
                    elif ranks is None:
                        row[at + distribution.choices.index(values[name])] = 1.0
                    else:
                        row[at + 1] = ranks[values[name]]
                continue
            assert isinstance(distribution, FloatDistribution | IntDistribution)
            for row, values in zip(found, rows, strict=True):
                if name in values:
                    row[at + 1] = 2 * share_of(distribution, values[name]) - 1
                else:
                    row[at] = 1.0
        return found


def _ranks(choices: Sequence[Any]) -> dict[Any, float] | None:
    """The place of each choice from -1 to 1, if all are numbers."""
    if any(isinstance(c, bool) or not isinstance(c, int | float) for c in choices):
        return None
    spread = max(1, len(choices) - 1)
    return {choice: 2 * rank / spread - 1 for rank, choice in enumerate(sorted(choices))}
