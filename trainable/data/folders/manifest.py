"""A folder's manifest.csv: written for a small set, read from anyone who names patients.

What people's own tables look like is read too: saved by a spreadsheet (a byte order mark, UTF-16,
Windows' code page, semicolons or tabs), with other names of the two columns.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spaces.errors import InputError
from trainable.data.folders.listing import visible

FILE_NAME = "manifest.csv"
COLUMNS = ("file", "class", "source", "sha256", "width", "height", "bytes", "patient")

# Names of columns, in small letters without spaces and signs; of several in one table the first
# that stands here is meant.
_FILE = (
    "file", "filename", "filepath", "path", "image", "imagefile", "imagename", "imagepath",
    "imageindex", "img",
)  # fmt: skip
_PATIENT = (
    "patient", "patientid", "patientnumber", "patientno", "subject", "subjectid", "subjectnumber",
)  # fmt: skip
_GENERATED = ("file", "class", "seed")
"""The columns of a synthetic set's manifest, see `trainable.generate`: it shows nobody."""
_DELIMITERS = ",;\t|"
_BLANK = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff"))
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


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
    (_, header), *rows = _table(path, _text(path))
    columns = tuple(cell.strip() for cell in header)
    file, patient = _column(columns, _FILE), _column(columns, _PATIENT)
    if patient is None:
        return Manifest(path, columns)
    if file is None:
        raise InputError(
            f"{path} has a column {columns[patient]!r}, but none that names the files; call that "
            f"'file' (its columns are {', '.join(columns)})"
        )
    spelling: dict[str, str] = {}
    named: list[Named] = []
    for line, cells in rows:
        if any(cell.strip() for cell in cells[len(columns) :]):
            raise InputError(
                f"{path}, line {line}, has {len(cells)} cells, but its header {len(columns)}; put "
                "names with a comma in quotes"
            )
        full = cells + [""] * (len(columns) - len(cells))
        who = _cleaned(full[patient])
        named.append(Named(line, full[file].strip(), spelling.setdefault(who.casefold(), who)))
    return Manifest(path, columns, columns[file], tuple(named))


def _text(path: Path) -> str:
    """The file's text.

    Raises:
        InputError: it cannot be opened, is empty, or in no encoding that spreadsheets write.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    encodings = tuple(name for mark, name in _MARKS if data.startswith(mark))[:1]
    if not encodings and 0 in data[:2]:  # UTF-16 without its mark: half of a Latin letter is 0
        encodings = ("utf-16-be" if data[0] == 0 else "utf-16-le",)
    for encoding in encodings or ("utf-8", "cp1252"):  # Excel's "CSV UTF-8", and its "CSV"
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if not text.strip():
            raise InputError(f"{path} is empty; fill it or remove it")
        if not _CONTROL.search(text):
            return text
    raise InputError(f"{path} is not a text file; save the table as CSV in UTF-8")


def _table(path: Path, text: str) -> list[tuple[int, list[str]]]:
    """(line, cells) of the header and each row that is not blank.

    Raises:
        InputError: it is not valid CSV.
    """
    table: list[tuple[int, list[str]]] = []
    try:
        lead = text[: text.index(text.lstrip()[0])]
        start = lead.rfind("\n") + 1  # a blank first cell is none of the blank lines
        header, *rest = text[start:].splitlines(keepends=True)
        if header.casefold().startswith("sep="):  # a line that tells Excel the delimiter
            start += len(header)
            header = rest[0] if rest else ""
        reader = csv.reader(
            io.StringIO(text[start:], newline=""), delimiter=_delimiter(header), strict=True
        )
        before = len(text[:start].splitlines())
        table += [
            (before + reader.line_num, cells)
            for cells in reader
            if any(cell.strip() for cell in cells)
        ]
    except csv.Error as error:
        raise InputError(f"{path} is not valid CSV: {error}; fix it") from error
    if not table:
        raise InputError(f"{path} is empty; fill it or remove it")
    return table


def _delimiter(header: str) -> str:
    """The one by which most of the columns that are needed are found; then most columns."""

    def understood(delimiter: str) -> tuple[int, int]:
        columns = next(csv.reader([header], delimiter=delimiter), [])
        return sum(_column(columns, names) is not None for names in (_FILE, _PATIENT)), len(columns)

    return max(_DELIMITERS, key=understood)


def _column(columns: Sequence[str], names: Sequence[str]) -> int | None:
    """Which of the columns is called by the first of `names` that one is called by."""
    plain = ["".join(c for c in column.casefold() if c.isalnum()) for column in columns]
    return next((plain.index(name) for name in names if name in plain), None)


def _cleaned(patient: str) -> str:
    """The name without what a spreadsheet does not show: spaces around it, and doubled ones."""
    return " ".join(patient.translate(_BLANK).split())
