"""A table of labels: which row says what of which file, before the files are looked for.

Labels stand in one column of names, several in a cell as in ChestX-ray14 (``Effusion|Mass``) or
PadChest (``['effusion', 'mass']``); or in columns of 1, 0, -1 (uncertain) and blank, one a finding,
as in CheXpert, or a single one, as RSNA's ``Target``. Such a column X stands for the labels ``X``
and ``no X``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from spaces.errors import InputError
from trainable.basics.terminal import command
from trainable.data.folders.entries import check_chosen, label_of
from trainable.data.folders.splits import SPLITS, split_of
from trainable.data.folders.tables import FILE, PATIENT, Table, cleaned, plain, read_table
from trainable.data.labelling import Labelling, joined

NOT = "no "
"""Before the name of a column of 0 and 1: the label of a 0."""
# Of several in one table the first that stands here is meant, as in `tables`.
_NAMES = {
    "file": (*FILE, "imageid", "imageuid", "sopinstanceuid", "dicom", "id"),
    "label": (
        "label", "labels", "class", "classname", "category", "findinglabels", "finding", "findings",
        "diagnosis", "dx", "target",
    ),
    "patient": PATIENT,
    "split": ("split", "subset", "partition"),
}  # fmt: skip
_VALUES = {"1": 1, "1.0": 1, "true": 1, "0": 0, "0.0": 0, "false": 0, "-1": -1, "-1.0": -1}
_ABSENT = "nan"
"""What pandas may write for a blank."""


@dataclass(frozen=True)
class Labels:
    """What a table says of an image.

    Attributes:
        sure: its labels.
        open: labels of which it says that they are uncertain.
    """

    sure: frozenset[str] = frozenset()
    open: frozenset[str] = frozenset()

    def __str__(self) -> str:
        """Such as ``'Effusion' and 'Mass'``."""
        uncertain = [f"{name!r} (uncertain)" for name in sorted(self.open)]
        return " and ".join([*map(repr, sorted(self.sure)), *uncertain])

    def __bool__(self) -> bool:
        return bool(self.sure or self.open)


@dataclass(frozen=True)
class LabelRow:
    """One row: `patient` and `split` are None where it does not say."""

    line: int
    file: str
    labels: Labels
    patient: str | None
    split: str | None


@dataclass(frozen=True)
class LabelTable:
    """A table of labels, read.

    Attributes:
        path: its file.
        file_column: the column that names files.
        label_column: the column of labels, or several, for people.
        classes: labels that may be classes; of columns of 0 and 1 those asked for.
        rows: its rows, in order.
    """

    path: Path
    file_column: str
    label_column: str
    classes: frozenset[str]
    rows: tuple[LabelRow, ...]


def read_labels(path: Path, labelling: Labelling) -> LabelTable:
    """Read the table at `path`.

    Raises:
        InputError: it is no table, has no column of files or of labels, or not those that were
            named, or a split has another name than splits have.
    """
    named = labelling.columns
    table = read_table(
        path, [tuple(map(plain, named[role])) if role in named else _NAMES[role] for role in _NAMES]
    )
    patient, split = _column(table, named, "patient"), _column(table, named, "split")
    # RSNA names files by their patients.
    file = _column(table, named, "file")
    file = patient if file is None else file
    if file is None:
        raise InputError(
            f"{path} has no column that is known to name files, but {', '.join(table.columns)}; "
            "name it: --label-columns file=NAME"
        )
    rows = list(table.rows())
    found, classes, column = _labels(table, rows, labelling)
    spelling: dict[str, str] = {}
    read: list[LabelRow] = []
    for (line, cells), labels in zip(rows, found, strict=True):
        who = "" if patient is None else _said(cells[patient])
        part = "" if split is None else _said(cells[split])
        if part and split_of(part) is None:
            raise InputError(
                f"{path}, line {line}, has the split {part!r}, but splits are called "
                f"{', '.join(SPLITS)}; rename it, or name another column with --label-columns "
                "split=NAME"
            )
        read.append(
            LabelRow(
                line,
                cells[file].strip(),
                labels,
                spelling.setdefault(who.casefold(), who) or None,
                split_of(part),
            )
        )
    return LabelTable(path, table.columns[file], column, frozenset(classes), tuple(read))


def _column(table: Table, named: dict[str, tuple[str, ...]], role: str) -> int | None:
    if role in named:
        return _named(table, named[role][0], f"--label-columns {role}=")
    return table.column(_NAMES[role])


def _named(table: Table, name: str, flag: str) -> int:
    """The column of that name, as it stands there or nearly so."""
    if name in table.columns:
        return table.columns.index(name)
    index = table.column((plain(name),))
    if index is None:
        raise InputError(
            f"{flag}{name}: {table.path} has no such column; it has {', '.join(table.columns)}"
        )
    return index


def _labels(
    table: Table, rows: Sequence[tuple[int, list[str]]], labelling: Labelling
) -> tuple[list[Labels], Iterable[str], str]:
    """What each row says; the labels that may be classes; and the columns that say so."""
    named = labelling.columns.get("label")
    if named is None:
        usual = table.column(_NAMES["label"])
        if usual is None:
            return _findings(table, rows, _asked(table, rows, labelling), labelling)
        columns = [usual]
    else:
        columns = [_named(table, name, "--label-columns label=") for name in named]
    if all(_is_finding(rows, column) for column in columns):
        return _findings(table, rows, columns, labelling)
    if len(columns) > 1:
        other = next(c for c in columns if not _is_finding(rows, c))
        raise InputError(
            f"--label-columns names several label columns, but {table.columns[other]!r} of "
            f"{table.path} holds other values than 1, 0, -1 and blank; name one column of labels, "
            "or only columns of 0 and 1"
        )
    found = [Labels(frozenset(_names(cells[columns[0]]))) for _, cells in rows]
    return found, {name for labels in found for name in labels.sure}, table.columns[columns[0]]


def _asked(table: Table, rows: Sequence[tuple[int, list[str]]], labelling: Labelling) -> list[int]:
    """The columns of 0 and 1 that --classes names, where nothing else says which labels to take."""
    findings = {
        label_of(cleaned(table.columns[i])): i
        for i in range(len(table.columns))
        if _is_finding(rows, i)
    }
    if not labelling.chosen or not findings:
        hint = ""
        if len(findings) > 1:
            hint = command("--classes", joined(findings))
        elif findings:  # one alone cannot be chosen: its 0s are a class too
            own = joined(f"label={table.columns[i]}" for i in findings.values())
            given = labelling.label_columns
            hint = command("--label-columns", f"{given},{own}" if given else own)
        raise InputError(
            f"{table.path} has no column that is known to hold labels, but "
            f"{', '.join(table.columns)}; name it: --label-columns label=NAME"
            + (f", or choose among its columns of 0 and 1: {hint}" if hint else "")
        )
    chosen = [label_of(name) for name in labelling.chosen]
    check_chosen(table.path, chosen, {*findings, *(NOT + name for name in findings)})
    bare = [name if name in findings else name.removeprefix(NOT) for name in chosen]
    return [findings[name] for name in dict.fromkeys(bare)]


def _findings(
    table: Table,
    rows: Sequence[tuple[int, list[str]]],
    columns: Sequence[int],
    labelling: Labelling,
) -> tuple[list[Labels], Iterable[str], str]:
    """The labels of columns of 1, 0, -1 and blank."""
    names = {column: label_of(cleaned(table.columns[column])) for column in columns}
    found: list[Labels] = []
    for _, cells in rows:
        sure: set[str] = set()
        uncertain: set[str] = set()
        for column, name in names.items():
            match _VALUES.get(_said(cells[column]).casefold()):
                case 1:
                    sure.add(name)
                case 0:
                    sure.add(NOT + name)
                case -1:
                    uncertain |= {name, NOT + name}
        found.append(Labels(frozenset(sure), frozenset(uncertain)))
    classes = set(names.values())
    if labelling.chosen or len(columns) == 1:  # of several, two 0s would be two labels
        classes |= {NOT + name for name in names.values()}
    return found, classes, ", ".join(table.columns[column] for column in columns)


def _is_finding(rows: Sequence[tuple[int, list[str]]], column: int) -> bool:
    values = {_said(cells[column]).casefold() for _, cells in rows} - {""}
    return bool(values) and values <= _VALUES.keys()


def _said(cell: str) -> str:
    """What a cell holds; "" if that is nothing."""
    text = cleaned(cell)
    return "" if text.casefold() == _ABSENT else text


def _names(cell: str) -> list[str]:
    """The labels in a cell."""
    text = _said(cell)
    parts: Sequence[object] = text.split("|")
    if text.startswith("[") and text.endswith("]"):
        try:
            parts = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            parts = text[1:-1].split(",")
    return [label_of(name) for part in parts if (name := cleaned(str(part)))]
