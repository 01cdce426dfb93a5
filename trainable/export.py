"""A trained generator as files: to run anywhere with torch, or to go on from here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spaces.task import Task
from trainable.checkpoints import newest
from trainable.config import TrialConfig
from trainable.generator_file import write_generator
from trainable.networks import Generator

EXPORTED, WEIGHTS, CONFIG = "generator.pt2", "generator.safetensors", "config.json"


class ImageGenerator(nn.Module):
    """G_ema with its output as images: z [n, latent] and one-hot y [n, K] to uint8 [n, C, S, S]."""

    def __init__(self, generator: Generator, config: TrialConfig):
        super().__init__()
        self.generator = generator
        self.low, self.span = config.output_range

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Scale and round as `Run.sample` does."""
        scaled = (self.generator(z, y) - self.low) * (255 / self.span)
        return scaled.round().clamp(0, 255).to(torch.uint8)


def export_generator(
    trial: Path,
    params: dict[str, Any],
    task: Task,
    classes: Sequence[str],
    out: Path,
    *,
    study: str,
    settings: Mapping[str, Any],
    number: int,
    scores: Mapping[str, float],
) -> None:
    """Write what a user of the generator needs into the folder `out`, from a trial's checkpoint.

    ``generator.pt2``: an `ImageGenerator` for any batch size, which needs torch alone to run.
    ``generator.safetensors``: the weights of `Generator`, for code that has this project.
    ``config.json``: how it was made, what its classes are called, how it scored; in the header of
    the weights file too. `settings` are what else a replay needs, see `trainable.recipe.SETTINGS`.
    """
    config = TrialConfig.from_params(params)
    generator = Generator(config, task)
    weights = newest(trial)["run"]["G_ema"]
    generator.load_state_dict(weights)
    images = ImageGenerator(generator, config).eval().requires_grad_(False)
    batch = torch.export.Dim("batch", min=1)
    example = (torch.zeros(2, config.latent_size), torch.zeros(2, task.classes))
    program = torch.export.export(images, example, dynamic_shapes=({0: batch}, {0: batch}))
    out.mkdir(parents=True, exist_ok=True)
    torch.export.save(program, out / EXPORTED)
    about = {
        "study": study,
        "trial": number,
        "classes": list(classes),
        "latent_size": config.latent_size,
        "task": {"image_size": task.image_size, "channels": task.channels, "images": task.images},
        "scores": dict(scores),
        "settings": dict(settings),
        "params": params,
    }
    write_generator(out / WEIGHTS, weights, about)
    (out / CONFIG).write_text(json.dumps(about, indent=2) + "\n")
