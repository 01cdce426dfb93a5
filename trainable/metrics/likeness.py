"""Likeness score of a generated set, from distances alone (Guan and Loew 2021).

S. Guan, M. Loew: A Novel Measure to Evaluate Generative Adversarial Networks Based on Direct
Analysis of Generated Images, Neural Computing and Applications, arXiv 2002.12345; checked against
the authors' own code (ShuyueG/GAN_evaluation_LS), as the paper's text could not be opened.
"""

from __future__ import annotations

import torch
from torch import Tensor


def likeness_score(real_real: Tensor, real_fake: Tensor, fake_fake: Tensor) -> float:
    """1 - max(KS(ICD_real, BCD), KS(ICD_fake, BCD)): 1 where the two sets cannot be told apart.

    ICD are the distances within a set, each pair once, BCD those between the sets, and KS is the
    two-sample Kolmogorov-Smirnov statistic. 1 minus the score is the authors' distance-based
    separability index. They take Euclidean distances of pixels / 255; any distance serves, and
    its scale does not count.

    Distances of 0 between distinct images are kept. The authors' code for GPUs drops them, which
    hides exact repeats; theirs for CPUs keeps them. The score does not see a mild collapse:
    200, 100 and 50 distinct images came in the right order, two by two, in 7 of 12 draws only.

    Args:
        real_real: distances [n, n] between real images; what is on and under the diagonal is not
            read.
        real_fake: distances [n, m] from real to generated images.
        fake_fake: distances [m, m] between generated images, as `real_real`.

    Returns:
        The score, 0 (apart) to 1; NaN where a set has fewer than two images.
    """
    between = real_fake.flatten()
    apart = [ks_statistic(_pairs(square), between) for square in (real_real, fake_fake)]
    return 1 - float(torch.tensor(apart, dtype=torch.float64).max())  # unlike max(), keeps NaN


def ks_statistic(a: Tensor, b: Tensor) -> float:
    """Largest distance between the two empirical distribution functions, 0 to 1.

    Args:
        a: values [n].
        b: values [m].

    Returns:
        The two-sided Kolmogorov-Smirnov statistic, or NaN where a sample is empty or has a NaN.
    """
    values = torch.cat([a, b]).sort().values
    if not len(a) or not len(b) or values.isnan().any():
        return float("nan")
    share_a, share_b = (
        torch.searchsorted(sample.sort().values, values, right=True).double() / len(sample)
        for sample in (a.to(values.dtype), b.to(values.dtype))
    )
    return float((share_a - share_b).abs().max())


def _pairs(square: Tensor) -> Tensor:
    """The values above the diagonal."""
    return square[torch.ones_like(square, dtype=torch.bool).triu_(1)]
