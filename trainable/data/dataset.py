"""`Dataset`: labelled square images as one uint8 array, and the report of how they were read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from spaces.errors import InputError
from spaces.task import Task
from trainable.data.folders.listing import reasons
from trainable.data.reading import USUAL, Reading

IMAGE_SIZES = (32, 64, 128, 256)
TINT = 8
"""Levels by which the channels of a grey image may differ, as lossy formats leave them."""


@dataclass(frozen=True)
class LoadReport:
    """What happened to the files on their way to a `Dataset`.

    Attributes:
        files: files read, before unreadable ones and duplicates were dropped.
        duplicates: files dropped because an earlier one has the same bytes.
        skipped: (path, reason) of each unreadable file.
        left_out: files that were left unread, counted by reason.
        colour: images in colour.
        tinted: images that are not, although their channels differ a little.
        nested: files read from subfolders of their class's folder.
        transparent: images in which the background shows.
        several: files that hold more images than the first, which was read.
        clipped: images with values beyond the set's levels, which another set may have given.
        narrow: the least and greatest value of all pixels, where they are too few to be useful.
        reading: how files became pixels; its levels are those of this set.
        layout: the folder layout that was recognised, or the embedded source.
        labels: the table and column that classes are from, if they are.
        known: images whose patient is known.
        patients: where from, such as 'manifest.csv'.
        patients_note: what else there is to say of it.
    """

    files: int
    duplicates: int = 0
    skipped: tuple[tuple[str, str], ...] = ()
    left_out: dict[str, int] = field(default_factory=dict)
    colour: int = 0
    tinted: int = 0
    nested: int = 0
    transparent: int = 0
    several: int = 0
    clipped: int = 0
    narrow: tuple[int, int] | None = None
    reading: Reading = USUAL
    layout: str = "folders"
    labels: str = ""
    known: int = 0
    patients: str = ""
    patients_note: str = ""

    def __str__(self) -> str:
        """One line for a log: only what deserves a word."""
        if not self.files:
            return f"{self.layout}, made here"
        return ", ".join((f"{self.files} files read", *self.remarks))

    @property
    def remarks(self) -> list[str]:
        """What deserves a word: all that was left out, and all that was done to pixels."""
        parts = []
        if self.labels:
            parts.append(f"classes by {self.labels}")
        if self.duplicates:
            parts.append(f"{self.duplicates} duplicates dropped")
        if self.skipped:
            parts.append(f"{len(self.skipped)} unreadable skipped")
        parts += [f"{reason} left out" for reason in reasons(self.left_out)]
        if 0 < self.colour < self.files:
            parts.append(f"{self.colour} in colour")
        if self.nested:
            parts.append(f"{self.nested} from subfolders")
        if self.tinted:
            parts.append(f"{self.tinted} within {TINT} levels of grey, read as grey")
        if self.transparent:
            parts.append(
                f"{self.transparent} with transparency, on {self.reading.background} (--background)"
            )
        if self.several:
            parts.append(f"{self.several} with several images, of which the first is used")
        if stretched := str(self.reading.levels.stretched):
            parts.append(f"values of {stretched} scaled to 0 to 255")
        if self.clipped:
            parts.append(f"{self.clipped} with values beyond that, which were clipped")
        if self.narrow:
            parts.append(f"all pixels between {self.narrow[0]} and {self.narrow[1]} of 0 to 255")
        if self.known:
            kept = self.files - self.duplicates - len(self.skipped)
            parts.append(f"patients of {self.known} of {kept} images from {self.patients}")
        if self.patients_note:
            parts.append(self.patients_note)
        return parts


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images, decoded once and shared between processes.

    `images` may be a read-only view of shared memory: never write into it.

    Attributes:
        images: uint8 [n, C, S, S], C is 1 (grey) or 3 (RGB).
        labels: int64 [n], indices into `classes`.
        classes: names of the classes, as they were chosen, else sorted.
        sources: where each image came from: a posix path relative to the folder's root.
        patients: who each image shows, or None where the source does not say.
        name: short name for tables, such as the folder's.
        report: how the files were read.
        stored: width and height of each image in its file, int64 [n, 2]; None without files.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    sources: tuple[str, ...]
    patients: tuple[str | None, ...]
    name: str
    report: LoadReport
    stored: np.ndarray | None = None

    def __post_init__(self) -> None:
        shape = self.images.shape
        if self.images.dtype != np.uint8 or len(shape) != 4 or shape[2] != shape[3]:
            raise ValueError(f"images are {self.images.dtype} {shape}, not uint8 [n, C, S, S]")
        if self.labels.dtype != np.int64 or self.labels.shape != shape[:1]:
            raise ValueError(f"labels are {self.labels.dtype} {self.labels.shape}, not int64 [n]")
        if not len(self.sources) == len(self.patients) == self.n:
            raise ValueError("sources and patients need one entry for each image")

    @property
    def n(self) -> int:
        """Number of images."""
        return len(self.images)

    @property
    def task(self) -> Task:
        """The data set's shape, for spaces and networks."""
        _, channels, size, _ = self.images.shape
        return Task(size, channels, len(self.classes), self.n)

    @property
    def counts(self) -> dict[str, int]:
        """Number of images of each class."""
        counts = np.bincount(self.labels, minlength=len(self.classes))
        return dict(zip(self.classes, counts.tolist(), strict=True))

    @property
    def counted(self) -> str:
        """The same in words, such as ``100 normal, 100 pneumonia``."""
        return ", ".join(f"{count} {name}" for name, count in self.counts.items())

    @property
    def of_patients(self) -> bool:
        """Whether it is known to show patients; PneumoniaMNIST does, and does not say whom."""
        return any(self.patients) or self.report.layout == "pneumoniamnist"

    def at(self, rows: np.ndarray) -> Dataset:
        """The images of `rows`: indices, or a mask [n]."""
        chosen = np.arange(self.n)[rows]
        return replace(
            self,
            images=self.images[chosen],
            labels=self.labels[chosen],
            sources=tuple(self.sources[i] for i in chosen),
            patients=tuple(self.patients[i] for i in chosen),
            stored=None if self.stored is None else self.stored[chosen],
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hex, of images, labels and classes: equal exactly for equal training data."""
        head = f"{self.images.shape} {self.classes!r}".encode()
        sha = hashlib.sha256(head)
        sha.update(np.ascontiguousarray(self.labels, dtype="<i8").data)
        sha.update(np.ascontiguousarray(self.images).data)
        return sha.hexdigest()


def grey(images: np.ndarray) -> np.ndarray:
    """The luminance (ITU-R 601, as Pillow has it) of uint8 [..., 3, S, S]: uint8 [..., 1, S, S]."""
    red, green, blue = np.moveaxis(images.astype(np.uint32), -3, 0)
    luminance = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16
    return luminance.astype(np.uint8)[..., None, :, :]


def check_image_size(size: int, flag: str = "--image-size") -> None:
    """Raise InputError unless `size`, which `flag` gives, is a power of two from 32 to 256."""
    if size not in IMAGE_SIZES:
        sizes = ", ".join(map(str, IMAGE_SIZES))
        raise InputError(f"{flag} is {size}, but must be one of {sizes}")
