"""What trainings elsewhere say of hyperparameters: a study's sampler starts from it.

A sum over hyperparameters, fitted to the trials of real searches (`benchmarks.prior`, which also
says how well it foretells a search that it has not seen). It tells z, the log of a score over the
anchor's (see `search.proposals.anchored`), so that it is about changes of a default and not about
any images' level of FID.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from search.proposals.encoding import Values
from search.study.config import StudyConfig
from spaces.catalog import SPACES

FILE = Path(__file__).with_name("prior.json")
SIZE = 32
"""Pixels of the images that it was learnt from, and is used for."""
ABSENT = "absent"
"""In place of a hyperparameter's option, where a configuration has none."""


@dataclass(frozen=True)
class Options:
    """A hyperparameter of names, or of truths.

    Attributes:
        effects: on z, of each option.
    """

    effects: Mapping[str, float]

    def __call__(self, value: Any) -> float:
        """An option never tried counts as the worst of those that were."""
        name = ABSENT if value is None else str(value)
        return self.effects.get(name, max(self.effects.values()))


@dataclass(frozen=True)
class Numbers:
    """A hyperparameter of numbers: slope and bend over its range from -1 to 1.

    Attributes:
        low: where the range begins; what lies below counts as this.
        high: where it ends, likewise.
        log: whether distances are ratios.
        slope: effect on z of the place in the range.
        bend: of its square.
        absent: of not having it.
    """

    low: float
    high: float
    log: bool
    slope: float
    bend: float
    absent: float = 0.0

    def __call__(self, value: float | None) -> float:
        """Of a value, or of not having one."""
        if value is None:
            return self.absent
        place = self.place(value)
        return self.slope * place + self.bend * place**2

    def place(self, value: float) -> float:
        """Where a value lies, -1 to 1."""
        scale = math.log if self.log else float
        low, high = scale(self.low), scale(self.high)
        return 2 * (scale(min(max(value, self.low), self.high)) - low) / (high - low) - 1


@dataclass(frozen=True)
class Prior:
    """See the module.

    Attributes:
        trials: how many it is made of.
        others: z of what is not the anchor, beside the effects: most changes are for the worse.
        effects: of each hyperparameter.
    """

    trials: int
    others: float
    effects: Mapping[str, Options | Numbers]

    def __call__(self, rows: Sequence[Values], anchor: Values) -> np.ndarray:
        """The expected z of searched values, [rows]; each value's effect is looked up once."""
        moved = np.zeros(len(rows))
        for name, effect in self.effects.items():
            usual = anchor.get(name)
            known: dict[Any, float] = {usual: 0.0}
            values = [row.get(name) for row in rows]
            for value in set(values) - known.keys():
                known[value] = effect(value) - effect(usual)
            moved += [known[value] for value in values]
        return np.where([row == anchor for row in rows], 0.0, self.others + moved)


@cache
def shipped() -> Prior:
    """What comes with the project."""
    kept = json.loads(FILE.read_text())
    effects = {
        name: Numbers(**found) if "slope" in found else Options(found)
        for name, found in kept["effects"].items()
    }
    return Prior(kept["trials"], kept["others"], effects)


def prior_of(config: StudyConfig) -> Prior | None:
    """What the study's sampler starts from; None where nothing is known of what it asks for: of
    two searches at 64 pixels it foretold nothing."""
    asked = config.prior == "auto" and config.sampler == "auto"
    told = config.space in SPACES and config.objective == "fid" and config.resource == "epoch"
    return shipped() if asked and told and config.image_size == SIZE else None
