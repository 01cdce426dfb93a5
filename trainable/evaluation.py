"""Scoring a run: FID of generated images against all reals, and what to hold it against."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from trainable.config import TrialConfig
from trainable.data import Dataset
from trainable.extractors import Extractor
from trainable.metrics.frechet import FeatureStats, frechet_distance
from trainable.training import DivergedError, Run

GENERATED = 200
"""Images generated for each evaluation of a trial."""


@dataclass(frozen=True)
class Yardstick:
    """What an FID of this study means: its protocol and its two reference values.

    Attributes:
        protocol: extractor and resize rule, see `Extractor.protocol`.
        n_real: real images in the reference.
        n_generated: images generated for each score.
        floor: FID between two disjoint random halves of the real set, mean over five splits. As
            both halves are smaller than the sets behind a score, it lies above what a perfect
            generator would score.
        floor_n: images in each half.
        untrained: FID of a generator before its first step.
    """

    protocol: str
    n_real: int
    n_generated: int
    floor: float
    floor_n: int
    untrained: float


class Evaluator:
    """Scores runs on one data set by one protocol; the real statistics are computed once."""

    def __init__(self, data: Dataset, extractor: Extractor, reference: FeatureStats):
        self.extractor = extractor
        self.reference = reference
        self.labels = spread_labels(data.labels, len(data.classes), GENERATED)

    def fid(self, run: Run, *, seed: int, labels: Tensor | None = None) -> float:
        """FID of images that `run` generates from the latents of `seed`, classes as in the reals.

        Raises:
            DivergedError: the generated images have features that are not finite.
        """
        images = run.sample(self.labels if labels is None else labels, seed=seed)
        fid = frechet_distance(self.reference, self.extractor(images).cpu())
        if not math.isfinite(fid):
            raise DivergedError(f"fid is {fid} in epoch {run.epoch}")
        return fid


def spread_labels(labels: object, classes: int, n: int) -> Tensor:
    """`n` class indices in order, with the proportions of `labels` (largest remainders)."""
    counts = torch.bincount(torch.tensor(labels), minlength=classes).double()
    exact = counts / counts.sum() * n
    shares = exact.floor().long()
    extra = (exact - shares).argsort(descending=True, stable=True)[: n - int(shares.sum())]
    shares[extra] += 1
    return torch.repeat_interleave(torch.arange(classes), shares)


def measure(
    data: Dataset, extractor: Extractor, config: TrialConfig, *, seed: int
) -> tuple[FeatureStats, Yardstick]:
    """The real statistics of a study, and its yardstick, from one pass over the real images.

    `config` is the configuration whose untrained generator is scored.
    """
    features = extractor(torch.tensor(data.images)).cpu()
    reference = FeatureStats.of(features)
    rng = torch.Generator().manual_seed(seed)
    half = data.n // 2
    floors = []
    for _ in range(5):
        order = torch.randperm(data.n, generator=rng)
        first, second = features[order[:half]], features[order[half : 2 * half]]
        floors.append(frechet_distance(FeatureStats.of(first), second))
    evaluator = Evaluator(data, extractor, reference)
    untrained = evaluator.fid(Run(config, data, seed=seed), seed=seed)
    return reference, Yardstick(
        extractor.protocol, data.n, GENERATED, sum(floors) / len(floors), half, untrained
    )
