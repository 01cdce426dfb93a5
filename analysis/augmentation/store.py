"""An augmentation study on disk: its settings, and a file for each cell that is done.

The folder is the truth. A study that was stopped, or killed, goes on with the cells that it lacks.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.augmentation.cells import COMPLETE, Result
from analysis.augmentation.plan import Cell
from spaces.errors import InputError

SETTINGS, CELLS, TABLE = "augmentation.json", "cells", "cells.csv"


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
            _write(path, json.dumps(settings, indent=2) + "\n")
            return
        try:
            there = json.loads(path.read_text())
            differ = sorted(k for k in {*settings, *there} if there.get(k) != settings.get(k))
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise InputError(
                f"{path} is not what a study leaves there ({error}); give another --name"
            ) from error
        if differ:
            changes = "; ".join(f"{k} was {there.get(k)}, is {settings.get(k)}" for k in differ)
            raise InputError(
                f"--name {self.folder.name} is a study of other settings ({changes}); give another "
                "--name, or the same settings to go on with it"
            )

    def keep(self, cell: Cell, result: Result) -> None:
        """Write a cell's result, whole or not at all."""
        _write(self._file(cell), json.dumps(result))

    def read(self, cell: Cell) -> Result | None:
        """A cell's result, or None: not there, or not whole."""
        try:
            result = json.loads(self._file(cell).read_text())
        except (OSError, ValueError):
            return None
        return result if isinstance(result, dict) and "status" in result else None

    def write_table(self, results: Mapping[Cell, Result], generators: Mapping[int, str]) -> Path:
        """All cells' scores, a row each; `generators` says by size which one drew."""
        names = sorted({n for r in results.values() for n in r.get("scores", ())})
        path = self.folder / TABLE
        with path.open("w", encoding="utf-8", newline="") as file:
            out = csv.writer(file, lineterminator="\n")
            own = ("size", "ratio", "arm", "repeat", "generator", "status")
            out.writerow((*own, "images", "best_step", "threshold", "seconds", *names))
            for cell, result in sorted(results.items()):
                facts = [
                    cell.size, cell.ratio, cell.arm, cell.repeat, generators[cell.size],
                    result["status"],
                ]  # fmt: skip
                if result["status"] == COMPLETE:
                    facts += [result["images"], result["best_step"], result["threshold"]]
                    facts += [f"{result['seconds']:.2f}"]
                    facts += [f"{result['scores'][name]:.6f}" for name in names]
                out.writerow(facts)
        return path

    def _file(self, cell: Cell) -> Path:
        return self.folder / CELLS / f"{cell.key}.json"


def _write(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_text(text)
    part.replace(path)
