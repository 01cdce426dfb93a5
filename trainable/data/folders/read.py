"""A folder of labelled images to a `Dataset`: read in parallel, checked, without duplicates."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from spaces.errors import InputError
from trainable.basics.machine import local_cores
from trainable.basics.progress import Progress
from trainable.basics.terminal import one_line
from trainable.data.dataset import TINT, Dataset, LoadReport, check_image_size, grey
from trainable.data.folders import dicom
from trainable.data.folders.decode import Picture, decode
from trainable.data.folders.entries import Entry, Scan, check_counts
from trainable.data.folders.limits import UnreadableError
from trainable.data.folders.opening import opened
from trainable.data.folders.scan import scan
from trainable.data.labelling import AS_FOLDERS, Labelling
from trainable.data.reading import USUAL, Levels, Reading

MAX_UNREADABLE = 0.05
_COLOURED = 0.001
"""Share of an image's pixels that must be further off grey than `TINT`, to make it one in colour"""
_RADIOGRAPHS = {"CR", "DX", "RG"}
_HEADERS = "DICOM headers"
_NARROW = 32
"""Grey levels below which what all images use of 256 deserves a word."""


@dataclass(frozen=True)
class Decoded:
    """One file, read: its hash, and either its picture or the reason why it has none."""

    entry: Entry
    sha256: str
    picture: Picture | None
    reason: str = ""

    @property
    def pixels(self) -> np.ndarray | None:
        """Of the picture, if there is one."""
        return self.picture.pixels if self.picture else None


def load_folder(
    root: str | Path,
    size: int,
    *,
    how: Reading = USUAL,
    labelling: Labelling = AS_FOLDERS,
    split: str = "train",
    progress: Progress | None = None,
) -> Dataset:
    """Load ``root/<class>/*`` or ``root/<split>/<class>/*``; other splits are not touched.

    Images are ordered by class, then path. Files with the bytes of an earlier one are dropped; up
    to 5 % unreadable ones are skipped. Both are in the report. Images have one channel if every
    one is grey, RGB files whose channels are equal, or nearly so, included; else three.

    Args:
        root: the folder.
        size: side of the square images, a power of two from 32 to 256.
        how: how files become pixels; unknown levels follow from the set.
        split: 'train', 'test' or 'val'; 'train' also reads a folder without splits.
        progress: told how many files are done.

    Raises:
        InputError: the arguments or the folder's contents cannot serve.
    """
    check_image_size(size)
    root = Path(root)
    found = scan(root, split, labelling)
    decoded, how = read_set(found.entries, size, how, progress)
    skipped = tuple((d.entry.source, d.reason) for d in decoded if d.pixels is None)
    check_unreadable(root, skipped, len(decoded))
    kept, duplicates = drop_duplicates(named_patients([d for d in decoded if d.pixels is not None]))
    check_modalities(kept)
    labels = np.array([found.classes.index(d.entry.label) for d in kept], dtype=np.int64)
    counts = np.bincount(labels, minlength=len(found.classes)).tolist()
    check_counts(
        root,
        dict(zip(found.classes, counts, strict=True)),
        lambda _: (
            f"readable images ({duplicates} duplicates and {len(skipped)} unreadable files "
            "left out of all classes)"
        ),
    )
    images, colour = stack([d.pixels for d in kept if d.pixels is not None])
    return Dataset(
        images=images,
        labels=labels,
        classes=found.classes,
        sources=tuple(d.entry.source for d in kept),
        patients=tuple(d.entry.patient for d in kept),
        name=one_line(root.resolve().name) or "root",
        report=report(found, decoded, kept, images, colour, how),
        stored=np.array([d.picture.stored for d in kept if d.picture], np.int64),
    )


def named_patients(decoded: Sequence[Decoded]) -> list[Decoded]:
    """The same, with DICOM headers' patients where nothing else names them.

    Of images of one patient by headers, what else names one is the name of all.
    """
    told = {
        d.picture.patient: d.entry.patient for d in decoded
        if d.picture and d.picture.patient and d.entry.patient
    }  # fmt: skip
    return [
        replace(d, entry=replace(d.entry, patient=told.get(d.picture.patient, d.picture.patient)))
        if d.picture and d.picture.patient and not d.entry.patient
        else d
        for d in decoded
    ]


def check_modalities(decoded: Sequence[Decoded]) -> None:
    """Raise InputError for a class with DICOM images of several modalities.

    Projection radiographs are one, however they were taken.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for d in decoded:
        if d.picture and d.picture.modality:
            counts[d.entry.label][d.picture.modality] += 1
    for label, found in counts.items():
        if len(found) > 1 and not found.keys() <= _RADIOGRAPHS:
            shown = ", ".join(f"{count} {name}" for name, count in found.most_common())
            raise InputError(
                f"class {label!r} holds DICOM images of several modalities ({shown}); keep one, by "
                "folders or by the rows of --labels"
            )


def report(
    found: Scan,
    decoded: Sequence[Decoded],
    kept: Sequence[Decoded],
    images: np.ndarray,
    colour: int,
    how: Reading,
) -> LoadReport:
    """What happened to the files of `found` on their way to `images`, those of `kept`."""
    pictures = [d.picture for d in kept if d.picture is not None]
    by_header = any(d.picture and d.picture.patient == d.entry.patient is not None for d in kept)
    skipped = tuple((d.entry.source, d.reason) for d in decoded if d.pixels is None)
    least, greatest = int(images.min()), int(images.max())
    return LoadReport(
        len(decoded),
        len(decoded) - len(skipped) - len(kept),
        skipped,
        found.left_out,
        colour,
        tinted=0 if images.shape[1] == 3 else sum(p.pixels.shape[0] == 3 for p in pictures),
        nested=sum(d.entry.nested for d in kept),
        transparent=sum(p.transparent for p in pictures),
        several=sum(p.several for p in pictures),
        clipped=sum(_clipped(p, how) for p in pictures),
        narrow=(least, greatest) if greatest - least < _NARROW else None,
        reading=how,
        layout=found.layout,
        labels=found.labels,
        known=sum(d.entry.patient is not None for d in kept),
        patients=" and ".join(filter(None, (found.patients.source, _HEADERS * by_header))),
        patients_note=found.patients.note,
    )


def read_set(
    entries: Sequence[Entry],
    size: int,
    how: Reading = USUAL,
    progress: Progress | None = None,
) -> tuple[list[Decoded], Reading]:
    """Decode all files of a set, in given order, and say how; unknown levels follow from the set.

    Images of more than 8 bits need all of the set to be read before any is scaled; where their
    levels turn out to be others than was assumed, they are read again.

    Raises:
        InputError: some are DICOM files, and the package that reads them is not installed.
    """
    scans = sum(entry.path.suffix.lower() in dicom.SUFFIXES for entry in entries)
    if scans and not dicom.installed():
        raise InputError(
            f"{scans} of {len(entries)} images are DICOM files, which need {dicom.PACKAGE}"
        )
    decoded = list(read_all(entries, size, how, progress=progress))
    deep = [(d.picture.depth, *d.picture.span) for d in decoded if d.picture and d.picture.depth]
    settled = replace(how, levels=how.levels | Levels.of(deep))
    again = [
        i for i, d in enumerate(decoded)
        if d.picture and d.picture.depth and _levels(d.picture, how) != _levels(d.picture, settled)
    ]  # fmt: skip
    fresh = read_all([entries[i] for i in again], size, settled, progress=progress)
    for i, item in zip(again, fresh, strict=True):
        decoded[i] = item
    return decoded, settled


def _levels(picture: Picture, how: Reading) -> tuple[float, float]:
    return how.levels.at(picture.depth, picture.span)


def _clipped(picture: Picture, how: Reading) -> bool:
    if not picture.depth:
        return False
    (black, white), (least, greatest) = _levels(picture, how), picture.span
    return least < black or greatest > white


def read_all(
    entries: Sequence[Entry],
    size: int | None,
    how: Reading = USUAL,
    channels: int | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Generator[Decoded, None, None]:
    """Decode in parallel (Pillow and hashlib release the interpreter's lock), in given order.

    With `size` None, images stay as large as they are: hand over few `entries` at a time, as all
    are decoded at once.
    """
    Image.init()  # once, before the threads race to register the formats
    pool = ThreadPoolExecutor(workers or min(16, local_cores()))
    try:
        workload = partial(_read, size=size, how=how, channels=channels)
        for done, decoded in enumerate(pool.map(workload, entries), start=1):
            if progress is not None:
                progress(done, len(entries))
            yield decoded
    finally:
        pool.shutdown(wait=True, cancel_futures=True)  # Ctrl-C must not decode the rest first


def drop_duplicates(decoded: Sequence[Decoded]) -> tuple[list[Decoded], int]:
    """The files without those whose bytes came before, and how many those were.

    Where the first of several does not know its patient, one that does says so.

    Raises:
        InputError: the same bytes lie in two classes, so that one label is wrong.
    """
    first: dict[str, Decoded] = {}
    for item in decoded:
        earlier = first.setdefault(item.sha256, item)
        if earlier.entry.label != item.entry.label:
            raise InputError(
                f"{earlier.entry.source} and {item.entry.source} are the same file, labelled "
                f"{earlier.entry.label!r} and {item.entry.label!r}; remove the wrong one"
            )
        if earlier.entry.patient is None:
            known = replace(earlier.entry, patient=item.entry.patient)
            first[item.sha256] = replace(earlier, entry=known)
    return list(first.values()), len(decoded) - len(first)


def _read(entry: Entry, size: int | None, how: Reading, channels: int | None) -> Decoded:
    sha256 = ""
    try:
        with opened(entry.path) as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            return Decoded(entry, sha256, decode(file, size, how, channels))
    except UnreadableError as error:
        return Decoded(entry, sha256, None, str(error))
    except OSError as error:  # a disk or a network that fails
        return Decoded(entry, sha256, None, error.strerror or str(error))


def check_unreadable(root: Path, skipped: tuple[tuple[str, str], ...], files: int) -> None:
    """Raise InputError if more than 5 % of `files` were skipped; `skipped` is (path, reason)."""
    if len(skipped) > MAX_UNREADABLE * files:
        named = "; ".join(f"{source}: {reason}" for source, reason in skipped[:5])
        more = f"; and {len(skipped) - 5} more" if len(skipped) > 5 else ""
        raise InputError(
            f"{len(skipped)} of {files} files in {root} cannot be read, but at most "
            f"{MAX_UNREADABLE:.0%} may be broken; repair or remove them: {named}{more}"
        )


def stack(pixels: list[np.ndarray]) -> tuple[np.ndarray, int]:
    """One array, and how many images are in colour.

    All become grey if none is in colour, those whose channels differ a little too; else all get
    three channels, those of grey ones equal.
    """
    colour = sum(map(in_colour, pixels))
    channels = 3 if colour else 1
    images = np.empty((len(pixels), channels, *pixels[0].shape[1:]), dtype=np.uint8)
    for image, p in zip(images, pixels, strict=True):
        image[:] = p if p.shape[0] <= channels else grey(p)  # one channel broadcasts to three
    return images, colour


def in_colour(pixels: np.ndarray) -> bool:
    """Whether an image, uint8 [C, H, W], is further off grey than lossy formats leave it."""
    apart = np.ptp(pixels, axis=0) > TINT  # of uint8, whose differences fit it
    return bool(apart.mean() > _COLOURED)
