"""A folder of images whose classes are in a table: what `scan` does for class folders."""

from __future__ import annotations

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spaces.errors import InputError
from trainable.basics.terminal import one_line
from trainable.data.folders.entries import (
    OTHERS,
    Entry,
    Scan,
    check_chosen,
    check_counts,
    check_names,
    in_order,
    label_of,
)
from trainable.data.folders.finding import Files
from trainable.data.folders.kaggle import patients_by_name
from trainable.data.folders.labels import LabelRow, Labels, LabelTable, read_labels
from trainable.data.folders.listing import check_folder, image_files, kind, reasons
from trainable.data.folders.patients import NAMES, Patients
from trainable.data.folders.splits import split_of
from trainable.data.labelling import Labelling

_CHEXPERT = re.compile(r"(?:^|/)(patient\d+)/")
"""A folder for each patient, in CheXpert and MURA."""
_SHOWN = 3


@dataclass(frozen=True)
class _Image:
    """What all rows of one file say; lines are those where they say it."""

    labels: Labels
    split: str
    patient: str | None
    line: int


def scan_labelled(root: Path, split: str, labelling: Labelling, path: Path) -> Scan:
    """List the images of `split` below `root` to which the table at `path` gives a class.

    An image's split is the table's, else that of the folder train, test or val at the top of `root`
    that it lies in, else train. An image with labels of several classes is left out, as is one
    whose label is uncertain: all are counted by reason, and so are rows without a file.

    Raises:
        InputError: folder or table cannot be read; no row names a file, or one may mean several;
            rows contradict each other; a patient is in two splits; there is no such split; or a
            class is unknown, or has fewer than `MIN_PER_CLASS` image files.
    """
    check_folder(root)
    table = read_labels(path, labelling)
    names, others = image_files(root, mixed=True)
    if path.resolve().is_relative_to(root.resolve()):
        others[kind(path.suffix.lower())] -= 1  # the table itself
    images, lost = _images(root, table, names)
    _check_patients(table, images)
    here = {name: image for name, image in images.items() if image.split == split}
    if not here:
        there = ", ".join(sorted({image.split for image in images.values()}))
        raise InputError(f"{path} has no image of the split {split!r}, but of {there}")
    chosen = tuple(map(label_of, labelling.chosen))
    check_chosen(path, chosen, table.classes)
    meant = {name.casefold() for name in chosen or table.classes}
    check_names(path, sorted(name for name in table.classes if name.casefold() in meant))
    left_out = +others
    left_out[f"images without a row in {path.name}"] = sum(
        name not in images and _split(name) == split for name in names
    )
    left_out[f"rows of {path.name} without a file"] = lost
    patients = _patients(here, path.name)
    entries: list[Entry] = []
    for name, image in here.items():
        label, reason = _class(image.labels, chosen or table.classes)
        if label is None:
            left_out[reason] += 1
            continue
        entries.append(Entry(root / name, one_line(name), label, patients.of.get(name)))
    found = Scan(
        root,
        "table of labels",
        tuple(in_order(entries, chosen)),
        dict(sorted((+left_out).items())),
        patients,
        chosen,
        f"column {table.label_column!r} of {path.name}",
    )
    _check_classes(table, found)
    return found


def has_split(root: Path, labelling: Labelling, path: Path, split: str) -> bool:
    """Whether the table has images of `split`; those that it names, but are missing, do not count.

    Raises:
        InputError: as `scan_labelled`.
    """
    check_folder(root)
    images, _ = _images(root, read_labels(path, labelling), image_files(root, mixed=True)[0])
    return any(image.split == split for image in images.values())


def _images(root: Path, table: LabelTable, names: Sequence[str]) -> tuple[dict[str, _Image], int]:
    """What the table says of each file, by its path from `root`; and how many rows name no file."""
    files = Files(names, split_of(root.absolute().name))
    rows: dict[str, list[LabelRow]] = defaultdict(list)
    lost = 0
    for row in table.rows:
        fitting = files.fitting(row.file)
        if len(fitting) > 1:
            raise InputError(
                f"{table.path}, line {row.line}: {row.file!r} fits several files of {root} "
                f"({', '.join(fitting[:_SHOWN])}); write the folder in front, as in {fitting[0]}"
            )
        if fitting:
            rows[fitting[0]].append(row)
        lost += not fitting
    if not rows:
        such = f", such as {table.rows[0].file!r}" if table.rows else ""
        raise InputError(
            f"none of the {lost} rows of {table.path} names an image of {root}{such}; its column "
            f"{table.file_column!r} must hold names of files there (another one: --label-columns "
            "file=NAME)"
        )
    return {name: _agreed(table.path, name, same) for name, same in rows.items()}, lost


def _agreed(path: Path, name: str, rows: Iterable[LabelRow]) -> _Image:
    """What `rows` of one file say together; a row that says nothing agrees with all."""
    labels, patient, split = Labels(), None, None
    said: dict[str, int] = {}
    for row in rows:
        for what, before, now in (
            ("labels", labels, row.labels),
            ("patients", patient, row.patient),
            ("splits", split, row.split),
        ):
            if before and now and before != now:
                quoted = [str(v) if isinstance(v, Labels) else repr(v) for v in (before, now)]
                raise InputError(
                    f"{path} gives {name} different {what}: {quoted[0]} in line {said[what]}, "
                    f"{quoted[1]} in line {row.line}; correct one"
                )
            if now:
                said.setdefault(what, row.line)
        labels, patient = labels or row.labels, patient or row.patient
        split = split or row.split
    line = said.get("splits", said.get("patients", 0))
    return _Image(labels, split or _split(name), patient, line)


def _split(name: str) -> str:
    """The split of a file that the table gives none."""
    top, slash, _ = name.partition("/")
    return (split_of(top) if slash else None) or "train"


def _check_patients(table: LabelTable, images: Mapping[str, _Image]) -> None:
    """Raise InputError for a patient who is in two splits: what is tested on was trained on."""
    first: dict[str, tuple[str, _Image]] = {}
    for name, image in images.items():
        if image.patient is None:
            continue
        known, other = first.setdefault(image.patient, (name, image))
        if other.split != image.split:
            raise InputError(
                f"patient {image.patient!r} of {table.path} is in the splits {other.split} "
                f"({known}, line {other.line}) and {image.split} ({name}, line {image.line}); put "
                "all images of a patient into one"
            )


def _class(labels: Labels, classes: Iterable[str]) -> tuple[str | None, str]:
    """The one of `classes` that these labels mean; or None, and why there is none."""
    hits = labels.sure.intersection(classes)
    if labels.open.intersection(classes):
        return None, "images with an uncertain label"
    if len(hits) > 1:
        return None, "images of several classes"
    if hits:
        return next(iter(hits)), ""
    return None, OTHERS if labels else "images without a label"


def _patients(images: Mapping[str, _Image], source: str) -> Patients:
    """By the table, called `source`; where it has none at all, by names that tell."""
    if stated := {name: i.patient for name, i in images.items() if i.patient is not None}:
        return Patients(stated, source)
    found = {name: match[1] for name in images if (match := _CHEXPERT.search(name))}
    if not found:
        inside: dict[str, list[str]] = defaultdict(list)
        for name in images:
            folder, file = posixpath.split(name)
            inside[folder or "."].append(file)
        by_name = patients_by_name(inside)
        found = {file.removeprefix("./"): who for file, who in by_name.items()}
    return Patients(found, NAMES) if found else Patients(note=f"{source} names no patients")


def _check_classes(table: LabelTable, found: Scan) -> None:
    counts = dict.fromkeys(found.classes, 0) | Counter(e.label for e in found.entries)
    omitted = ", ".join(reasons(found.left_out))
    if len(counts) < 2:
        shown = ", ".join(map(repr, counts)) or "none"
        raise InputError(
            f"{table.path} gives fewer than two classes ({shown}; left out: "
            f"{omitted or 'nothing'}), but a conditional GAN needs at least two; choose among "
            f"{', '.join(map(repr, sorted(table.classes))) or 'none'} with --classes, or another "
            "column with --label-columns label=NAME"
        )
    check_counts(
        table.path, counts, lambda _: "image files" + (omitted and f" (left out: {omitted})")
    )
