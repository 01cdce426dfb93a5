"""Adversarial losses on logits, high for real, and gradient penalties.

Each returns a scalar: the batch's mean.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus


def discriminator_loss(loss: str, real: Tensor, fake: Tensor) -> Tensor:
    """What D minimises, for logits of real and of generated images, each [B].

    ``minimax`` and ``non_saturating``: -E log s(real) - E log(1 - s(fake)), s the logistic function
    (Goodfellow et al. 2014, equation 1). ``hinge``: E max(0, 1 - real) + E max(0, 1 + fake)
    (Lim and Ye 2017). ``relativistic``: -E log s(real - fake), in pairs (Jolicoeur-Martineau 2018;
    with R1 and R2 it is the loss of Huang et al. 2024).
    """
    if loss == "hinge":
        return relu(1 - real).mean() + relu(1 + fake).mean()
    if loss == "relativistic":
        return softplus(fake - real).mean()
    # log(1 - s(x)) = -softplus(x) and log s(x) = -softplus(-x), without overflow.
    return softplus(-real).mean() + softplus(fake).mean()


def generator_loss(loss: str, fake: Tensor, real: Tensor | None = None) -> Tensor:
    """What G minimises, for the logits [B] of generated images.

    ``minimax``: E log(1 - s(fake)), algorithm 1 of Goodfellow et al. 2014; it saturates where D
    wins. ``non_saturating``: -E log s(fake), section 3 of the same paper. ``hinge``: -E fake.
    ``relativistic``: -E log s(fake - real), which needs the logits of real images too.
    """
    if loss == "minimax":
        return -softplus(fake).mean()
    if loss == "non_saturating":
        return softplus(-fake).mean()
    if loss == "relativistic":
        assert real is not None
        return softplus(real - fake).mean()
    return -fake.mean()


def squared_gradient(logits: Tensor, images: Tensor) -> Tensor:
    """E ||d logits / d images||^2, itself differentiable: R1 on real images, R2 on generated ones
    (Mescheder et al. 2018, equation 9, without gamma / 2).

    Each of the `logits` [B] must depend on its own one of `images` [B, C, S, S] alone.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()
