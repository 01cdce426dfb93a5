"""What a single run is to train: a preset, a file, or a trial of a search."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spaces.errors import InputError
from spaces.presets import PRESETS
from trainable.registry import read_trial


@dataclass
class Recipe:
    """What is to be trained, as far as a trial or a file says.

    Attributes:
        params: the configuration; None for the preset `preset`, which depends on the images.
        preset: that preset's name.
        number: the trial's number in its study, which its seed follows from.
        study: settings of its study, as text.
    """

    params: dict[str, Any] | None
    preset: str = "default"
    number: int = 0
    study: dict[str, str] = field(default_factory=dict)


def read_recipe(args: argparse.Namespace) -> Recipe:
    """What ``--config`` or ``--trial`` names.

    Raises:
        InputError: there is no such thing, or it cannot be read.
    """
    if args.trial is not None:
        found = read_trial(args.trial, args.tracking_uri)
        return Recipe(found.params, number=found.number, study=found.study)
    if args.config in PRESETS:
        return Recipe(None, args.config)
    path = Path(args.config)
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise InputError(
            f"--config is {args.config!r}, which is no file and no preset ({', '.join(PRESETS)})"
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"--config {path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"--config {path} holds a {type(content).__name__}, but must hold a dict")
    if "params" not in content:
        return Recipe(content)
    task = content.get("task", {})
    known = {"seed": content.get("seed", 0), "trial": content.get("trial", 0)}
    if isinstance(task, dict) and "image_size" in task:
        known["image_size"] = task["image_size"]
    for key, value in known.items():
        if type(value) is not int or value < 0:
            raise InputError(f"--config {path}: {key} is {value!r}, but must be a whole number")
    if not isinstance(content["params"], dict):
        raise InputError(f"--config {path}: params must be a dict of hyperparameters")
    study = {key: str(value) for key, value in known.items()}
    return Recipe(content["params"], number=known["trial"], study=study)
