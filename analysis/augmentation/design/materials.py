"""What an augmentation study works with, checked for leaks before anything is trained.

The rules: no patient and no image is in two of training, validation and test; the generator saw
nothing of validation and test; validation is of real images alone, the same for every cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.augmentation.design.cells import USUAL_SIZES, Images
from analysis.augmentation.design.partition import check_apart, largest_subset, nested_subsets
from spaces.errors import InputError
from trainable.basics.progress import Progress
from trainable.data.dataset import Dataset
from trainable.data.fingerprints import known
from trainable.data.labelling import AS_FOLDERS, Labelling
from trainable.data.reading import Reading
from trainable.data.sources import EMBEDDED, load
from trainable.data.split.alike import unlike
from trainable.data.split.groups import groups
from trainable.data.split.held_out import load_apart
from trainable.generators.image_generator import ImageGenerator
from trainable.generators.saved import SavedGenerator

FEWEST_VALID, MOST_VALID = 5, 50
"""Validation images of a class."""
_TEST_SEED = 2_000_003
"""Of phantoms that neither a data set of the default seed nor a search's held-out ones hold."""
_NAMED = 3


@dataclass(frozen=True)
class Source:
    """The generator under study.

    Attributes:
        start: it, with its record.
        images: it, ready to draw.
        classes: names of its classes.
        latent: its latent size.
        seen: fingerprints of the images it was trained on.
    """

    start: SavedGenerator
    images: ImageGenerator
    classes: tuple[str, ...]
    latent: int
    seen: frozenset[str]

    @classmethod
    def of(cls, start: SavedGenerator) -> Source:
        """What `start` holds.

        Raises:
            InputError: it does not say what it generates, or which images it was trained on.
        """
        images, classes, latent = start.image_generator()
        return cls(start, images, tuple(classes), latent, start.images_seen("the test images"))

    @property
    def side(self) -> int:
        """Of its images, in pixels."""
        return int(self.start.about["task"]["image_size"])

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return int(self.start.about["task"]["channels"])

    @property
    def reading(self) -> Reading:
        """How the files of its training images became pixels."""
        return Reading.of(self.start.about.get("settings", {}))

    @property
    def classes_chosen(self) -> str | None:
        """The value of --classes in its training."""
        return Labelling.of(self.start.about.get("settings", {})).classes


@dataclass(frozen=True, eq=False)
class RealImages:
    """The real images of a study, apart from each other.

    Attributes:
        data: what there is to train and validate on.
        rows: rows of `data` that a classifier learns from, by (size, repeat).
        valid: rows of `data` for validation.
        test: the test images.
        tested: who each test image shows, int [n]: patients and look-alikes have one number.
        beyond: how many images the generator saw that are not among a cell's real images, by (size,
            repeat): above 0, the generator brings more along than the classifier is said to have.
        said: what was done, a line each.
    """

    data: Dataset
    rows: dict[tuple[int, int], np.ndarray]
    valid: np.ndarray
    test: Dataset
    tested: np.ndarray
    beyond: dict[tuple[int, int], int]
    said: tuple[str, ...]

    @property
    def sizes(self) -> list[int]:
        """Real training-set sizes, ascending."""
        return sorted({size for size, _ in self.rows})

    def training(self, size: int, repeat: int) -> Images:
        """The real images of a cell."""
        return self._at(self.rows[size, repeat])

    @property
    def optimistic(self) -> list[int]:
        """Sizes at which the generator saw more than a cell's real images."""
        return sorted({size for (size, _), count in self.beyond.items() if count})

    @property
    def validation(self) -> Images:
        """Real images that choose among a classifier's states, and its threshold."""
        return self._at(self.valid)

    def _at(self, rows: np.ndarray) -> Images:
        return self.data.images[rows], self.data.labels[rows]


def load_real(
    source: Source,
    spec: str,
    test_spec: str | None,
    progress: Progress,
    labelling: Labelling = AS_FOLDERS,
) -> tuple[Dataset, Dataset]:
    """The images to train on and those to test on, as the generator's own were read.

    Their classes are those of `labelling`; where it chooses none, those that were chosen for the
    generator.

    Raises:
        InputError: one cannot be read, is not of the generator's classes and colours, or the two
            share an image or a patient; or the generator was trained on test images.
    """
    if labelling.classes is None and spec not in EMBEDDED:
        labelling = replace(labelling, classes=source.classes_chosen)
    data = load(spec, source.side, how=source.reading, labelling=labelling, progress=progress)
    _check_kind(data, source, "--data", spec)
    test = load_apart(spec, test_spec, data, _TEST_SEED, progress, labelling)
    if test is None:
        raise InputError(
            f"--data {spec} has no test split; name other real images of the same classes with "
            "--test"
        )
    _check_kind(test, source, "--test", test_spec or f"{spec}, test split")
    check_apart(data, test, "--test")
    among = [test.sources[row] for row in np.flatnonzero(known(test.images, source.seen))]
    if among:
        raise InputError(
            f"--test: the generator was trained on {len(among)} of its images or copies of them "
            f"({', '.join(among[:_NAMED])}{', …' if len(among) > _NAMED else ''}); test on images "
            "that it never saw, or train another generator without them"
        )
    return data, test


def divide(
    data: Dataset,
    test: Dataset,
    source: Source,
    sizes: Sequence[int | None] | None,
    repeats: int,
    seed: int,
) -> RealImages:
    """Validation first, of images that the generator never saw; then subsets to train on.

    Of each class, subsets take those that the generator saw first. The size None is all that is not
    validation; without `sizes` they are those of `USUAL_SIZES` that there are enough images for.

    Raises:
        InputError: there are too few images for validation or for a size, or validation leaves a
            class none to train on.
    """
    group, sentence = groups(data)
    seen = known(data.images, source.seen)
    touched = np.isin(group, group[seen])  # in a group that the generator knows something of
    valid = _validation(data, group, touched, seed)
    free = ~np.isin(group, group[valid])
    pool, among = np.flatnonzero(free), int((free & seen).sum())
    _check_left(data, group, pool)
    if sizes is None:
        kinds = len(data.classes)
        most, _ = largest_subset(data.labels[pool], kinds)
        sizes = [size for size in USUAL_SIZES if size is None or kinds <= size <= most]
    some = [size for size in sizes if size is not None and size != len(pool)]
    rows: dict[tuple[int, int], np.ndarray] = {}
    for repeat in range(repeats):
        drawn = nested_subsets(
            group[pool], data.labels[pool], data.classes, some, [seed, 1, repeat], seen[pool]
        )
        rows |= {(size, repeat): pool[found] for size, found in drawn.items()}
        if len(some) < len(sizes):
            rows[len(pool), repeat] = pool
    beyond = {
        which: max(0, len(source.seen) - int(seen[found].sum())) for which, found in rows.items()
    }
    counts = np.bincount(data.labels[valid], minlength=len(data.classes))
    tested, told = groups(test)
    said = (
        f"training: {sentence}; {data.report}; {len(pool)} are to train on. Of the "
        f"{len(source.seen)} images that the generator saw {among} are among them",
        "validation: "
        + ", ".join(f"{n} {name}" for n, name in zip(counts, data.classes, strict=True))
        + ", which the generator never saw",
        f"test: {test.counted} ({told}; {test.report})",
        *filter(None, [unlike(data, test, "test images")]),
    )
    return RealImages(data, rows, valid, test, tested, beyond, said)


def _validation(data: Dataset, group: np.ndarray, touched: np.ndarray, seed: int) -> np.ndarray:
    """Rows for validation: half of what the generator never saw of the scarcest class, of each."""
    free = np.flatnonzero(~touched)
    counts = np.bincount(data.labels[free], minlength=len(data.classes))
    scarce = int(counts.argmin())
    if counts[scarce] < FEWEST_VALID:
        raise InputError(
            f"--data {data.name}: {counts[scarce]} images of class {data.classes[scarce]!r} are "
            f"new to the generator, but validation needs {FEWEST_VALID} of each class; add images "
            "to the folder, or search with --hold-back 0.25, which keeps a quarter from generators"
        )
    each = min(max(FEWEST_VALID, counts[scarce] // 2), MOST_VALID)
    size = each * len(data.classes)
    rows = nested_subsets(group[free], data.labels[free], data.classes, [size], [seed, 0])[size]
    return free[rows]


def _check_left(data: Dataset, group: np.ndarray, pool: np.ndarray) -> None:
    """Raise InputError if validation, whose patients are not trained on, took all of a class."""
    for index in np.setdiff1d(data.labels, data.labels[pool]).tolist():
        own = data.labels == index
        raise InputError(
            f"--data {data.name}: no image of class {data.classes[index]!r} is left to train on: "
            f"all {own.sum()} are of patients, or groups of look-alikes, that validation took "
            f"({len(np.unique(group[own]))} in all); add images of this class of other patients"
        )


def _check_kind(data: Dataset, source: Source, flag: str, spec: str) -> None:
    if data.classes != source.classes:
        raise InputError(
            f"{flag} {spec} has the classes {', '.join(data.classes)}, but the generator draws "
            f"{', '.join(source.classes)}"
        )
    channels = data.images.shape[1]
    if channels != source.channels:
        names = {1: "grey", 3: "in colour"}
        raise InputError(
            f"{flag} {spec} is {names[channels]}, but the generator's images are "
            f"{names[source.channels]}; convert them, or take a generator of such images"
        )
