"""A folder's manifest.csv: written for a small set, read from anyone who names patients.

What people's own tables look like is read too, see `tables`, with other names of the two columns.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from spaces.errors import InputError
from trainable.data.folders.listing import visible
from trainable.data.folders.tables import FILE, PATIENT, cleaned, read_table

FILE_NAME = "manifest.csv"
COLUMNS = ("file", "class", "source", "sha256", "width", "height", "bytes", "patient")

_GENERATED = ("file", "class", "seed")
"""The columns of a synthetic set's manifest, see `trainable.generate`: it shows nobody."""


@dataclass(frozen=True)
class Row:
    """One file of the set: `file` is relative to the set, `source` to where it was drawn from."""

    file: str
    label: str
    source: str
    sha256: str
    width: int
    height: int
    size: int
    patient: str | None


@dataclass(frozen=True)
class Named:
    """One row of a table of patients: `patient` is "" where it says none."""

    line: int
    file: str
    patient: str


@dataclass(frozen=True)
class Manifest:
    """A table of files, named in `file_column`, and patients; without them, `rows` is None."""

    path: Path
    columns: tuple[str, ...]
    file_column: str = ""
    rows: tuple[Named, ...] | None = None

    @property
    def ours(self) -> bool:
        """Whether a command of this project wrote it, with patients or without."""
        return self.columns in (COLUMNS, _GENERATED)


def write_manifest(folder: Path, rows: list[Row]) -> None:
    """Write ``folder/manifest.csv``."""
    with (folder / FILE_NAME).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            writer.writerow(
                (row.file, row.label, row.source, row.sha256, row.width, row.height, row.size,
                 row.patient or "")
            )  # fmt: skip


def read_manifest(folder: Path) -> Manifest | None:
    """The folder's manifest.csv, in capitals or not; None if there is none.

    A patient who is spelled in several ways, by spaces and capitals, is one: the first spelling
    counts.

    Raises:
        InputError: it cannot be read, or names patients without saying of which files.
    """
    found = [p for p in visible(folder) if p.name.casefold() == FILE_NAME and p.is_file()]
    if not found:
        return None
    path = found[0]
    if len(found) > 1:
        raise InputError(f"{folder} has both {' and '.join(p.name for p in found)}; keep one")
    table = read_table(path, (FILE, PATIENT))
    file, patient = table.column(FILE), table.column(PATIENT)
    if patient is None:
        return Manifest(path, table.columns)
    if file is None:
        raise InputError(
            f"{path} has a column {table.columns[patient]!r}, but none that names the files; call "
            f"that 'file' (its columns are {', '.join(table.columns)})"
        )
    spelling: dict[str, str] = {}
    named: list[Named] = []
    for line, cells in table.rows():
        who = cleaned(cells[patient])
        named.append(Named(line, cells[file].strip(), spelling.setdefault(who.casefold(), who)))
    return Manifest(path, table.columns, table.columns[file], tuple(named))
