"""A folder of labelled images to a `Dataset`: read in parallel, checked, without duplicates."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from spaces.errors import InputError
from trainable.basics.machine import local_cores
from trainable.data.dataset import Dataset, LoadReport, check_image_size
from trainable.data.decode import UnreadableError, check_fit, decode
from trainable.data.scan import Entry, check_counts, scan
from trainable.stages import Progress

MAX_UNREADABLE = 0.05


@dataclass(frozen=True)
class Decoded:
    """One file, read: its hash, and either its pixels or the reason why it has none."""

    entry: Entry
    sha256: str
    pixels: np.ndarray | None
    reason: str = ""


def load_folder(
    root: str | Path,
    size: int,
    *,
    fit: str = "crop",
    channels: int | None = None,
    split: str = "train",
    viral: bool = False,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Dataset:
    """Load ``root/<class>/*`` or ``root/<split>/<class>/*``; other splits are not touched.

    Images are ordered by class, then path. Files with the bytes of an earlier one are dropped; up
    to 5 % unreadable ones are skipped. Both are in the report.

    Args:
        root: the folder.
        size: side of the square images, a power of two from 32 to 256.
        fit: 'crop' to the centre square, or 'pad' with black.
        channels: 1 or 3; None takes 1 if every image is grey, RGB files with equal channels
            included, else 3.
        split: 'train', 'test' or 'val'; 'train' also reads a folder without splits.
        viral: keep viral pneumonia as a class of its own, in Kaggle's chest X-ray layout.
        progress: told how many files are done.
        workers: decoding threads; by default as many as there are cores.

    Raises:
        InputError: the arguments or the folder's contents cannot serve.
    """
    check_image_size(size)
    check_fit(fit)
    if channels not in (None, 1, 3):
        raise InputError(f"channels is {channels}, but must be 1 (grey) or 3 (colour)")
    root = Path(root)
    found = scan(root, split, viral)
    decoded = list(read_all(found.entries, size, fit, channels, progress, workers))
    skipped = tuple((d.entry.source, d.reason) for d in decoded if d.pixels is None)
    check_unreadable(root, skipped, len(decoded))
    kept, duplicates = drop_duplicates([d for d in decoded if d.pixels is not None])
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
        name=root.resolve().name or "root",
        report=LoadReport(
            len(decoded),
            duplicates,
            skipped,
            found.left_out,
            colour,
            fit,
            found.layout,
            known=sum(d.entry.patient is not None for d in kept),
            patients=found.patients.source,
            patients_note=found.patients.note,
        ),
    )


def read_all(
    entries: Sequence[Entry],
    size: int | None,
    fit: str = "crop",
    channels: int | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Generator[Decoded, None, None]:
    """Decode in parallel (Pillow and hashlib release the interpreter's lock), in given order.

    With `size` None, images stay as large as they are: hand over few `entries` at a time, as all
    are decoded at once.
    """
    Image.preinit()  # once, before the threads race to register the formats
    pool = ThreadPoolExecutor(workers or min(16, local_cores()))
    try:
        job = partial(_read, size=size, fit=fit, channels=channels)
        for done, decoded in enumerate(pool.map(job, entries), start=1):
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


def _read(entry: Entry, size: int | None, fit: str, channels: int | None) -> Decoded:
    try:
        data = entry.path.read_bytes()
    except OSError as error:
        return Decoded(entry, "", None, error.strerror or str(error))
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        return Decoded(entry, sha256, decode(data, size, fit, channels))
    except UnreadableError as error:
        return Decoded(entry, sha256, None, str(error))


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
    """One array, grey repeated to RGB where any image has colour, and how many have."""
    channels = max(p.shape[0] for p in pixels)
    images = np.empty((len(pixels), channels, *pixels[0].shape[1:]), dtype=np.uint8)
    for image, p in zip(images, pixels, strict=True):
        image[:] = p  # one channel broadcasts to three
    return images, sum(p.shape[0] == 3 for p in pixels)
