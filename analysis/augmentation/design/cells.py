"""The cells of an augmentation study, and what each one's classifier learns from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypedDict

import numpy as np

from analysis.augmentation.design.arms import ARMS, Arm
from spaces.errors import InputError

Images = tuple[np.ndarray, np.ndarray]
"""Images uint8 [n, C, S, S] and their classes int64 [n]."""
COMPLETE: Final = "complete"
DIVERGED: Final = "diverged"
USUAL_SIZES: Final = (25, 50, 100, None)
"""Real training-set sizes where ``--sizes`` is not given, as `parse_sizes` has them."""
Draw = Callable[[Sequence[int]], Images]
"""So many images of each class."""


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
        sigma: of the blur in the arms that have one, in pixels; else None.
        generator: ``none`` if none drew, ``own`` if it was trained on the cell's real images alone,
            ``optimistic`` if it saw others, else ``shared``.
        seconds: of training.
    """

    status: Literal["complete"]
    scores: dict[str, float]
    probabilities: list[list[float]]
    threshold: float | None
    best_step: int
    history: list[dict[str, float]]
    images: int
    sigma: float | None
    generator: str
    seconds: float


Result = Trained | Broken


@dataclass(frozen=True, order=True)
class Cell:
    """One classifier to train.

    Attributes:
        size: real images, all classes together.
        ratio: images added for each real one; 0 for arms that add none.
        arm: its name.
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
    def what(self) -> Arm:
        """Its arm."""
        return ARMS[self.arm]


def plan(
    sizes: Sequence[int], ratios: Sequence[float], repeats: int, arms: Sequence[str]
) -> list[Cell]:
    """All cells, repeat by repeat, so that a study that is stopped has whole repeats."""
    return [
        Cell(size, ratio, arm, repeat)
        for repeat in range(repeats)
        for size in sizes
        for ratio in (0.0, *ratios)
        for arm in arms
        if (ARMS[arm].added is None) == (ratio == 0)
    ]


def compose(cell: Cell, real: Images, more: Draw) -> Images:
    """What the cell's classifier learns from: `real` images, and `more`, as its arm says.

    Every class gets `ratio` images for each real one of it, rounded, at least one.
    """
    arm = cell.what
    if arm.added is None:
        return real
    added = more([max(1, round(cell.ratio * n)) for n in np.bincount(real[1]).tolist()])
    if arm.alone:
        return added
    return np.concatenate([real[0], added[0]]), np.concatenate([real[1], added[1]])


def duplicates(real: Images, counts: Sequence[int], seed: Sequence[int]) -> Images:
    """So many of the `real` images of each class again, in turn, in an order that `seed` decides.

    As classifiers draw their batches by class and with replacement, a whole number of duplicates
    changes nothing but chance: the control says what equally many steps on the same images give.
    """
    images, labels = real
    rng = np.random.default_rng(seed)
    rows = np.concatenate(
        [
            np.resize(rng.permutation(np.flatnonzero(labels == index)), count)
            for index, count in enumerate(counts)
        ]
    )
    return images[rows], labels[rows]


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
    """``0,0.5,1`` as ascending numbers above 0; arms that add nothing run without them.

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
