"""A trained generator as files: to run anywhere with torch, or to go on from here."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from spaces.task import Params
from trainable.data.dataset import Dataset
from trainable.data.fingerprints import Seen
from trainable.gan.config import TrialConfig
from trainable.gan.networks import Generator
from trainable.generators.image_generator import ImageGenerator
from trainable.generators.weights_file import GeneratorRecord, write_generator

EXPORTED, WEIGHTS, CONFIG = "generator.pt2", "generator.safetensors", "config.json"


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a generator comes from.

    Attributes:
        study, trial: the study's name, and the trial's number in it.
        params: the trial's parameters.
        settings: what else a replay needs, see `trainable.trial.identity.RunIdentity`.
        seen: the images that it has seen, kept as fingerprints so that nobody tests on them
            unawares.
    """

    study: str
    trial: int
    params: Params
    settings: Mapping[str, Any]
    seen: Seen


def export_generator(
    run: Mapping[str, Any],
    data: Dataset,
    out: Path,
    provenance: Provenance,
    scores: Mapping[str, float],
) -> None:
    """Write what a user of the generator needs into the folder `out`, from a `Run.state`.

    ``generator.pt2``: an `ImageGenerator` for any batch size, which needs torch alone to run.
    ``generator.safetensors``: the weights of `Generator`, for code that has this project.
    ``config.json``: how it was made, what its classes are called, how it scored; in the header of
    the weights file too. `data` names what is generated.
    """
    task = data.task
    config = TrialConfig.from_params(provenance.params)
    generator = Generator(config, task)
    weights = run["G_ema"]
    generator.load_state_dict(weights)
    images = ImageGenerator(generator, config).eval().requires_grad_(False)
    batch = torch.export.Dim("batch", min=1)
    example = (torch.zeros(2, config.latent_size), torch.zeros(2, task.classes))
    program = torch.export.export(images, example, dynamic_shapes=({0: batch}, {0: batch}))
    out.mkdir(parents=True, exist_ok=True)
    whole = io.BytesIO()  # PyTorch's own writer does not say that a disk is full
    torch.export.save(program, whole)
    (out / EXPORTED).write_bytes(whole.getbuffer())
    about: GeneratorRecord = {
        "study": provenance.study,
        "trial": provenance.trial,
        "classes": list(data.classes),
        "of_patients": provenance.seen.of_patients,
        "latent_size": config.latent_size,
        "task": {"image_size": task.image_size, "channels": task.channels, "images": task.images},
        "scores": dict(scores),
        "settings": dict(provenance.settings),
        "params": provenance.params,
        "images_seen": run["images_seen"],
        "train_seconds": run["train_seconds"],
        "images": list(provenance.seen.images),
    }
    write_generator(out / WEIGHTS, weights, about)
    (out / CONFIG).write_text(json.dumps(about, indent=2) + "\n")
