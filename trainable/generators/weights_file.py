"""A generator's weights and its record in one safetensors file, which holds no code to run.

safetensors is imported only where it is used: a machine without it trains and measures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import torch
from torch import Tensor

from spaces.errors import InputError
from spaces.task import Params
from trainable.pretrained.weights import first_line

_RECORD = "cgan-search"
"""Key of the record in the file's header. The only one there: safetensors writes several in random
order, and equal generators are to have equal checksums."""
_KINDS = {"params": dict, "task": dict, "settings": dict, "classes": list, "images": list}
_OF_TEXT = ("classes", "images")
_OF_NUMBERS = ("image_size", "channels", "images")


class TaskRecord(TypedDict):
    """Of the images that a generator learned from: side and channels, and how many there were."""

    image_size: int
    channels: int
    images: int


class GeneratorRecord(TypedDict):
    """What is known of a generator that was exported; of somebody else's, nothing.

    Keys:
        study, trial: where it was trained.
        classes: their names, in order.
        of_patients: whether the images show patients; older records do not say.
        latent_size, params: its configuration.
        task: the images that it learned from.
        scores: by name.
        settings: what else a replay needs, see `trainable.trial.identity.RunIdentity`.
        images_seen, train_seconds: how long it was trained; older records do not say.
        images: fingerprints of all that it has seen; older records do not say.
    """

    study: str
    trial: int
    classes: list[str]
    of_patients: NotRequired[bool]
    latent_size: int
    task: TaskRecord
    scores: dict[str, float]
    settings: Mapping[str, Any]
    params: Params
    images_seen: NotRequired[int]
    train_seconds: NotRequired[float]
    images: NotRequired[list[str]]


def write_generator(path: Path, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
    """Write a state dict, and what is known of it as JSON in the header.

    Raises:
        InputError: safetensors is not installed.
        OSError: the file cannot be written.
    """
    try:
        from safetensors.torch import save
    except ImportError as error:
        raise InputError(
            f"{path} needs the package safetensors: pip install safetensors; the same command "
            "then resumes"
        ) from error
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    path.write_bytes(save(whole, {_RECORD: json.dumps(record)}))


def read_generator(path: Path) -> tuple[dict[str, Tensor], GeneratorRecord]:
    """The state dict and its record, which is empty in a file of somebody else's.

    Raises:
        InputError: it is no safetensors file, holds values that are not finite, or a record that
            `write_generator` was not given.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise InputError(
            f"{path} needs the package safetensors: pip install safetensors"
        ) from error
    fault = f"{path} does not hold a generator"
    try:
        with safe_open(path, "pt") as file:
            written = (file.metadata() or {}).get(_RECORD, "{}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        finite = all(torch.isfinite(t).all() for t in tensors.values() if t.is_floating_point())
    except (SafetensorError, NotImplementedError) as error:  # the latter of types of few bits
        raise InputError(f"{fault} as safetensors: {first_line(error)}") from error
    if not finite:
        raise InputError(f"{fault}: some weights are not finite")
    try:
        record = json.loads(written)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{fault}: its record is not valid JSON: {error}") from error
    if not _as_written(record):
        raise InputError(f"{fault}: its record is not what an export writes")
    return tensors, record


def _as_written(record: Any) -> bool:
    """Whether what a record holds is of the kinds that an export writes."""
    if not isinstance(record, dict) or not all(
        isinstance(record.get(key, kind()), kind) for key, kind in _KINDS.items()
    ):
        return False
    texts = [text for key in _OF_TEXT for text in record.get(key, ())]
    numbers = [record.get("task", {}).get(key, 1) for key in _OF_NUMBERS]
    data = record.get("settings", {}).get("data", "")
    return all(isinstance(text, str) for text in (*texts, data)) and all(
        type(number) is int and number > 0 for number in numbers
    )
