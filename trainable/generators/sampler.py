"""A trained generator in a script or notebook: images of a class, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spaces.errors import InputError
from trainable.basics.ranges import MOST_SEED, check_range
from trainable.basics.wording import did_you_mean
from trainable.generators.image_generator import ImageGenerator, draw_images
from trainable.generators.saved import SavedGenerator

_MOST = 10**6


@dataclass(frozen=True)
class Sampler:
    """Draws images of the classes that its generator knows.

    Attributes:
        generator: latents and classes to images.
        classes: the classes' names.
        latent: length of a latent.
    """

    generator: ImageGenerator
    classes: tuple[str, ...]
    latent: int

    @classmethod
    def of(cls, saved: SavedGenerator) -> Sampler:
        """Of a generator as it was exported.

        Raises:
            InputError: its file does not say what it generates.
        """
        generator, classes, latent = saved.image_generator()
        return cls(generator, tuple(classes), latent)

    def sample(self, n: int, label: str, seed: int = 0) -> np.ndarray:
        """`n` images of the class `label`, as Matplotlib and Pillow take them: uint8 [n, S, S] of
        grey images, [n, S, S, 3] of colour.

        The same seed gives the same images, of which fewer are the first of more.

        Raises:
            InputError: there is no such class, or a number is out of range.
        """
        if label not in self.classes:
            hint = did_you_mean(str(label), self.classes)
            known = ", ".join(self.classes)
            raise InputError(f"label is {label!r}, but must be one of {known}{hint}")
        check_range("n", n, 1, _MOST)
        check_range("seed", seed, 0, MOST_SEED)
        counts = [n if name == label else 0 for name in self.classes]
        images, _ = draw_images(self.generator, self.latent, counts, seed)
        return images[:, 0] if images.shape[1] == 1 else images.transpose(0, 2, 3, 1)
