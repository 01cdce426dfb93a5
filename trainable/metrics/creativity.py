"""Creativity, inheritance and diversity (CID) of generated images, after Guan and Loew.

S. Guan, M. Loew: Evaluation of Generative Adversarial Network Performance Based on Direct Analysis
of Generated Images (AIPR 2019); Measures to Evaluate Generative Adversarial Networks Based on
Direct Analysis of Generated Images (arXiv 2002.12345, first version; later ones drop CID for the
likeness score). The three aspects are the papers' own, checked against their abstracts. Neither
text could be opened: the formulas below follow a public reimplementation (bouchramohamedlemine,
Art-Generator, Utils.py), with its mixed denominators mended, and are to be checked before they are
compared with published values. That code takes SSIM over colour channels with scikit-image's 7x7
window; here it is Wang's SSIM of the grey images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from trainable.metrics.pixels import PART, grey

ALIKE = 0.8  # SSIM from which two images are the same image
WINDOW, SIGMA = 11, 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
BLOCK = 1 << 18  # values of the pairs worked on at once: they stay in the core's cache


@dataclass(frozen=True)
class CID:
    """How new, how alike in texture and how varied generated images are.

    Attributes:
        creativity: share of generated images that duplicate no real one, 0 to 1.
        inheritance: 1 for the real images' mean GLCM contrast, 0 for none of it or far too much.
        diversity: entropy of the clusters of alike images, 0 (one image, repeated) to log n (all
            differ), in nats, with n the generated images that duplicate no real one.
    """

    creativity: float
    inheritance: float
    diversity: float


def creativity_inheritance_diversity(real: Tensor, fake: Tensor, alike: float = ALIKE) -> CID:
    """Creativity, inheritance and diversity of generated images.

    A generated image whose SSIM with any real one reaches `alike` is a duplicate. With N the
    others, and c the mean GLCM contrast of a set:

    * creativity = |N| / |fake|;
    * inheritance = 1 - |c(real) - c(N)| / max(c(real), c(N)), 1 where both are 0;
    * diversity = -sum_k p_k log p_k, with p_k = |N_k| / |N| over the clusters of N: the first image
      leads a cluster of all that reach `alike` with it, the first of the rest leads the next.

    With N empty, all three are 0. Aligned film sets have a low ceiling: between different chest
    films of 64 pixels SSIM stays under some 0.75, so that creativity only falls for true copies,
    and a copy shifted by a few pixels is none. `pixels.pixel_copies` is the sharper test.

    Args:
        real: uint8 [n, C, S, S], n >= 1, S >= 11.
        fake: uint8 [m, C, S, S], m >= 1.
        alike: SSIM from which two images count as one, 0 to 1.
    """
    new = fake[ssim_matrix(fake, real).amax(1) < alike]
    if not len(new):
        return CID(0.0, 0.0, 0.0)
    theirs, ours = float(glcm_contrast(real).mean()), float(glcm_contrast(new).mean())
    most = max(theirs, ours)
    inheritance = 1 - abs(theirs - ours) / most if most else 1.0
    shares = [size / len(new) for size in _cluster_sizes(ssim_matrix(new, new) >= alike)]
    diversity = math.fsum(-share * math.log(share) for share in shares)
    return CID(len(new) / len(fake), inheritance, diversity)


def ssim_matrix(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of every image in `a` with every one in `b`.

    Mean over all full windows of (2 m_a m_b + C1)(2 c_ab + C2) / ((m_a^2 + m_b^2 + C1)(v_a + v_b +
    C2)), from a Gaussian 11 x 11 window of sigma 1.5, K1 = 0.01, K2 = 0.03, L = 255 (Wang, Bovik,
    Sheikh and Simoncelli 2004; weights that sum to 1, no padding and no downsampling, as in their
    code for images up to 383 pixels wide). Exact: at each window the covariances of all pairs are
    one product of weighted, centred patches.

    Args:
        a: uint8 [n, C, S, S], S >= 11; colour is turned to grey.
        b: uint8 [m, C, S, S].

    Returns:
        float32 [n, m], -1 to 1; 1 for equal images, to some 1e-6.
    """
    alone = a is b
    a, b = grey(a), grey(b)
    places = a.shape[-1] - WINDOW + 1
    step = max(1, BLOCK // (len(a) * len(b)))
    total = a.new_zeros(len(a), len(b))
    for row in range(places):
        patches_a, mean_a, variance_a = _windows(a[:, :, row : row + WINDOW])
        others = (patches_a, mean_a, variance_a)
        if not alone:
            others = _windows(b[:, :, row : row + WINDOW])
        patches_b, mean_b, variance_b = (each.mT for each in others)
        for start in range(0, places, step):
            at = slice(start, start + step)
            over = torch.baddbmm(mean_a.new_tensor(C2), patches_a[at], patches_b[at], alpha=2)
            over *= torch.baddbmm(mean_a.new_tensor(C1), mean_a[at], mean_b[at], alpha=2)
            under = variance_a[at] + (variance_b[at] + C2)
            under *= mean_a[at].square() + (mean_b[at].square() + C1)
            total += over.div_(under).sum(0)
    return (total / places**2).clamp_(-1, 1)


def glcm_contrast(images: Tensor) -> Tensor:
    """Contrast of each image's grey-level co-occurrence matrix (Haralick et al. 1973).

    sum_ij P(i, j) (i - j)^2 over 256 levels at distance 1, angle 0, which is the mean squared
    difference of horizontal neighbours, so the matrix is never built; its symmetry changes nothing.

    Args:
        images: uint8 [n, C, S, S]; colour is turned to grey and rounded.

    Returns:
        float64 [n], 0 (flat rows) to 255^2.
    """
    steps = (grey(part).round_().diff(dim=-1) for part in images.split(PART))
    return torch.cat([step.square_().double().mean((1, 2, 3)) for step in steps])


def _windows(strip: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weighted centred patches [places, n, 121], means and variances [places, n, 1] of a strip."""
    line = torch.exp(
        -((torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2) ** 2 / 2 / SIGMA**2)
    )
    weights = torch.outer(line, line).flatten()
    weights = (weights / weights.sum()).float()
    # Place by place in memory, as the products below take them: three times as fast as otherwise.
    patches = strip[:, 0].unfold(2, WINDOW, 1).permute(2, 0, 1, 3)
    patches = patches.reshape(*patches.shape[:2], WINDOW**2)
    mean = patches @ weights[:, None]
    patches = (patches - mean).mul_(weights.sqrt())
    return patches, mean, patches.square().sum(-1, keepdim=True)


def _cluster_sizes(alike: Tensor) -> list[int]:
    """Sizes of the clusters that the first free image leads, from who is alike [n, n]."""
    free = torch.ones(len(alike), dtype=torch.bool)
    sizes = []
    for leader in range(len(alike)):
        if free[leader]:
            members = alike[leader] & free
            members[leader] = True
            free &= ~members
            sizes.append(int(members.sum()))
    return sizes
