"""The classification accuracy score: what generated images teach about real ones.

S. Ravuri and O. Vinyals, "Classification Accuracy Score for Conditional Generative Models", NeurIPS
2019: a classifier is trained on generated images and tested on real ones that the generator never
saw. Theirs is a ResNet-50; here it is `quick_classifier`, so that a search can afford it at every
evaluation. It falls when classes are mixed up, and when the images of a class lack what the real
ones have; copies of the training images score as those do, so it is no measure of novelty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor

from trainable.basics.randomness import private_chance
from trainable.metrics.intervals import Interval
from trainable.metrics.quick_classifier import (
    NETS,
    Array,
    checked,
    guesses,
    one_thread,
    scaled,
    share_right,
    trained,
)


@dataclass(frozen=True, eq=False)
class Validation:
    """Real images that no generator of a study sees: 4 kB each in grey, at any size, picklable.

    Attributes:
        small: as classifiers see them, [n, C, 32, 32].
        labels: their classes [n].
        classes: number of classes.
    """

    small: Tensor
    labels: Tensor
    classes: int

    @classmethod
    def of(cls, images: Array, labels: Array, classes: int) -> Validation:
        """Of images uint8 [n, C, S, S] and labels [n].

        Raises:
            ValueError: shapes, types or classes that do not fit together.
        """
        images, labels = checked(images, labels, classes)
        return cls(scaled(images), labels, classes)

    def score(self, images: Tensor, labels: Tensor, *, seed: int, nets: int = NETS) -> float:
        """How well classifiers of images uint8 [m, C, S, S], made for classes [m], judge real ones.

        The share of real images that are taken for what they are, the mean over classes, and over
        `nets` classifiers, each asked alone: 0 to 1, chance is 1 / classes. The same `seed` gives
        every generator the same first weights, and the same order of classes and variations.
        Torch's global draws stay as they were.

        Raises:
            ValueError: shapes, types or classes that do not fit together.
        """
        images, labels = checked(images, labels, self.classes)
        small = scaled(images)
        with private_chance(seed), one_thread():
            asked = [trained(small, labels, self.classes) for _ in range(nets)]
            shares = [share_right(guesses([net], self.small), self.labels) for net in asked]
        return float(torch.tensor(shares, dtype=torch.float64).mean())

    def interval(self, images: Tensor, labels: Tensor, *, seeds: range) -> Interval:
        """The mean of `score` over two or more `seeds`, and its 95 % interval by Student's t.

        It holds the chance of the classifiers alone: the generated images, and those held back, are
        the same for all.
        """
        scores = np.array([self.score(images, labels, seed=seed) for seed in seeds])
        mean, n = float(scores.mean()), len(seeds)
        error = float(scores.std(ddof=1)) / n**0.5 * float(stdtrit(n - 1, 0.975))
        return Interval(max(0.0, mean - error), min(1.0, mean + error), mean)
