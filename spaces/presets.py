"""Whole configurations with a name, as plain parameters: a space starts from one and varies it.

Keys are the fields of `trainable.config.TrialConfig`; that class says what each one means.
"""

from __future__ import annotations

from typing import Any

from spaces.task import Task

Params = dict[str, Any]


def default(task: Task) -> Params:
    """The recipe that did best on 100 + 100 chest X-rays; every search tries it first.

    Depth follows the image size so that the generator always starts from a 4 x 4 grid.
    """
    return {
        "activation": "leaky_relu",
        "leaky_slope": 0.2,
        "output_activation": "tanh",
        "init": "he",
        "upsampling": "nearest",
        "depth": max(1, task.image_size.bit_length() - 3),
        "g_width": 16,
        "d_width": 16,
        "latent_size": 64,
        "conditioning": "projection",
        "spectral_norm": False,
        "loss": "non_saturating",
        "optimizer": "adam",
        "beta1": 0.0,
        "beta2": 0.99,
        "g_lr": 3e-3,
        "d_lr": 3e-3,
        "l2": 0.0,
        "warmup_kimg": 0.8,
        "batch_size": min(16, task.images),
        "d_steps": 1,
        "instance_noise": 0.0,
        "augment": "translation+brightness+contrast",
        "ema_halflife_kimg": 4.0,
    }
