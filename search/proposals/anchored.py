"""A sampler that starts from what is known: near an anchor, and by what curves say against its own.

What is compared is z, the log of a trial's score over the anchor's at the same evaluation: a trial
stopped at the first rung then tells nearly as much as a complete one, and a slow start of all
counts against none. A Gaussian process on z (Matern 3/2, noise by how far a trial came) judges
mutations of the trials that it believes best, some draws around the anchors, and a few from the
whole space; the largest expected improvement (Jones et al. 1998) is proposed. Trials under way
without a score count with what the process expects of them ("kriging believer", Ginsbourger et al.
2010), so that many workers do not try the same. With very many of them, several trials are chosen
at once, each then believed as if it were under way.

A prior (`search.proposals.prior`) may say what z to expect. The process then tells by how much a
study differs from it, and how far the prior is to be trusted there at all.

An anchor is a trial whose values were given: the default, which a search tries first, or what a
user enqueued. Without one the space is drawn from at random for a while, and the trial that came
furthest stands in for it.
"""

from __future__ import annotations

import math
import random
from collections import deque
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.spatial.distance import cdist
from scipy.stats import norm

from search.proposals.encoding import Encoder
from search.proposals.history import BROKEN, NOISE, History
from search.proposals.moves import Conditions, Distributions, anywhere, around, mutated
from search.proposals.prior import Prior

ALONE = 5
"""Random trials of a space without an anchor."""
NEAR = 3
"""Trials that just change the anchor, as there is nothing to learn from."""
MUTANTS, AROUND, ANYWHERE = 60, 25, 8
"""Candidates for a proposal: mutations of the best, draws around the anchors, and from all over."""
PARENTS = 3
"""Trials that are mutated."""
CROWD = 16
"""One more trial is chosen at once for each so many under way."""
TRIES = 20
"""Changes of the anchor among which there is one that was not tried, while that is all there is."""
LENGTH = 4.0
"""Of the kernel, in the encoding's units: two numbers at opposite ends differ by 2."""
EXPECTED = 0.15
"""Mean of z before a trial is seen: most configurations are worse than the anchor. Without one it
is the worst z so far: their mean falls as proposals crowd together, and would hold them there."""
TRUST = 0.5
"""Standard deviation of the factor by which a prior's effects are larger or smaller in a study."""
LEAST = 0.05
"""Least variance of z over the space: a few trials that are alike do not make a plain."""

Ahead = deque[dict[str, Any]]


class AnchoredSampler(BaseSampler):
    """See the module. For any define-by-run space, and one goal or several.

    A proposal depends on the study's trials and on `seed` alone. So it is the same in a resumed
    study, if each proposal has its own sampler with a seed of its own; but for those that are
    chosen ahead, where 32 trials and more are under way.
    """

    def __init__(
        self, seed: int | None = None, ahead: Ahead | None = None, prior: Prior | None = None
    ):
        """`ahead`: where the samplers of one study, in one process, keep what one of them chose for
        the next; without it each chooses for itself. `prior`: for one goal, what to expect."""
        self._rng = random.Random(seed)
        self._ahead, self._prior = ahead, prior
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
        if self._ahead:
            return self._ahead.popleft()
        others = [t for t in study.get_trials(deepcopy=False) if t.number != trial.number]
        history = History.of(others, study.directions, self._rng)
        seen, untold = len(history.params), history.against is None
        if not history.anchors and (seen < ALONE or untold):
            return {n: anywhere(found, self._rng) for n, found in search_space.items()}
        if self._prior is not None:
            history = history.foreseen()
        candidates = Candidates(others, history, search_space, self._prior)
        if not candidates.foretold and (seen < NEAR or untold):
            anchor = history.params[history.anchors[0]]
            changed = [mutated(anchor, search_space, self._rng) for _ in range(TRIES)]
            return candidates.untried(changed)[0][0]
        if self._ahead is None:
            return self._best(candidates, 1)[0]
        under_way = sum(t.state is TrialState.RUNNING for t in others)
        first, *rest = self._best(candidates, max(1, under_way // CROWD))
        self._ahead.extend(rest)
        return first

    def _best(self, candidates: Candidates, count: int) -> list[dict[str, Any]]:
        """The candidates of the largest expected improvement that were not tried before."""
        rng, known, history = self._rng, candidates.known, candidates.history
        process = Process(candidates.seen, history, TRUST if candidates.foretold else 0.0)
        order = np.argsort(process.believed)
        sound = [place for place in order if history.z[place] < BROKEN]  # and has one
        parents = [history.params[place] for place in (sound or order)[:PARENTS]]
        centres = [history.params[place] for place in history.anchors] or parents
        drawn = [mutated(parents[i % len(parents)], known, rng) for i in range(MUTANTS)]
        drawn += [around(centres[i % len(centres)], known, rng) for i in range(AROUND)]
        drawn += [{n: anywhere(d, rng) for n, d in known.items()} for _ in range(ANYWHERE)]
        new, at = candidates.untried(drawn)
        return [new[place] for place in process.best(at, count)]


class Candidates:
    """Tells which values were tried, failed trials among them, and what to expect of others.

    Attributes:
        history, known: what it was made of.
        foretold: whether the expectation is a prior's.
        seen: the history's values as rows [n, size + 1]: encoded, and the z to be expected.
    """

    def __init__(
        self, trials: list[FrozenTrial], history: History, known: Distributions,
        prior: Prior | None = None,
    ):  # fmt: skip
        self.history, self.known = history, known
        self._encoder, self._conditions = Encoder(known), Conditions(history.params, known)
        self._prior = prior if history.anchored else None
        self.foretold = self._prior is not None
        told = history.z[~np.isnan(history.z)]
        self._usual = EXPECTED if history.anchored or not len(told) else float(told.max())
        self.seen = self._rows(history.params)
        failed = [t.params for t in trials if t.state is TrialState.FAIL and t.params]
        self._tried = {row.tobytes() for row in (*self.seen, *self._rows(failed))}

    def _rows(self, params: list[dict[str, Any]]) -> np.ndarray:
        z = np.full(len(params), self._usual)
        if self._prior is not None:
            of_all = [*params, self.history.params[self.history.against or 0]]
            *asked, anchor = ({k: v for k, v in of.items() if k in self.known} for of in of_all)
            z = self._prior(asked, anchor)
        return np.column_stack([self._encoder.encode(params), z])

    def untried(self, drawn: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], np.ndarray]:
        """Those that no trial had, each once, and their rows [m, size + 1]; all if none is."""
        rows = self._rows([self._conditions.asked(values) for values in drawn])
        keys = [row.tobytes() for row in rows]
        first = {key: place for place, key in reversed([*enumerate(keys)])}
        new = sorted(first[key] for key in first.keys() - self._tried)
        chosen = new or sorted(first.values())  # a space may be that small
        return [drawn[place] for place in chosen], rows[chosen]


class Process:
    """A Gaussian process on z, conditioned on a history.

    Attributes:
        believed: its mean at each trial of the history; of trials without a z that is all there is.
    """

    def __init__(self, at: np.ndarray, history: History, trust: float = 0.0):
        """`at`: the history's rows, see `Candidates`; `trust`: see `TRUST`, 0 without a prior."""
        known = np.flatnonzero(~np.isnan(history.z))
        off = history.z[known] - at[known, -1]
        self._trust = trust
        self._variance = max(LEAST, float((off**2).mean()))
        self._at, self._factor, self._off = at[:0], np.zeros((0, 0)), off[:0]
        self._add(at[known], off, history.noise[known])
        self.believed = self.predict(at)
        unseen = np.flatnonzero(np.isnan(history.z))
        if len(unseen):
            off = self.believed[unseen] - at[unseen, -1]
            self._add(at[unseen], off, np.full(len(unseen), NOISE))
        self._least = float(self.believed[known].min())

    def _add(self, at: np.ndarray, off: np.ndarray, noise: np.ndarray) -> None:
        """Condition on more trials: the Cholesky factor of before is the upper left of the new."""
        among = self._kernel(at, at) + np.diag(noise**2)
        across = solve_triangular(self._factor, self._kernel(self._at, at), lower=True)
        corner = cholesky(among - across.T @ across, lower=True)
        self._factor = np.block([[self._factor, np.zeros_like(across)], [across.T, corner]])
        self._at = np.concatenate([self._at, at])
        self._off = np.concatenate([self._off, off])
        self._weights = cho_solve((self._factor, True), self._off)

    def _kernel(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Matern 3/2 (Rasmussen and Williams 2006, equation 4.17), and the prior's own factor."""
        distance = math.sqrt(3) / LENGTH * cdist(left[:, :-1], right[:, :-1])
        near = self._variance * (1 + distance) * np.exp(-distance)
        return near + self._trust**2 * np.outer(left[:, -1], right[:, -1])

    def predict(self, at: np.ndarray) -> np.ndarray:
        """Mean of z at rows [m, size + 1]."""
        return at[:, -1] + self._kernel(at, self._at) @ self._weights

    def covariance(self, at: np.ndarray) -> np.ndarray:
        """Of z at rows [m, size + 1], [m, m]."""
        explained = solve_triangular(self._factor, self._kernel(self._at, at), lower=True)
        return self._kernel(at, at) - explained.T @ explained

    def best(self, at: np.ndarray, count: int = 1) -> list[int]:
        """Places of `count` rows, one after another the one of the largest improvement.

        Each that is chosen is believed: that leaves the mean as it is, and less to be gained near.
        """
        mean, covariance = self.predict(at), self.covariance(at)
        chosen: list[int] = []
        for _ in range(min(count, len(at))):
            gain = self.improvement(mean, covariance.diagonal())
            gain[chosen] = -1.0
            chosen.append(place := int(gain.argmax()))
            shared = covariance[place]
            covariance = covariance - np.outer(shared, shared) / (shared[place] + NOISE**2)
        return chosen

    def improvement(self, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Expected improvement on the lowest mean of the trials with a z."""
        sd = np.sqrt(np.maximum(variance, 1e-8))
        gain = (self._least - mean) / sd
        return sd * (gain * norm.cdf(gain) + norm.pdf(gain))
