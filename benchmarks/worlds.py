"""Worlds to search in: from a configuration to its learning curve, true and as it is seen.

- ``table``: the landscape of the tabulated curves, without noise (`benchmarks.curves`).
- ``model``: draws from a Bayesian model of these curves, linear and random features of three
  principal curves; another for each seed.
- ``ablation``: made of the ablations around the default in docs/performance.md: each choice is
  worth one of the measured ratios, each number has its optimum near the default; early curves
  cross.

The default's true curve is the same in all. Noise is that of training twice and of an evaluation.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any, Protocol

import numpy as np

from benchmarks.curves import Curves, Landscape
from benchmarks.curves_space import TASK, tabulated
from spaces.describe import describe
from spaces.recorder import Choice

Values = dict[str, Any]

SEED_NOISE, EVALUATION_NOISE = 0.04, 0.02
"""Standard deviations of log FID."""

RATIOS = (
    0.94, 0.95, 1.02, 1.04, 1.16, 1.70, 1.76, 0.93, 0.95, 0.96, 0.96, 1.05, 1.05, 1.07, 1.11, 1.12,
    1.15, 1.17, 1.22, 1.48, 1.49,
)  # fmt: skip
"""FID over the default's with one ingredient changed, of two ablation tables."""


class World(Protocol):
    """Where a search takes place."""

    def truth(self, values: Values) -> np.ndarray:
        """Log FID at each evaluation."""
        ...


class Noise:
    """What training once adds to log FID: an offset that grows, and each evaluation's own."""

    def __init__(self, seed: int, scale: float = 1.0):
        self._rng = np.random.default_rng([99, seed])
        self._scale = scale

    def draw(self, evaluations: int) -> np.ndarray:
        """Of one training."""
        offset = self._rng.standard_normal()
        walk = np.cumsum(self._rng.standard_normal(evaluations)) / math.sqrt(evaluations)
        each = self._rng.standard_normal(evaluations)
        drawn = SEED_NOISE * (0.8 * offset + 0.6 * walk) + EVALUATION_NOISE * each
        return self._scale * drawn


class Table:
    """The landscape, without noise."""

    def __init__(self, landscape: Landscape):
        self._landscape = landscape

    def truth(self, values: Values) -> np.ndarray:
        return np.log(self._landscape.curve(values)[1])


class Model:
    """A draw from the posterior of a model of the table's curves."""

    COMPONENTS, FEATURES = 3, 250
    LENGTH = 4.0

    def __init__(self, landscape: Landscape, seed: int):
        rng = np.random.default_rng([70, seed])
        self._encode = landscape.encode
        curves = landscape.curves
        logs = np.log(curves.fid)
        at = np.array([self._encode(values) for values in curves.searched])
        size = at.shape[1]
        self._mean = logs.mean(0)
        _, _, directions = np.linalg.svd(logs - self._mean, full_matrices=False)
        self._directions = directions[: self.COMPONENTS]
        scores = (logs - self._mean) @ self._directions.T
        # Frequencies of a Matern 3/2 kernel are Student's t with 3 degrees of freedom.
        self._waves = rng.standard_t(3, size=(size, self.FEATURES)) / self.LENGTH
        self._phases = rng.uniform(0, 2 * np.pi, self.FEATURES)
        features = self._features(at)
        self._weights = np.array([self._draw(features, at, column, rng) for column in scores.T])
        self._shift = logs[0] - self._raw(curves.searched[0])  # the default's curve is known

    def _draw(
        self, features: np.ndarray, at: np.ndarray, scores: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Weights from their posterior, under the hyperparameters of the largest evidence."""
        best: tuple[float, np.ndarray, np.ndarray] | None = None
        size, spread = at.shape[1], scores.var()
        for noisy in (0.2, 0.35, 0.5, 0.65):
            for wavy in (0.1, 0.3):
                linear = spread * (1 - noisy) * (1 - wavy) / at.var(0).sum()
                wave = spread * (1 - noisy) * wavy
                prior = np.r_[np.full(size, linear), np.full(self.FEATURES, wave)]
                noise = np.full(len(scores), spread * noisy)
                noise[0] = spread * 0.02
                covariance = (features * prior) @ features.T + np.diag(noise)
                factor = np.linalg.cholesky(covariance)
                whitened = np.linalg.solve(factor, scores)
                evidence = -0.5 * whitened @ whitened - np.log(np.diag(factor)).sum()
                if best is None or evidence > best[0]:
                    best = evidence, prior, noise
        assert best is not None
        _, prior, noise = best
        precision = (features.T / noise) @ features + np.diag(1 / prior)
        factor = np.linalg.cholesky(precision)
        mean = np.linalg.solve(precision, features.T @ (scores / noise))
        return mean + np.linalg.solve(factor.T, rng.standard_normal(len(mean)))

    def _features(self, at: np.ndarray) -> np.ndarray:
        waves = np.cos(at @ self._waves + self._phases)
        return np.hstack([at, math.sqrt(2 / self.FEATURES) * waves])

    def _raw(self, values: Values) -> np.ndarray:
        features = self._features(np.array([self._encode(values)]))[0]
        return self._mean + (self._weights @ features) @ self._directions

    def truth(self, values: Values) -> np.ndarray:
        return self._raw(values) + self._shift


class Ablation:
    """Effects of single changes, added; made anew for each seed."""

    def __init__(self, curves: Curves, seed: int):
        rng = np.random.default_rng([40, seed])
        self._default, self._curve = curves.searched[0], np.log(curves.fid[0])
        self._share = np.array(curves.evaluations) / curves.evaluations[-1]
        self._seed = seed
        logs = np.log(RATIOS)
        logs = np.where(np.abs(logs) < 0.12, 0.65 * logs, logs)  # small ones are noise in part
        self._known = {p.name: p.distribution for p in describe(tabulated, TASK)}
        self._choices: dict[str, dict[Any, float]] = {}
        self._numbers: dict[str, tuple[float, float]] = {}
        for name, distribution in self._known.items():
            usual = self._default.get(name)
            if isinstance(distribution, Choice):
                self._choices[name] = {
                    option: 0.0 if option == usual or usual is None else float(rng.choice(logs))
                    for option in distribution.options
                }
            else:
                steepness = float(np.exp(rng.normal(np.log(0.6), 0.7)))
                self._numbers[name] = steepness, float(rng.normal(0, 0.15))

    def truth(self, values: Values) -> np.ndarray:
        effect = 0.0
        for name, value in values.items():
            distribution, usual = self._known[name], self._default.get(name)
            if isinstance(distribution, Choice):
                effect += self._choices[name][value]
            elif usual is not None:
                scale = math.log if distribution.log else float
                spread = scale(distribution.high) - scale(distribution.low)
                steepness, best = self._numbers[name]
                away = (scale(value) - scale(usual)) / spread - best
                effect += steepness * (away**2 - best**2)
        if effect > 0.7:  # the worst is no worse than noise
            effect = 0.7 + 0.2 * math.tanh((effect - 0.7) / 0.2)
        return self._curve + (0.45 + 0.55 * self._share) * effect + self._crossing(values)

    def _crossing(self, values: Values) -> np.ndarray:
        """What a configuration's early curve is off by."""
        if values == self._default:
            return np.zeros(len(self._share))
        key = repr((self._seed, sorted((name, str(value)) for name, value in values.items())))
        drawn = np.random.default_rng(int(hashlib.sha256(key.encode()).hexdigest()[:16], 16))
        return drawn.standard_normal() * 0.06 * (1 - self._share)


WORLDS = ("table", "model", "ablation")


def build(name: str, landscape: Landscape, seed: int) -> tuple[World, Noise]:
    """The world of that name for one seed, and its noise."""
    if name == "table":
        return Table(landscape), Noise(seed, 0.0)
    if name == "model":
        return Model(landscape, seed), Noise(seed)
    return Ablation(landscape.curves, seed), Noise(seed)
