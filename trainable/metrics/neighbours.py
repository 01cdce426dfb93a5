"""What an image's nearest neighbours in feature space tell: realism, diversity, copies.

Every function reads the same `Distances`, computed once for an evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from trainable.metrics.kernel import check_finite

_BLOCK = 4096
"""Real images whose distances are taken at once: 6 MB for 200 others."""


@dataclass(frozen=True)
class Distances:
    """Euclidean distances, float64, between all images of a real and a generated set.

    Attributes:
        real_real: [n, n], with a diagonal of exactly 0.
        real_fake: [n, m], one row for each real image.
        fake_fake: [m, m], with a diagonal of exactly 0.
    """

    real_real: Tensor
    real_fake: Tensor
    fake_fake: Tensor

    @classmethod
    def between(cls, real: Tensor, fake: Tensor, real_real: Tensor | None = None) -> Distances:
        """Distances of real [n, D] and fake [m, D] features, n and m >= 2.

        `real_real` is that of an earlier call with the same `real`: with thousands of reals it
        takes nearly all the time.

        Raises:
            ValueError: features that are not finite, or not matrices of two rows or more.
        """
        real, fake = check_finite(real), check_finite(fake)
        # Distances do not change, but lose fewer digits, about a common centre.
        centre = real.mean(0)
        real, fake = real - centre, fake - centre
        if real_real is None:
            real_real = _pairwise(real, real).fill_diagonal_(0)
        return cls(real_real, _pairwise(real, fake), _pairwise(fake, fake).fill_diagonal_(0))

    def even(self, seed: int = 0) -> Distances:
        """As many real as generated images: a random part of the larger set, by `seed`."""
        n, m = self.real_fake.shape
        rng = torch.Generator().manual_seed(seed)
        real, fake = (
            torch.randperm(k, generator=rng)[: min(n, m)].sort().values.to(self.real_fake.device)
            for k in (n, m)
        )
        return Distances(
            self.real_real[real][:, real],
            self.real_fake[real][:, fake],
            self.fake_fake[fake][:, fake],
        )


def _pairwise(x: Tensor, y: Tensor) -> Tensor:
    """|x - y| by |x|^2 + |y|^2 - 2 x·y, exactly 0 where that is not more than its rounding error.

    So an exact copy is at distance 0, and ties between copies are ties.
    """
    scale = x.square().sum(1)[:, None] + y.square().sum(1)
    square = scale - 2 * (x @ y.T)
    rounding = (x.shape[1] + 4) * torch.finfo(torch.float64).eps
    return square.where(square > rounding * scale, 0).sqrt()


def _radii(own: Tensor, k: int) -> Tensor:
    """Distance [n] from each image of a set to its k-th nearest other, from the set's own [n, n].

    The diagonal is the nearest of all, hence k + 1. (`kthvalue` would take seven times as long.)
    """
    return own.topk(k + 1, dim=1, largest=False, sorted=False).values.amax(1)


class OneNN(NamedTuple):
    """Leave-one-out accuracy of a 1-nearest-neighbour classifier of real against generated.

    Attributes:
        accuracy: 0.5 where the two cannot be told apart, 1 where they always can, and towards 0
            where generated images copy real ones.
        real_part: share of the real images whose nearest other image is real.
        fake_part: share of the generated images whose nearest other image is generated: high for
            collapse, while `real_part` stays low.
    """

    accuracy: float
    real_part: float
    fake_part: float


def one_nn(distances: Distances) -> OneNN:
    """The two-sample test of Lopez-Paz and Oquab 2017, parts as in Xu et al. 2018.

    A tie between the nearest of either kind counts as misclassified: a generated copy of a real
    image misleads both, whatever else repeats it, so memorising every image reads 0.

    Raises:
        ValueError: the sets differ in size, which moves the accuracy away from 0.5 by itself; see
            `Distances.even`.
    """
    n, m = distances.real_fake.shape
    if n != m:
        raise ValueError(f"1-NN needs sets of equal size, not {n} real and {m} generated")
    real = _radii(distances.real_real, 1) < distances.real_fake.amin(1)
    fake = _radii(distances.fake_fake, 1) < distances.real_fake.amin(0)
    real_part, fake_part = real.double().mean().item(), fake.double().mean().item()
    return OneNN((real_part + fake_part) / 2, real_part, fake_part)


class PRDC(NamedTuple):
    """Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020).

    An image's ball reaches to, and does not include, its k-th nearest other image of its own set.

    Attributes:
        precision: share of the generated images inside the ball of some real image.
        recall: share of the real images inside the ball of some generated image.
        density: real balls around a generated image, over k; 1 on average for equal distributions,
            and more where generated images crowd where reals are dense.
        coverage: share of the real images with a generated image inside their ball. Unlike recall
            it is not fooled by stray generated images; unlike precision it falls in a collapse.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(distances: Distances, k: int = 5) -> PRDC:
    """The four shares of `PRDC`, as the authors' package computes them.

    Raises:
        ValueError: `k` is not from 1 to one less than the smaller set.
    """
    cross = distances.real_fake
    if not 1 <= k < min(cross.shape):
        raise ValueError(f"k is {k}, but must be from 1 to {min(cross.shape) - 1}")
    real_balls = _radii(distances.real_real, k)[:, None]
    in_real = cross < real_balls
    in_fake = cross < _radii(distances.fake_fake, k)
    return PRDC(
        precision=in_real.any(0).double().mean().item(),
        recall=in_fake.any(1).double().mean().item(),
        density=in_real.sum(0).double().mean().item() / k,
        coverage=in_real.any(1).double().mean().item(),
    )


class Nearest(NamedTuple):
    """For each generated image, the nearest real one.

    Attributes:
        values: its distance [m], float64.
        indices: its row in the real set [m], int64.
    """

    values: Tensor
    indices: Tensor


def nearest(real: Tensor, found: Tensor, own: Tensor | None = None) -> Nearest:
    """The nearest of all real features [n, D] to each of `found` [m, D], however many they are.

    With `own`, the rows [m] of `real` that `found` are, it is each one's nearest other.

    Raises:
        ValueError: features that are not finite, or not matrices of two rows or more.
    """
    real, found = check_finite(real), check_finite(found)
    centre = real.mean(0)
    found = found - centre
    best = found.new_full((len(found),), torch.inf)
    where = torch.zeros(len(found), dtype=torch.int64, device=found.device)
    for start in range(0, len(real), _BLOCK):
        apart = _pairwise(real[start : start + _BLOCK] - centre, found)
        if own is not None:
            there = ((own >= start) & (own < start + _BLOCK)).nonzero()[:, 0]
            apart[own[there] - start, there] = torch.inf
        values, indices = apart.min(0)
        where = torch.where(values < best, indices + start, where)
        best = torch.minimum(values, best)
    return Nearest(best, where)


class CopyRate(NamedTuple):
    """How much of a generated set is copied from the real set.

    Attributes:
        rate: share of the generated images that are copies; with none about `quantile`, and up
            to some 0.03 with a few hundred real images.
        threshold: the distance up to which an image counts as a copy.
        nearest: each generated image's nearest real one: sorted by `values`, a sheet to look at.
    """

    rate: float
    threshold: float
    nearest: Nearest


def copy_rate(apart: Tensor, found: Nearest, quantile: float = 0.01) -> CopyRate:
    """The share of generated images nearer to a real image than real images are to each other.

    Nearer means: within the lower `quantile` of the distances from each real image to its nearest
    other one. Real must be what the generator was trained on. A copy under strong noise moves too
    far in feature space to be seen. Repeated real images lower the threshold, at worst to 0, where
    only exact copies still count: remove repeats first.

    Args:
        apart: distances from real images, all or many of them, to their nearest others of all.
        found: the nearest of all real images to each generated one.
        quantile: see above.
    """
    threshold = apart.quantile(quantile)
    rate = (found.values <= threshold).double().mean().item()
    return CopyRate(rate, threshold.item(), found)
