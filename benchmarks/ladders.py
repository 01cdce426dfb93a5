"""Which scores rank which damage rightly: held-out real images, made worse step by step.

The images are split into two halves, by patient where patients are known. One half stands for the
training set; the other is damaged along ladders, and each rung is scored against the first half
with everything `all_scores` has. The table gives Spearman's rank correlation between damage and
score, mean over random splits, with the sign such that 1 is right: every step down the ladder makes
the score worse. Below 0.8 in size a score is marked blind, at -0.8 and under wrong.

    python -m benchmarks.ladders DATA [--image-size 64] [--images 120] [--repeats 3] [--out FILE]
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage, stats
from torch import Tensor

from spaces.errors import InputError
from trainable.data.dataset import Dataset
from trainable.data.sources import load
from trainable.metrics.scores import RealSet, Scores, all_scores
from trainable.pretrained.extractors import Extractor, load_extractor

FEWEST = 20
"""Images in a half below which ranks are chance."""
BLIND = 0.8
"""Rank correlation below which a score counts as blind."""
TINY = 1.0
"""Noise, sd in grey levels, between repeats of one image: collapse without exact repeats."""
NEAR = 4.0
"""Noise of near copies, which are shifted by a pixel as well."""

HIGHER_IS_WORSE, LOWER_IS_WORSE, AWAY_FROM_HALF = 1, -1, 0
DIRECTIONS = {
    "fid": HIGHER_IS_WORSE, "kid": HIGHER_IS_WORSE,
    "fid/0": HIGHER_IS_WORSE, "kid/0": HIGHER_IS_WORSE,
    "one_nn": AWAY_FROM_HALF, "one_nn_real": AWAY_FROM_HALF, "one_nn_fake": AWAY_FROM_HALF,
    "precision": LOWER_IS_WORSE, "recall": LOWER_IS_WORSE,
    "density": LOWER_IS_WORSE, "coverage": LOWER_IS_WORSE,
    "copy_rate": HIGHER_IS_WORSE, "pixel_copy_rate": HIGHER_IS_WORSE,
    "diversity": LOWER_IS_WORSE, "likeness": LOWER_IS_WORSE,
    "creativity": LOWER_IS_WORSE, "inheritance": LOWER_IS_WORSE, "cid_diversity": LOWER_IS_WORSE,
    "inception_score": LOWER_IS_WORSE,
}  # fmt: skip
"""What worse means, for each score of the table."""


# --- Damage: uint8 images [n, C, S, S] to as many, in the same order; the same for the same seed.


def blur(images: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur, `sigma` in pixels."""
    return _bytes(ndimage.gaussian_filter(images.astype(np.float32), (0, 0, sigma, sigma)))


def noise(images: np.ndarray, sd: float, seed: int) -> np.ndarray:
    """White noise, `sd` in grey levels."""
    drawn = np.random.default_rng(seed).standard_normal(images.shape, np.float32)
    return _bytes(images + sd * drawn)


def ghost(images: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Each image with another one shining through, which has this share of the blend."""
    order = np.random.default_rng(seed).permutation(len(images))
    other = np.empty_like(order)
    other[order] = np.roll(order, 1)  # one cycle through all: none is its own ghost
    return _bytes((1 - share) * images + share * images[other].astype(np.float32))


def collapse(images: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Only this share of the images, at least one, each repeated with tiny noise.

    Those kept are spread evenly, and repeats lie where the originals lay: sets in the order of
    their classes keep them, as far as any image of a class is left.
    """
    n = len(images)
    distinct = max(1, round(share * n))
    rng = np.random.default_rng(seed)
    kept = (np.arange(distinct) + rng.uniform()) * n / distinct
    return noise(images[kept.astype(int)[np.arange(n) * distinct // n]], TINY, seed)


def mix_labels(labels: np.ndarray, classes: int, share: float, seed: int) -> np.ndarray:
    """This share of each class's images under the next class's label."""
    mixed = labels.copy()
    rng = np.random.default_rng(seed)
    for label in range(classes):
        rows = rng.permutation(np.flatnonzero(labels == label))
        mixed[rows[: round(share * len(rows))]] = (label + 1) % classes
    return mixed


def near_copies(images: np.ndarray, seed: int) -> np.ndarray:
    """Every image shifted by one pixel, to the right and down, under slight noise."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 0), (1, 0)), mode="edge")
    return noise(padded[:, :, :-1, :-1], NEAR, seed)


def copy_in(
    images: np.ndarray, labels: np.ndarray, real: np.ndarray, real_labels: np.ndarray,
    share: float, seed: int,
) -> np.ndarray:  # fmt: skip
    """This share of each class's images replaced by different `real` ones of the same class."""
    copied = images.copy()
    rng = np.random.default_rng(seed)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        sources = rng.permutation(np.flatnonzero(real_labels == label))
        rows = rows[: round(share * len(rows))]
        copied[rows] = real[np.resize(sources, len(rows))]  # around again if there are too few
    return copied


def _bytes(images: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


# --- Ladders


@dataclass(frozen=True)
class Halves:
    """Two halves of one data set, both in the order of their classes.

    Attributes:
        real: uint8 [n, C, S, S], what a generator would have been trained on.
        real_labels: their classes [n].
        held: the other half [m, C, S, S], which a perfect generator might have made.
        labels: their classes [m].
        classes: number of classes.
    """

    real: np.ndarray
    real_labels: np.ndarray
    held: np.ndarray
    labels: np.ndarray
    classes: int


@dataclass(frozen=True)
class Ladder:
    """One kind of damage, from none to worst.

    Attributes:
        name: heads a column.
        rungs: how much, mildest first.
        damage: (halves, how much, seed) to images and their labels.
    """

    name: str
    rungs: tuple[float, ...]
    damage: Callable[[Halves, float, int], tuple[np.ndarray, np.ndarray]]


def _copied(h: Halves, real: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    return copy_in(h.held, h.labels, real, h.real_labels, share, seed), h.labels


LADDERS = (
    Ladder("blur", (0, 0.5, 1, 1.5, 3), lambda h, x, _: (blur(h.held, x), h.labels)),
    Ladder("noise", (0, 4, 8, 16, 40), lambda h, x, seed: (noise(h.held, x, seed), h.labels)),
    Ladder("ghosting", (0, 0.1, 0.25, 0.5), lambda h, x, s: (ghost(h.held, x, s), h.labels)),
    Ladder(
        "collapse", (1, 0.5, 0.25, 0.1, 0.05, 0),
        lambda h, x, seed: (collapse(h.held, x, seed), h.labels),
    ),
    Ladder(
        "class mix", (0, 0.1, 0.25, 0.5, 1),
        lambda h, x, seed: (h.held, mix_labels(h.labels, h.classes, x, seed)),
    ),
    Ladder(
        "copies", (0, 0.1, 0.25, 0.5, 1), lambda h, x, seed: _copied(h, h.real, x, seed)
    ),
    Ladder(
        "near copies", (0, 0.1, 0.25, 0.5, 1),
        lambda h, x, seed: _copied(h, near_copies(h.real, seed), x, seed),
    ),
)  # fmt: skip
"""Collapse's rungs are the shares of distinct images, its last a single one."""

Climb = dict[str, list[Scores]]
"""For each ladder, the scores of its rungs."""


def halve(data: Dataset, most: int, seed: int) -> Halves:
    """Split each class in two at random, a patient on one side only, `most` images in each half.

    Raises:
        InputError: a half has fewer than `FEWEST` images.
    """
    rng = np.random.default_rng(seed)
    patients: dict[str, list[int]] = {}
    for row, name in enumerate(data.patients):
        patients.setdefault(f"image {row}" if name is None else f"patient {name}", []).append(row)
    groups = list(patients.values())
    full = np.bincount(data.labels) / 2
    sides: tuple[list[int], list[int]] = [], []
    filled = np.zeros(len(full))
    for index in rng.permutation(len(groups)):
        label = data.labels[groups[index][0]]
        sides[int(filled[label] >= full[label])].extend(groups[index])
        filled[label] += len(groups[index])
    for side in sides:
        if min(len(side), most) < FEWEST:
            raise InputError(
                f"half of {data.name} is {min(len(side), most)} images, but ladders need {FEWEST}; "
                "take more images"
            )
    first, second = (np.sort(rng.permutation(side)[:most]) for side in sides)
    by_class = [rows[np.argsort(data.labels[rows], kind="stable")] for rows in (first, second)]
    (real, real_labels), (held, labels) = ((data.images[r], data.labels[r]) for r in by_class)
    return Halves(real, real_labels, held, labels, len(data.classes))


class Remembering:
    """An extractor that reads no image twice: ladders share rungs, repeats share images."""

    def __init__(self, extractor: Extractor):
        self.extractor = extractor
        self.known: dict[bytes, Tensor] = {}

    def __call__(self, images: np.ndarray) -> Tensor:
        """Features [n, D] of uint8 images [n, C, S, S]."""
        keys = [image.tobytes() for image in images]
        new = {k: row for row, k in enumerate(keys) if k not in self.known}
        if new:
            features = self.extractor(torch.tensor(images[list(new.values())])).cpu()
            self.known.update(zip(new, features, strict=True))
        return torch.stack([self.known[key] for key in keys])


def climb(halves: Halves, features: Remembering, ladders: Iterable[Ladder], seed: int) -> Climb:
    """Score every rung of every ladder against the real half."""
    real_images = torch.tensor(halves.real)
    real_labels = torch.tensor(halves.real_labels)
    real = RealSet.of(features(halves.real), real_labels, halves.classes)
    known: dict[tuple[bytes, bytes], Scores] = {}  # the undamaged rung, which most ladders share

    def scores(images: np.ndarray, labels: np.ndarray) -> Scores:
        key = images.tobytes(), labels.tobytes()
        if key not in known:
            found = features(images)
            logits = features.extractor.logits(found)
            known[key] = all_scores(
                real, real_images, found, torch.tensor(images), torch.tensor(labels), logits
            )
        return known[key]

    return {
        ladder.name: [scores(*ladder.damage(halves, rung, seed)) for rung in ladder.rungs]
        for ladder in ladders
    }


# --- Tables


def rank_correlation(values: Sequence[float], direction: int) -> float:
    """Spearman's rho between a score's place on its ladder and how bad it says the rung is.

    Returns:
        1 where it ranks all rungs rightly, -1 where it turns them round, 0 where it does not move,
        NaN where a value is NaN.
    """
    scores = np.round(np.asarray(values, dtype=np.float64), 7)  # less is rounding, not a rank
    worse = np.abs(scores - 0.5) if direction == AWAY_FROM_HALF else direction * scores
    if np.ptp(worse) == 0:
        return 0.0
    ranks = stats.rankdata(worse)  # NaN where a value is NaN
    return float(np.corrcoef(np.arange(len(worse)), ranks)[0, 1])


def rank_table(climbs: Sequence[Climb]) -> Iterator[str]:
    """Markdown: a row a score, a column a ladder, rank correlations averaged over `climbs`."""
    names = list(climbs[0])
    yield from _head(["score", *names])
    for metric, direction in DIRECTIONS.items():
        rhos = [[_rho(found[name], metric, direction) for found in climbs] for name in names]
        yield _row([f"`{metric}`", *(_verdict(float(np.mean(each))) for each in rhos)])


def value_table(climbs: Sequence[Climb], ladders: Iterable[Ladder]) -> Iterator[str]:
    """Markdown: a row a rung, a column a score, averaged over `climbs`."""
    yield from _head(["rung", *(f"`{metric}`" for metric in DIRECTIONS)])
    for ladder in ladders:
        for place, rung in enumerate(ladder.rungs):
            means = (
                np.mean([found[ladder.name][place][metric] for found in climbs])
                for metric in DIRECTIONS
            )
            yield _row([f"{ladder.name} {rung:g}", *(f"{mean:.3g}" for mean in means)])


def _rho(rungs: Sequence[Scores], metric: str, direction: int) -> float:
    return rank_correlation([scores[metric] for scores in rungs], direction)


def _verdict(rho: float) -> str:
    if np.isnan(rho):
        return "none"
    shown = round(rho, 2) + 0.0  # no -0.00
    mark = "" if shown >= BLIND else " wrong" if shown <= -BLIND else " blind"
    return f"{shown:.2f}{mark}"


def _head(names: Sequence[str]) -> Iterator[str]:
    yield _row(names)
    yield _row(["---", *["---:"] * (len(names) - 1)])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.ladders", description="Which scores rank which damage rightly."
    )
    p.add_argument("data", help="phantom, pneumoniamnist or a folder, as for a search")
    p.add_argument("--image-size", type=int, default=64, help="side in pixels (default: 64)")
    p.add_argument("--images", type=int, default=120, help="most in each half (default: 120)")
    p.add_argument("--repeats", type=int, default=3, help="random splits (default: 3)")
    p.add_argument("--features", default="efficientnet-lite0", help="as for a search")
    p.add_argument("--out", type=Path, metavar="FILE", help="write the tables here, too")
    args = p.parse_args(argv)
    try:
        if args.repeats < 1:
            raise InputError(f"--repeats is {args.repeats}, but must be at least 1")
        data = load(args.data, args.image_size)
        splits = [halve(data, args.images, seed) for seed in range(args.repeats)]
        extractor, line = load_extractor(args.features)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(line, file=sys.stderr)
    features = Remembering(extractor)
    climbs = []
    for seed, halves in enumerate(splits):
        start = time.perf_counter()
        climbs.append(climb(halves, features, LADDERS, seed))
        spent = time.perf_counter() - start
        print(f"split {seed + 1} of {len(splits)}: {spent:.0f} s", file=sys.stderr)
    sizes = f"{len(splits[0].held)} images against {len(splits[0].real)} others"
    text = "\n".join(
        itertools.chain(
            [f"{data.name}: {sizes}, {args.image_size} pixels, {args.repeats} random splits, "
             f"{extractor.protocol}", ""],
            rank_table(climbs), ["", "Mean values", ""], value_table(climbs, LADDERS),
        )
    )  # fmt: skip
    print(text)
    if args.out is not None:
        args.out.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
