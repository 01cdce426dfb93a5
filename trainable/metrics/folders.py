"""A folder of images to judge: in class folders or not, real or generated, to a `Dataset`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from spaces.errors import InputError
from trainable.data import Dataset, LoadReport
from trainable.data.decode import SUFFIXES
from trainable.data.folder import check_unreadable, drop_duplicates, read_all, stack
from trainable.data.scan import Entry, Scan, check_counts, scan
from trainable.data.splits import split_of
from trainable.stages import Progress

FEWEST = 20
"""Images in a folder below which no score means anything."""
FEW = 200
"""Images below which scores are given with a warning."""


def list_images(root: Path) -> Scan:
    """The images in ``root/<class>/`` or ``root/<split>/<class>/`` as `scan` finds them, or else
    those in ``root/``, whose class is then "".

    Raises:
        InputError: no folder, or one with too few images, or with images in both ways.
    """
    try:
        images = _images(root)
        visible = sorted(p for p in root.iterdir() if not p.name.startswith("."))
        folders = [p for p in visible if p.is_dir() and (split_of(p.name) or _images(p))]
    except OSError as error:
        raise InputError(f"{root} is no folder of images: {error.strerror}") from error
    if images and folders:
        raise InputError(
            f"{root} holds images ({images[0].name}) beside folders of images "
            f"({', '.join(p.name for p in folders)}); move either away"
        )
    if len(folders) > 1 or (folders and split_of(folders[0].name)):
        found = scan(root)
    else:
        label = folders[0].name if folders else ""
        files = _images(folders[0]) if folders else images
        entries = (Entry(p, p.relative_to(root).as_posix(), label, None) for p in files)
        found = Scan(root, "folders", tuple(entries), {})
    _check_number(len(found.entries), root, "images")
    return found


def read_images(
    found: Scan,
    size: int,
    *,
    unique: bool,
    note: Callable[[str], None],
    progress: Progress | None = None,
) -> Dataset:
    """Decode what `list_images` found, to squares of `size` pixels; no classes if there are none.

    With `unique`, for real images, files with the bytes of an earlier one are dropped. Among
    generated images repeats count: they are a fault to be seen. `note` is told, in a line, of files
    that were left out; `progress` of how many are done.

    Raises:
        InputError: too many are unreadable, too few are left, or all are plain.
    """
    root = found.root
    decoded = list(read_all(found.entries, size, progress=progress))
    skipped = tuple((d.entry.source, d.reason) for d in decoded if d.pixels is None)
    check_unreadable(root, skipped, len(decoded))
    kept = [d for d in decoded if d.pixels is not None]
    if all((d.pixels == d.pixels[:, :1, :1]).all() for d in kept if d.pixels is not None):
        raise InputError(f"every image in {root} is one plain colour; nothing can be compared")
    duplicates = 0
    if unique:
        kept, duplicates = drop_duplicates(kept)
    _check_number(len(kept), root, "different readable images")
    images, colour = stack([d.pixels for d in kept if d.pixels is not None])
    report = LoadReport(len(decoded), duplicates, skipped, found.left_out, colour)
    if duplicates or skipped or found.left_out:
        note(f"{root}: {report}")
    classes = tuple(name for name in found.classes if name)
    labels = [classes.index(d.entry.label) if classes else 0 for d in kept]
    sources = tuple(d.entry.source for d in kept)
    patients = tuple(d.entry.patient for d in kept)
    data = Dataset(
        images, np.array(labels, np.int64), classes, sources, patients, str(root), report
    )
    if classes:
        check_counts(root, data.counts, lambda _: "different readable images")
    return data


def common_classes(
    real: Dataset, fake: Dataset, *, note: Callable[[str], None]
) -> tuple[Dataset, Dataset]:
    """Both sets reduced to the classes they share; as they are where either has none.

    Raises:
        InputError: they share none, or too few images are left.
    """
    if not (real.classes and fake.classes) or real.classes == fake.classes:
        return real, fake
    common = tuple(name for name in real.classes if name in fake.classes)
    if not common:
        raise InputError(
            f"{real.name} has the classes {', '.join(real.classes)}, {fake.name} has "
            f"{', '.join(fake.classes)}, and none in common; rename the folders"
        )
    alone = sorted({*real.classes, *fake.classes} - {*common})
    note(f"left out, as only one of the folders has it: {', '.join(alone)}")
    return _only(real, common), _only(fake, common)


def _only(data: Dataset, classes: tuple[str, ...]) -> Dataset:
    """The images of `classes`, which are in the set's own order."""
    rows = [i for i, label in enumerate(data.labels) if data.classes[label] in classes]
    _check_number(len(rows), Path(data.name), f"images of the common {', '.join(classes)}")
    return replace(
        data,
        images=data.images[rows],
        labels=np.array([classes.index(data.classes[data.labels[i]]) for i in rows], np.int64),
        classes=classes,
        sources=tuple(data.sources[i] for i in rows),
        patients=tuple(data.patients[i] for i in rows),
    )


def _images(folder: Path) -> list[Path]:
    """Image files in a folder by name, hidden ones apart; none in what macOS leaves in archives."""
    if folder.name == "__MACOSX":
        return []
    visible = (p for p in folder.iterdir() if not p.name.startswith("."))
    return sorted(p for p in visible if p.suffix.lower() in SUFFIXES and not p.is_dir())


def _check_number(n: int, root: Path, which: str) -> None:
    if n < FEWEST:
        raise InputError(
            f"{root} holds {n} {which}, but at least {FEWEST} are needed, and {FEW} for scores to "
            "lean on; add images"
        )
