"""All scores of a generated set from one pass of the extractor: the few that every evaluation has,
and the many that a winner or a user's two folders get."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainable.metrics.creativity import creativity_inheritance_diversity
from trainable.metrics.frechet import FeatureStats, frechet_distance
from trainable.metrics.inception_score import inception_score
from trainable.metrics.kernel import kernel_distance, kernel_mean
from trainable.metrics.likeness import likeness_score
from trainable.metrics.neighbours import PRDC, Distances, OneNN, copy_rate, nearest, one_nn, prdc
from trainable.metrics.pixels import pixel_copies, within_class_diversity

Scores = dict[str, float]

NEIGHBOURS = 2000
"""Most real images whose distances from each other neighbour scores look at, which are n^2 numbers,
and most with which creativity compares: SSIM of 200 with 2,000 takes a core some seconds. A copy
may be of any real image, and is looked for among all."""
SIMILARITIES = 200
"""Most generated images that creativity looks at."""


@dataclass(frozen=True)
class RealSet:
    """The real images as scores need them: all that depends on them alone, computed once.

    Attributes:
        features: [n, D], float32.
        labels: class indices [n].
        classes: number of classes.
        stats: moments of the features.
        own_kernel: mean kernel value between two different images, for KID.
        rows: the real images that neighbour scores look at, all of them up to `NEIGHBOURS`.
        distances: between those, [len(rows), len(rows)].
        apart: from each of them to its nearest other real image of all, [len(rows)].
    """

    features: Tensor
    labels: Tensor
    classes: int
    stats: FeatureStats
    own_kernel: float
    rows: Tensor
    distances: Tensor
    apart: Tensor

    @classmethod
    def of(cls, features: Tensor, labels: Tensor, classes: int) -> RealSet:
        """Everything about features [n, D] with their labels [n]."""
        rows, apart = _apart(features)
        chosen = features[rows]
        distances = Distances.between(chosen, chosen[:2]).real_real
        own = kernel_mean(features)
        stats = FeatureStats.of(features)
        return cls(features, labels, classes, stats, own, rows, distances, apart)


def evaluation_scores(real: RealSet, fake: Tensor, labels: Tensor, logits: Tensor) -> Scores:
    """The scores of one evaluation, for features [m, D], their classes and class-head logits.

    ``fid``, ``kid``, ``inception_score``, ``one_nn``, ``coverage``, ``copy_rate`` (see the modules
    they come from), ``diversity/0`` and so on for each class: its mean pairwise feature distance
    over that of its real images, and ``diversity``, the least of them.

    Raises:
        ValueError: features or logits are not finite.
    """
    distances = _distances(real, fake)
    parts, balls = one_nn(distances.even()), prdc(distances)
    whole = _set_scores(real, fake, logits, parts, balls)
    return whole | {"copy_rate": _copy_rate(real, fake)} | _diversity(real, fake, labels)


def _set_scores(real: RealSet, fake: Tensor, logits: Tensor, parts: OneNN, balls: PRDC) -> Scores:
    return {
        "fid": frechet_distance(real.stats, fake),
        "kid": kernel_distance(real.features, fake, real.own_kernel),
        "inception_score": inception_score(logits),
        "one_nn": parts.accuracy,
        "coverage": balls.coverage,
    }


def _copy_rate(real: RealSet, fake: Tensor) -> float:
    return copy_rate(real.apart, nearest(real.features, fake)).rate


def _diversity(real: RealSet, fake: Tensor, labels: Tensor) -> Scores:
    found = within_class_diversity(real.features, real.labels, fake, labels, real.classes)
    least = torch.tensor(found).min().item()  # NaN if any is
    return {"diversity": least} | {f"diversity/{index}": one for index, one in enumerate(found)}


def all_scores(
    real: RealSet, real_images: Tensor, fake: Tensor, images: Tensor, labels: Tensor,
    logits: Tensor, whole: Tensor | None = None,
) -> Scores:  # fmt: skip
    """Everything there is to say of generated images uint8 [m, C, S, S] with features `fake`.

    Besides `evaluation_scores`: the parts of 1-NN, precision, recall, density, Likeness Score,
    copies in pixel space, creativity, inheritance and diversity after Guan and Loew, and FID and
    KID of each class (``fid/0`` is class 0's).

    `whole` [k]: rows by which the set is judged as a whole, all if None. Each class and copies are
    judged by all.
    """
    if whole is None:
        whole = torch.arange(len(fake))
    sample = fake[whole]
    distances = _distances(real, sample)
    even = distances.even()
    parts, balls = one_nn(even), prdc(distances)
    cid = creativity_inheritance_diversity(real_images[real.rows], _some(images[whole]))
    scores = _set_scores(real, sample, logits[whole], parts, balls) | {
        "one_nn_real": parts.real_part,
        "one_nn_fake": parts.fake_part,
        "precision": balls.precision,
        "recall": balls.recall,
        "density": balls.density,
        "likeness": likeness_score(even.real_real, even.real_fake, even.fake_fake),
        "copy_rate": _copy_rate(real, fake),
        "pixel_copy_rate": pixel_copies(real_images, images).rate,
        "creativity": cid.creativity,
        "inheritance": cid.inheritance,
        "cid_diversity": cid.diversity,
        **_diversity(real, fake, labels),
    }
    for index in range(real.classes):
        mine, theirs = real.features[real.labels == index], fake[labels == index]
        scores[f"fid/{index}"] = frechet_distance(FeatureStats.of(mine), theirs)
        scores[f"kid/{index}"] = kernel_distance(mine, theirs)
    return scores


def copied(real: Tensor, fake: Tensor) -> float:
    """``copy_rate`` of features [m, D], held against those of training images [n, D]."""
    return copy_rate(_apart(real)[1], nearest(real, fake)).rate


def _apart(features: Tensor) -> tuple[Tensor, Tensor]:
    """At most `NEIGHBOURS` rows, and how far each is from its nearest other of all."""
    rng = torch.Generator().manual_seed(0)
    rows = torch.randperm(len(features), generator=rng)[:NEIGHBOURS].sort().values
    return rows, nearest(features, features[rows], own=rows).values


def _distances(real: RealSet, fake: Tensor) -> Distances:
    return Distances.between(real.features[real.rows], fake, real.distances)


def _some(images: Tensor) -> Tensor:
    """At most `SIMILARITIES` images, spread evenly and so over all classes in order."""
    return images[:: -(-len(images) // SIMILARITIES)]
