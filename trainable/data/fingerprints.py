"""Which images a data set holds: what knows one again, and a CSV that says what changed."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainable.data.dataset import Dataset
from trainable.data.likeness import difference_bits

_SHOWN = 3
_DIGITS = 16
_FEWEST = 48  # of an image's differences that are there, if its look is to tell it
_ROWS = 16  # of areas, of which an image's look is the differences
LOOK_BITS = 8
"""Of 256, by which looks of one image may differ. Of 1,553 chest films no two differ by fewer than
17, of 400 phantoms by fewer than 11. Of films of 64 pixels saved again as JPEG, 98 % are within 8
at quality 75, 86 % at quality 50 and 20 % darker, 16 % at half the size; of 32 pixels, 49, 7 and
none. Larger files change less."""


def pixel_digests(images: np.ndarray) -> list[str]:
    """SHA-256, in hex, of each image's pixels: equal for the same pixels in the same shape."""
    return [hashlib.sha256(image.tobytes()).hexdigest() for image in images]


def fingerprints(images: np.ndarray) -> list[str]:
    """What knows an image again: 16 digits of `pixel_digests`, then 64 of how it looks.

    The latter are 256 differences of neighbouring areas' brightness, from which no image can be
    made again. Older generators' records have the first 16 alone.
    """
    looks = np.packbits(difference_bits(images, _ROWS), axis=1)
    return [
        digest[:_DIGITS] + look.tobytes().hex()
        for digest, look in zip(pixel_digests(images), looks, strict=True)
    ]


def known(images: np.ndarray, seen: Collection[str]) -> np.ndarray:
    """Which of `images` are among those whose fingerprints are `seen`: bool [n].

    They have the same pixels, or look the same but for `LOOK_BITS`: saved again in another way. An
    image that is mostly flat, which looks like all such, is known by its pixels alone.
    """
    marks = fingerprints(images)
    exact = {mark[:_DIGITS] for mark in seen}
    found = np.array([mark[:_DIGITS] in exact for mark in marks], bool)
    looks, theirs = (_looks(m) for m in (marks, [m for m in seen if len(m) > _DIGITS]))
    theirs = theirs[np.bitwise_count(theirs).sum(1) >= _FEWEST]
    for row, look in enumerate(looks):
        if not found[row] and len(theirs):
            found[row] = np.bitwise_count(look ^ theirs).sum(1).min() <= LOOK_BITS
    return found


def _looks(marks: Sequence[str]) -> np.ndarray:
    """uint64 [n, 4]."""
    data = b"".join(bytes.fromhex(mark[_DIGITS:]) for mark in marks)
    return np.frombuffer(data, np.uint64).reshape(len(marks), 4)


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
