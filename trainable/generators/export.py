"""A trained generator as files: to run anywhere with torch, or to go on from here."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
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


def export_generator(
    run: Mapping[str, Any],
    params: Params,
    data: Dataset,
    out: Path,
    *,
    study: str,
    settings: Mapping[str, Any],
    number: int,
    scores: Mapping[str, float],
    seen: Seen,
) -> None:
    """Write what a user of the generator needs into the folder `out`, from a `Run.state`.

    ``generator.pt2``: an `ImageGenerator` for any batch size, which needs torch alone to run.
    ``generator.safetensors``: the weights of `Generator`, for code that has this project.
    ``config.json``: how it was made, what its classes are called, how it scored; in the header of
    the weights file too. `settings` are what else a replay needs, see
    `trainable.trial.identity.RunIdentity`; `data` names what is generated. The images that it has
    `seen` are kept as fingerprints, so that nobody tests on them unawares.
    """
    task = data.task
    config = TrialConfig.from_params(params)
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
        "study": study,
        "trial": number,
        "classes": list(data.classes),
        "of_patients": seen.of_patients,
        "latent_size": config.latent_size,
        "task": {"image_size": task.image_size, "channels": task.channels, "images": task.images},
        "scores": dict(scores),
        "settings": dict(settings),
        "params": params,
        "images_seen": run["images_seen"],
        "train_seconds": run["train_seconds"],
        "images": list(seen.images),
    }
    write_generator(out / WEIGHTS, weights, about)
    (out / CONFIG).write_text(json.dumps(about, indent=2) + "\n")
