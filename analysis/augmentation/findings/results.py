"""What an augmentation study found: means with intervals, paired differences, and sentences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from analysis.augmentation.classifier.scores import steps_to
from analysis.augmentation.design.arms import ADDED, ARMS, CONTROLS, DUPLICATES, PAIRS
from analysis.augmentation.design.cells import COMPLETE, Cell, Result, Trained
from analysis.augmentation.findings.claims import Claim, level_of
from analysis.augmentation.findings.crossover import crossover_sentence
from analysis.augmentation.findings.statistics import (
    FEWEST_CASES,
    Estimate,
    Spread,
    holm,
    mean_interval,
    paired_differences,
    paired_test,
    testable,
)

SCORES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "auroc": "AUROC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "type_1_error": "type I error",
    "type_2_error": "type II error",
    "specificity_at_90": "specificity at 90 %",
    "ece": "calibration error",
}
_ORDER = list(ARMS)
Arm = tuple[int, float, str]
"""Size, ratio and arm: a cell without its repeat."""


@dataclass(frozen=True)
class Comparison:
    """One arm against another at one size and ratio.

    Attributes:
        size, ratio: of the second arm; the first may have no ratio.
        first, second: the arms.
        difference: of mean accuracy, second - first, with its 95 % interval.
        p: of the same test, that the difference is zero; by itself, whatever else is compared.
        repeats: how many are paired.
    """

    size: int
    ratio: float
    first: str
    second: str
    difference: Estimate
    p: float
    repeats: int


class Rate(NamedTuple):
    """How many times as many steps the second arm takes to an accuracy as the first does, with its
    95 % interval over repeats; below 1 it learns faster."""

    size: int
    ratio: float
    first: str
    second: str
    times: Estimate


class Findings:
    """The complete cells of a study, and what they say.

    Attributes:
        complete: results by cell.
        sizes, ratios: those that occur, ascending; ratio 0 left out.
        diverged: how many cells broke down; they are in no mean.
    """

    def __init__(
        self,
        results: Mapping[Cell, Result],
        labels: np.ndarray,
        positive: int | None,
        clusters: np.ndarray | None = None,
        looks: Sequence[int] = (),
    ):
        """`labels` [m] are the test images' classes, of which `positive` is to be found.

        `clusters` [m] says who each of them shows, see `paired_test`; `looks` are the numbers of
        repeats at which the study was looked at, in the order of the looks.
        """
        self.complete = {c: r for c, r in sorted(results.items()) if r["status"] == COMPLETE}
        self.diverged = len(results) - len(self.complete)
        self.sizes = sorted({cell.size for cell in self.complete})
        self.ratios = sorted({cell.ratio for cell in self.complete} - {0.0})
        self._results = dict(results)
        self._levels = {repeats: level_of(look) for look, repeats in enumerate(looks, start=1)}
        self._labels, self._positive, self._clusters = labels, positive, clusters
        self._of: dict[Arm, dict[int, Trained]] = {}  # by repeat
        for cell, result in self.complete.items():
            self._of.setdefault((cell.size, cell.ratio, cell.arm), {})[cell.repeat] = result

    @property
    def optimistic(self) -> list[int]:
        """Sizes at which a generator drew that had seen more than the cell's real images."""
        return sorted(
            {
                c.size
                for c, r in self.complete.items()
                if r["generator"] == "optimistic" and c.what.added != "oracle"
            }
        )

    def arms(self) -> list[Arm]:
        """Those that have a complete cell, in the order of tables."""
        return sorted(self._of, key=lambda arm: (arm[0], _ORDER.index(arm[2]), arm[1]))

    def values(self, arm: Arm, score: str) -> list[float]:
        """A score of each repeat."""
        return [result["scores"][score] for result in self._repeats(arm).values()]

    def estimate(self, arm: Arm, score: str) -> Estimate:
        """Mean over the repeats, with its 95 % interval."""
        return mean_interval(self.values(arm, score))

    def median_steps(self, arm: Arm, accuracy: float) -> float:
        """Median steps to this accuracy on validation; infinite if half of them never got there."""
        return float(np.median([steps_to(history, accuracy) for history in self.histories(arm)]))

    def histories(self, arm: Arm) -> list[list[dict[str, float]]]:
        """The evaluations of each repeat's training."""
        return [result["history"] for result in self._repeats(arm).values()]

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """All of `PAIRS` wherever both arms have two repeats in common."""
        found = []
        for first, second in PAIRS:
            for arm in self.arms():
                pairs = self._decisions(first, arm) if arm[2] == second else ((), ())
                if len(pairs[0]) > 1:
                    tested = paired_test(*pairs, clusters=self._clusters)
                    found.append(Comparison(*arm[:2], first, second, *tested, len(pairs[0])))
        return found

    @cached_property
    def claims(self) -> list[Claim]:
        """For each size and ratio, and each arm with synthetic images that has a control."""
        told: dict[Arm, Claim] = {}
        for repeats, level in self._levels.items():
            for c in self.upto(repeats)._claims():
                if c.adjusted < level:
                    told.setdefault((c.size, c.ratio, c.arm), c)
        claims = []
        for c in self._claims():
            found = told.get((c.size, c.ratio, c.arm))
            if found is None:
                claims.append(c)
            else:
                claims.append(replace(c if c.way == found.way else found, told=found.way))
        return claims

    @property
    def level(self) -> float:
        """At which the latest look claims."""
        return min(self._levels.values(), default=level_of(1))

    def rates(self, accuracy: float) -> list[Rate]:
        """How much faster each arm with controls reaches an accuracy on validation than they do.

        Where a training never did, it counts as one evaluation longer than it was: a ratio of two
        such says nothing, and one of them too little.
        """
        found = []
        for arm in self.arms():
            for control in CONTROLS.get(arm[2], ()):
                pairs = self._pairs(control, arm)
                if len(pairs) > 1:
                    steps = [[_steps(result["history"], accuracy) for result in p] for p in pairs]
                    logs = np.log(np.array(steps))
                    times = Estimate(*np.exp(mean_interval(logs[:, 1] - logs[:, 0])))
                    found.append(Rate(*arm[:2], control, arm[2], times))
        return found

    @property
    def spreads(self) -> list[list[Spread]]:
        """For each claim, what its gains over the controls vary by."""
        found = []
        for c in self._claims():
            arm = c.size, c.ratio, c.arm
            tables = [
                paired_differences(*self._decisions(control, arm), self._clusters)
                for control in CONTROLS[c.arm]
                if control not in c.missing
            ]
            if all(map(testable, tables)):
                found.append([Spread.of(table) for table in tables])
        return found

    def upto(self, repeats: int) -> Findings:
        """What the first so many repeats say."""
        results = {cell: result for cell, result in self._results.items() if cell.repeat < repeats}
        found = Findings(results, self._labels, self._positive, self._clusters)
        found._levels = {of: level for of, level in self._levels.items() if of <= repeats}
        return found

    def _claims(self) -> list[Claim]:
        by_arm: dict[Arm, dict[str, Comparison]] = {}
        for c in self.comparisons:
            if c.first in CONTROLS.get(c.second, ()):
                by_arm.setdefault((c.size, c.ratio, c.second), {})[c.first] = c
        claims = [_claim(arm, controls) for arm, controls in sorted(by_arm.items())]
        adjusted = holm([c.p for c in claims])
        return [replace(c, adjusted=p) for c, p in zip(claims, adjusted, strict=True)]

    def sentences(self) -> list[str]:
        """The answer: whether synthetic images help, and from what size on."""
        told = {(c.ratio, c.size): c.told for c in self.claims if c.arm == ADDED}
        return [
            _verdict(self.claims),
            *(
                f"{ratio:g} synthetic images for each real one: "
                + crossover_sentence(sorted(gains), gains, {n: told[ratio, n] for n in gains})
                for ratio, gains in self.gains.items()
            ),
        ]

    @property
    def gains(self) -> dict[float, dict[int, list[float]]]:
        """What synthetic images gain over duplicates, accuracy by repeat, by ratio and size; of
        ratios that two sizes have with two repeats at least, as a crossover needs."""
        found = {}
        for ratio in self.ratios:
            pairs = {
                size: self._paired((size, ratio, DUPLICATES), (size, ratio, ADDED))
                for size in self.sizes
            }
            gains = {
                size: [b["scores"]["accuracy"] - a["scores"]["accuracy"] for a, b in paired]
                for size, paired in pairs.items()
                if len(paired) > 1
            }
            if len(gains) > 1:
                found[ratio] = gains
        return found

    def _repeats(self, arm: Arm) -> Mapping[int, Trained]:
        return self._of.get(arm, {})

    def _paired(self, first: Arm, second: Arm) -> list[tuple[Trained, Trained]]:
        ours, theirs = self._repeats(first), self._repeats(second)
        return [(ours[n], theirs[n]) for n in sorted(ours.keys() & theirs.keys())]

    def _pairs(self, first: str, second: Arm) -> list[tuple[Trained, Trained]]:
        size, ratio, _ = second
        return self._paired((size, ratio if ARMS[first].added else 0.0, first), second)

    def _decisions(self, first: str, second: Arm) -> tuple[np.ndarray, np.ndarray]:
        """Which test images each arm gets right, by their common repeats: bool [r, m] each."""
        pairs = self._pairs(first, second)
        ours, theirs = (np.array([self._right(pair[i]) for pair in pairs], bool) for i in (0, 1))
        return ours, theirs

    def _right(self, result: Trained) -> np.ndarray:
        """Which test images it gets right: bool [m]."""
        probabilities = np.array(result["probabilities"])
        if self._positive is None:
            return probabilities.argmax(1) == self._labels
        said = probabilities[:, self._positive] >= result["threshold"]
        return said == (self._labels == self._positive)


def _steps(history: Sequence[Mapping[str, float]], accuracy: float) -> float:
    """Steps to an accuracy; one evaluation beyond the last if it was never reached."""
    beyond = history[-1]["step"] * (1 + 1 / len(history))
    return min(steps_to(history, accuracy), beyond)


def _claim(arm: Arm, controls: Mapping[str, Comparison]) -> Claim:
    """What the comparisons of an arm with its controls come to."""
    size, ratio, name = arm
    sharp = [c for c in controls.values() if ARMS[c.first].added != "blurred"]

    def decisive(way: int, among: Iterable[Comparison]) -> tuple[float, Comparison]:
        """The largest p of being better (1) or worse (-1) than all, and whose it is."""
        p = [(c.p if way * c.difference.mean > 0 else 1.0, c) for c in among]
        return max(p, key=lambda each: (each[0], -way * each[1].difference.mean))

    better, worse = decisive(1, controls.values()), decisive(-1, sharp or controls.values())
    p, decides = min(better, worse, key=lambda each: each[0])
    way = 0 if p == 1 else int(np.sign(decides.difference.mean))
    ceiling = min(c.difference.high for c in controls.values())
    missing = tuple(control for control in CONTROLS[name] if control not in controls)
    repeats = min(c.repeats for c in controls.values())
    return Claim(
        size, ratio, name, decides.first, decides.difference, ceiling, way, p, repeats, missing
    )


def _verdict(claims: Sequence[Claim]) -> str:
    """What the claims come to."""
    if not claims:
        return (
            "whether synthetic images help cannot be said: that takes a ratio above 0, two repeats "
            "at least, and an arm to compare with"
        )
    helps, harms = ([c for c in claims if c.told == way] for way in (1, -1))
    parts = []
    if helps:
        parts.append(f"synthetic images help beyond their controls: {_places(helps)}")
    if harms:
        parts.append(f"synthetic images do harm: {_places(harms)}")
    if not parts:
        ceilings = [c.ceiling for c in claims if not math.isnan(c.ceiling)]
        missing = sorted({control for c in claims for control in c.missing})
        without = f"; not compared with {', '.join(missing)}" if missing else ""
        return (
            "synthetic images are not seen to help beyond what their controls do, at any size and "
            "ratio here; "
            + (
                f"nowhere can they gain more than {max(ceilings):+.3f} in accuracy (95 %, each by "
                f"itself{without})"
                if ceilings
                else f"how much they might gain takes {FEWEST_CASES} test images or patients at "
                f"least to say{without}"
            )
        )
    rest = len(claims) - len(helps) - len(harms)
    if rest:
        parts.append(f"in {rest} of {len(claims)} cases neither can be told")
    return "; ".join(parts)


def _places(claims: Iterable[Claim]) -> str:
    return ", ".join(
        f"{c.arm} at {c.size} real images and ratio {c.ratio:g} ({c.gain.mean:+.3f}, "
        f"{c.gain.low:+.3f} to {c.gain.high:+.3f}, over {c.against}, {c.repeats} repeats"
        f"{'; not compared with ' + ' and '.join(c.missing) if c.missing else ''})"
        for c in claims
    )
