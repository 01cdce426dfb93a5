"""What a winner must pass besides a good score: FID improves when a generator copies."""

from __future__ import annotations

from dataclasses import dataclass

from trainable.metrics.scores import Scores


@dataclass(frozen=True)
class Gate:
    """A limit on one score.

    Attributes:
        score: its key among `all_scores`.
        name: as the leaderboard calls it.
        limit: the last value that passes.
        least: whether `limit` is the least (else the most) that passes.
    """

    score: str
    name: str
    limit: float
    least: bool

    def fault(self, scores: Scores) -> str | None:
        """Such as ``coverage 0.00, at least 0.005``; None if the scores pass."""
        value = scores[self.score]
        if value >= self.limit if self.least else value <= self.limit:
            return None
        return f"{self.name} {value:.2f}, {'at least' if self.least else 'at most'} {self.limit:g}"


GATES = (
    # In pixels hardly a held-out image is taken for a copy. In features held-out images read up to
    # 3 %, and soft images of an early generator, which crowd around one smooth real, up to 11 %.
    Gate("pixel_copy_rate", "copy rate in pixels", 0.05, least=False),
    Gate("copy_rate", "copy rate in features", 0.25, least=False),
    # Of the least diverse class: its real images have 1, five images in place of a hundred 0.66.
    Gate("diversity", "within-class diversity", 0.7, least=True),
    # Real images reach some 0.95, generators at an FID of four times the floor 0.05; less than this
    # means that hardly a generated image lies among the reals.
    Gate("coverage", "coverage", 0.005, least=True),
)


def failed_gates(scores: Scores) -> tuple[str, ...]:
    """The faults that keep a generator from winning; none if it may."""
    return tuple(fault for gate in GATES if (fault := gate.fault(scores)))
