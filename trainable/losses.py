"""Adversarial losses on logits, high for real. Each returns a scalar: the batch's mean."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu, softplus


def discriminator_loss(loss: str, real: Tensor, fake: Tensor) -> Tensor:
    """What D minimises, for logits of real and of generated images, each [B].

    ``minimax`` and ``non_saturating``: -E log s(real) - E log(1 - s(fake)), s the logistic function
    (Goodfellow et al. 2014, equation 1). ``hinge``: E max(0, 1 - real) + E max(0, 1 + fake)
    (Lim and Ye 2017).
    """
    if loss == "hinge":
        return relu(1 - real).mean() + relu(1 + fake).mean()
    # log(1 - s(x)) = -softplus(x) and log s(x) = -softplus(-x), without overflow.
    return softplus(-real).mean() + softplus(fake).mean()


def generator_loss(loss: str, fake: Tensor) -> Tensor:
    """What G minimises, for the logits [B] of generated images.

    ``minimax``: E log(1 - s(fake)), algorithm 1 of Goodfellow et al. 2014; it saturates where D
    wins. ``non_saturating``: -E log s(fake), section 3 of the same paper. ``hinge``: -E fake.
    """
    if loss == "minimax":
        return -softplus(fake).mean()
    if loss == "non_saturating":
        return softplus(-fake).mean()
    return -fake.mean()
