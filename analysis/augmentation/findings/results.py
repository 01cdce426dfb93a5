"""What an augmentation study found: means with intervals, paired differences, and sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis.augmentation.classifier.scores import steps_to
from analysis.augmentation.design.cells import (
    ADDED,
    ALONE,
    ARMS,
    BOTH,
    CLASSICAL,
    COMPLETE,
    DUPLICATES,
    REAL,
    Cell,
    Result,
    Trained,
)
from analysis.augmentation.findings.crossover import crossover_sentence
from analysis.augmentation.findings.statistics import Estimate, holm, mean_interval, paired_test

PAIRS = (
    (DUPLICATES, ADDED),
    (REAL, ADDED),
    (CLASSICAL, ADDED),
    (CLASSICAL, BOTH),
    (REAL, DUPLICATES),
    (REAL, ALONE),
    (REAL, CLASSICAL),
)
"""Which arm is held against which; the first is what tells whether synthetic images help."""
SCORES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "auroc": "AUROC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "type_1_error": "type I error",
    "type_2_error": "type II error",
    "ece": "calibration error",
}
Arm = tuple[int, float, str]
"""Size, ratio and arm: a cell without its repeat."""


@dataclass(frozen=True)
class Comparison:
    """One arm against another at one size and ratio.

    Attributes:
        size, ratio: of the second arm; the first may have no ratio.
        first, second: the arms.
        difference: of mean accuracy, second - first, with its 95 % interval.
        p: of the same test, that the difference is zero.
        adjusted: `p` for the number of comparisons in the whole study (Holm 1979).
        repeats: how many are paired.
    """

    size: int
    ratio: float
    first: str
    second: str
    difference: Estimate
    p: float
    adjusted: float
    repeats: int

    @property
    def told(self) -> int:
        """1 if the second arm is better beyond chance, -1 if worse, 0 if neither can be told."""
        return int(np.sign(self.difference.mean)) if self.adjusted < 0.05 else 0


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
    ):
        """`labels` [m] are the test images' classes, of which `positive` is to be found.

        `clusters` [m] says who each of them shows, see `paired_test`.
        """
        self.complete = {c: r for c, r in sorted(results.items()) if r["status"] == COMPLETE}
        self.diverged = len(results) - len(self.complete)
        self.sizes = sorted({cell.size for cell in self.complete})
        self.ratios = sorted({cell.ratio for cell in self.complete} - {0.0})
        self._labels, self._positive, self._clusters = labels, positive, clusters
        self._of: dict[Arm, dict[int, Trained]] = {}  # by repeat
        for cell, result in self.complete.items():
            self._of.setdefault((cell.size, cell.ratio, cell.arm), {})[cell.repeat] = result

    @property
    def optimistic(self) -> list[int]:
        """Sizes at which a generator drew that had seen more than the cell's real images."""
        return sorted(
            {c.size for c, r in self.complete.items() if c.ratio and r["generator"] == "optimistic"}
        )

    def arms(self) -> list[Arm]:
        """Those that have a complete cell, in the order of tables."""
        return sorted(self._of, key=lambda arm: (arm[0], ARMS.index(arm[2]), arm[1]))

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
        """All of `PAIRS` wherever both arms have two repeats in common, adjusted as one family."""
        tested: list[tuple[Arm, str, int, Estimate, float]] = []
        for first, second in PAIRS:
            for arm in self.arms():
                pairs = self._decisions(first, arm) if arm[2] == second else ((), ())
                if len(pairs[0]) > 1:
                    found = paired_test(*pairs, clusters=self._clusters)
                    tested.append((arm, first, len(pairs[0]), *found))
        adjusted = holm([p for *_, p in tested])
        return [
            Comparison(size, ratio, first, second, difference, p, own, repeats)
            for ((size, ratio, second), first, repeats, difference, p), own in zip(
                tested, adjusted, strict=True
            )
        ]

    def sentences(self) -> list[str]:
        """The answer: whether synthetic images beat as many duplicates, and from what size on."""
        told = [c for c in self.comparisons if (c.first, c.second) == PAIRS[0]]
        p = {(c.ratio, c.size): c.adjusted for c in told}
        return [
            _verdict(told),
            *(
                f"{ratio:g} synthetic images for each real one: "
                + crossover_sentence(sorted(gains), gains, {n: p[ratio, n] for n in gains})
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

    def _decisions(self, first: str, second: Arm) -> tuple[np.ndarray, np.ndarray]:
        """Which test images each arm gets right, by their common repeats: bool [r, m] each."""
        size, ratio, _ = second
        pairs = self._paired((size, ratio if first == DUPLICATES else 0.0, first), second)
        ours, theirs = (np.array([self._right(pair[i]) for pair in pairs], bool) for i in (0, 1))
        return ours, theirs

    def _right(self, result: Trained) -> np.ndarray:
        """Which test images it gets right: bool [m]."""
        probabilities = np.array(result["probabilities"])
        if self._positive is None:
            return probabilities.argmax(1) == self._labels
        said = probabilities[:, self._positive] >= result["threshold"]
        return said == (self._labels == self._positive)


def _verdict(comparisons: Sequence[Comparison]) -> str:
    """What the comparisons with duplicated real images support."""
    if not comparisons:
        return (
            "whether synthetic images help cannot be said: that takes a ratio above 0 and two "
            "repeats at least"
        )
    better = [c for c in comparisons if c.told > 0]
    worse = [c for c in comparisons if c.told < 0]
    parts = []
    if better:
        parts.append(f"synthetic images beat as many duplicated real ones at {_places(better)}")
    if worse:
        parts.append(f"synthetic images do worse than duplicated real ones at {_places(worse)}")
    if not parts:
        least = min(c.difference.low for c in comparisons)
        most = max(c.difference.high for c in comparisons)
        return (
            "synthetic images are not seen to beat as many duplicated real ones, at any size and "
            f"ratio here (differences in accuracy from {least:+.3f} to {most:+.3f} at 95 %)"
        )
    rest = len(comparisons) - len(better) - len(worse)
    if rest:
        parts.append(f"at {rest} of {len(comparisons)} sizes and ratios no difference can be told")
    return "; ".join(parts)


def _places(comparisons: Iterable[Comparison]) -> str:
    return ", ".join(
        f"{c.size} real images and ratio {c.ratio:g} ({c.difference.mean:+.3f}, "
        f"{c.difference.low:+.3f} to {c.difference.high:+.3f})"
        for c in comparisons
    )
