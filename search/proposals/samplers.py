"""Optuna's samplers, one for each proposal."""

from __future__ import annotations

import warnings

import numpy as np
import optuna

from search.proposals.anchored import Ahead, AnchoredSampler
from search.proposals.prior import Prior

STARTUP = 10
"""Random trials before a sampler that learns is asked."""


def build_sampler(
    name: str, seed: int, number: int, ahead: Ahead | None = None, prior: Prior | None = None
) -> optuna.samplers.BaseSampler:
    """The sampler that proposes trial `number`, and no other.

    A new one for each proposal depends on the study and on its own seed alone, not on what it
    proposed before: so a resumed search proposes what an uninterrupted one would have. The cost is
    a look through the study's trials, which the proposal takes anyway. With very many trials under
    way "auto" chooses several at once, and keeps in `ahead` those that are not asked for yet. It
    alone takes a `prior`.
    """
    own = int(np.random.SeedSequence([seed, number, 1]).generate_state(1)[0])
    with warnings.catch_warnings():  # multivariate, group and gp count as experimental
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match name:
            case "auto":
                return AnchoredSampler(own, ahead, prior)
            case "random":
                return optuna.samplers.RandomSampler(seed=own)
            case "tpe":
                return optuna.samplers.TPESampler(
                    seed=own, multivariate=True, group=True, n_startup_trials=STARTUP
                )
            case "gp":
                return optuna.samplers.GPSampler(
                    seed=own, n_startup_trials=STARTUP, warn_independent_sampling=False
                )
            case "nsgaii":
                return optuna.samplers.NSGAIISampler(seed=own, population_size=2 * STARTUP)
    raise ValueError(f"unknown sampler {name!r}")
