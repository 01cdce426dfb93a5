"""What a study's scores are held against: measured once, before its first trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict


class Yardstick(TypedDict):
    """What the scores of a study mean: their protocol and their reference values, kept as JSON.

    Keys:
        protocol: extractor and resize rule, see `Extractor.protocol`.
        n_real, n_generated: images behind each score.
        counts: real images by class.
        floor: FID of n_real real images against n_generated others, extrapolated from parts of the
            real set (see `extrapolated_floor`): what a perfect generator would score.
        half_floor, half_n: FID between disjoint real halves, as measured, and images in each.
        untrained: scores of a generator before its first step.
        witness: share of real images that the witness's classifier, which has not seen them,
            assigns to their class: the ``class_agreement`` of a perfect generator.
        cas: classification accuracy score of the training images themselves, on those that are held
            back, which a generator's is held against; None if none are.
    """

    protocol: str
    n_real: int
    n_generated: int
    counts: Mapping[str, int]
    floor: float
    half_floor: float
    half_n: int
    untrained: Mapping[str, float]
    witness: float
    cas: float | None
