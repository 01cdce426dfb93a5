"""Training a classifier at a fixed cost, and keeping the weights that do best on validation.

Every fit takes the same number of steps, however many images there are, so that arms of a study
which differ in their images alone cost the same. Early stopping is a choice among the evaluations.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from analysis.augmentation.classifier.networks import CLASSIFIERS, build
from analysis.augmentation.design.arms import Taught
from spaces.errors import InputError
from trainable.basics.randomness import private_chance
from trainable.gan.augment import augment
from trainable.gan.run import DivergedError

Labelled = tuple[Tensor, Tensor]
"""Images uint8 [n, C, S, S], and their classes int64 [n]."""

CLASSICAL = ("translation", "zoom", "brightness", "contrast")
"""Augmentations of each batch; never flips: a heart has a side."""
MIXUP_ALPHA = 0.4
"""Of the Beta distribution of mixup's weights (Zhang et al. 2018, who have 0.1 to 0.4)."""
_FLAGS = {"network": "--classifier", "steps": "--steps", "batch": "--batch", "lr": "--lr"}
"""Those of the recipe's fields that a user sets."""
_AT_ONCE = 64  # images, where nothing is learned from them: a gigabyte at 256 x 256


@dataclass(frozen=True)
class ClassifierRecipe:
    """How a classifier is trained.

    Attributes:
        network: one of `CLASSIFIERS`.
        steps: optimiser steps, 1 or more.
        batch: images in each, 2 or more: batch norm has nothing to learn from one.
        lr: largest learning rate, above 0: the middle of a one-cycle schedule (Smith 2018).
        weight_decay: AdamW's, 0 or more.
        smoothing: share of the target spread over all classes, from 0 to below 1.
        evaluations: how often validation is measured, 1 to `steps` times, evenly spaced.
        taught: ``classical`` if each batch is varied, see `CLASSICAL`; ``mixup`` if its images are
            mixed in pairs, and their classes in the same shares (Zhang et al. 2018); else
            ``plain``.
    """

    network: str
    steps: int
    batch: int
    lr: float
    weight_decay: float
    smoothing: float
    evaluations: int
    taught: Taught

    def __post_init__(self) -> None:
        """Raise InputError for a value out of its range."""
        rules = (
            ("network", self.network in CLASSIFIERS, f"one of {', '.join(CLASSIFIERS)}"),
            ("steps", self.steps >= 1, "1 or more"),
            ("batch", self.batch >= 2, "2 or more"),
            ("lr", 0 < self.lr < math.inf, "above 0 and finite"),
            ("weight_decay", 0 <= self.weight_decay < math.inf, "0 or more and finite"),
            ("smoothing", 0 <= self.smoothing < 1, "from 0 to below 1"),
            ("evaluations", 1 <= self.evaluations <= self.steps, f"1 to {self.steps}, the steps"),
        )
        for name, kept, rule in rules:
            if not kept:
                flag = _FLAGS.get(name, name)
                raise InputError(f"{flag} is {getattr(self, name)!r}, but must be {rule}")


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained classifier, and how it came to be.

    Attributes:
        network: the one of `best_step`, in evaluation mode, on the device of training.
        best_step: the first evaluation of the lowest validation loss.
        history: at each evaluation ``step``, ``loss`` (mean of the training loss since the one
            before), ``valid_loss`` (cross entropy in nats without smoothing, the mean over
            classes of their means) and ``valid_accuracy`` (share that is right, 0 to 1).
        seconds: wall-clock seconds of it all, validation included.
    """

    network: nn.Module
    best_step: int
    history: list[dict[str, float]]
    seconds: float


def fit(
    recipe: ClassifierRecipe,
    train: Labelled,
    valid: Labelled,
    classes: int,
    *,
    seed: int,
    device: str = "cpu",
    weights: Mapping[str, Tensor] | None = None,
) -> Fitted:
    """Train a classifier; on a CPU the same bits for the same seed and number of threads.

    Fits of one seed start from the same weights, and draw alike whatever they are given to learn
    from. torch's global generators are left as they were.

    Args:
        recipe: how.
        train: what it learns from; classes come equally often, images with replacement.
        valid: what chooses among the evaluations.
        classes: how many there are; `train` and `valid` have images of each.
        seed: of the first weights, the batches, dropout and augmentation.
        device: where it is trained.
        weights: ImageNet weights to start from, of `networks.load_weights`.

    Raises:
        InputError: `weights` for a network that has none.
        ValueError: shapes, types or classes that do not fit together.
        DivergedError: a loss is no finite number.
    """
    start = time.perf_counter()
    _check("train", train, classes)
    _check("valid", valid, classes)
    with private_chance(seed, device):
        network = build(recipe.network, train[0].shape[1], classes, weights).to(device).train()
        rows = _rows(train[1], classes, recipe.steps, recipe.batch).to(device)
        rng = torch.Generator(device).manual_seed(seed)
        shares = np.random.default_rng(seed).beta(MIXUP_ALPHA, MIXUP_ALPHA, recipe.steps).tolist()
        images, labels = (t.to(device) for t in train)
        optimiser = torch.optim.AdamW(
            network.parameters(), recipe.lr, weight_decay=recipe.weight_decay, fused=True
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, recipe.lr, total_steps=recipe.steps
        )
        history: list[dict[str, float]] = []
        best, kept = math.inf, network.state_dict()
        done = 0
        for evaluation in range(1, recipe.evaluations + 1):
            before, done = done, round(recipe.steps * evaluation / recipe.evaluations)
            total = torch.zeros((), device=device)
            for batch, share in zip(rows[before:done], shares[before:done], strict=True):
                x, y = images[batch].float() / 255, F.one_hot(labels[batch], classes).float()
                if recipe.taught == "classical":
                    x = augment(x, CLASSICAL, 1.0, rng)
                elif recipe.taught == "mixup":
                    other = torch.randperm(len(batch), generator=rng, device=device)
                    x, y = (share * t + (1 - share) * t[other] for t in (x, y))
                optimiser.zero_grad()
                loss = F.cross_entropy(network(x), y, label_smoothing=recipe.smoothing)
                loss.backward()
                optimiser.step()
                schedule.step()
                total += loss.detach()  # read at the evaluation: nothing waits for the GPU here
            row = {"step": done, "loss": float(total) / (done - before), **_judged(network, valid)}
            for name in ("loss", "valid_loss"):
                if not math.isfinite(row[name]):
                    raise DivergedError(f"{name} of {recipe.network} is {row[name]} at step {done}")
            history.append(row)
            if row["valid_loss"] < best:
                best, kept = row["valid_loss"], copy.deepcopy(network.state_dict())
    network.load_state_dict(kept)
    best_step = next(int(row["step"]) for row in history if row["valid_loss"] == best)
    seconds = time.perf_counter() - start
    return Fitted(network.eval().requires_grad_(False), best_step, history, seconds)


def predict(network: nn.Module, images: Tensor, device: str = "cpu") -> Tensor:
    """Probabilities of the classes, float64 [n, classes] on the CPU, of images uint8 [n, C, S, S].

    The network is moved to `device`, and its mode is left as it is: `fit` gives evaluation's.
    """
    return _logits(network.to(device), images).softmax(1)


@torch.no_grad()
def _logits(network: nn.Module, images: Tensor) -> Tensor:
    """Float64 [n, classes] on the CPU."""
    device = next(network.parameters()).device
    parts = images.split(_AT_ONCE)
    return torch.cat([network(part.to(device).float() / 255) for part in parts]).double().cpu()


def _judged(network: nn.Module, valid: Labelled) -> dict[str, float]:
    """Loss and accuracy on validation; the network is left in training mode."""
    images, labels = valid[0], valid[1].cpu()
    network.eval()
    logits = _logits(network, images)
    network.train()
    weights = 1 / labels.bincount()[labels].double()  # classes count alike
    losses = F.cross_entropy(logits, labels, reduction="none")
    return {
        "valid_loss": float((losses * weights).sum() / weights.sum()),
        "valid_accuracy": float((logits.argmax(1) == labels).double().mean()),
    }


def _rows(labels: Tensor, classes: int, steps: int, batch: int) -> Tensor:
    """Indices [steps, batch]: the classes by turns, and of each an image drawn with replacement."""
    labels = labels.cpu()
    counts = labels.bincount(minlength=classes)
    turn = torch.arange(steps * batch) % classes
    draw = torch.rand(steps * batch, dtype=torch.float64) * counts[turn]
    first = counts.cumsum(0) - counts
    return labels.argsort(stable=True)[first[turn] + draw.long()].view(steps, batch)


def _check(name: str, labelled: Labelled, classes: int) -> None:
    images, labels = labelled
    kinds = (images.dtype, labels.dtype) == (torch.uint8, torch.int64)
    if not kinds or images.dim() != 4 or labels.shape != images.shape[:1]:
        raise ValueError(
            f"{name}: images {images.dtype} {list(images.shape)}, "
            f"labels {labels.dtype} {list(labels.shape)}"
        )
    if labels.unique().tolist() != list(range(classes)):
        raise ValueError(f"{name}: labels must have all of 0 to {classes - 1}, and no other")
