"""A trained generator as files: to run anywhere with torch, or to go on from here."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from trainable.data.dataset import Dataset
from trainable.data.fingerprints import fingerprints
from trainable.gan.config import TrialConfig
from trainable.gan.networks import Generator
from trainable.generators.weights_file import write_generator
from trainable.trial.checkpoints import newest

_BATCH = 50
if TYPE_CHECKING:  # it imports this module
    from trainable.generators.saved import SavedGenerator

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


@torch.inference_mode()
def draw_images(
    images: ImageGenerator, latent: int, counts: Sequence[int], seed: int, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """So many images of each class: uint8 [n, C, S, S], and their classes int64 [n], in order.

    They follow from `seed`; of a class, fewer images are the first of more.
    """
    images.to(device)
    found, labels = [], []
    for index, count in enumerate(counts):
        parts = []
        for part in range(-(-count // _BATCH)):  # always whole batches: rounding depends on them
            chance = int(np.random.SeedSequence([seed, index, part]).generate_state(1)[0])
            z = torch.randn(_BATCH, latent, generator=torch.Generator().manual_seed(chance))
            y = torch.zeros(_BATCH, len(counts))
            y[:, index] = 1
            parts.append(images(z.to(device), y.to(device)).cpu().numpy())
        found += [np.concatenate(parts)[:count]] if parts else []
        labels += [index] * count
    return np.concatenate(found), np.array(labels, dtype=np.int64)


def _seen(data: Dataset, start: SavedGenerator | None) -> list[str]:
    own = set(fingerprints(data.images))
    if start is None:
        return sorted(own)
    before = start.about.get("images")
    return sorted(own | set(before)) if before else []


def export_generator(
    trial: Path,
    params: dict[str, Any],
    data: Dataset,
    out: Path,
    *,
    study: str,
    settings: Mapping[str, Any],
    number: int,
    scores: Mapping[str, float],
    start: SavedGenerator | None = None,
) -> None:
    """Write what a user of the generator needs into the folder `out`, from a trial's checkpoint.

    ``generator.pt2``: an `ImageGenerator` for any batch size, which needs torch alone to run.
    ``generator.safetensors``: the weights of `Generator`, for code that has this project.
    ``config.json``: how it was made, what its classes are called, how it scored; in the header of
    the weights file too. `settings` are what else a replay needs, see
    `trainable.single.recipe.SETTINGS`; `data` is what the trial was trained on, whose images are
    kept as fingerprints, so that nobody tests on them unawares; with those of `start`, the
    generator that it began with. Where that one has none, they are unknown, and none are kept.
    """
    task = data.task
    config = TrialConfig.from_params(params)
    generator = Generator(config, task)
    run = newest(trial)["run"]
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
    about = {
        "study": study,
        "trial": number,
        "classes": list(data.classes),
        "of_patients": data.of_patients
        or (start is not None and start.about.get("of_patients", True)),
        "latent_size": config.latent_size,
        "task": {"image_size": task.image_size, "channels": task.channels, "images": task.images},
        "scores": dict(scores),
        "settings": dict(settings),
        "params": params,
        "images_seen": run["images_seen"],
        "train_seconds": run["train_seconds"],
        "images": _seen(data, start),
    }
    write_generator(out / WEIGHTS, weights, about)
    (out / CONFIG).write_text(json.dumps(about, indent=2) + "\n")
