"""What FID pays for less variety: held-out real images, pulled towards the middle of their class.

The images are split into two halves, by patient where patients are known. One half stands for the
training set, the other for what a perfect generator makes. The features of the second are moved
towards the mean of their class, so that the spread within it is multiplied by a factor, and are
scored against the first half. With fewer images than features FID falls at first, KID never.

Why: two samples of one distribution have covariances A and B that hardly overlap, so that their
distance tr A + tr B - 2 tr (AB)^(1/2) is large. With the spread times s it is
tr A + s^2 tr B - 2 s tr (AB)^(1/2), least at s = tr (AB)^(1/2) / tr B < 1.

    python -m benchmarks.variety DATA [--image-size 64] [--real 100] [--generated 100] [--repeats 5]
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from benchmarks.ladders import Remembering, halve
from spaces.errors import InputError
from trainable.data.dataset import Dataset
from trainable.data.sources import load
from trainable.metrics.scores import RealSet, Scores, evaluation_scores
from trainable.pretrained.extractors import load_extractor

FACTORS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6, 0.5)
"""What the spread within a class is multiplied by."""
SHOWN = ("fid", "kid", "diversity", "coverage")


def shrunk(features: Tensor, labels: Tensor, factor: float) -> Tensor:
    """Features [n, D] moved towards the mean of their class: its spread times `factor`."""
    moved = features.double().clone()
    for label in labels.unique():
        mine = labels == label
        middle = moved[mine].mean(0)
        moved[mine] = middle + factor * (moved[mine] - middle)
    return moved


def curve(real: RealSet, held: Tensor, labels: Tensor) -> list[Scores]:
    """The scores of held-out features [m, D] for each of `FACTORS`."""
    moved = [shrunk(held, labels, factor) for factor in FACTORS]
    return [evaluation_scores(real, each, labels, logits=each) for each in moved]


def optimum(real: RealSet, fid: float) -> float:
    """The factor at which FID is least, by the `fid` of a perfect generator's full spread.

    1 - F / (2 tr A): the formula above for tr A = tr B and equal means.
    """
    return 1 - fid / (2 * float(real.stats.covariance.trace()))


def measure(
    data: Dataset, features: Remembering, most: tuple[int, int], seed: int
) -> tuple[RealSet, list[Scores]]:
    """One random split, with at most so many real and generated images: the reals, the curve."""
    halves = halve(data, max(most), seed)
    real, held = (
        np.linspace(0, n - 1, min(m, n)).round().astype(int)  # all classes, which are in order
        for n, m in zip((len(halves.real), len(halves.held)), most, strict=True)
    )
    own, asked = torch.tensor(halves.real_labels[real]), torch.tensor(halves.labels[held])
    known = RealSet.of(features(halves.real[real]), own, halves.classes)
    return known, curve(known, features(halves.held[held]), asked)


def table(curves: Sequence[Sequence[Scores]]) -> Iterator[str]:
    """Markdown: a row a factor, mean and standard deviation over `curves`.

    Gains are against the full spread of the same split, as two generators are scored against the
    same real images.
    """
    names = [f"`{name}`" for name in SHOWN]
    yield f"| spread | {' | '.join([*names, 'gain in `fid`', 'gain in `kid`'])} |"
    yield "| ---: " * (len(names) + 3) + "|"
    for place, factor in enumerate(FACTORS):
        columns = [[found[place][name] for found in curves] for name in SHOWN]
        for name in ("fid", "kid"):
            columns.append([found[place][name] - found[0][name] for found in curves])
        yield f"| {factor:g} | {' | '.join(map(_cell, columns))} |"


def _cell(values: Sequence[float]) -> str:
    spread = f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4g}{spread}"


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.variety", description="What FID pays for less variety."
    )
    p.add_argument("data", help="phantom, pneumoniamnist or a folder, as for a search")
    p.add_argument("--image-size", type=int, default=64, help="side in pixels (default: 64)")
    p.add_argument("--real", type=int, default=100, help="most real images (default: 100)")
    p.add_argument("--generated", type=int, default=100, help="most in their place (default: 100)")
    p.add_argument("--repeats", type=int, default=5, help="random splits (default: 5)")
    p.add_argument("--features", default="efficientnet-lite0", help="as for a search")
    args = p.parse_args(argv)
    most = args.real, args.generated
    try:
        data = load(args.data, args.image_size)
        extractor, line = load_extractor(args.features)
        features = Remembering(extractor)
        found = [measure(data, features, most, seed) for seed in range(args.repeats)]
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    best = statistics.mean(optimum(real, scores[0]["fid"]) for real, scores in found)
    print(f"{line}; at most {most[0]} real and {most[1]} held-out images, {args.repeats} splits\n")
    print("\n".join(table([scores for _, scores in found])))
    print(f"\nFID is least at {best:.2f} by its formula.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
