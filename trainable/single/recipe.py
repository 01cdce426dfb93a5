"""What a single run is to train: a preset, a file, or a trial of a search."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spaces.errors import InputError
from spaces.presets import PRESETS
from spaces.task import Params
from trainable.basics.files import read_json
from trainable.trial.identity import RunIdentity


@dataclass
class Recipe:
    """What is to be trained, as far as a trial or a file says.

    Attributes:
        params: the configuration; None for the preset `preset`, which depends on the images.
        preset: that preset's name.
        number: the trial's number in its study, which its seed follows from.
        study: settings of its study, see `RunIdentity.of`; of a preset or bare parameters none.
    """

    params: Params | None
    preset: str = "default"
    number: int = 0
    study: Mapping[str, Any] = field(default_factory=dict)

    def changed(self, identity: RunIdentity) -> list[str]:
        """In what `identity` differs from the study's, as a user calls it."""
        if "data_digest" not in self.study:
            return []
        return [fact.name for fact in RunIdentity.of(self.study).differences(identity)]


def read_recipe(args: argparse.Namespace) -> Recipe:
    """What ``--config`` or ``--trial`` names.

    Raises:
        InputError: there is no such thing, or it cannot be read.
    """
    if args.trial is not None:
        from trainable.tracking.registry import (
            read_trial,  # PyTorch, which a file need not wait for
        )

        found = read_trial(args.trial, args.tracking_uri)
        return Recipe(found.params, number=found.number, study=found.study)
    if args.config in PRESETS:
        return Recipe(None, args.config)
    path = Path(args.config)
    if not path.exists():
        raise InputError(
            f"--config is {args.config!r}, which is neither a file nor a preset "
            f"({', '.join(PRESETS)})"
        )
    content = read_json("--config", path)
    if not isinstance(content, dict):
        raise InputError(f"--config {path} holds a {type(content).__name__}, but must hold a dict")
    if "params" not in content:
        return Recipe(content)
    settings, number = content.get("settings", {}), content.get("trial", 0)
    for key, value in {"params": content["params"], "settings": settings}.items():
        if not isinstance(value, dict):
            raise InputError(f"--config {path}: {key} is {value!r}, but must be a dict")
    whole = {"trial": number, **{k: settings[k] for k in ("seed", "image_size") if k in settings}}
    for key, value in whole.items():
        if type(value) is not int or value < 0:
            raise InputError(f"--config {path}: {key} is {value!r}, but must be a whole number")
    share = settings.get("hold_back", 0)
    if type(share) not in (int, float) or not 0 <= share < 1:
        raise InputError(
            f"--config {path}: hold_back is {share!r}, but must be a number from 0 to less than 1"
        )
    return Recipe(content["params"], number=number, study=settings)
