"""Which files a folder of labelled images holds, with class and patient, before any is opened.

`scan` reads names, and the manifest that says whose images they are. Which class a name means is a
`Layout`'s affair: plain class folders, or Kaggle's chest X-rays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from spaces.errors import InputError
from trainable.basics.terminal import printable
from trainable.data.kaggle import KaggleXray
from trainable.data.layout import ClassFolders, Layout
from trainable.data.listing import folders, image_files, is_image, visible
from trainable.data.patients import Patients, find_patients
from trainable.data.splits import class_base, elsewhere

MIN_PER_CLASS = 10


@dataclass(frozen=True)
class Entry:
    """One image file that belongs to a class.

    Attributes:
        path: where it lies.
        source: the same, relative to the root, posix; bytes that are not UTF-8 are escaped.
        label: its class; escaped likewise.
        patient: whom it shows, if known.
        nested: whether it lies in a subfolder of its class's folder.
    """

    path: Path
    source: str
    label: str
    patient: str | None
    nested: bool = False


@dataclass(frozen=True)
class Scan:
    """The entries of a folder, sorted by class then source; what was left out, by reason."""

    root: Path
    layout: str
    entries: tuple[Entry, ...]
    left_out: dict[str, int]
    patients: Patients = field(default_factory=Patients)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, sorted; found once, as callers ask for each image."""
        return tuple(sorted({entry.label for entry in self.entries}))


def scan(root: Path, split: str = "train", viral: bool = False) -> Scan:
    """List the image files under ``root/<class>/`` or ``root/<split>/<class>/``, however deep.

    Folders named train, test or val at the top, or Training, Testing, Validation, are splits, of
    which only `split` is entered; such names cannot be classes. Hidden files, and what systems
    leave beside images, are ignored; other files without an image's suffix are counted as left out.

    Raises:
        InputError: the folder cannot serve: missing, a file, without classes, without the split,
            or with a class of fewer than `MIN_PER_CLASS` image files.
    """
    base = class_base(root, split)
    files: dict[str, list[str]] = {}
    left_out: Counter[str] = Counter()
    for folder in folders(base):
        files[folder.name], others = image_files(folder)
        left_out += others
    if not files:
        sorted_so = f"put the images in one folder per class, {base.name}/<class>/*.png"
        meant = elsewhere(base)
        raise InputError(
            f"{base} holds no class folders; " + (f"{meant}; else " if meant else "") + sorted_so
        )
    prefix = base.relative_to(root)
    layout = _recognise(root, files, viral)
    patients = find_patients(root, base, files)
    entries: list[Entry] = []
    for folder, names in files.items():
        for name in names:
            place = layout.place(folder, name)
            if place.label is None:
                left_out[place.reason] += 1
                continue
            inner = prefix / folder / name
            who = patients.of.get(inner.as_posix())
            source, label = printable(inner.as_posix()), printable(place.label)
            entries.append(Entry(root / inner, source, label, who, nested="/" in name))
    entries.sort(key=lambda entry: (entry.label, entry.source))
    if beside := sum(is_image(p) for p in visible(base)):
        left_out["images outside the class folders"] = beside
    found = Scan(root, layout.name, tuple(entries), dict(sorted(left_out.items())), patients)
    _check_classes(base, files, found)
    return found


def check_counts(where: Path, counts: dict[str, int], note: Callable[[str], str]) -> None:
    """Raise InputError for the first class with fewer than `MIN_PER_CLASS` images."""
    for name, count in counts.items():
        if count < MIN_PER_CLASS:
            raise InputError(
                f"class {name!r} in {where} has {count} {note(name)}, but needs at least "
                f"{MIN_PER_CLASS}; add images or remove the class"
            )


def _check_classes(base: Path, files: dict[str, list[str]], found: Scan) -> None:
    counts = dict(Counter(entry.label for entry in found.entries))
    counts |= {printable(folder): 0 for folder, names in files.items() if not names}
    if len(counts) < 2:
        names = ", ".join(f"{label!r}" for label in counts) or "none"
        omitted = "".join(f"; {n} {why} left out" for why, n in found.left_out.items())
        raise InputError(
            f"{base} holds fewer than two classes ({names}{omitted}), but a conditional GAN needs "
            f"at least two; {elsewhere(base) or 'put each class in a folder of its own'}"
        )
    omitted = ", ".join(f"{n} {why}" for why, n in found.left_out.items())
    check_counts(base, counts, lambda _: "image files" + (omitted and f" (left out: {omitted})"))


def _recognise(root: Path, files: dict[str, list[str]], viral: bool) -> Layout:
    if KaggleXray.recognises(files):
        return KaggleXray(viral)
    if viral:
        raise InputError(
            f"viral pneumonia was asked for, but {root} is not in Kaggle's chest X-ray layout "
            "(folders NORMAL and PNEUMONIA, names like person1000_virus_1681.jpeg)"
        )
    return ClassFolders()
