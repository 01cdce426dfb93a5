"""One cell of an augmentation study: a classifier is trained on what its arm says, and tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from analysis.augmentation.classifier.fit import ClassifierRecipe, Fitted, fit, predict
from analysis.augmentation.classifier.scores import choose_threshold, classification_scores
from analysis.augmentation.design.arms import Taught
from analysis.augmentation.design.cells import (
    COMPLETE,
    DIVERGED,
    Cell,
    Images,
    Result,
    compose,
    duplicates,
)
from analysis.augmentation.design.materials import RealImages, Source
from analysis.augmentation.design.retrain import Which
from analysis.augmentation.design.softness import blurred, matching_sigma
from trainable.gan.run import DivergedError
from trainable.generators.image_generator import draw_images

_DIGITS = 6
"""Of probabilities that are kept."""
_SPECTRA = 200  # generated images whose mean spectrum is matched
_CANDIDATES = 3  # images drawn for each that is selected


@dataclass(frozen=True, eq=False)
class Materials:
    """What all cells share.

    Attributes:
        real: the real images.
        source: the generator under study.
        own: generators that are to draw instead.
        recipe: how classifiers are trained; a cell's arm says how its images are taught.
        weights: what classifiers start from, or None.
        positive: the class whose detection counts, of two; else None.
        seed: of everything.
    """

    real: RealImages
    source: Source
    recipe: ClassifierRecipe
    weights: Mapping[str, Tensor] | None
    positive: int | None
    seed: int
    own: Mapping[Which, Source] = field(default_factory=dict)


def train_cell(materials: Materials, cell: Cell, device: str, threads: int) -> Result:
    """Train and test the cell's classifier; the same result for the same cell on a CPU.

    All arms of one size and repeat start from the same weights.
    """
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    work = _Work(materials, cell, device)
    real = materials.real
    try:
        train = work.images()
        fitted = work.fit(train)
    except DivergedError as error:
        return {"status": DIVERGED, "reason": str(error)}
    on_valid, on_test = (
        work.predict(fitted, images) for images in (real.validation[0], real.test.images)
    )
    positive, threshold = materials.positive, None
    if positive is not None:
        threshold = choose_threshold(on_valid[:, positive], real.validation[1] == positive)
    return {
        "status": COMPLETE,
        "scores": classification_scores(
            on_test, real.test.labels, positive=positive, threshold=threshold
        ),
        "probabilities": on_test.tolist(),
        "threshold": threshold,
        "best_step": fitted.best_step,
        "history": fitted.history,
        "images": len(train[1]),
        "sigma": work.sigma if cell.what.added == "blurred" else None,
        "generator": work.generator,
        "seconds": fitted.seconds,
    }


class _Work:
    """How a cell's images are made, and its classifiers trained."""

    def __init__(self, materials: Materials, cell: Cell, device: str):
        self._materials, self._cell, self._device = materials, cell, device
        self._at = cell.size, cell.repeat
        chance = np.random.SeedSequence([materials.seed, *self._at])
        self._seed, self._latents = (int(x) for x in chance.generate_state(2))
        self.real = materials.real.training(*self._at)

    def images(self) -> Images:
        """What the cell's classifier learns from."""
        return compose(self._cell, self.real, self._more)

    def fit(self, train: Images, taught: Taught | None = None) -> Fitted:
        recipe = replace(self._materials.recipe, taught=taught or self._cell.what.taught)
        return fit(
            recipe, _tensors(train), _tensors(self._materials.real.validation),
            len(self._materials.source.classes), seed=self._seed, device=self._device,
            weights=self._materials.weights,
        )  # fmt: skip

    def predict(self, fitted: Fitted, images: np.ndarray) -> np.ndarray:
        found = predict(fitted.network, torch.tensor(images), self._device)
        return found.numpy().round(_DIGITS)

    @property
    def generator(self) -> str:
        """Whose images the cell has, see `Trained`."""
        added = self._cell.what.added
        if added in (None, "duplicates", "blurred"):
            return "none"
        if self._source is not self._materials.source:
            return "own"
        return "optimistic" if self._materials.real.beyond[self._at] else "shared"

    @cached_property
    def sigma(self) -> float:
        """Of the blur that makes real images as soft as the generator's."""
        classes = len(self._materials.source.classes)
        return matching_sigma(self.real[0], self._draw([-(-_SPECTRA // classes)] * classes)[0])

    @property
    def _source(self) -> Source:
        shared, own, added = self._materials.source, self._materials.own, self._cell.what.added
        if added == "oracle":
            return shared
        if added == "early":
            return own[Which(*self._at, early=True)]
        return own.get(Which(*self._at), shared)

    def _draw(self, counts: Sequence[int]) -> Images:
        source = self._source
        return draw_images(source.images, source.latent, counts, self._latents, self._device)

    def _more(self, counts: Sequence[int]) -> Images:
        added = self._cell.what.added
        if added in ("duplicates", "blurred"):
            seed = [self._materials.seed, self._cell.repeat, self._cell.size]
            images, labels = duplicates(self.real, counts, seed)
            return (blurred(images, self.sigma) if added == "blurred" else images), labels
        return self._select(counts) if added == "selected" else self._draw(counts)

    def _select(self, counts: Sequence[int]) -> Images:
        """Of several images drawn for each, those that a classifier of the real images takes for
        what they are to be; where too few, then those that it comes closest to."""
        images, labels = self._draw([_CANDIDATES * count for count in counts])
        found = self.predict(self.fit(self.real, "plain"), images)
        doubt = np.where(found.argmax(1) == labels, 0.0, 1 - found[np.arange(len(found)), labels])
        order = np.argsort(doubt, kind="stable")
        rows = [order[labels[order] == k][:count] for k, count in enumerate(counts)]
        chosen = np.concatenate(rows)
        return images[chosen], labels[chosen]


def _tensors(images: Images) -> tuple[Tensor, Tensor]:
    return torch.tensor(images[0]), torch.tensor(images[1])
