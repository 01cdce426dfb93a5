"""What a space may know of the job at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Params = dict[str, Any]
"""Hyperparameters by name: a whole configuration, or those of it that were drawn."""


@dataclass(frozen=True)
class Task:
    """The data set's shape, as far as hyperparameter ranges depend on it, and what else is given.

    Attributes:
        image_size: side of the square images in pixels, a power of two.
        channels: 1 for grey, 3 for colour.
        classes: number of classes K.
        images: number of training images n.
        backbone: the pretrained network that discriminators may stand on, or ``none``.
    """

    image_size: int
    channels: int
    classes: int
    images: int
    backbone: str = "none"

    @property
    def max_depth(self) -> int:
        """Most halvings that leave the discriminator a 2 x 2 grid."""
        return self.image_size.bit_length() - 2
