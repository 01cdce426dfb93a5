"""A pretrained start: the weights of an earlier generator for a new one, where shapes allow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spaces.errors import InputError
from spaces.task import Task
from trainable.data.dataset import Dataset, check_image_size
from trainable.data.fingerprints import Seen, known
from trainable.data.reading import Reading
from trainable.gan.config import TrialConfig
from trainable.gan.networks import Generator
from trainable.generators.image_generator import ImageGenerator
from trainable.generators.weights_file import GeneratorRecord, read_generator
from trainable.pretrained.weights import checksum

_SHAPING = ("latent_size", "upsampling", "g_depth", "g_width", "g_residuals", "g_norm")
"""Fields that decide which weights a generator has."""
_NAMED, _SHOWN = 6, 3


@dataclass(frozen=True)
class SavedGenerator:
    """A generator to begin with.

    Attributes:
        source: where it came from, as the user named it.
        sha256: checksum of its weights file.
        tensors: its state dict.
        about: its record, what `trainable.generators.export` says of it; empty if the file has
            none.
        flag: the flag that named it, for messages.
    """

    source: str
    sha256: str
    tensors: Mapping[str, Tensor]
    about: GeneratorRecord
    flag: str = "--init-from"

    @classmethod
    def read(cls, source: str, weights: Path, flag: str = "--init-from") -> SavedGenerator:
        """Read the weights file that `source` led to.

        Raises:
            InputError: it cannot be read, or is not whole and finite.
        """
        sha256 = checksum(weights, flag)
        return cls(source, sha256, *read_generator(weights), flag)

    @property
    def seen(self) -> Seen:
        """What it was trained on, as far as its record tells."""
        images, of_patients = self.about.get("images", ()), self.about.get("of_patients", True)
        return Seen(tuple(images), of_patients)

    def images_seen(self, others: str) -> frozenset[str]:
        """Fingerprints of the images that it was trained on; `others` are those to be told apart.

        Raises:
            InputError: its record names none.
        """
        found = frozenset(self.seen.images)
        if not found:
            raise InputError(
                f"{self.flag} {self.source} does not say which images it was trained on, so it "
                f"may have seen {others}; use a generator that this version exported"
            )
        return found

    def check_unseen(self, held: Dataset) -> None:
        """Raise InputError unless it surely never saw the images `held`."""
        seen = self.images_seen("those that are held back")
        self._check_reading(held.report.reading)
        among = [held.sources[row] for row in np.flatnonzero(known(held.images, seen))]
        if among:
            raise InputError(
                f"{self.flag} {self.source} was trained on {len(among)} of the {held.n} images "
                "that are held back "
                f"({', '.join(among[:_SHOWN])}{', …' if len(among) > _SHOWN else ''}), which "
                "would flatter every score on them; start from a generator that was trained with "
                f"the same --data and --hold-back, or leave out {self.flag}"
            )

    def _check_reading(self, here: Reading) -> None:
        """Raise InputError if its images were read otherwise, so that none would be known again."""
        settings = self.about.get("settings", {})
        was = Reading.of({"fit": here.fit, **settings})
        unknown = "so it may have seen those that are held back"
        without = f"leave out --hold-back or {self.flag}"
        for flag, made, there, now in (
            ("--fit", "made square by", was.fit, here.fit),
            ("--background", "laid on", was.background, here.background),
        ):
            if there != now:
                raise InputError(
                    f"{self.flag} {self.source} was trained on images {made} {flag} {there}, but "
                    f"here by {now}, {unknown}; give {flag} {there}, or {without}"
                )
        if was.levels.ranges and here.levels.ranges and was.levels != here.levels:
            raise InputError(
                f"{self.flag} {self.source} was trained on values of {was.levels} as black to "
                f"white, but here it is {here.levels}, {unknown}; {without}"
            )

    def image_generator(self) -> tuple[ImageGenerator, list[str], int]:
        """It whole, with its classes' names and its latent size.

        Raises:
            InputError: what is known of the weights does not say what they generate.
        """
        try:
            classes = list(self.about["classes"])
            config = TrialConfig.from_params(self.about["params"])
            task = Task(classes=len(classes), **self.about["task"])
            check_image_size(task.image_size, "image_size")
        except (KeyError, TypeError, InputError) as error:
            raise InputError(
                f"{self.flag} {self.source} does not say what it generates: its record is "
                f"missing or from another version ({error}); give a winner's "
                "generator.safetensors"
            ) from error
        self.check_fits(config, task)  # before memory is taken for what a record only claims
        G = Generator(config, task)
        G.load_state_dict(self.tensors)
        return ImageGenerator(G, config).eval(), classes, config.latent_size

    def check_fits(self, config: TrialConfig, task: Task) -> None:
        """Raise InputError if a generator of `config` for `task` cannot begin with it."""
        with torch.device("meta"):  # shapes alone
            G = Generator(config, task)
        own = {name: tensor.shape for name, tensor in G.state_dict().items()}
        there = {name: tensor.shape for name, tensor in self.tensors.items()}
        if own == there:
            return
        faults = self._fields(config, task)
        if not faults:
            faults = [
                f"{name} is {_shape(there.get(name))}, but here {_shape(own.get(name))}"
                for name in sorted(own.keys() | there.keys())
                if own.get(name) != there.get(name)
            ]
        more = len(faults) - _NAMED
        raise InputError(
            f"{self.flag} {self.source} has another shape: "
            + "; ".join(faults[:_NAMED])
            + (f"; and {more} more" if more > 0 else "")
            + ". Use the same values in the configuration or the space"
        )

    def _fields(self, config: TrialConfig, task: Task) -> list[str]:
        """The fields that differ, as far as the weights' own record tells."""
        params, was = self.about.get("params", {}), self.about.get("task", {})
        known = {**{k: params.get(k) for k in _SHAPING}, **was}
        known["classes"] = len(self.about.get("classes", ())) or None
        now = {k: getattr(config, k) for k in _SHAPING}
        now |= {k: getattr(task, k) for k in ("image_size", "channels", "classes")}
        return [
            f"{name} is {known[name]}, but here {value}"
            for name, value in now.items()
            if known.get(name) not in (None, value)
        ]


def _shape(shape: torch.Size | None) -> str:
    return "absent" if shape is None else str(list(shape))
