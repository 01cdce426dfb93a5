"""Whether two parts of a data set were treated alike before they came here.

Films that were squashed, brightened or sharpened in one part only differ in more than what they
show: a classifier then learns the treatment, and one that is tested on the other part meets a shift
that someone made.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from scipy.stats import rankdata

from trainable.data.dataset import Dataset, grey

APART = 0.8
"""Chance that of two images of one class, one of each part, that of a certain part has more of
something: from here on, or from 0.2 down, it is said. 1,200 and 356 chest films that were treated
alike came to 0.38 to 0.56; where one part had been squashed, shape to 0 and contrast to 0.94."""
_SURE = 4.0  # standard errors from even chances: small parts differ by luck
_MOST = 300  # images of a class that are looked at: at 256 pixels, 80 MB of spectra
_BLACK = 8  # grey levels below which a pixel counts as black
_FINE = 0.25  # cycles a pixel: from half of the highest frequency on


def unlike(one: Dataset, other: Dataset, what: str) -> str:
    """In what the images of `other`, called `what`, are unlike the training images `one`, of the
    same classes and side: a sentence with the median of each; empty where they are alike."""
    chances: dict[str, list[float]] = defaultdict(list)
    medians: dict[str, list[tuple[float, float]]] = defaultdict(list)
    variance = 0.0
    both = np.intersect1d(one.labels, other.labels).tolist()
    for label in both:
        mine, its = (_measures(_some(data, label)) for data in (one, other))
        n, m = (len(found["contrast"]) for found in (mine, its))
        variance += (n + m + 1) / (12 * n * m) / len(both) ** 2
        for name in filter(its.__contains__, mine):
            ranks = rankdata(np.r_[mine[name], its[name]])[n:].sum() - m * (m + 1) / 2
            chances[name].append(ranks / (n * m))
            medians[name].append((float(np.median(its[name])), float(np.median(mine[name]))))
    off = {name: abs(np.mean(found) - 0.5) for name, found in chances.items()}
    least = max(APART - 0.5, _SURE * variance**0.5)
    named = sorted((name for name in off if off[name] >= least), key=lambda name: -off[name])
    if not named:
        return ""
    said = []
    for name in named:
        there, here = map(_short, np.mean(medians[name], axis=0))
        said.append(f"{name} ({there} where they have {here})")
    remedy = ""
    if "width over height" in named:
        remedy = "; where one part was squashed to squares, --fit stretch treats both alike"
    return f"{what} are unlike the training images in {', '.join(said)}{remedy}"


def _some(data: Dataset, label: int) -> Dataset:
    """Images of a class, spread over it if there are many."""
    rows = np.flatnonzero(data.labels == label)
    return data.at(rows[np.linspace(0, len(rows) - 1, min(len(rows), _MOST)).astype(int)])


def _measures(data: Dataset) -> dict[str, np.ndarray]:
    """Of each image, float [n], by name."""
    images = grey(data.images) if data.images.shape[1] == 3 else data.images
    levels = images[:, 0].astype(np.float32)
    size = levels.shape[-1]
    across, down = np.fft.rfftfreq(size), np.fft.fftfreq(size)[:, None]
    mean = levels.mean((1, 2))
    power = np.abs(np.fft.rfft2(levels - mean[:, None, None])) ** 2
    fine = power[:, np.hypot(down, across) > _FINE].sum(1)
    found = {
        "brightness": mean,
        "contrast": levels.std((1, 2)),
        "share of black": (levels < _BLACK).mean((1, 2)),
        "share of fine detail": fine / np.maximum(power.sum((1, 2)), 1e-9),
    }
    if data.stored is not None:
        width, height = data.stored.T.astype(float)
        found["pixels in the file"] = width * height
        if data.report.reading.fit != "stretch":
            found["width over height"] = width / height
    return found


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2g}"
