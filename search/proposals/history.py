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
HUBER, ROUNDS = 2.0, 10
"""Standard deviations beyond which a score pulls at its level no harder (Huber 1964), and how often
that is weighed again: a trial that spoils at its last score must not move all others."""
_ROUNDING = 1e-9
OWN = 1.0
"""See `measured`. So wide that a trial that was stopped at its first score says next to nothing of
the level there."""

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
        z: log of its score over the anchor's, see `measured`; NaN without one.
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
            curves = [
                {} if bad else _curve(t, goal, sign, len(directions))
                for t, bad in zip(kept, broken, strict=True)
            ]
            against = _reference(curves, anchors)
            if against is None:
                found.append(np.full(len(kept), np.nan))
                continue
            base = against
            found.append(measured(curves, against))
            longest = max(max(curve, default=0) for curve in curves)
            far = np.array([max(curve, default=0) / longest for curve in curves])
        z = found[0] if len(found) == 1 or base is None else _weighed(found, rng)
        stopped = [t.state is TrialState.PRUNED for t in kept] & np.isnan(z)
        if stopped.any() and not np.isnan(z).all():  # of several goals
            z[stopped], far[stopped] = np.nanmax(z), STOPPED
        z += PENALTY * _missed(kept, anchors)
        z[broken], far[broken] = BROKEN, 1.0
        noise = _noise(far)
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


def _noise(far: np.ndarray) -> np.ndarray:
    """Standard deviation of z where a trial came so far, 0 to 1."""
    return NOISE * np.maximum(far, 0.01) ** -EARLY


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


def _reference(curves: Sequence[Curve], anchors: Sequence[int]) -> int | None:
    """The place of the trial to measure against: the first anchor with a score, or who came
    furthest."""
    sound = [place for place, curve in enumerate(curves) if curve]
    given = [place for place in anchors if place in sound]
    return given[0] if given else max(sound, key=lambda p: max(curves[p]), default=None)


def measured(curves: Sequence[Curve], against: int) -> np.ndarray:
    """How far each curve lies above the one at `against`: log ratios, or of scores that may be 0 or
    less differences, a fifth being their sd. NaN of an empty curve.

    No single curve will do to measure those by that were stopped: first scores are the noisiest,
    and a default that learns slowly at first makes all that is stopped early look better than it.
    So the levels C at the evaluations are what all curves together say of them, by generalised
    least squares of y = z + C + noise, each trial's z being drawn with a standard deviation of
    `OWN`; a score far from that pulls only so hard (`HUBER`). Then z is the mean of y - C at a
    trial's last two evaluations, less that at `against`, of which one far off weighs less:
    where only two curves come so far, neither says which of them is off.
    A curve without an evaluation that another has, as of a trial that is cut off by the clock, says
    nothing of levels, and is held against those between which it lies.
    """
    steps = sorted({step for curve in curves for step in curve})
    y = np.array([[curve.get(step, math.nan) for step in steps] for curve in curves])
    told = ~np.isnan(y)
    if positive := bool((y[told] > 0).all()):
        y = np.log(y)
    elif (spread := float(y[told].std())) > _ROUNDING * float(np.abs(y[told]).max()):
        y *= 0.2 / spread
    y[~told] = 0.0
    shared = (told & (told.sum(0) > 1)).sum(1) > 0
    shared[against] = True
    fit, noise = told & shared[:, None], _noise(np.array(steps) / steps[-1])
    known = np.flatnonzero(fit.sum(0))
    levels = np.zeros(len(steps))
    pull, residual = np.ones_like(y), np.zeros_like(y)
    for _ in range(ROUNDS):
        pull = HUBER / np.maximum(np.abs(residual) / noise, HUBER)
        sure = fit * pull / noise**2
        share = sure / (sure.sum(1, keepdims=True) + OWN**-2)
        precision = np.diag(sure.sum(0)) - sure.T @ share
        sums = (sure * y).sum(0) - share.T @ (sure * y).sum(1)
        levels[known] = np.linalg.solve(precision[np.ix_(known, known)], sums[known])
        residual = y - levels - (share * (y - levels)).sum(1, keepdims=True)
    at = np.log(steps)
    levels = np.interp(at, at[known], levels[known])
    last = told & (told[:, ::-1].cumsum(1)[:, ::-1] <= 2)
    with np.errstate(invalid="ignore"):
        above = (last * (y - levels)).sum(1) / last.sum(1)
    z = above - np.average((y - levels)[against], weights=(last * pull)[against])
    z[against] = 0.0
    if not positive and (spread := float(np.nanstd(z))) > _ROUNDING:
        z *= 0.2 / spread
    return z


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
