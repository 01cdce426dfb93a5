"""Which images a data set holds, kept as a CSV, so that a changed set can say what changed."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainable.data.dataset import Dataset

_SHOWN = 3
_DIGITS = 16


def pixel_digests(images: np.ndarray) -> list[str]:
    """SHA-256, in hex, of each image's pixels: equal for the same pixels in the same shape."""
    return [hashlib.sha256(image.tobytes()).hexdigest() for image in images]


def fingerprints(images: np.ndarray) -> list[str]:
    """The first 16 digits of `pixel_digests`, which is enough to know an image again."""
    return [digest[:_DIGITS] for digest in pixel_digests(images)]


@dataclass(frozen=True)
class Seen:
    """The images that a generator was trained on, with those of the generator that it began with.

    Attributes:
        images: their fingerprints, ascending; empty where they are not known.
        of_patients: whether some show patients; true where that is not known.
    """

    images: tuple[str, ...]
    of_patients: bool

    @classmethod
    def of(cls, data: Dataset, earlier: Seen | None = None) -> Seen:
        """What one sees that is trained on `data`, and begins with one that saw `earlier` images.

        Where those are not known, no more is known of all.
        """
        images = set(fingerprints(data.images))
        if earlier is None:
            return cls(tuple(sorted(images)), data.of_patients)
        known = sorted(images.union(earlier.images)) if earlier.images else ()
        return cls(tuple(known), data.of_patients or earlier.of_patients)


def write_images(path: Path, data: Dataset, held: Dataset | None = None) -> None:
    """Write source, class and SHA-256 of the pixels of each image, as they were trained on.

    Those of `held`, held back from the generators, follow and are marked.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(("source", "class", "sha256", "held_back"))
        for part, mark in ((data, ""), (held, "yes")):
            facts = _facts(part) if part else {}
            out.writerows((source, *rest, mark) for source, rest in facts.items())


def image_differences(path: Path, data: Dataset) -> str:
    """In what `data` differs from what `write_images` wrote, such as ``2 gone (a.png, b.png)``.

    Which images are held back is no difference: `data` is all of them.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            was = {row["source"]: (row["class"], row["sha256"]) for row in rows}
    except (OSError, KeyError):
        return f"which ones is not known, as {path} cannot be read"
    now = _facts(data)
    changed = [s for s in was.keys() & now.keys() if was[s] != now[s]]
    kinds = {"gone": was.keys() - now.keys(), "new": now.keys() - was.keys(), "changed": changed}
    parts = [f"{len(names)} {kind} ({_some(names)})" for kind, names in kinds.items() if names]
    return ", ".join(parts) or "the same images in another order"


def _facts(data: Dataset) -> dict[str, tuple[str, str]]:
    return {
        source: (data.classes[label], digest)
        for source, label, digest in zip(
            data.sources, data.labels, pixel_digests(data.images), strict=True
        )
    }


def _some(names: set[str] | list[str]) -> str:
    shown = sorted(names)[:_SHOWN]
    return ", ".join(shown) + (", …" if len(names) > _SHOWN else "")
