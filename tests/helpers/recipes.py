"""Recipes that reach every branch of a training step, and runs of them."""

from __future__ import annotations

import io
from typing import Any

import torch

from spaces.presets import backed
from spaces.task import Task
from trainable.data.dataset import Dataset
from trainable.gan.config import TrialConfig
from trainable.gan.run import Run
from trainable.pretrained.backbones import Backbone

LITE = "efficientnet-lite1"
SMALL = {"backbone_size": 32, "backbone_channels": 6, "backbone_width": 5}
BACKED = {**backed(Task(32, 1, 2, 40, LITE)), **SMALL}
OWN_D = (
    "d_depth", "d_width", "d_residuals", "d_norm", "d_conditioning", "loss", "penalty",
    "penalty_weight", "penalty_interval", "lr_ratio",
)  # fmt: skip
ONLY = {
    **BACKED, "backbone_role": "only", "backbone_interval": None, "backbone_weight": None,
    **dict.fromkeys(OWN_D),
}  # fmt: skip
ADAPTIVE = {"augment_control": "adaptive", "augment_probability": None, "augment_target": -0.5}
UNPENALISED = {"penalty": "none", "penalty_weight": None, "penalty_interval": None}
RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    "sgd": {"optimizer": "sgd", "momentum": 0.9, "beta1": None, "beta2": None},
    "rmsprop": {"optimizer": "rmsprop", "momentum": 0.0, "beta1": None, "g_lr": 1e-3},
    "adamw": {"optimizer": "adamw", "l2": 0.01, "loss": "hinge", "d_norm": "spectral"},
    "concat": {"d_conditioning": "concat", "upsampling": "transposed", "init": "normal"},
    "noise": {"instance_noise": 0.2, "instance_noise_halflife_kimg": 0.1, "d_steps": 2},
    "sigmoid": {"output_activation": "sigmoid", "augment": "translation+cutout", "loss": "minimax"},
    "raw": {
        "ema_halflife_kimg": 0.0, "ema_rampup": None, "warmup_kimg": 0.0, "batch_size": 7,
        "augment": "none", "augment_control": None, "augment_probability": None,
    },
    "relativistic": {"loss": "relativistic", "penalty": "r1+r2", "g_residuals": 1,
                     "d_residuals": 1, "lr_halflife_kimg": 0.5},
    "norms": {"g_norm": "class_batch", "d_norm": "batch", "upsampling": "pixel_shuffle",
              **UNPENALISED},
    "adaptive": {**ADAPTIVE, "augment": "zoom+flip", "upsampling": "bilinear", "g_norm": "none"},
    "auxiliary": BACKED,
    "auxiliary twice": {**BACKED, **ADAPTIVE, "d_steps": 2, "backbone_projection": "random"},
    "only": ONLY,
}  # fmt: skip


def run_of(config: TrialConfig, data: Dataset, backbone: Backbone, seed: int) -> Run:
    given = None if config.backbone == "none" else backbone
    return Run(config, data, seed=seed, backbone=given)


def saved(run: Run) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(run.state(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)
