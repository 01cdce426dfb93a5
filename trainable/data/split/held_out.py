"""Real images that no generator learns from, for the classifier that judges generated ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from spaces.errors import InputError
from trainable.basics.progress import Progress
from trainable.data.dataset import Dataset, grey
from trainable.data.fingerprints import pixel_digests
from trainable.data.folders.labelled import has_split
from trainable.data.folders.patients import same_patient
from trainable.data.folders.splits import split_folders
from trainable.data.labelling import AS_FOLDERS, Labelling
from trainable.data.sources import EMBEDDED, load
from trainable.data.split.alike import unlike
from trainable.data.split.groups import look_alikes

_OTHER_SEED = 1_000_003
"""Of phantoms that a data set of the default seed does not hold."""


def held_out(
    data: Dataset,
    spec: str,
    named: str | None,
    progress: Progress | None = None,
    instead: Dataset | None = None,
    say: Callable[[str], None] = lambda line: None,
    labelling: Labelling = AS_FOLDERS,
) -> Dataset | None:
    """Held-out images of the same classes, or None if there are none.

    They are the data set `named` (its test split, if it has splits), or else `instead`, where that
    is given, and the test split stays unread; or else the test split of `spec`, which `data` was
    loaded from, by its `labelling`. They are read as `data` was. Whatever has the pixels of a
    training image, looks like one (see `look_alikes`), or shows a patient who is shown in one, is
    left out. `progress` is told how many files are read; `say` in a line what was found in files,
    or why a test split that nobody named does not serve.

    Raises:
        InputError: what was named cannot serve.
    """
    if named is None and instead is not None:
        return instead
    what = f"the test split of {spec}" if named is None else f"--held-out {named}"
    try:
        found = load_apart(spec, named, data, _OTHER_SEED, progress, labelling)
        if found is None:
            return None
        apart, line = _disjoint(found, data, what)
    except InputError as error:
        if named is not None:
            raise
        say(f"no held-out images: {error}")  # none were asked for
        return None
    if found.report.files:
        say(line)
        if unalike := unlike(data, apart, "held-out images"):
            say(unalike)
    return apart


def load_apart(
    spec: str,
    named: str | None,
    like: Dataset,
    seed: int,
    progress: Progress | None,
    labelling: Labelling = AS_FOLDERS,
) -> Dataset | None:
    """Images beside `like`, the training images of `spec`, and read as they were, or None if there
    are none.

    They are the data set `named` (its test split, if it has splits), else the test split of `spec`,
    or phantoms of `seed`. The classes that `labelling` chooses hold for both, its table for `spec`.

    Raises:
        InputError: they cannot be loaded.
    """
    size, how = like.images.shape[2], like.report.reading
    if named is not None:
        alike = AS_FOLDERS if named in EMBEDDED else labelling.beside
        split = "test" if _has_test(named, alike) else "train"
        found = load(named, size, how=how, labelling=alike, split=split, progress=progress)
    elif spec == "phantom":
        found = load(spec, size, seed=seed)
    elif _has_test(spec, labelling):
        found = load(spec, size, how=how, labelling=labelling, split="test", progress=progress)
    else:
        return None
    return _of_colours(found, like.images.shape[1])


def _has_test(spec: str, labelling: Labelling) -> bool:
    if spec in EMBEDDED:
        return spec == "pneumoniamnist"
    if labelling.table is not None:
        return has_split(Path(spec), labelling, labelling.table, "test")
    return os.path.isdir(spec) and "test" in split_folders(Path(spec))  # noqa: PTH112  (never raises)


def _of_colours(found: Dataset, channels: int) -> Dataset:
    """The images with as many channels as the training images have."""
    if found.images.shape[1] == channels:
        return found
    if channels == 3:
        return replace(found, images=found.images.repeat(3, axis=1))
    return replace(found, images=grey(found.images))


def _disjoint(found: Dataset, data: Dataset, what: str) -> tuple[Dataset, str]:
    """Those of `found`, called `what`, that are not of training images, and a line that counts.

    Raises:
        InputError: their classes are others, or no image of one is left.
    """
    if found.classes != data.classes:
        raise InputError(
            f"{what} has the classes {', '.join(found.classes)}, but --data has "
            f"{', '.join(data.classes)}; give images of the same classes"
        )
    images, patients = set(pixel_digests(data.images)), {*map(same_patient, data.patients)} - {None}
    same = np.array([digest in images for digest in pixel_digests(found.images)])
    alike = np.zeros(found.n, bool)
    alike[look_alikes(found.images, data.images)[:, 0]] = True
    alike &= ~same
    known = ~(same | alike) & [same_patient(patient) in patients for patient in found.patients]
    apart = found.at(~(same | alike | known))
    left_out = []
    if same.any():
        left_out.append(f"{same.sum()} that are training images")
    if alike.any():
        which = found.sources[int(alike.argmax())]
        left_out.append(f"{alike.sum()} that look like training images, such as {which}")
    if known.any():
        who = found.patients[int(known.argmax())]
        left_out.append(
            f"{known.sum()} of patients whose names are in the training images too, such as {who!r}"
        )
    omitted = f"; left out: {' and '.join(left_out)}" if left_out else ""
    if empty := [name for name, count in apart.counts.items() if not count]:
        raise InputError(
            f"{what} has no image of class {empty[0]!r} to hold out{omitted}; give other images"
        )
    return apart, f"held out: {apart.counted} ({found.report}{omitted})"
