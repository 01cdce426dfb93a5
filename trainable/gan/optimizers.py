"""Optimizers in their fastest form, and the course of their learning rates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trainable.gan.config import TrialConfig


def optimizer(config: TrialConfig, network: nn.Module, lr: float) -> torch.optim.Optimizer:
    """The configured optimizer over all weights of `network`."""
    weights = list(network.parameters())
    rate, on_gpu = _rate(weights, lr)
    decay = config.l2
    match config.optimizer:
        case "sgd":
            momentum = config.momentum or 0.0
            return torch.optim.SGD(weights, rate, momentum, weight_decay=decay, fused=True)
        case "rmsprop":
            assert config.beta2 is not None
            momentum = config.momentum or 0.0
            return torch.optim.RMSprop(
                weights, rate, config.beta2, weight_decay=decay, momentum=momentum, foreach=True,
                capturable=on_gpu,
            )  # fmt: skip
        case "adam" | "adamw":
            assert config.beta1 is not None
            assert config.beta2 is not None
            kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
            betas = (config.beta1, config.beta2)
            return kind(
                weights, rate, betas, weight_decay=decay, fused=True, capturable=on_gpu
            )  # fmt: skip
    raise ValueError(f"unknown optimizer {config.optimizer!r}")


def heads_optimizer(config: TrialConfig, heads: nn.Module) -> torch.optim.Optimizer:
    """Adam over what is learned on a backbone's features."""
    assert config.backbone_lr is not None
    weights = [w for w in heads.parameters() if w.requires_grad]
    rate, on_gpu = _rate(weights, config.backbone_lr)
    return torch.optim.Adam(weights, rate, (0.0, 0.99), fused=True, capturable=on_gpu)


def _rate(weights: list[nn.Parameter], lr: float) -> tuple[float | Tensor, bool]:
    """A learning rate for weights where they lie, and whether that is a GPU.

    There it is a tensor: a recorded step reads it anew (see `trainable.gan.cuda_graphs`).
    """
    device = weights[0].device
    on_gpu = device.type == "cuda"
    return torch.tensor(lr, device=device) if on_gpu else lr, on_gpu


def set_rate(optim: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate, in place where it is a tensor."""
    for group in optim.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


def load_optimizer(optim: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Load what an optimizer of the same weights kept, be it on another kind of device.

    Options other than the learning rate stay those that `optim` was made with.
    """
    pairs = zip(optim.state_dict()["param_groups"], state["param_groups"], strict=True)
    groups = [{**own, "params": saved["params"]} for own, saved in pairs]
    optim.load_state_dict({**state, "param_groups": groups})
    set_rate(optim, float(state["param_groups"][0]["lr"]))


def lr_factor(config: TrialConfig, images_seen: int) -> float:
    """The share of the learning rates in force after `images_seen` images, this step's included.

    It rises linearly from 0 over the warm-up, and halves in every half-life.
    """
    warmup = config.warmup_kimg * 1000
    warmth = min(1.0, images_seen / warmup) if warmup else 1.0
    halflife = config.lr_halflife_kimg * 1000
    return warmth * (0.5 ** (images_seen / halflife) if halflife else 1.0)
