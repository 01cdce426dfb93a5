"""Subsets of a data set, and the check that two sets share no patient and no image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence

import numpy as np

from spaces.errors import InputError
from trainable.data.dataset import Dataset
from trainable.data.fingerprints import pixel_digests
from trainable.data.folders.patients import same_patient
from trainable.data.split.groups import look_alikes

SAME_PIXELS, LOOK_ALIKE, SAME_PATIENT = "the same pixels", "look alike", "the same patient"
_SHOWN = 3


def nested_subsets(
    group: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    sizes: Sequence[int],
    seed: int | Sequence[int],
    first: np.ndarray | None = None,
) -> dict[int, np.ndarray]:
    """Subsets of several sizes, of which each holds all smaller ones.

    A size counts the images of all classes: size // classes of each, and one more of each of the
    first size % classes. Images come group by group in random order, so that a subset cuts at most
    one group of each class, apart from those that `first` divides.

    Args:
        group: of each image, int64 [n].
        labels: int64 [n], indices into `classes`.
        classes: names of the classes.
        sizes: numbers of images.
        seed: of the order; the same seed gives the same subsets, whatever other sizes are asked.
        first: bool [n], images that come before all others of their class, if any do.

    Returns:
        The rows of each size, int64, sorted.

    Raises:
        InputError: a size is below the number of classes, or above what a class can give.
    """
    kinds = len(classes)
    most, scarce = largest_subset(labels, kinds)
    for size in sizes:
        if size < kinds:
            raise InputError(
                f"--sizes: a subset of {size} images cannot have one of each of {kinds} classes; "
                f"choose a size of {kinds} or more"
            )
        if size > most:
            raise InputError(
                f"--sizes: a subset of {size} images needs {_quota(size, scarce, kinds)} of class "
                f"{classes[scarce]!r}, which has {(labels == scarce).sum()} to train on; choose a "
                f"size of {most} or less"
            )
    known, of_row = np.unique(group, return_inverse=True)
    place = np.random.default_rng(seed).permutation(len(known))
    late = np.zeros(len(labels), bool) if first is None else ~first
    order = np.lexsort((place[of_row], late))
    by_class = [order[labels[order] == label] for label in range(kinds)]
    return {
        size: np.sort(
            np.concatenate(
                [rows[: _quota(size, label, kinds)] for label, rows in enumerate(by_class)]
            )
        )
        for size in sizes
    }


def largest_subset(labels: np.ndarray, kinds: int) -> tuple[int, int]:
    """The largest size of `nested_subsets`, and which of so many classes sets that limit."""
    most = kinds * np.bincount(labels, minlength=kinds) + np.arange(kinds)  # if this class decides
    return int(most.min()), int(most.argmin())


def _quota(size: int, label: int, kinds: int) -> int:
    """Images of a class in a subset: never fewer in a larger one, which keeps subsets nested."""
    return (size + kinds - 1 - label) // kinds


def overlaps(train: Dataset, other: Dataset) -> list[tuple[str, str, str]]:
    """What two data sets share: (source in `train`, source in `other`, why), in their order.

    Why is 'the same pixels', 'look alike' (see `trainable.data.split.groups`) or 'the same
    patient', the first of these that holds. A patient is the same if the name is, in whatever
    folder; a set drawn by the small builder keeps the names of its source.
    """
    by_why: tuple[tuple[str, Iterator[tuple[int, int]]], ...] = (
        (SAME_PIXELS, _equal(pixel_digests(train.images), pixel_digests(other.images))),
        (LOOK_ALIKE, ((int(i), int(j)) for i, j in look_alikes(train.images, other.images))),
        (
            SAME_PATIENT,
            _equal([*map(same_patient, train.patients)], [*map(same_patient, other.patients)]),
        ),
    )
    found: dict[tuple[int, int], str] = {}
    for why, pairs in by_why:
        for pair in pairs:
            found.setdefault(pair, why)
    return [(train.sources[i], other.sources[j], why) for (i, j), why in sorted(found.items())]


def check_apart(train: Dataset, other: Dataset, what: str) -> None:
    """Raise InputError if `other` shares an image or a patient with `train`.

    `what` names `other` in the message, such as 'the test images'.
    """
    found = overlaps(train, other)
    if not found:
        return
    shown = "; ".join(f"{mine} and {its} ({why})" for mine, its, why in found[:_SHOWN])
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    raise InputError(
        f"{what} must share no image and no patient with the training images, but these do: "
        f"{shown}{more}; remove one image of each pair"
    )


def _equal(
    mine: Sequence[Hashable | None], theirs: Sequence[Hashable | None]
) -> Iterator[tuple[int, int]]:
    """The rows of equal keys; None equals nothing."""
    rows: dict[Hashable, list[int]] = defaultdict(list)
    for row, key in enumerate(theirs):
        if key is not None:
            rows[key].append(row)
    for row, key in enumerate(mine):
        for its in rows.get(key, ()):
            yield row, its
