"""Parameters of each kind that a configuration may have."""

from __future__ import annotations

import dataclasses

from spaces import presets
from spaces.task import Task

XRAYS = Task(image_size=64, channels=1, classes=2, images=200)
BACKED_TASK = dataclasses.replace(XRAYS, backbone="googlenet")


def without(params: dict, *names: str) -> dict:
    return {k: v for k, v in params.items() if k not in names}


ADAM = presets.default(XRAYS)
NOISY = ADAM | {"instance_noise": 0.1, "instance_noise_halflife_kimg": 8.0}
BACKED = presets.default(BACKED_TASK)
OWN_D = (
    "d_depth", "d_width", "d_residuals", "d_norm", "d_conditioning", "loss", "penalty",
    "penalty_weight", "penalty_interval", "lr_ratio",
)  # fmt: skip
ONLY = without(BACKED, "backbone_interval", "backbone_weight", *OWN_D) | {"backbone_role": "only"}
