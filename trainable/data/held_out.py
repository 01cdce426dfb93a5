"""Real images that no generator learns from, for the classifier that judges generated ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from spaces.errors import InputError
from trainable.data.dataset import Dataset, grey
from trainable.data.images import pixel_digests
from trainable.data.patients import same_patient
from trainable.data.reading import Reading
from trainable.data.sources import EMBEDDED, load
from trainable.data.splits import split_folders
from trainable.stages import Progress

_OTHER_SEED = 1_000_003
"""Of phantoms that a data set of the default seed does not hold."""


def held_out(
    data: Dataset,
    spec: str,
    named: str | None,
    progress: Progress | None = None,
    instead: Dataset | None = None,
) -> Dataset | None:
    """Held-out images of the same classes, or None if there are none.

    They are the data set `named` (its test split, if it has splits), or else `instead`, where that
    is given, and the test split stays unread; or else the test split of `spec`, which `data` was
    loaded from. They are read as `data` was. Whatever has the pixels of a training image, or
    shows a patient who is shown in one, is left out.
    `progress` is told how many files are read.

    Raises:
        InputError: what was named cannot serve.
    """
    if named is None and instead is not None:
        return instead
    try:
        how = data.report.reading
        found = load_apart(spec, named, data.images.shape[2], how, _OTHER_SEED, progress)
    except InputError:
        if named is not None:
            raise
        return None  # unlabelled, or too few: nobody asked for it
    if found is None:
        return None
    if found.classes != data.classes:
        if named is None:
            return None
        raise InputError(
            f"--held-out {named} has the classes {', '.join(found.classes)}, but the data "
            f"{', '.join(data.classes)}; name images of the same classes"
        )
    apart = _disjoint(_of_colours(found, data.images.shape[1]), data)
    if apart is None and named is not None:
        raise InputError(
            f"--held-out {named} has no image of one class that is not a training image too, or of "
            "a patient in one; name other images"
        )
    return apart


def load_apart(
    spec: str, named: str | None, size: int, how: Reading, seed: int, progress: Progress | None
) -> Dataset | None:
    """Images beside those that `spec` is trained on, or None if there are none.

    They are the data set `named` (its test split, if it has splits), else the test split of `spec`,
    or phantoms of `seed`.

    Raises:
        InputError: they cannot be loaded.
    """
    if named is not None:
        split = "test" if _has_test(named) else "train"
        return load(named, size, how=how, split=split, progress=progress)
    if spec == "phantom":
        return load(spec, size, seed=seed)
    if _has_test(spec):
        return load(spec, size, how=how, split="test", progress=progress)
    return None


def _has_test(spec: str) -> bool:
    if spec in EMBEDDED:
        return spec == "pneumoniamnist"
    return Path(spec).is_dir() and "test" in split_folders(Path(spec))


def _of_colours(found: Dataset, channels: int) -> Dataset:
    """The images with as many channels as the training images have."""
    if found.images.shape[1] == channels:
        return found
    if channels == 3:
        return replace(found, images=found.images.repeat(3, axis=1))
    return replace(found, images=grey(found.images))


def _disjoint(found: Dataset, data: Dataset) -> Dataset | None:
    images, patients = set(pixel_digests(data.images)), {*map(same_patient, data.patients)} - {None}
    keep = [
        digest not in images and same_patient(patient) not in patients
        for digest, patient in zip(pixel_digests(found.images), found.patients, strict=True)
    ]
    apart = found.at(np.array(keep))
    return apart if len(np.unique(apart.labels)) == len(data.classes) else None
