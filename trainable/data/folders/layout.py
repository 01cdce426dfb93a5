"""What a file's folder and name mean: its class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Place:
    """A file's class; None: left out, for `reason`."""

    label: str | None
    reason: str = ""


class Layout(Protocol):
    """Maps a file to its place."""

    name: str

    def place(self, folder: str, name: str) -> Place:
        """Class of the file `name` in the class folder `folder`."""
        ...


class ClassFolders:
    """One folder a class, named after it."""

    name = "folders"

    def place(self, folder: str, name: str) -> Place:
        """Class of the file `name` in the class folder `folder`."""
        return Place(folder)
