"""Whole configurations with a name, as plain parameters: a space starts from one and varies it.

Keys are the fields of `trainable.gan.config.TrialConfig`; that class says what each one means.
"""

from __future__ import annotations

from collections.abc import Callable

from spaces.task import Params, Task

BACKBONE = "efficientnet-lite1"
"""The backbone unless another is asked for: its weights come with the installation, and it is not
the network that FID is computed on."""


def default(task: Task) -> Params:
    """The recipe that did best on 100 + 100 chest X-rays; every search tries it first.

    Depth follows the image size so that the generator always starts from a 4 x 4 grid. What each
    ingredient is worth is in docs/performance.md.
    """
    return {
        "activation": "leaky_relu",
        "leaky_slope": 0.2,
        "output_activation": "tanh",
        "init": "orthogonal",
        "latent_size": 64,
        "upsampling": "nearest",
        "g_depth": to_4x4(task.image_size),
        "g_width": 24,
        "g_residuals": 0,
        "g_norm": "batch",
        **backed(task),
        "d_depth": to_4x4(task.image_size),
        "d_width": 16,
        "d_residuals": 0,
        "d_norm": "none",
        "d_conditioning": "projection",
        "loss": "non_saturating",
        "penalty": "r1",
        "penalty_weight": 0.3,
        "penalty_interval": 4,
        "optimizer": "adam",
        "beta1": 0.0,
        "beta2": 0.99,
        "g_lr": 2e-3,
        "lr_ratio": 1.0,
        "warmup_kimg": 0.8,
        "lr_halflife_kimg": 100.0,
        "l2": 0.0,
        "batch_size": min(16, task.images),
        "d_steps": 1,
        "instance_noise": 0.0,
        "augment": "translation+brightness+contrast",
        "augment_control": "fixed",
        "augment_probability": 1.0,
        "ema_halflife_kimg": 40.0,
        "ema_rampup": 0.05,
    }


def backed(task: Task) -> Params:
    """The part of the default that stands on the task's backbone, if there is one."""
    if task.backbone == "none":
        return {"backbone": "none"}
    return {
        "backbone": task.backbone,
        "backbone_role": "auxiliary",
        "backbone_interval": 4,
        "backbone_weight": 0.3,
        "backbone_size": 96 if task.backbone == "inception_v3" else 64,
        "backbone_projection": "learned",
        "backbone_channels": 32,
        "backbone_width": 32,
        "backbone_lr": 5e-4,
    }


def study2023(task: Task) -> Params:
    """What the study stopped at by hand: a plain DCGAN with the class at both inputs.

    Kept so that the gain over it can always be shown.
    """
    return {
        "activation": "leaky_relu",
        "leaky_slope": 0.2,
        "output_activation": "tanh",
        "init": "normal",
        "latent_size": 100,
        "upsampling": "transposed",
        "g_depth": to_4x4(task.image_size),
        "g_width": 32,
        "g_residuals": 0,
        "g_norm": "batch",
        "backbone": "none",
        "d_depth": to_4x4(task.image_size),
        "d_width": 32,
        "d_residuals": 0,
        "d_norm": "batch",
        "d_conditioning": "concat",
        "loss": "non_saturating",
        "penalty": "none",
        "optimizer": "adam",
        "beta1": 0.5,
        "beta2": 0.999,
        "g_lr": 2e-4,
        "lr_ratio": 1.0,
        "warmup_kimg": 0.0,
        "lr_halflife_kimg": 0.0,
        "l2": 0.0,
        "batch_size": min(32, task.images),
        "d_steps": 1,
        "instance_noise": 0.0,
        "augment": "none",
        "ema_halflife_kimg": 0.0,
    }


PRESETS: dict[str, Callable[[Task], Params]] = {"default": default, "study2023": study2023}


def to_4x4(image_size: int) -> int:
    """Halvings from an image of so many pixels to a grid of 4 x 4; at least one."""
    return max(1, image_size.bit_length() - 3)
