"""Scores that rest on no pretrained network, to stand beside FID.

FID sees images through ImageNet's features, on which a generator may now be trained: it could win
there and nowhere else. A `Witness` knows only pixels, and small classifiers made from them. It is
coarse, and each of its scores has a hole that another covers. For 200 chest films at 64 pixels,
with 220 of other patients held out (accuracy 0.86):

    images judged                  pixel_kid   class_agreement  pixel_diversity
    the films themselves             -0.08          0.86             1.00
    35 others of their source         0.21          0.85             1.00
    the held-out films                8.07            -              1.13
    blurred, sigma 1; 4           -0.07; 0.12    0.83; 0.60       0.90; 0.59
    mean film of each class           0.15          1.00             0.00
    uniform noise                     3.84          0.50             1.16
    labels swapped                   -0.08          0.14             0.99
    5 films of a class, 20 times      0.38          0.70             0.70

pixel_kid of one half against the other is 0.00 (sd 0.03). Held-out films may be of a darker source
(Kaggle's test split is): they only teach the classifiers, the rest is held against the training
images. Across that gap, both ways, these classifiers get 0.86 and 0.79 right; kernel ridge on
pixels and gradients 0.63 and 0.82 (within a source 0.95), from varied images too 0.83 and 0.77.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainable.basics.randomness import private_chance
from trainable.metrics.kernel import kernel_distance
from trainable.metrics.pixels import within_class_diversity
from trainable.metrics.quick_classifier import (
    NETS,
    Array,
    checked,
    guesses,
    one_thread,
    scaled,
    share_right,
    shrunk,
    trained,
)

Reals = tuple[Array, Array]

VIEW = 16  # side at which KID and diversity see images
MOST = 1000  # about as many real images are kept for KID and diversity
FLAT = 0.5  # grey levels: what varies less is not magnified to unit variance


@dataclass(frozen=True, eq=False)
class Witness:
    """Real images as the scores need them: 0.25 MB for 200 in grey, at any size, picklable.

    Attributes:
        seen: real images that the generator trains on, uint8 [n, C, 16, 16].
        labels: their classes [n].
        classes: number of classes.
        nets: the classifiers, from `scaled` images to logits [n, classes].
        held_out: whether they learned from images that the generator never sees.
        accuracy: their agreement with real images that they did not learn from, 0 to 1: what a
            perfect generator would get. With `held_out` of the training images, else of those
            left out, each judged by one classifier alone, so a little low.
    """

    seen: Tensor
    labels: Tensor
    classes: int
    nets: tuple[nn.Module, ...]
    held_out: bool
    accuracy: float

    @classmethod
    def of(
        cls, images: Array, labels: Array, classes: int, held_out: Reals | None, seed: int = 0
    ) -> Witness:
        """Learn from what the generator trains on; torch's global draws stay as they were.

        Args:
            images: uint8 [n, C, S, S], n >= 2.
            labels: their classes [n], from 0; `classes` is how many there are.
            held_out: the same of other patients, such as the test split; any S. Where it is None
                or lacks a class, the classifiers learn from two thirds of `images` each. Eight
                images of a class serve, at a cost: accuracy 0.77 instead of 0.86.
            seed: of the classifiers, and of which real images are kept of more than a thousand.

        Raises:
            ValueError: shapes, types or classes that do not fit together.
        """
        images, labels = checked(images, labels, classes)
        known = None if held_out is None else checked(*held_out, classes)
        known = None if known is None or len(known[1].unique()) < classes else known
        with private_chance(seed), one_thread():
            rows = _rows(labels)
            seen, kept = shrunk(images[rows], VIEW), labels[rows]
            small, guess = scaled(images), torch.empty_like(labels)
            if known is None:
                parts = _folds(labels)
                nets = tuple(trained(small[~part], labels[~part], classes) for part in parts)
                for net, part in zip(nets, parts, strict=True):
                    guess[part] = guesses([net], small[part])
            else:
                theirs = scaled(known[0])
                nets = tuple(trained(theirs, known[1], classes) for _ in range(NETS))
                guess = guesses(nets, small)
        return cls(seen, kept, classes, nets, known is not None, share_right(guess, labels))

    def scores(
        self, images: Tensor, labels: Tensor, whole: Tensor | None = None
    ) -> dict[str, float]:
        """What there is to say of images uint8 [m, C, S, S] made for classes [m], m >= 2; as a
        whole, of those in the rows `whole` [k], all if None.

        ``pixel_kid``: KID, all pairs, of 16 x 16 pixels and the steps between neighbours, both
        centred on the real images and scaled so that each part gives half their variance: no
        unit. About 0 for a perfect generator, below 0 for copies; here 0.1 is news, 1 is wrong.

        ``class_agreement``: share of images that the classifiers take for the class asked for,
        the mean over those classes; ``class_agreement_train`` instead where they learned from
        training images. 1 / classes is chance. More than `accuracy` is no merit: clichés get it.

        ``pixel_diversity``: the least diverse class's mean distance between two of these vectors,
        over that of its real images. NaN where a class has fewer than two images, here or there, or
        real ones that are all alike at 16 x 16, which `evaluation.measure` refuses before a search.

        Raises:
            ValueError: shapes, types or classes that do not fit together.
        """
        images, labels = checked(images, labels, self.classes)
        real, fake = (_vectors(x, self.seen) for x in (self.seen, shrunk(images, VIEW)))
        diversity = within_class_diversity(real, self.labels, fake, labels, self.classes)
        name = "class_agreement" if self.held_out else "class_agreement_train"
        return {
            "pixel_kid": kernel_distance(real, fake if whole is None else fake[whole]),
            name: share_right(guesses(self.nets, scaled(images)), labels),
            "pixel_diversity": torch.tensor(diversity).min().item(),  # NaN if any is
        }


def agreement(scores: Mapping[str, Any]) -> float:
    """The class agreement among `scores`, whichever it is; NaN if they have none."""
    return scores.get("class_agreement", scores.get("class_agreement_train", float("nan")))


def _vectors(small: Tensor, real: Tensor) -> Tensor:
    """Pixels and steps [n, D] of `small`, as `real` scales them: mean square 1 over its own."""
    parts = []
    for part, reference in zip(_parts(small.double()), _parts(real.double()), strict=True):
        centre = reference.mean(0)
        # One scale for all pixels: with one for each, noise at dark edges counts as much as lungs.
        scale = (reference - centre).square().mean().sqrt().clamp_min(FLAT)
        parts.append((part - centre) / (scale * part.shape[1] ** 0.5))
    vectors = torch.cat(parts, 1)  # mean length 2, squared
    return vectors * (vectors.shape[1] / 2) ** 0.5


def _parts(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.flatten(1), torch.cat([x.diff(dim=dim).flatten(1) for dim in (-1, -2)], 1)


def _rows(labels: Tensor) -> Tensor:
    """Some `MOST` indices, in the classes' proportions, but two of a class if there are two."""
    order = torch.randperm(len(labels))
    share = min(1.0, MOST / len(labels))
    each = [order[labels[order] == c] for c in labels.unique()]
    return torch.cat([rows[: max(2, round(len(rows) * share))] for rows in each]).sort().values


def _folds(labels: Tensor) -> list[Tensor]:
    """Which images [n] each fold holds: every image in one, every class spread evenly."""
    fold = torch.empty_like(labels)
    for c in labels.unique().tolist():
        count = int((labels == c).sum())
        fold[labels == c] = (torch.randperm(count) + c) % NETS
    return [fold == k for k in range(NETS)]
