"""An augmentation study on disk: its settings, and a file for each cell that is done.

The folder is the truth. A study that was stopped, or killed, goes on with the cells that it lacks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis.augmentation.design.cells import Cell, Result
from spaces.errors import InputError
from trainable.basics.files import write_whole

SETTINGS, CELLS, LOOKS = "augmentation.json", "cells", "looks.json"


_LONGEST = 200
"""Letters that an error has for one setting."""


class Store:
    """The study in `folder`; for one process at a time, which holds its lock."""

    def __init__(self, folder: Path):
        self.folder = folder

    def claim(self, settings: Mapping[str, Any]) -> None:
        """Begin a study of these settings, or go on with it.

        Raises:
            InputError: the folder holds a study of other settings, or something else.
        """
        path = self.folder / SETTINGS
        (self.folder / CELLS).mkdir(exist_ok=True)
        if not path.exists():
            write_whole(path, json.dumps(settings, indent=2) + "\n")
            return
        try:
            there = json.loads(path.read_text())
            differ = sorted(k for k in {*settings, *there} if there.get(k) != settings.get(k))
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise InputError(
                f"{path} is not what a study leaves there ({error}); give another --name"
            ) from error
        if differ:
            changes = "; ".join(_change(k, there.get(k), settings.get(k)) for k in differ)
            raise InputError(
                f"--name {self.folder.name} is a study with other settings ({changes}); give "
                "another --name, or the same settings to resume it"
            )

    def looks(self) -> list[int]:
        """Numbers of repeats at which results were looked at, in the order of the looks.

        Raises:
            InputError: the file is not what `look` left.
        """
        path = self.folder / LOOKS
        if not path.exists():
            return []
        try:
            return [int(n) for n in json.loads(path.read_text())]
        except (OSError, ValueError, TypeError) as error:
            raise InputError(
                f"{path} is not what a study leaves there ({error}); give another --name"
            ) from error

    def look(self, repeats: int) -> list[int]:
        """Note that results of so many repeats are looked at; returns `looks`."""
        looks = self.looks()
        if repeats not in looks:
            looks.append(repeats)
            write_whole(self.folder / LOOKS, json.dumps(looks))
        return looks

    def keep(self, cell: Cell, result: Result) -> None:
        """Write a cell's result, whole or not at all."""
        path = self.folder / CELLS / f"{cell.key}.json"
        write_whole(path, json.dumps({"cell": asdict(cell), **result}))

    def read(self) -> dict[Cell, Result]:
        """All results that are there, and whole."""
        results = {}
        for path in sorted((self.folder / CELLS).glob("*.json")):
            with suppress(OSError, ValueError, KeyError, TypeError):
                result = json.loads(path.read_text())
                results[Cell(**result.pop("cell"))] = result
        return results


def _change(name: str, was: Any, now: Any) -> str:
    """In what a setting differs; of a long one, such as a list of files, its name alone."""
    said = f"{name} was {was}, is {now}"
    return said if len(said) <= _LONGEST else name
