"""Generators trained on a size's own real images, by the recipe of the one under study.

A generator that saw more images than the classifier's training set brings those along: at small
sizes its help is optimistic. These have seen no other image than the classifier has. Those of the
arms ``early`` are stopped long before their training is done: whether a gain takes good images.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from analysis.augmentation.design.materials import RealImages, Source
from spaces.errors import InputError
from trainable.basics.files import whole_file
from trainable.basics.wording import format_duration
from trainable.data.dataset import Dataset
from trainable.data.fingerprints import fingerprints
from trainable.gan.config import TrialConfig
from trainable.gan.run import Run
from trainable.generators.saved import SavedGenerator
from trainable.generators.weights_file import GeneratorRecord, write_generator
from trainable.pretrained.backbones import Backbone, backed_task, load_backbone

FOLDER = "generators"
EARLY_SHARE = 0.1
"""Of its training, where a generator of the arms ``early`` is stopped."""
Drawn = tuple[dict[str, Tensor], GeneratorRecord]
"""A generator's weights and its record."""


class Which(NamedTuple):
    """A generator: of what size and repeat, and whether it is stopped early."""

    size: int
    repeat: int
    early: bool = False


class Retraining:
    """How generators of other sizes are trained.

    Attributes:
        wanted: where one is needed.
        images: real images shown to each that is not stopped early, repeats counted.
    """

    def __init__(
        self,
        source: Source,
        real: RealImages,
        folder: Path,
        seed: int,
        early: bool = False,
        kimg: float | None = None,
    ):
        """Find what training needs, and whether it can be done.

        One is trained where the generator under study saw more than the real images; with `early`,
        one that is stopped early is trained everywhere. Each is shown `kimg` thousand images, or
        as many as the generator under study.

        Raises:
            InputError: the generator's record lacks how long it was trained, its backbone cannot be
                had, it began with another generator, or its configuration does not fit so few
                images; `kimg` is not positive.
        """
        about = source.start.about
        if "images_seen" not in about:
            raise InputError(
                f"{source.start.flag} {source.start.source} does not say how long it was trained, "
                f"which --retrain needs; export it with this version"
            )
        if kimg is not None and not 0 < kimg < float("inf"):
            raise InputError(f"--retrain-kimg is {kimg:g}, but must be positive, such as 100")
        self._shown = about["images_seen"]
        self.images = self._shown if kimg is None else max(1, round(1000 * kimg))
        self._source, self._real, self._folder, self._seed = source, real, folder, seed
        if about["settings"].get("init_from"):
            raise InputError(
                f"{source.start.flag} {source.start.source} began with another generator, which "
                f"knows images of its own: --retrain cannot make it again from fewer"
            )
        self._config = TrialConfig.from_params(about["params"])
        name = str(about["settings"].get("backbone", "none"))
        self._backbone: Backbone | None = load_backbone(name)
        needed = [Which(*at) for at, count in real.beyond.items() if count]
        needed += [Which(*at, early=True) for at in real.rows if early]
        self.wanted = sorted(needed)
        for which in self.wanted:
            try:
                self._config.check_task(backed_task(self._images(which).task, self._backbone))
            except InputError as error:
                raise InputError(
                    f"--sizes: --retrain cannot train a generator on {which.size} images "
                    f"({error}); leave that size out"
                ) from error

    def describe(self) -> str:
        """What is trained, how long, and how long that took where the generator comes from."""
        about = self._source.start.about
        early = sum(which.early for which in self.wanted)
        full = len(self.wanted) - early
        if not self.wanted:
            return ""
        parts = []
        if full:
            parts.append(f"{full} on {self.images:,} with repeats")
        if early:
            parts.append(f"{early} stopped early, after {self._length(early=True):,}")
        line = f"generators are trained on their size's own images: {', '.join(parts)}"
        if self.images != self._shown:
            line += f"; the one under study saw {self._shown:,}"
        if "train_seconds" in about:
            shown = full * self.images + early * self._length(early=True)
            spent = about["train_seconds"] * shown / self._shown
            line += (
                f"; about {format_duration(spent)} in all, one at a time, where that was trained"
            )
        return line

    def _length(self, *, early: bool) -> int:
        return max(1, round(EARLY_SHARE * self.images)) if early else self.images

    def train(self, which: Which, device: str, threads: int) -> Drawn:
        """Train the generator of `which`; the same weights for the same seed on a CPU.

        Raises:
            DivergedError: it broke down.
        """
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
        data, about = self._images(which), self._source.start.about
        chance = np.random.SeedSequence([self._seed, 2, which.size, which.repeat])
        seed = int(chance.generate_state(1)[0])
        run = Run(self._config, data, seed=seed, device=device, backbone=self._backbone)
        while run.images_seen < self._length(early=which.early):
            run.train_epoch()
        record: GeneratorRecord = {
            **about,
            "task": {**about["task"], "images": data.n},
            "scores": {},
            "images_seen": run.images_seen,
            "train_seconds": run.train_seconds,
            "images": sorted(set(fingerprints(data.images))),
        }
        return {name: tensor.cpu() for name, tensor in run.G_ema.state_dict().items()}, record

    def keep(self, which: Which, drawn: Drawn) -> Source:
        """Write what training gave, whole or not at all; returns the generator.

        Raises:
            OSError: the folder cannot be written to.
        """
        path = self._file(which)
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part:
            write_generator(part, *drawn)
        return self._read(path)

    def read(self, which: Which) -> Source | None:
        """The generator of `which`, None if it is not there yet.

        Raises:
            InputError: the file is not what `keep` wrote, or was trained for another length.
        """
        path = self._file(which)
        if not path.exists():
            return None
        source, length = self._read(path), self._length(early=which.early)
        shown = source.start.about.get("images_seen", 0)
        spare = which.size + 16 * self._config.batch_size  # an epoch ends with a whole step
        if not length <= shown <= length + spare:
            raise InputError(
                f"--retrain-kimg: {path} was shown {shown:,} images, not {length:,}; give another "
                "--name, or the same value to resume the study"
            )
        return source

    def _read(self, path: Path) -> Source:
        return Source.of(SavedGenerator.read(str(path), path, "--retrain"))

    def _images(self, which: Which) -> Dataset:
        return self._real.data.at(self._real.rows[which.size, which.repeat])

    def _file(self, which: Which) -> Path:
        name = f"{which.size}-{which.repeat}{'-early' if which.early else ''}.safetensors"
        return self._folder.resolve() / FOLDER / name
