"""What a winner must pass besides a good score: FID improves when a generator copies."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from search.study.records import TrialRecord
from trainable.metrics.scores import Scores
from trainable.trial.report import Status


@dataclass(frozen=True)
class Gate:
    """A limit on one score.

    Attributes:
        score: its key among `all_scores`.
        name: as the leaderboard calls it.
        limit: the last value that passes.
        least: whether `limit` is the least (else the most) that passes.
        lowest: to where the limit falls for a study whose default does not reach it; None if it
            stands for every study.
    """

    score: str
    name: str
    limit: float
    least: bool
    lowest: float | None = None

    def shortfall(self, value: float) -> float:
        """By what share of the way to the worst value a score misses the limit; 0 if it passes."""
        missed = self.limit - value if self.least else value - self.limit
        return max(0.0, missed / (self.limit if self.least else 1 - self.limit))

    def fault(self, scores: Scores) -> str | None:
        """Such as ``coverage 0.00, at least 0.005``; None if the scores pass."""
        value = scores[self.score]
        if self.passes(value):
            return None
        digits = next(n for n in range(2, 20) if not self.passes(round(value, n)))
        limit = f"{'at least' if self.least else 'at most'} {self.limit:g}"
        return f"{self.name} {value:.{digits}f}, {limit}"

    def passes(self, value: float) -> bool:
        """Whether a score is within the limit."""
        return value >= self.limit if self.least else value <= self.limit


GATES = (
    # In pixels hardly a held-out image is taken for a copy. In features held-out images read up to
    # 3 %, and soft images of an early generator, which crowd around one smooth real, up to 11 %.
    Gate("pixel_copy_rate", "copy rate in pixels", 0.05, least=False),
    Gate("copy_rate", "copy rate in features", 0.25, least=False),
    # Of the least diverse class. Where images are fewer than features FID pays for less variety: of
    # other real films, their spread within a class shrunk by steps, it was best at a diversity of
    # 0.71 (100 real, 100 in place of generated), 0.79 (177, 200) and 0.80 (200, 200), sd 0.02.
    # Other films as they are read 0.98, sd 0.03 at most. What a generator reaches depends on its
    # training: the default 0.84 after 30,000 X-rays, 0.82 after 15,000, 0.76 on drawn images.
    Gate("diversity", "within-class diversity", 0.82, least=True, lowest=0.7),
    # Real images reach some 0.95, generators at an FID of four times the floor 0.05; less than this
    # means that hardly a generated image lies among the reals.
    Gate("coverage", "coverage", 0.005, least=True),
)

ALIKE = 0.05
"""Two trainings of one configuration differ in diversity by less, 19 times of 20: ten of the
default on X-rays had a standard deviation of 0.018 (benchmarks/proof_he.jsonl)."""


def gates_of(records: Iterable[TrialRecord]) -> tuple[Gate, ...]:
    """The gates of a study: FID must not choose for less variety than its own default has.

    Where that has little, as after a short training, no trial might win at the usual limit.
    """
    ends = (r.last for r in records if r.origin == "default" and r.status is Status.COMPLETE)
    default = next((last for last in ends if last), None)
    if default is None:
        return GATES
    return tuple(_moved(gate, default) for gate in GATES)


def _moved(gate: Gate, default: Mapping[str, Any]) -> Gate:
    if gate.lowest is None:
        return gate
    # To two digits, as it is shown: what reads as passing passes.
    own = math.floor(round(100 * (default[gate.score] - ALIKE), 6)) / 100
    return replace(gate, limit=min(gate.limit, max(gate.lowest, own)))


def shortfall(scores: Mapping[str, Any], gates: Iterable[Gate] = GATES) -> float:
    """By how much the gates are missed, all in all, of which an evaluation has the scores."""
    return sum(gate.shortfall(scores[gate.score]) for gate in gates if gate.score in scores)


def failed_gates(scores: Scores, gates: Iterable[Gate]) -> tuple[str, ...]:
    """The faults that keep a generator from winning; none if it may."""
    return tuple(fault for gate in gates if (fault := gate.fault(scores)))
