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
    """Maps a file to its place.

    Attributes:
        name: what it is called.
        on_request: classes that are left out unless they are chosen by name.
    """

    name: str
    on_request: frozenset[str]

    def place(self, folder: str, name: str) -> Place:
        """Class of the file `name` in the class folder `folder`."""
        ...


class ClassFolders:
    """One folder a class, named after it."""

    name = "folders"
    on_request: frozenset[str] = frozenset()

    def place(self, folder: str, name: str) -> Place:
        """Class of the file `name` in the class folder `folder`."""
        return Place(folder)
