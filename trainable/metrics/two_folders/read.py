"""A folder of images to judge: in class folders or not, real or generated; and its features."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spaces.errors import InputError
from trainable.basics.progress import Progress
from trainable.basics.terminal import one_line
from trainable.data.dataset import IMAGE_SIZES, Dataset
from trainable.data.folders.entries import Entry, Scan, check_counts, label_of
from trainable.data.folders.listing import (
    check_folder,
    folders,
    image_files,
    is_image,
    reasons,
    visible,
)
from trainable.data.folders.read import (
    check_unreadable,
    drop_duplicates,
    read_all,
    read_set,
    report,
    stack,
)
from trainable.data.folders.scan import scan
from trainable.data.folders.splits import split_of
from trainable.data.reading import USUAL, Reading
from trainable.pretrained.extractors import Extractor

FEWEST = 20
"""Images in a folder below which no score means anything."""
FEW = 200
"""Images below which scores are given with a warning."""
PIXELS = 64
"""Side of the squares that scores in pixels compare, where images stay as they are."""
TOGETHER = 8
"""Files decoded at a time at their full size: what bounds the memory they take."""
UNLIKE = 1.5
"""Ratio of median sides from which sets differ in size."""


@dataclass(frozen=True, eq=False)
class Folder:
    """A folder of images that was read.

    Attributes:
        data: the images as squares of one size: what scores in pixels compare.
        entries: their files, in the same order.
        hashes: SHA-256 of each file, in hex.
        sizes: width and height of each image in its file, int64 [n, 2].
        as_files: whether features are of the files as they are, not of the squares.
        counted: rows of the images that FID counts, int64: all, and of files as they are those that
            repeat once more for each time, as pytorch-fid counts them.
    """

    data: Dataset
    entries: tuple[Entry, ...]
    hashes: tuple[str, ...]
    sizes: np.ndarray
    as_files: bool
    counted: np.ndarray

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hex, of all that scores depend on; of squares, that of their data set."""
        if not self.as_files:
            return self.data.digest
        told, how = self.data.report, self.data.report.reading
        # Outside the squares too, transparency lies on a background and deep values on levels.
        read = filter(None, (how.background if told.transparent else "", str(how.levels)))
        files = (self.hashes[row] for row in self.counted)
        return hashlib.sha256("\n".join((self.data.digest, *read, *files)).encode()).hexdigest()

    def features(self, extractor: Extractor, progress: Progress) -> Tensor:
        """Features [n, D], float32 on the CPU; `progress` is told how many images are done.

        Files as they are come from disk a few at a time and go straight to the extractor's input.

        Raises:
            InputError: a file is no longer what it was.
        """
        if not self.as_files:
            return extractor(torch.tensor(self.data.images), progress).cpu()
        parts = []
        for start in range(0, self.data.n, TOGETHER):
            chosen = slice(start, start + TOGETHER)
            # In colour throughout, as pytorch-fid reads: grey has the same features either way.
            how = self.data.report.reading
            decoded = list(read_all(self.entries[chosen], None, how=how, channels=3))
            for item, sha256 in zip(decoded, self.hashes[chosen], strict=True):
                if item.pixels is None or item.sha256 != sha256:
                    why = item.reason or "it changed while it was read"
                    raise InputError(f"{item.entry.path}: {why}; remove it, or start again")
            images = [torch.from_numpy(d.pixels) for d in decoded if d.pixels is not None]
            parts.append(extractor(images).cpu())
            progress(start + len(images), self.data.n)
        return torch.cat(parts)


def list_images(root: Path) -> Scan:
    """The images in ``root/<class>/`` or ``root/<split>/<class>/`` as `scan` finds them, or else
    those in ``root/``, whose class is then "".

    Raises:
        InputError: no folder, or one with too few images, or with images in both ways.
    """
    check_folder(root)
    images = [p for p in visible(root) if is_image(p)]
    inside = [p for p in folders(root) if split_of(p.name) or image_files(p)[0]]
    if images and inside:
        raise InputError(
            f"{root} contains images ({images[0].name}) as well as folders of images "
            f"({', '.join(p.name for p in inside)}); move one of them away"
        )
    if len(inside) > 1 or (inside and split_of(inside[0].name)):
        found = scan(root)
    else:
        base, label = (inside[0], inside[0].name) if inside else (root, "")
        names, left_out = image_files(base)
        entries = (_entry(root, base / name, label, nested="/" in name) for name in names)
        found = Scan(root, "folders", tuple(entries), dict(sorted(left_out.items())))
    omitted = ", ".join(reasons(found.left_out))
    what = "images" + (omitted and f" (left out: {omitted})")
    _check_number(len(found.entries), root, what)
    return found


def read_images(
    found: Scan,
    size: int | None,
    *,
    unique: bool,
    note: Callable[[str], None],
    how: Reading = USUAL,
    progress: Progress | None = None,
) -> Folder:
    """Decode what `list_images` found; no classes if there are none.

    With a `size`, scores are of squares of so many pixels; with None of the files as they are, and
    only scores in pixels of squares of `PIXELS`.

    With `unique`, for real images, files with the bytes of an earlier one are dropped; of files as
    they are FID counts them still. Among generated images repeats count: they are a fault to be
    seen. `how` is how files become pixels: generated ones are read as the real ones were, see their
    `data.report.reading`. `note` is told, in a line, of what was left out or done to pixels;
    `progress` of how many are done.

    Raises:
        InputError: too many are unreadable, too few are left, or all are plain.
    """
    root = found.root
    decoded, how = read_set(found.entries, size or PIXELS, how, progress=progress)
    skipped = tuple((d.entry.source, d.reason) for d in decoded if d.pixels is None)
    check_unreadable(root, skipped, len(decoded))
    kept = readable = [d for d in decoded if d.pixels is not None]
    if all((d.pixels == d.pixels[:, :1, :1]).all() for d in kept if d.pixels is not None):
        raise InputError(f"every image in {root} is a single colour; there is nothing to compare")
    duplicates = 0
    if unique:
        kept, duplicates = drop_duplicates(kept)
    _check_number(len(kept), root, "different readable images")
    images, colour = stack([d.pixels for d in kept if d.pixels is not None])
    told = report(found, decoded, kept, images, colour, how)
    seen = replace(told, known=0, patients_note="")  # no score here asks whose the images are
    if seen.remarks:
        note(f"{root}: {seen}")
    classes = class_names(found)
    labels = [classes.index(d.entry.label) if classes else 0 for d in kept]
    sources = tuple(d.entry.source for d in kept)
    patients = tuple(d.entry.patient for d in kept)
    data = Dataset(images, np.array(labels, np.int64), classes, sources, patients, str(root), told)
    if classes:
        check_counts(root, data.counts, lambda _: "different readable images")
    entries, hashes = tuple(d.entry for d in kept), tuple(d.sha256 for d in kept)
    sizes = np.array([d.picture.stored for d in kept if d.picture], np.int64)
    counted = np.arange(data.n)
    if size is None and duplicates:
        rows = {sha256: row for row, sha256 in enumerate(hashes)}
        counted = np.array([rows[d.sha256] for d in readable])
        note(f"{root}: FID counts duplicates too, as pytorch-fid does; other scores do not")
    return Folder(data, entries, hashes, sizes, size is None, counted)


def class_names(found: Scan) -> tuple[str, ...]:
    """The classes of a folder, none where images lie in no class folders."""
    return tuple(name for name in found.classes if name)


def check_classes(real: Scan, fake: Scan) -> None:
    """Raise InputError where both folders have classes, but not the same ones.

    Scores of the common ones would be taken for scores of all.
    """
    ours, theirs = class_names(real), class_names(fake)
    if not (ours and theirs) or ours == theirs:
        return
    sides = ((real.root, ours, theirs), (fake.root, theirs, ours))
    alone = [
        f"only {root} has {', '.join(repr(name) for name in names if name not in others)}"
        for root, names, others in sides
        if set(names) - set(others)
    ]
    raise InputError(
        f"{real.root} and {fake.root} must have the same classes, but {' and '.join(alone)}; add "
        "or rename folders, or compare one class by giving its two folders instead"
    )


def size_warnings(real: Folder, fake: Folder) -> list[str]:
    """A line if files as they are differ in size between the sets, as scores count that too."""
    if not (real.as_files and fake.as_files):
        return []
    medians = (np.median(sizes, axis=0) for sizes in (real.sizes, fake.sizes))
    ours, theirs = ((int(width), int(height)) for width, height in medians)
    smallest = min(*ours, *theirs)
    ratio = (ours[0] * ours[1] / (theirs[0] * theirs[1])) ** 0.5
    if 1 / UNLIKE < ratio < UNLIKE:
        return []
    one = max((size for size in IMAGE_SIZES if size <= smallest), default=IMAGE_SIZES[0])
    return [
        f"real images have {ours[0]}x{ours[1]} pixels, generated ones {theirs[0]}x{theirs[1]} "
        "(medians): scores count that difference in detail as well; --image-size "
        f"{one} brings both to one size"
    ]


def _entry(root: Path, path: Path, label: str, nested: bool = False) -> Entry:
    source = one_line(path.relative_to(root).as_posix())
    return Entry(path, source, label_of(label), None, nested)


def _check_number(n: int, root: Path, which: str) -> None:
    if n < FEWEST:
        raise InputError(
            f"{root} contains {n} {which}, but at least {FEWEST} are needed, and {FEW} for "
            "reliable scores; add images"
        )
