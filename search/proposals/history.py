"""What a study's trials say of their configurations, each measured against an anchor's curve."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

GIVEN = "fixed_params"
"""The attribute that Optuna gives a trial whose values were given."""
BROKEN = 0.6
"""z of a trial that broke down, by its own configuration's fault. None counts as worse."""
STOPPED = 0.1
"""How far those are taken to have come that were stopped without a score that Optuna knows."""
NOISE = 0.05
"""Standard deviation of a complete trial's z: training twice, and the evaluation."""
EARLY = 0.53
"""It grows as a power of how little of a trial was seen: 0.09 after a third, 0.16 after a ninth."""

SHORTFALL = "shortfall"
"""The attribute of a complete trial that says by how much it misses the gates (0 to 1 each)."""
PENALTY = 3.0
"""z for a whole shortfall: images that vary a tenth less than they must count as a third worse. FID
itself pays for less variety, so that a search for it alone ends with trials that cannot win."""
SEEN = 500
"""Trials that are looked at, of a longer study: the best, the newest, and the anchors."""

Curve = Mapping[int, float]


@dataclass(frozen=True)
class History:
    """Trials of a study, in their order.

    Attributes:
        params: the searched values of each.
        z: log of its score over the anchor's at the same evaluation, mean of its last two; NaN
            without one.
        noise: standard deviation of each z.
        anchors: places of those whose values were given.
        against: the place of the one that z is measured against; None before any has a score.
    """

    params: list[dict[str, Any]]
    z: np.ndarray
    noise: np.ndarray
    anchors: list[int]
    against: int | None

    @property
    def anchored(self) -> bool:
        """Whether z is measured against an anchor."""
        return self.against in self.anchors

    @classmethod
    def of(
        cls,
        trials: Sequence[FrozenTrial],
        directions: Sequence[StudyDirection],
        rng: random.Random,
    ) -> History:
        """Of a study's trials; of several goals each proposal weighs its own (ParEGO, Knowles
        2006)."""
        unseen = (TrialState.FAIL, TrialState.WAITING)
        kept = [t for t in trials if t.params and t.state not in unseen]
        anchors = [place for place, t in enumerate(kept) if GIVEN in t.system_attrs]
        broken = [any(value > 0 for value in t.constraints.values()) for t in kept]
        found, far, base = [], np.zeros(len(kept)), None
        for goal, direction in enumerate(directions):
            sign = -1.0 if direction is StudyDirection.MAXIMIZE else 1.0
            curves = [_curve(t, goal, sign, len(directions)) for t in kept]
            against = _reference(curves, anchors, broken)
            if against is None:
                found.append(np.full(len(kept), np.nan))
                continue
            base = against
            found.append(_z(curves, curves[against]))
            longest = max(max(curve, default=0) for curve in curves)
            far = np.array([max(curve, default=0) / longest for curve in curves])
        z = found[0] if len(found) == 1 or base is None else _weighed(found, rng)
        stopped = [t.state is TrialState.PRUNED for t in kept] & np.isnan(z)
        if stopped.any() and not np.isnan(z).all():  # of several goals
            z[stopped], far[stopped] = np.nanmax(z), STOPPED
        z += PENALTY * _missed(kept, anchors)
        z[broken], far[broken] = BROKEN, 1.0
        noise = NOISE * np.maximum(far, 0.01) ** -EARLY
        best = np.argsort(z)[: SEEN // 2].tolist()  # NaN last
        named = anchors if base is None else [*anchors, base]
        seen = sorted({*named, *best, *range(len(kept))[-SEEN // 2 :]})
        return cls(
            [kept[place].params for place in seen],
            np.minimum(z[seen], BROKEN),
            noise[seen],
            [seen.index(place) for place in anchors],
            None if base is None else seen.index(base),
        )

    def foreseen(self) -> History:
        """Before any trial has a score: the first anchor still under way will be measured against,
        so that its z is 0, whatever it will score."""
        waiting = [place for place in self.anchors if math.isnan(self.z[place])]
        if self.against is not None or not waiting:
            return self
        z = self.z.copy()
        z[waiting[0]] = 0.0
        return replace(self, z=z, against=waiting[0])


def _curve(trial: FrozenTrial, goal: int, sign: float, goals: int) -> Curve:
    """Scores to be minimised, by step; of several goals Optuna knows the end alone."""
    if goals == 1 and trial.intermediate_values:
        curve = {step: sign * v for step, v in trial.intermediate_values.items()}
        return {step: value for step, value in curve.items() if math.isfinite(value)}
    if trial.state is TrialState.COMPLETE and math.isfinite(value := trial.values[goal]):
        return {1: sign * value}
    return {}


def _missed(trials: Sequence[FrozenTrial], anchors: Sequence[int]) -> np.ndarray:
    """By how much more than the first anchor each trial misses the gates."""
    missed = np.array([t.user_attrs.get(SHORTFALL, 0.0) for t in trials])
    return np.maximum(0.0, missed - (missed[anchors[0]] if anchors else 0.0))


def _reference(
    curves: Sequence[Curve], anchors: Sequence[int], broken: Sequence[bool]
) -> int | None:
    """The place of the trial to measure against: the first anchor with a score, or who came
    furthest."""
    sound = [place for place, curve in enumerate(curves) if curve and not broken[place]]
    given = [place for place in anchors if place in sound]
    return given[0] if given else max(sound, key=lambda p: max(curves[p]), default=None)


def _z(curves: Sequence[Curve], base: Curve) -> np.ndarray:
    """Log ratios to `base`; of scores that may be 0 or less differences, a fifth being their sd."""
    positive = all(value > 0 for curve in curves for value in curve.values())
    scale = math.log if positive else float
    scaled = [{step: scale(value) for step, value in curve.items()} for curve in curves]
    whole = _continued({step: scale(value) for step, value in base.items()}, scaled)
    z = np.array([_lead(curve, whole) for curve in scaled])
    if not positive and (spread := np.nanstd(z)) > 0:
        z *= 0.2 / spread
    return z


def _lead(curve: Curve, base: Curve) -> float:
    """By how much a curve lies above another at the last two evaluations that both have."""
    shared = sorted(curve.keys() & base.keys())[-2:]
    return sum(curve[s] - base[s] for s in shared) / len(shared) if shared else math.nan


def _continued(base: Curve, curves: Sequence[Curve]) -> dict[int, float]:
    """`base`, and where it ends before others the one that comes furthest, moved to meet it.

    ASHA may stop the anchor too, and a slow one lags behind.
    """
    whole = dict(base)
    furthest = max(curves, key=lambda curve: max(curve, default=0))
    lead, end = _lead(furthest, base), max(base)
    if not math.isnan(lead):
        whole |= {step: value - lead for step, value in furthest.items() if step > end}
    return whole


def _weighed(found: Sequence[np.ndarray], rng: random.Random) -> np.ndarray:
    """One z of several: by random weights the one furthest from the best, and a little of all."""
    z = np.minimum(np.array(found), BROKEN)
    weights = np.array([[rng.random()] for _ in found])
    weights *= len(found) / weights.sum()
    best = np.nan_to_num(np.nanmin(z, axis=1, keepdims=True))

    def distance(z: np.ndarray) -> np.ndarray:
        apart = weights * (z - best)
        return apart.max(0) + 0.05 * apart.sum(0)

    return distance(z) - distance(np.zeros((len(found), 1)))
