"""Generators trained on a size's own real images, by the recipe of the one under study.

A generator that saw more images than the classifier's training set brings those along: at small
sizes its help is optimistic. These have seen no other image than the classifier has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from analysis.augmentation.materials import RealImages, Source
from spaces.errors import InputError
from trainable.backbones import Backbone, backed_task, load_backbone
from trainable.config import TrialConfig
from trainable.data.dataset import Dataset
from trainable.data.images import fingerprints
from trainable.generator_file import write_generator
from trainable.start import Start
from trainable.training import Run

FOLDER = "generators"
Which = tuple[int, int]
"""Size and repeat."""


class Retraining:
    """How generators of other sizes are trained.

    Attributes:
        wanted: sizes and repeats that need one: those below what the generator saw.
    """

    def __init__(self, source: Source, real: RealImages, folder: Path, seed: int):
        """Find what training needs, and whether it can be done.

        Raises:
            InputError: the generator's record lacks how long it was trained, its backbone cannot be
                had, or its configuration does not fit so few images.
        """
        about = source.start.about
        if "images_seen" not in about:
            raise InputError(
                f"{source.start.flag} {source.start.source} does not say how long it was trained, "
                "which --retrain needs; export it with this version"
            )
        self._source, self._real, self._folder, self._seed = source, real, folder, seed
        self._config = TrialConfig.from_params(about["params"])
        name = str(about["settings"].get("backbone", "none"))
        self._backbone: Backbone | None = load_backbone(name)
        self.wanted = sorted(which for which in real.rows if which[0] < real.seen)
        for which in self.wanted:
            self._config.check_task(backed_task(self._images(which).task, self._backbone))

    def __call__(self, which: Which, device: str, threads: int) -> None:
        """Train and write the generator of `which`; the same weights for the same seed on a CPU."""
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
        data, about = self._images(which), self._source.start.about
        run = Run(
            self._config, data, seed=self._seed + which[1], device=device, backbone=self._backbone
        )
        while run.images_seen < about["images_seen"]:
            run.train_epoch()
        record: dict[str, Any] = {
            **about,
            "task": {**about["task"], "images": data.n},
            "scores": {},
            "images_seen": run.images_seen,
            "images": sorted(set(fingerprints(data.images))),
        }
        path = self._file(which)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        weights = {name: tensor.cpu() for name, tensor in run.G_ema.state_dict().items()}
        write_generator(part, weights, record)
        part.replace(path)

    def read(self, which: Which) -> Source | None:
        """The generator of `which`, None if it is not there yet.

        Raises:
            InputError: the file is not what `__call__` wrote.
        """
        path = self._file(which)
        return Source.of(Start.read(str(path), path, "--retrain")) if path.exists() else None

    def _images(self, which: Which) -> Dataset:
        return self._real.data.at(self._real.rows[which])

    def _file(self, which: Which) -> Path:
        return self._folder.resolve() / FOLDER / f"{which[0]}-{which[1]}.safetensors"
