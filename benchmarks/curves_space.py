"""The space of the table in `benchmarks/curves.csv.gz`, kept beside it: `full` of when it was made.

`full` in `spaces.catalog` has changed since, and may at any time; a table is of one space. Whoever
makes a new table puts its space here in place of this one, as literals.
"""

from __future__ import annotations

from typing import Any

import optuna

from spaces.presets import default
from spaces.task import Task

TASK = Task(image_size=32, channels=1, classes=2, images=200)
"""What the table was trained on."""

AUGMENTATIONS = [
    "none",
    "translation",
    "translation+brightness+contrast",
    "translation+brightness+contrast+cutout",
]


def tabulated(trial: optuna.Trial, task: Task) -> dict[str, Any]:
    """Ask for the values that the table's rows have, in the order of then.

    Some of the names and options mean nothing to today's `TrialConfig`, and a replay looks only at
    the searched values. So what is returned is today's default, whatever was drawn: no sampler or
    scheduler sees it, but `Ledger` wants a configuration that is valid.
    """
    if trial.suggest_categorical("activation", ["relu", "leaky_relu", "elu", "silu"]) == (
        "leaky_relu"
    ):
        trial.suggest_float("leaky_slope", 0.05, 0.3)
    trial.suggest_categorical("output_activation", ["tanh", "sigmoid"])
    trial.suggest_categorical("init", ["he", "normal"])
    trial.suggest_categorical("upsampling", ["nearest", "transposed"])
    trial.suggest_int("depth", 2, 4)
    trial.suggest_int("g_width", 8, 32, step=8)
    trial.suggest_int("d_width", 8, 32, step=8)
    trial.suggest_int("latent_size", 16, 128, log=True)
    trial.suggest_categorical("conditioning", ["projection", "concat"])
    trial.suggest_categorical("spectral_norm", [False, True])
    optimizer = trial.suggest_categorical("optimizer", ["adam", "adamw", "rmsprop", "sgd"])
    trial.suggest_float("g_lr", 5e-4, 5e-3, log=True)
    trial.suggest_float("d_lr", 5e-4, 5e-3, log=True)
    trial.suggest_categorical("l2", [0.0, 1e-5, 1e-4])
    if optimizer in ("adam", "adamw"):
        trial.suggest_float("beta1", 0.0, 0.5)
    else:
        trial.suggest_float("momentum", 0.0, 0.9)
    if optimizer != "sgd":
        trial.suggest_categorical("beta2", [0.9, 0.99, 0.999])
    trial.suggest_categorical("batch_size", [8, 16, 32])
    trial.suggest_categorical("loss", ["non_saturating", "hinge", "minimax"])
    trial.suggest_int("d_steps", 1, 3, log=True)
    if trial.suggest_categorical("instance_noise", [0.0, 0.05, 0.1, 0.2]) > 0:
        trial.suggest_float("instance_noise_halflife_kimg", 2.0, 32.0, log=True)
    trial.suggest_categorical("augment", AUGMENTATIONS)
    trial.suggest_float("ema_halflife_kimg", 0.5, 8.0, log=True)
    return default(task)
