"""Whom each image shows: by a manifest.csv, or by file names that tell."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spaces.errors import InputError
from trainable.data.folders.finding import Files
from trainable.data.folders.kaggle import patients_by_name
from trainable.data.folders.listing import visible
from trainable.data.folders.manifest import FILE_NAME, Manifest, Named, read_manifest
from trainable.data.folders.splits import split_of

NAMES = "file names"
_TABLES = (".csv", ".tsv", ".xlsx", ".xls", ".ods")
_SHOWN = 3
MAX_UNMATCHED = 0.05
"""Share of a manifest's rows that may name no file, where images are without a patient."""


@dataclass(frozen=True)
class Patients:
    """Who is shown, as far as it is known.

    Attributes:
        of: patient of each file, by its path relative to the root, posix.
        source: where that is from, such as 'manifest.csv'.
        note: what else there is to say of it.
    """

    of: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    note: str = ""


def same_patient(name: str | None) -> str | None:
    """What is equal for two spellings of a patient, from two manifests; None for an unknown one."""
    return None if name is None else name.casefold()


def find_patients(root: Path, base: Path, files: Mapping[str, Sequence[str]]) -> Patients:
    """The patients of `files` (class folders in `base` to file names), `base` being in `root`.

    The manifest of `base` is read, or else that of `root`. Where it leaves images without a
    patient, file names tell; of images of one patient by name, a manifest's name is that of all.

    Raises:
        InputError: the manifest cannot be read, contradicts itself, or many of its rows name no
            file although images lack a patient.
    """
    prefix = base.relative_to(root).as_posix()
    at = "" if prefix == "." else f"{prefix}/"
    images = [f"{at}{folder}/{name}" for folder, names in files.items() for name in names]
    by_name = {f"{at}{file}": who for file, who in patients_by_name(files).items()}
    note = ""
    stated: dict[str, str] = {}
    for folder in dict.fromkeys((base, root)):
        manifest = read_manifest(folder)
        if manifest is None:
            continue
        stated, note = _stated(manifest, at if folder == base else "", images)
        if stated:
            break
    renamed = {by_name[file]: who for file, who in stated.items() if file in by_name}
    told = {file: renamed.get(who, who) for file, who in by_name.items() if file not in stated}
    sources = [name for name, found in ((FILE_NAME, stated), (NAMES, told)) if found]
    if not sources:
        note = "; ".join(filter(None, (note, _unread_tables({base, root}))))
    return Patients(told | stated, " and ".join(sources), note)


def _unread_tables(folders: Iterable[Path]) -> str:
    """A word on tables in `folders` that may name patients, but are not called `FILE_NAME`."""
    names = sorted(
        path.name for folder in folders for path in visible(folder)
        if path.name.casefold() != FILE_NAME and path.is_file()
        and (path.suffix.lower() in _TABLES or path.name.casefold().startswith(FILE_NAME))
    )  # fmt: skip
    if not names:
        return ""
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return f"tables that may name patients are not read ({shown}); only {FILE_NAME} is"


def _stated(manifest: Manifest, at: str, images: Sequence[str]) -> tuple[dict[str, str], str]:
    """The patients of files that a manifest names, and what else is to be said of it.

    Args:
        manifest: of the folder `at` in the root; `at` is "" or ends in a slash.
        images: those whose patients are wanted, by their paths relative to the root.
    """
    folder = manifest.path.parent
    names = (name.removeprefix(at) for name in images if name.startswith(at))
    files = Files({*names, *_files_below(folder)}, split_of(folder.name))
    if manifest.rows is None:
        if any(posixpath.splitext(cell)[1] and files.find(cell) for cell in manifest.columns):
            raise InputError(f"{manifest.path} has no header; add 'file,patient' as its first line")
        return {}, "" if manifest.ours else f"{FILE_NAME} names no patients"
    rows = [row for row in manifest.rows if row.patient]
    first: dict[str, Named] = {}
    unmatched: list[Named] = []
    for row in rows:
        file = files.find(row.file)
        if file is None:
            unmatched.append(row)
        elif (other := first.setdefault(f"{at}{file}", row)).patient != row.patient:
            raise InputError(
                f"{manifest.path} names two patients of {file}, {other.patient!r} (line "
                f"{other.line}) and {row.patient!r} (line {row.line}); remove the wrong one"
            )
    known = sum(name in first for name in images)
    if rows and not first:
        raise InputError(
            f"{manifest.path} names files that do not exist, such as {rows[0].file!r}; its column "
            f"{manifest.file_column!r} must hold paths from {folder}, such as CLASS/image.png"
        )
    if known < len(images) and len(unmatched) > MAX_UNMATCHED * len(rows):
        row = unmatched[0]
        raise InputError(
            f"{manifest.path} matches {known} of {len(images)} images: {len(unmatched)} of its "
            f"{len(rows)} rows name no file of {folder}, or several, such as {row.file!r} (line "
            f"{row.line}); correct or remove these rows (names are paths from {folder})"
        )
    note = f"{len(unmatched)} of {len(rows)} rows of {FILE_NAME} name no file" if unmatched else ""
    if not rows and not manifest.ours:
        note = f"{FILE_NAME} names no patients"
    return {file: row.patient for file, row in first.items()}, note


def _files_below(folder: Path) -> set[str]:
    """Every file below `folder`, by its path from there; links to folders are followed once."""
    found: set[str] = set()
    entered = {os.path.realpath(folder)}
    for here, folders, names in os.walk(folder, followlinks=True):
        inner = Path(here).relative_to(folder)
        found |= {(inner / name).as_posix() for name in names}
        real = {name: os.path.realpath(Path(here, name)) for name in folders}
        folders[:] = [name for name in folders if real[name] not in entered]
        entered |= set(real.values())
    return found
