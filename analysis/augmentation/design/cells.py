"""The cells of an augmentation study, and what each one's classifier learns from.

The arms other than ``real`` and ``real + synthetic`` are what makes a gain believable: duplicated
real images in the place of synthetic ones tell a gain by images from a gain by their number, and
classical augmentation is the cheap thing to beat.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypedDict

import numpy as np

from spaces.errors import InputError

REAL, ADDED, DUPLICATES = "real", "real + synthetic", "real + duplicates"
CLASSICAL, BOTH, ALONE = "classical", "classical + synthetic", "synthetic only"
BASE = (REAL, CLASSICAL)
"""Arms without anything added, of ratio 0."""
MIXED = (ADDED, DUPLICATES, BOTH, ALONE)
"""Arms of a ratio above 0."""
ARMS = (*BASE, *MIXED)

Images = tuple[np.ndarray, np.ndarray]
"""Images uint8 [n, C, S, S] and their classes int64 [n]."""
COMPLETE: Final = "complete"
DIVERGED: Final = "diverged"
Draw = Callable[[Sequence[int]], Images]
"""Synthetic images: so many of each class."""


class Broken(TypedDict):
    """What became of a cell whose classifier broke down, and why."""

    status: Literal["diverged"]
    reason: str


class Trained(TypedDict):
    """What became of a cell that is complete.

    Keys:
        scores: on the test images, by name.
        probabilities: [n, K] of the test images.
        threshold: of the class to be found; None for more than two classes.
        best_step: the evaluation that validation chose.
        history: all evaluations, see `analysis.augmentation.classifier.fit.Fitted`.
        images: how many it learned from.
        generator: ``own`` if trained on the cell's real images alone, ``optimistic`` if the shared
            one saw others, else ``shared``.
        seconds: of training.
    """

    status: Literal["complete"]
    scores: dict[str, float]
    probabilities: list[list[float]]
    threshold: float | None
    best_step: int
    history: list[dict[str, float]]
    images: int
    generator: str
    seconds: float


Result = Trained | Broken


@dataclass(frozen=True, order=True)
class Cell:
    """One classifier to train.

    Attributes:
        size: real images, all classes together.
        ratio: synthetic (or duplicated) images for each real one; 0 for the arms of `BASE`.
        arm: one of `ARMS`.
        repeat: which subset of the real images, which latents, and which seed.
    """

    size: int
    ratio: float
    arm: str
    repeat: int

    @property
    def key(self) -> str:
        """Its name in file names and in MLflow."""
        return f"{self.size}-{self.ratio!r}-{self.arm.replace(' ', '')}-{self.repeat}"

    @property
    def classical(self) -> bool:
        """Whether its images are varied while it learns."""
        return self.arm in (CLASSICAL, BOTH)


def plan(sizes: Sequence[int], ratios: Sequence[float], repeats: int) -> list[Cell]:
    """All cells, repeat by repeat, so that a study that is stopped has whole repeats."""
    return [
        Cell(size, ratio, arm, repeat)
        for repeat in range(repeats)
        for size in sizes
        for ratio in (0.0, *ratios)
        for arm in (MIXED if ratio else BASE)
    ]


def compose(cell: Cell, real: Images, draw: Draw, seed: int = 0) -> Images:
    """What the cell's classifier learns from, of the cell's `real` images.

    Every class gets `ratio` images for each real one of it, rounded, at least one. Duplicates go
    around all real images of a class, in an order that `seed` and the repeat decide. As classifiers
    draw their batches by class and with replacement, a whole number of duplicates changes nothing
    but chance: the control says what equally many steps on the same images give.
    """
    if not cell.ratio:
        return real
    images, labels = real
    counts = [max(1, round(cell.ratio * n)) for n in np.bincount(labels).tolist()]
    if cell.arm == DUPLICATES:
        rng = np.random.default_rng([seed, cell.repeat, cell.size])
        rows = np.concatenate(
            [
                np.resize(rng.permutation(np.flatnonzero(labels == index)), count)
                for index, count in enumerate(counts)
            ]
        )
        more, more_labels = images[rows], labels[rows]
    else:
        more, more_labels = draw(counts)
    if cell.arm == ALONE:
        return more, more_labels
    return np.concatenate([images, more]), np.concatenate([labels, more_labels])


def parse_sizes(text: str) -> list[int | None]:
    """``25,50,all`` as numbers, ``all`` as None, ascending.

    Raises:
        InputError: a part is neither, or comes twice.
    """
    sizes: list[int | None] = []
    for part in text.split(","):
        number = None if part.strip() == "all" else _number(part, "--sizes", text)
        if number is not None and (number < 2 or not number.is_integer()):
            raise InputError(f"--sizes is {text!r}, but a size must be a whole number from 2 up")
        size = None if number is None else int(number)
        if size in sizes:
            raise InputError(f"--sizes is {text!r}, but {part.strip()} appears twice")
        sizes.append(size)
    return sorted(sizes, key=lambda size: float("inf") if size is None else size)


def parse_ratios(text: str) -> list[float]:
    """``0,0.5,1`` as ascending numbers above 0; the arms without synthetic images always run.

    Raises:
        InputError: a part is no number from 0 up, or comes twice.
    """
    ratios = [_number(part, "--ratios", text) for part in text.split(",")]
    for ratio in ratios:
        if not 0 <= ratio < float("inf"):
            raise InputError(
                f"--ratios is {text!r}, but {ratio:g} synthetic images per real one is "
                "impossible; give numbers from 0 up"
            )
        if ratios.count(ratio) > 1:
            raise InputError(f"--ratios is {text!r}, but {ratio:g} appears twice")
    return sorted(ratio for ratio in ratios if ratio)


def _number(text: str, flag: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputError(
            f"{flag} is {whole!r}, but {text.strip()!r} is not a number; give numbers separated "
            f"by commas{', or all' if flag == '--sizes' else ''}"
        ) from error
