"""The spaces that ship with cgan-search, and how a name finds its space.

A space is a module-level function of a trial and the task. It starts from the default preset,
replaces what it searches, and returns the complete parameters of a `TrialConfig`. Ranges follow
what was measured on 100 + 100 chest X-rays; those of weight decay, momentum, beta2 and the running
mean, and everything on SGD's scale, are judgement. The preset lies inside all of
them, so that a search can try it first. Three rules keep Optuna's samplers working:

- a parameter bears its field's name, and keeps one range throughout a study; under AdamW, `l2` is
  no L2 penalty but a decoupled decay with a range of its own, and is asked for as `weight_decay`;
- a field that means nothing under the others is not asked for;
- where the right scale depends on the optimizer, the range is Adam's and the value is multiplied
  before it is returned (`LR_SCALE`). Optuna then sees one learning rate that means roughly the
  same under every optimizer; the trial's configuration shows the effective one.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from spaces import presets
from spaces.errors import InputError
from spaces.task import Params, Task

if TYPE_CHECKING:
    import optuna

Space = Callable[["optuna.Trial", Task], Params]

LR_SCALE = {"adam": 1.0, "adamw": 1.0, "rmsprop": 0.3, "sgd": 10.0}
"""Adam's learning rate times this is tried under the optimizer; rough, to be refined by search."""


def full(trial: optuna.Trial, task: Task) -> Params:
    """Both networks and their training: all that is worth a search, around the default.

    Searched and effective value differ for g_lr (x 0.3 under RMSprop).
    """
    params = _networks(trial, task) | _optimizer(trial, ["adam", "adamw", "rmsprop"])
    return _complete(task, params | _training(trial, task) | _backbone(trial, task))


def architecture(trial: optuna.Trial, task: Task) -> Params:
    """The two networks on pixels; training stays at the default."""
    return _complete(task, _networks(trial, task))


def optimization(trial: optuna.Trial, task: Task) -> Params:
    """Optimizer, loss and regularisation; the networks stay at the default.

    Searched and effective value differ for g_lr (x 0.3 under RMSprop, x 10 under SGD). SGD is here
    to show that it loses.
    """
    params = _optimizer(trial, ["adam", "adamw", "rmsprop", "sgd"])
    return _complete(task, params | _training(trial, task))


SPACES: dict[str, Space] = {
    "full": full,
    "architecture": architecture,
    "optimization": optimization,
}


def _complete(task: Task, searched: Params) -> Params:
    """The default preset with `searched` in place of its own values; None takes a field out."""
    params = presets.default(task) | searched
    return {name: value for name, value in params.items() if value is not None}


def _networks(trial: optuna.Trial, task: Task) -> Params:
    """What the networks are made of."""
    activation = trial.suggest_categorical("activation", ["relu", "leaky_relu", "elu", "silu"])
    leaky = activation == "leaky_relu"
    usual = presets.default(task)["g_depth"]  # a first grid of 4 x 4; one less is 8 x 8
    depths = (max(1, usual - 1), usual)
    return {
        "activation": activation,
        "leaky_slope": trial.suggest_float("leaky_slope", 0.05, 0.3) if leaky else None,
        "output_activation": trial.suggest_categorical("output_activation", ["tanh", "sigmoid"]),
        "init": trial.suggest_categorical("init", ["he", "orthogonal", "normal"]),
        "latent_size": trial.suggest_int("latent_size", 16, 128, log=True),
        "upsampling": trial.suggest_categorical(
            "upsampling", ["nearest", "bilinear", "pixel_shuffle", "transposed"]
        ),
        "g_depth": trial.suggest_int("g_depth", *depths),
        "g_width": trial.suggest_int("g_width", 8, 32, step=8),
        "g_norm": trial.suggest_categorical("g_norm", ["batch", "class_batch"]),
        "d_depth": trial.suggest_int("d_depth", *depths),
        "d_width": trial.suggest_int("d_width", 8, 32, step=8),
        "d_norm": trial.suggest_categorical("d_norm", ["none", "spectral"]),
        "d_conditioning": trial.suggest_categorical("d_conditioning", ["projection", "concat"]),
    }


def _training(trial: optuna.Trial, task: Task) -> Params:
    """How they are trained, but for the optimizer and the warm-up."""
    usual = presets.default(task)["batch_size"]
    batches = sorted({usual} | {size for size in (8, 16, 32) if size <= task.images})
    return {
        "batch_size": trial.suggest_categorical("batch_size", batches),
        # relativistic scored 125, and this 74, after 100 core-seconds (one seed)
        "loss": trial.suggest_categorical("loss", ["non_saturating", "hinge"]),
        **_augmentation(trial),
        **_penalty(trial),
        # log: one update is drawn in 63 % of trials, two in 37 %
        "d_steps": trial.suggest_int("d_steps", 1, 2, log=True),
        **_instance_noise(trial),
        "ema_halflife_kimg": trial.suggest_float("ema_halflife_kimg", 4.0, 100.0, log=True),
    }


def _optimizer(trial: optuna.Trial, optimizers: list[str]) -> Params:
    """Optimizer, both learning rates, weight decay, and the moments that the optimizer has."""
    optimizer = trial.suggest_categorical("optimizer", optimizers)
    params: Params = {"optimizer": optimizer, "momentum": None, "beta1": None, "beta2": None}
    params["g_lr"] = trial.suggest_float("g_lr", 5e-4, 5e-3, log=True) * LR_SCALE[optimizer]
    params["lr_ratio"] = trial.suggest_float("lr_ratio", 0.25, 2.0, log=True)
    params["lr_halflife_kimg"] = trial.suggest_categorical(
        "lr_halflife_kimg", [0.0, 50.0, 100.0, 200.0]
    )
    if optimizer == "adamw":  # without a decay it is Adam
        params["l2"] = trial.suggest_categorical("weight_decay", [1e-3, 1e-2])
    else:
        params["l2"] = trial.suggest_categorical("l2", [0.0, 1e-5, 1e-4])
    if optimizer in ("adam", "adamw"):
        params["beta1"] = trial.suggest_float("beta1", 0.0, 0.5)
    else:
        params["momentum"] = trial.suggest_float("momentum", 0.0, 0.9)
    if optimizer != "sgd":
        params["beta2"] = trial.suggest_categorical("beta2", [0.9, 0.99, 0.999])
    return params


def _penalty(trial: optuna.Trial) -> Params:
    penalty = trial.suggest_categorical("penalty", ["r1", "r1+r2", "none"])
    if penalty == "none":
        return {"penalty": penalty, "penalty_weight": None, "penalty_interval": None}
    weight = trial.suggest_float("penalty_weight", 0.03, 3.0, log=True)
    return {"penalty": penalty, "penalty_weight": weight}


def _instance_noise(trial: optuna.Trial) -> Params:
    noise = trial.suggest_categorical("instance_noise", [0.0, 0.05, 0.1])
    if noise == 0:
        return {"instance_noise": noise, "instance_noise_halflife_kimg": None}
    halflife = trial.suggest_float("instance_noise_halflife_kimg", 2.0, 32.0, log=True)
    return {"instance_noise": noise, "instance_noise_halflife_kimg": halflife}


def _augmentation(trial: optuna.Trial) -> Params:
    augment = trial.suggest_categorical(
        "augment",
        [
            "none",
            "translation",
            "translation+brightness+contrast",
            "translation+zoom+brightness+contrast",
            "translation+brightness+contrast+cutout",
        ],
    )
    params: Params = {
        "augment": augment, "augment_control": None, "augment_probability": None,
        "augment_target": None,
    }  # fmt: skip
    if augment == "none":
        return params
    control = trial.suggest_categorical("augment_control", ["fixed", "adaptive"])
    if control == "fixed":
        return params | {
            "augment_control": control,
            "augment_probability": trial.suggest_float("augment_probability", 0.5, 1.0),
        }
    return params | {"augment_control": control, "augment_target": 0.6}


def _backbone(trial: optuna.Trial, task: Task) -> Params:
    """How the backbone takes part; nothing where there is none."""
    if task.backbone == "none":
        return {}
    return {
        "backbone_interval": trial.suggest_categorical("backbone_interval", [2, 4, 8]),
        "backbone_weight": trial.suggest_float("backbone_weight", 0.1, 1.0, log=True),
        "backbone_lr": trial.suggest_float("backbone_lr", 2e-4, 2e-3, log=True),
        "backbone_projection": trial.suggest_categorical(
            "backbone_projection", ["random", "learned"]
        ),
    }


def get_space(name: str) -> Space:
    """The space of that name: one of `SPACES`, or ``package.module:function``.

    A module is looked for in the current folder too, as with ``python -m``.

    Raises:
        InputError: there is no such space, module or function, or it is not at module level,
            where another process could find it.
    """
    if name in SPACES:
        return SPACES[name]
    module, colon, function = name.partition(":")
    if colon:
        return _imported(module, function)
    close = difflib.get_close_matches(name, SPACES, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise InputError(
        f"no space {name!r}.{hint} Spaces: {', '.join(SPACES)}, or your own as "
        "package.module:function"
    )


def _imported(module_name: str, function: str) -> Space:
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)  # last: an analysis.py there is not to be taken for ours
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # the user's module may fail in any way
        raise InputError(
            f"space {module_name}:{function}: module {module_name!r} cannot be imported "
            f"({type(error).__name__}: {error}); name it as in an import statement, and run from "
            "the folder that holds it"
        ) from error
    if not hasattr(module, function):
        public = [key for key, value in vars(module).items() if callable(value) and key[0] != "_"]
        close = difflib.get_close_matches(function, public, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise InputError(f"module {module_name} has no function {function!r}{hint}")
    space = getattr(module, function)
    if not callable(space) or isinstance(space, type):
        raise InputError(
            f"{module_name}:{function} is a {type(space).__name__}, but a space must be a function "
            "of a trial and a task"
        )
    if "<" in getattr(space, "__qualname__", "<none>"):
        raise InputError(
            f"{module_name}:{function} is not a module-level function, so other processes could "
            "not find it; define it with def at the top level of its module"
        )
    return cast("Space", space)
