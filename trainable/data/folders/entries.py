"""Which files are images of which class: what reading a folder's names, or a table, comes to."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from spaces.errors import InputError
from trainable.basics.terminal import one_line
from trainable.basics.wording import did_you_mean
from trainable.data.folders.patients import Patients

MIN_PER_CLASS = 10
OTHERS = "images of other classes"
"""What is left out where classes are chosen."""


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
    """What is in a folder.

    Attributes:
        root: the folder.
        layout: how classes were told.
        entries: its images, by class then source.
        left_out: what was left out, counted by reason.
        patients: whom the images show.
        chosen: the classes that were asked for, in order; none for all.
        labels: the table and column that classes are from, if they are.
    """

    root: Path
    layout: str
    entries: tuple[Entry, ...]
    left_out: dict[str, int]
    patients: Patients = field(default_factory=Patients)
    chosen: tuple[str, ...] = ()
    labels: str = ""

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, as they were chosen, or sorted; found once for all callers."""
        return self.chosen or tuple(sorted({entry.label for entry in self.entries}))


def label_of(name: str) -> str:
    """The class of that name, as `Entry.label` has it."""
    return unicodedata.normalize("NFC", one_line(name))


def in_order(entries: Iterable[Entry], chosen: Sequence[str]) -> list[Entry]:
    """By class, as the classes were `chosen` or else sorted, then by source."""
    place = {name: index for index, name in enumerate(chosen)}
    return sorted(entries, key=lambda entry: (place.get(entry.label, 0), entry.label, entry.source))


def check_counts(where: Path, counts: dict[str, int], note: Callable[[str], str]) -> None:
    """Raise InputError for the first class with fewer than `MIN_PER_CLASS` images."""
    for name, count in counts.items():
        if count < MIN_PER_CLASS:
            raise InputError(
                f"class {name!r} in {where} has {count} {note(name)}, but needs at least "
                f"{MIN_PER_CLASS}; add images, or leave the class out"
            )


def check_chosen(where: Path, chosen: Sequence[str], known: Collection[str]) -> None:
    """Raise InputError for the first of the `chosen` classes that is not `known` in `where`."""
    for name in chosen:
        if name not in known:
            near = [k for k in sorted(known) if k.casefold() == name.casefold()]
            hint = f"; did you mean {near[0]}?" if near else did_you_mean(name, sorted(known))
            raise InputError(
                f"--classes names {name!r}, which {where} does not have; it has "
                f"{', '.join(map(repr, sorted(known))) or 'none'}{hint}"
            )


def check_names(base: Path, names: Iterable[str]) -> None:
    """Raise InputError for two classes that no reader, or not every disk, tells apart."""
    first: dict[str, str] = {}
    for name in names:
        other = first.setdefault(" ".join(label_of(name).casefold().split()), name)
        if other != name:
            raise InputError(
                f"{base} has two classes with nearly the same name, {other!a} and {name!a}: they "
                "differ only in case, spaces or how accents are composed; merge them, or rename "
                "one"
            )
