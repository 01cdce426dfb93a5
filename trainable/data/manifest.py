"""The manifest of a small set: a CSV that says where each copied file came from."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from spaces.errors import InputError

FILE_NAME = "manifest.csv"
COLUMNS = ("file", "class", "source", "sha256", "width", "height", "bytes", "patient")


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


def read_patients(folder: Path) -> dict[str, str] | None:
    """File to patient, from the folder's manifest; None if it has none that names both.

    The small builder's says more; of another's the columns ``file`` and ``patient`` are enough.

    Raises:
        InputError: none of its files is there, so that it would be believed and yet say nothing.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        reader = csv.DictReader(file)
        if not {"file", "patient"} <= set(reader.fieldnames or ()):
            return None
        patients = {row["file"]: row["patient"] for row in reader if row["file"] and row["patient"]}
    if patients and not any((folder / name).is_file() for name in patients):
        raise InputError(
            f"{path} names files that do not exist, such as {next(iter(patients))!r}; its column "
            f"'file' must hold paths from {folder}, such as CLASS/image.png"
        )
    return patients
