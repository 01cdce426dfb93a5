"""Tables of text as people save them: CSV of a spreadsheet, with a byte order mark or without one,
in UTF-8, UTF-16 or Windows' code page, between commas, semicolons, tabs or bars.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from spaces.errors import InputError

# Names of columns, in small letters without spaces and signs; of several in one table the first
# that stands here is meant.
FILE = (
    "file", "filename", "filepath", "path", "image", "imagefile", "imagename", "imagepath",
    "imageindex", "img",
)  # fmt: skip
PATIENT = (
    "patient", "patientid", "patientnumber", "patientno", "subject", "subjectid", "subjectnumber",
)  # fmt: skip
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
class Table:
    """A table of text.

    Attributes:
        path: its file.
        columns: their names, as they stand in the header.
        lines: (line, cells) of each row that is not blank.
    """

    path: Path
    columns: tuple[str, ...]
    lines: tuple[tuple[int, list[str]], ...]

    def column(self, names: Sequence[str]) -> int | None:
        """Which column is called by the first of `names` that one is called by; see `plain`."""
        return _column(self.columns, names)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """(line, cells) of each row, with as many cells as there are columns.

        Raises:
            InputError: a row has more.
        """
        width = len(self.columns)
        for line, cells in self.lines:
            if any(cell.strip() for cell in cells[width:]):
                raise InputError(
                    f"{self.path}, line {line}, has {len(cells)} cells, but its header {width}; "
                    "put names with a comma in quotes"
                )
            yield line, [*cells[:width], *[""] * (width - len(cells))]


def read_table(path: Path, wanted: Sequence[Sequence[str]]) -> Table:
    """Read a table; of the columns `wanted`, each by any of its names, the delimiter is known.

    Raises:
        InputError: the file cannot be read, or is no table.
    """
    (_, header), *rows = _table(path, _text(path), wanted)
    return Table(path, tuple(cell.strip() for cell in header), tuple(rows))


def plain(name: str) -> str:
    """What names of columns are compared by: small letters and digits."""
    return "".join(c for c in name.casefold() if c.isalnum())


def cleaned(cell: str) -> str:
    """The cell without what a spreadsheet does not show: spaces around it, and doubled ones."""
    return " ".join(cell.translate(_BLANK).split())


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


def _table(path: Path, text: str, wanted: Sequence[Sequence[str]]) -> list[tuple[int, list[str]]]:
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
            io.StringIO(text[start:], newline=""), delimiter=_delimiter(header, wanted), strict=True
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


def _delimiter(header: str, wanted: Sequence[Sequence[str]]) -> str:
    """The one by which most of the columns that are wanted are found; then most columns."""

    def understood(delimiter: str) -> tuple[int, int]:
        columns = next(csv.reader([header], delimiter=delimiter), [])
        return sum(_column(columns, names) is not None for names in wanted), len(columns)

    return max(_DELIMITERS, key=understood)


def _column(columns: Sequence[str], names: Sequence[str]) -> int | None:
    known = [plain(column) for column in columns]
    return next((known.index(name) for name in names if name in known), None)
