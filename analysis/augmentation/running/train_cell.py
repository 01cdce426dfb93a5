"""The cells of an augmentation study on Ray: each trains one classifier, and tests it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import ray
import ray.exceptions
import torch
from torch import Tensor

from analysis.augmentation.classifier.fit import ClassifierRecipe, fit, predict
from analysis.augmentation.classifier.scores import choose_threshold, classification_scores
from analysis.augmentation.design.cells import (
    COMPLETE,
    DIVERGED,
    Cell,
    Images,
    Result,
    compose,
)
from analysis.augmentation.design.materials import RealImages, Source
from analysis.augmentation.design.retrain import Which
from trainable.distributed.resources import Resources
from trainable.gan.run import DivergedError
from trainable.generators.image_generator import draw_images

_DIGITS = 6
"""Of probabilities that are kept."""


@dataclass(frozen=True, eq=False)
class Materials:
    """What all cells share.

    Attributes:
        real: the real images.
        source: the generator.
        own: generators that are to draw instead, by size and repeat.
        recipe: how classifiers are trained; cells of classical arms vary their images.
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
    real = materials.real
    source = materials.own.get((cell.size, cell.repeat), materials.source)
    chance = np.random.SeedSequence([materials.seed, cell.size, cell.repeat])
    seed, latents = (int(x) for x in chance.generate_state(2))

    def draw(counts: Sequence[int]) -> Images:
        return draw_images(source.images, source.latent, counts, latents, device)

    train = compose(cell, real.training(cell.size, cell.repeat), draw, materials.seed)
    valid, test = real.validation, (real.test.images, real.test.labels)
    recipe = replace(materials.recipe, classical=cell.classical)
    try:
        fitted = fit(
            recipe, _tensors(train), _tensors(valid), len(source.classes),
            seed=seed, device=device, weights=materials.weights,
        )  # fmt: skip
    except DivergedError as error:
        return {"status": DIVERGED, "reason": str(error)}
    on_valid, on_test = (
        predict(fitted.network, torch.tensor(part[0]), device).numpy().round(_DIGITS)
        for part in (valid, test)
    )
    positive, threshold = materials.positive, None
    if positive is not None:
        threshold = choose_threshold(on_valid[:, positive], valid[1] == positive)
    return {
        "status": COMPLETE,
        "scores": classification_scores(on_test, test[1], positive=positive, threshold=threshold),
        "probabilities": on_test.tolist(),
        "threshold": threshold,
        "best_step": fitted.best_step,
        "history": fitted.history,
        "images": len(train[1]),
        "generator": _generator(materials, cell),
        "seconds": fitted.seconds,
    }


def _generator(materials: Materials, cell: Cell) -> str:
    which = cell.size, cell.repeat
    if which in materials.own:
        return "own"
    return "optimistic" if materials.real.beyond[which] else "shared"


def _tensors(images: Images) -> tuple[Tensor, Tensor]:
    return torch.tensor(images[0]), torch.tensor(images[1])


def run_on_ray(
    function: Callable[..., Any],
    shared: Any,
    given: Sequence[Any],
    resources: Resources,
    workers: int,
    keep: Callable[[Any, Any], None],
    lose: Callable[[Any, str], None],
) -> None:
    """Call ``function(shared, one, device, threads)`` for each `one` given, on Ray.

    `workers` run at a time. As they come, `keep` is given each result, and `lose` the reason of
    each that failed.
    """
    shared = ray.put(shared)
    gpus = resources.gpus_per_trial or 0
    task: Any = ray.remote(num_cpus=resources.cpus_per_trial, num_gpus=gpus)(function)
    ahead = list(reversed(given))
    running: dict[Any, Any] = {}
    while ahead or running:
        while ahead and len(running) < workers:
            one = ahead.pop()
            running[task.remote(shared, one, resources.device, resources.cpus_per_trial)] = one
        [done], _ = ray.wait(list(running))
        one = running.pop(done)
        try:
            result = ray.get(done)
        except ray.exceptions.RayTaskError as error:  # it raised; else its worker was lost
            lose(one, f"{type(error.cause).__name__}: {error.cause}".splitlines()[0])
        except ray.exceptions.RayError as error:
            lose(one, str(error).splitlines()[0])
        else:
            keep(one, result)
