"""Which files a folder of labelled images holds, with class and patient, before any is opened.

`scan` reads names, and the manifest that says whose images they are. Which class a name means is a
`Layout`'s affair: plain class folders, or Kaggle's chest X-rays.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from spaces.errors import InputError
from trainable.basics.terminal import one_line
from trainable.data.folders.kaggle import KaggleXray
from trainable.data.folders.layout import ClassFolders, Layout
from trainable.data.folders.listing import (
    folders,
    image_files,
    is_archive,
    is_image,
    reasons,
    visible,
)
from trainable.data.folders.patients import Patients, find_patients
from trainable.data.folders.splits import class_base, elsewhere

MIN_PER_CLASS = 10


@dataclass(frozen=True)
class Entry:
    """One image file that belongs to a class.

    Attributes:
        path: where it lies.
        source: the same, relative to the root, posix; line breaks and bytes that are not UTF-8
            are escaped.
        label: its class; escaped likewise, with accents composed: file systems differ in that.
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
            with a class of fewer than `MIN_PER_CLASS` image files, with two that are called alike,
            or with a link to a folder that is gone.
    """
    base = class_base(root, split)
    _check_links(base)
    files: dict[str, list[str]] = {}
    left_out: Counter[str] = Counter()
    for folder in folders(base):
        files[folder.name], others = image_files(folder)
        left_out += others
    if not files:
        sorted_so = f"put the images in one folder per class: {base.name}/<class>/*.png"
        meant = elsewhere(base)
        if packed := [path.name for path in visible(base) if is_archive(path)]:
            meant = f"unpack {packed[0]} and give the folder inside"
        raise InputError(
            f"{base} holds no class folders; " + (f"{meant}; else " if meant else "") + sorted_so
        )
    _check_names(base, files)
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
            source, label = one_line(inner.as_posix()), label_of(place.label)
            entries.append(Entry(root / inner, source, label, who, nested="/" in name))
    entries.sort(key=lambda entry: (entry.label, entry.source))
    if beside := sum(is_image(p) for p in visible(base)):
        left_out["images outside the class folders"] = beside
    found = Scan(root, layout.name, tuple(entries), dict(sorted(left_out.items())), patients)
    _check_classes(base, files, found)
    return found


def label_of(folder: str) -> str:
    """The class of a folder of that name, as `Entry.label` has it."""
    return unicodedata.normalize("NFC", one_line(folder))


def check_counts(where: Path, counts: dict[str, int], note: Callable[[str], str]) -> None:
    """Raise InputError for the first class with fewer than `MIN_PER_CLASS` images."""
    for name, count in counts.items():
        if count < MIN_PER_CLASS:
            raise InputError(
                f"class {name!r} in {where} has {count} {note(name)}, but needs at least "
                f"{MIN_PER_CLASS}; add images or remove the class"
            )


def _check_links(base: Path) -> None:
    """Raise InputError for a broken link in `base`, which may have been a class."""
    for path in visible(base):
        if path.is_symlink() and not path.exists() and not is_image(path):
            raise InputError(
                f"{path} is a link to {path.readlink()}, which does not exist; fix the link if "
                "it is a class, or remove it"
            )


def _check_names(base: Path, names: Iterable[str]) -> None:
    """Raise InputError for two class folders that no reader, or not every disk, tells apart."""
    first: dict[str, str] = {}
    for name in names:
        other = first.setdefault(" ".join(label_of(name).casefold().split()), name)
        if other != name:
            raise InputError(
                f"{base} has two classes with nearly the same name, {other!a} and {name!a}: they "
                "differ only in case, spaces or how accents are composed; merge them, or rename "
                "one"
            )


def _check_classes(base: Path, files: dict[str, list[str]], found: Scan) -> None:
    counts = dict(Counter(entry.label for entry in found.entries))
    counts |= {label_of(folder): 0 for folder, names in files.items() if not names}
    if len(counts) < 2:
        names = ", ".join(f"{label!r}" for label in counts) or "none"
        omitted = "".join(f"; {reason} left out" for reason in reasons(found.left_out))
        raise InputError(
            f"{base} holds fewer than two classes ({names}{omitted}), but a conditional GAN needs "
            f"at least two; {elsewhere(base) or 'put each class in a folder of its own'}"
        )
    omitted = ", ".join(reasons(found.left_out))
    check_counts(base, counts, lambda _: "image files" + (omitted and f" (left out: {omitted})"))


def _recognise(root: Path, files: dict[str, list[str]], viral: bool) -> Layout:
    if KaggleXray.recognises(files):
        return KaggleXray(viral)
    if viral:
        raise InputError(
            f"--viral needs Kaggle's chest X-ray layout (folders NORMAL and PNEUMONIA, names like "
            f"person1000_virus_1681.jpeg), but {root} has another; leave the flag out"
        )
    return ClassFolders()
