"""Which class an image of a folder has, where the user says so: a table of labels, chosen classes.

One `Labelling` for all images of a study, as there is one `Reading`.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from spaces.errors import InputError
from trainable.basics.files import check_file

ROLES = ("file", "label", "patient", "split")
"""What a column of a table of labels may be for."""
ABOUT = {
    "labels": "CSV with a row per image of the folder --data: its file, label and, if known, "
    "patient and split (default: folders are classes)",
    "label_columns": "which of its columns are which, where their names do not tell: "
    "file=NAME,label=NAME,patient=NAME,split=NAME; label may come several times, for columns of 0 "
    "and 1",
    "classes": "the classes to use, in this order, such as bacteria,normal; a name with a comma is "
    "put in double quotes, and 'no X' are the images with 0 in a column X (default: all)",
}
"""What the flags are for, by the settings' names."""


def _parts(flag: str, text: str | None) -> list[str]:
    """The parts between commas, those in double quotes whole."""
    if text is None:
        return []
    try:
        rows = list(csv.reader([text], skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise InputError(f"{flag} is {text!r}, which is not a list: {error}") from error
    return [part.strip() for part in rows[0]] if rows else [""]


def joined(parts: Iterable[str]) -> str:
    """The list of `parts` as a flag takes it: those with a comma in double quotes."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(parts)
    return text.getvalue()


@dataclass(frozen=True)
class Labelling:
    """Where the classes of a folder's images are from.

    Attributes:
        labels: path of a table of labels; None where folders are classes.
        label_columns: which of its columns are which, as typed: ``file=Path,label=Finding``.
        classes: the chosen classes, as typed: ``bacteria,"a, b"``; None for all, by name.
    """

    labels: str | None = None
    label_columns: str | None = None
    classes: str | None = None

    def __post_init__(self) -> None:
        """Raise InputError for a value that breaks its rule; the table is not looked at."""
        if self.labels == "":
            raise InputError("--labels is empty; give a CSV file, or leave it out")
        if self.label_columns is not None and self.labels is None:
            raise InputError("--label-columns names columns of --labels; give both, or neither")
        _ = self.columns
        if self.classes is None:
            return
        names = self.chosen
        if "" in names or len(set(names)) < max(2, len(names)):
            raise InputError(
                f"--classes is {self.classes!r}, but must be two different names or more, such as "
                "bacteria,normal"
            )

    @classmethod
    def of(cls, settings: Mapping[str, object]) -> Labelling:
        """The one that settings or parsed flags hold; what they lack is not given."""
        known = {f.name: settings.get(f.name) for f in fields(cls)}
        return cls(**{k: None if v is None else str(v) for k, v in known.items()})

    @property
    def settings(self) -> dict[str, str | None]:
        """What a study records of it; `of` is the inverse."""
        return asdict(self)

    @property
    def table(self) -> Path | None:
        """The table of labels, if there is one."""
        return None if self.labels is None else Path(self.labels)

    @property
    def chosen(self) -> tuple[str, ...]:
        """The chosen classes, in order; none for all."""
        return tuple(_parts("--classes", self.classes))

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Names of columns, by their role; of roles that were not named, none.

        Raises:
            InputError: a part is no ``role=name``, or names a role twice.
        """
        found: dict[str, tuple[str, ...]] = {}
        for part in _parts("--label-columns", self.label_columns):
            role, _, name = (text.strip() for text in part.partition("="))
            if role not in ROLES or not name:
                raise InputError(
                    f"--label-columns holds {part!r}, but must be {', '.join(ROLES)}, each with = "
                    "and a column's name, such as file=Path,label=Finding"
                )
            if role in found and role != "label":
                raise InputError(f"--label-columns names {role} twice; name one column")
            found[role] = (*found.get(role, ()), name)
        return found

    @property
    def beside(self) -> Labelling:
        """What holds for other folders too: the classes, but not the table."""
        return Labelling(classes=self.classes)

    def check(self) -> None:
        """Raise InputError unless the table, if there is one, is a file that can be read."""
        if self.table is None:
            return
        check_file("--labels", self.table)
        if self.table.is_dir():
            raise InputError(f"--labels {self.table} is a folder; give a CSV file")


AS_FOLDERS = Labelling()


def add_labelling(group: argparse._ActionsContainer, **notes: str) -> None:
    """Add the flags to a command that takes ``--data``; `Labelling.of(vars(args))` reads them."""
    metavars = {"labels": "CSV", "label_columns": "LIST", "classes": "LIST"}
    for name, about in ABOUT.items():
        flag = f"--{name.replace('_', '-')}"
        group.add_argument(flag, metavar=metavars[name], help=notes.get(name, about))
