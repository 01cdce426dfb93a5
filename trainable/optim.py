"""Optimizers in their fastest form, and the course of their learning rates."""

from __future__ import annotations

import torch
from torch import nn

from trainable.config import TrialConfig


def optimizer(config: TrialConfig, network: nn.Module, lr: float) -> torch.optim.Optimizer:
    """The configured optimizer over all weights of `network`."""
    weights = list(network.parameters())
    decay = config.l2
    match config.optimizer:
        case "sgd":
            momentum = config.momentum or 0.0
            return torch.optim.SGD(weights, lr, momentum, weight_decay=decay, fused=True)
        case "rmsprop":
            assert config.beta2 is not None
            momentum = config.momentum or 0.0
            return torch.optim.RMSprop(
                weights, lr, config.beta2, weight_decay=decay, momentum=momentum, foreach=True
            )
        case "adam" | "adamw":
            assert config.beta1 is not None
            assert config.beta2 is not None
            kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
            betas = (config.beta1, config.beta2)
            return kind(weights, lr, betas, weight_decay=decay, fused=True)
    raise ValueError(f"unknown optimizer {config.optimizer!r}")


def heads_optimizer(config: TrialConfig, heads: nn.Module) -> torch.optim.Optimizer:
    """Adam over what is learned on a backbone's features."""
    assert config.backbone_lr is not None
    weights = [w for w in heads.parameters() if w.requires_grad]
    return torch.optim.Adam(weights, config.backbone_lr, (0.0, 0.99), fused=True)


def lr_factor(config: TrialConfig, images_seen: int) -> float:
    """The share of the learning rates in force after `images_seen` images, this step's included.

    It rises linearly from 0 over the warm-up, and halves in every half-life.
    """
    warmup = config.warmup_kimg * 1000
    warmth = min(1.0, images_seen / warmup) if warmup else 1.0
    halflife = config.lr_halflife_kimg * 1000
    return warmth * (0.5 ** (images_seen / halflife) if halflife else 1.0)
