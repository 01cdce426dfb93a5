"""What a file's folder and name mean: its class and patient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Place:
    """A file's class (None: left out, for `reason`) and patient, if known."""

    label: str | None
    patient: str | None = None
    reason: str = ""


class Layout(Protocol):
    """Maps a file to its place."""

    name: str

    def place(self, folder: str, name: str) -> Place:
        """Class and patient of the file `name` in the class folder `folder`."""
        ...


class ClassFolders:
    """One folder a class, named after it; patients come from a table of files, if there is one."""

    def __init__(self, name: str = "folders", patients: dict[str, str] | None = None):
        self.name = name
        self.patients = patients or {}

    def place(self, folder: str, name: str) -> Place:
        """Class and patient of the file `name` in the class folder `folder`."""
        return Place(folder, self.patients.get(f"{folder}/{name}"))
