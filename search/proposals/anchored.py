"""A sampler that starts from what is known: near an anchor, and by what curves say against its own.

What is compared is z, the log of a trial's score over the anchor's at the same evaluation: a trial
stopped at the first rung then tells nearly as much as a complete one, and a slow start of all
counts against none. A Gaussian process on z (Matern 3/2, noise by how far a trial came) judges
mutations of the trials that it believes best, some draws around the anchors, and a few from the
whole space; the largest expected improvement (Jones et al. 1998) is proposed. Trials under way
without a score count with what the process expects of them ("kriging believer", Ginsbourger et al.
2010), so that many workers do not try the same.

An anchor is a trial whose values were given: the default, which a search tries first, or what a
user enqueued. Without one the space is drawn from at random for a while, and the trial that came
furthest stands in for it.
"""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.spatial.distance import cdist
from scipy.stats import norm

from search.proposals.encoding import Encoder
from search.proposals.history import NOISE, History
from search.proposals.moves import Conditions, Distributions, anywhere, around, mutated

ALONE = 5
"""Random trials of a space without an anchor."""
NEAR = 3
"""Trials that just change the anchor, as there is nothing to learn from."""
MUTANTS, AROUND, ANYWHERE = 60, 25, 8
"""Candidates for a proposal: mutations of the best, draws around the anchors, and from all over."""
PARENTS = 3
"""Trials that are mutated."""
LENGTH = 4.0
"""Of the kernel, in the encoding's units: two numbers at opposite ends differ by 2."""
EXPECTED = 0.15
"""Mean of z before a trial is seen: most configurations are worse than the anchor."""
LEAST = 0.05
"""Least variance of z over the space: a few trials that are alike do not make a plain."""


class AnchoredSampler(BaseSampler):
    """See the module. For any define-by-run space, and one goal or several.

    A proposal depends on the study's trials and on `seed` alone. So it is the same in a resumed
    study, if each proposal has its own sampler with a seed of its own.
    """

    def __init__(self, seed: int | None = None):
        self._rng = random.Random(seed)
        self._independent = RandomSampler(seed)

    def reseed_rng(self) -> None:
        """As in Optuna, for workers that share a study."""
        self._rng.seed()
        self._independent.reseed_rng()

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """All that a trial was ever asked for, as far as there is a choice."""
        known: dict[str, BaseDistribution] = {}
        for other in study.get_trials(deepcopy=False):
            known |= other.distributions
        return {name: found for name, found in known.items() if not found.single()}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A value that no trial was asked for before."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Values for all of `search_space`, whether or not they will be asked for."""
        if not search_space:
            return {}
        others = [t for t in study.get_trials(deepcopy=False) if t.number != trial.number]
        history = History.of(others, study.directions, self._rng)
        seen = len(history.params)
        if not history.anchors and (seen < ALONE or np.isnan(history.z).all()):
            return {n: anywhere(found, self._rng) for n, found in search_space.items()}
        if seen < NEAR or np.isnan(history.z).all():
            anchor = history.params[history.anchors[0]]
            return mutated(anchor, search_space, self._rng)
        return self._best(history, search_space)

    def _best(self, history: History, known: Distributions) -> dict[str, Any]:
        """The candidate of the largest expected improvement."""
        rng, encoder = self._rng, Encoder(known)
        process = Process(encoder.encode(history.params), history)
        parents = [history.params[place] for place in np.argsort(process.believed)[:PARENTS]]
        centres = [history.params[place] for place in history.anchors] or parents
        candidates = [mutated(parents[i % len(parents)], known, rng) for i in range(MUTANTS)]
        candidates += [around(centres[i % len(centres)], known, rng) for i in range(AROUND)]
        candidates += [{n: anywhere(d, rng) for n, d in known.items()} for _ in range(ANYWHERE)]
        conditions = Conditions(history.params, known)
        asked = encoder.encode([conditions.asked(values) for values in candidates])
        return candidates[int(process.improvement(asked).argmax())]


class Process:
    """A Gaussian process on z, conditioned on a history.

    Attributes:
        believed: its mean at each trial of the history; of trials without a z that is all there is.
    """

    def __init__(self, at: np.ndarray, history: History):
        """`at`: the history's encoded values [n, size]."""
        known = np.flatnonzero(~np.isnan(history.z))
        z = history.z[known]
        self._mean = EXPECTED if history.anchored else float(z.mean())
        self._variance = max(LEAST, float(((z - self._mean) ** 2).mean()))
        self._condition(at[known], z, history.noise[known])
        self.believed, _ = self.predict(at)
        unseen = np.flatnonzero(np.isnan(history.z))
        if len(unseen):
            z = np.concatenate([z, self.believed[unseen]])
            noise = np.concatenate([history.noise[known], np.full(len(unseen), NOISE)])
            self._condition(np.concatenate([at[known], at[unseen]]), z, noise)
        self._least = float(self.believed[known].min())

    def _condition(self, at: np.ndarray, z: np.ndarray, noise: np.ndarray) -> None:
        covariance = self._kernel(at, at) + np.diag(noise**2)
        self._at, self._factor = at, cholesky(covariance, lower=True)
        self._weights = cho_solve((self._factor, True), z - self._mean)

    def _kernel(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Matern 3/2 (Rasmussen and Williams 2006, equation 4.17)."""
        distance = math.sqrt(3) / LENGTH * cdist(left, right)
        return self._variance * (1 + distance) * np.exp(-distance)

    def predict(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of z at encoded values [m, size]."""
        covariance = self._kernel(at, self._at)
        mean = self._mean + covariance @ self._weights
        explained = solve_triangular(self._factor, covariance.T, lower=True)
        return mean, np.sqrt(np.maximum(self._variance - (explained**2).sum(0), 1e-8))

    def improvement(self, at: np.ndarray) -> np.ndarray:
        """Expected improvement on the lowest mean of the trials with a z."""
        mean, sd = self.predict(at)
        gain = (self._least - mean) / sd
        return sd * (gain * norm.cdf(gain) + norm.pdf(gain))
