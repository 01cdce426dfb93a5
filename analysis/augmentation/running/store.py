"""An augmentation study on disk: its settings, and a file for each cell that is done.

The folder is the truth. A study that was stopped, or killed, goes on with the cells that it lacks.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis.augmentation.classifier.scores import steps_to
from analysis.augmentation.design.cells import Cell
from analysis.augmentation.findings.crossover import crossover
from analysis.augmentation.findings.results import Findings
from analysis.augmentation.running.train_cell import COMPLETE, Result
from spaces.errors import InputError

SETTINGS, CELLS, TABLE = "augmentation.json", "cells", "cells.csv"
COMPARISONS, CROSSOVERS = "comparisons.csv", "crossovers.csv"


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
        path = self.folder / CELLS / f"{cell.key}.json"
        _write(path, json.dumps({"cell": asdict(cell), **result}))

    def read(self) -> dict[Cell, Result]:
        """All results that are there, and whole."""
        found = {}
        for path in sorted((self.folder / CELLS).glob("*.json")):
            with suppress(OSError, ValueError, KeyError, TypeError):
                result = json.loads(path.read_text())
                found[Cell(**result.pop("cell"))] = result
        return found

    def write_table(self, results: Mapping[Cell, Result], reach: float) -> Path:
        """All cells' scores, a row each; ``steps`` are those to the accuracy `reach`."""
        names = sorted({n for r in results.values() for n in r.get("scores", ())})
        path = self.folder / TABLE
        with path.open("w", encoding="utf-8", newline="") as file:
            out = csv.writer(file, lineterminator="\n")
            own = ("size", "ratio", "arm", "repeat", "status", "generator", "images", "best_step")
            out.writerow((*own, "steps", "threshold", "seconds", *names))
            for cell, result in sorted(results.items()):
                facts = [cell.size, cell.ratio, cell.arm, cell.repeat, result["status"]]
                if result["status"] == COMPLETE:
                    facts += [result["generator"], result["images"], result["best_step"]]
                    steps = steps_to(result["history"], reach)
                    facts += ["" if math.isinf(steps) else f"{steps:.0f}", result["threshold"]]
                    facts += [f"{result['seconds']:.2f}"]
                    facts += [f"{result['scores'][name]:.6f}" for name in names]
                out.writerow(facts)
        return path

    def write_comparisons(self, findings: Findings) -> list[Path]:
        """Every comparison of two arms, and every crossover; differences are shares of images."""
        compared, crossed = self.folder / COMPARISONS, self.folder / CROSSOVERS
        with compared.open("w", encoding="utf-8", newline="") as file:
            out = csv.writer(file, lineterminator="\n")
            out.writerow(
                ("size", "ratio", "arm", "against", "repeats", "difference", "low", "high",
                 "p", "p_adjusted")
            )  # fmt: skip
            for c in findings.comparisons:
                figures = (*c.difference, c.p, c.adjusted)
                out.writerow(
                    (c.size, c.ratio, c.second, c.first, c.repeats, *(f"{v:.6g}" for v in figures))
                )
        with crossed.open("w", encoding="utf-8", newline="") as file:
            out = csv.writer(file, lineterminator="\n")
            out.writerow(("ratio", "size", "low", "high", "share", "helps_below", "changes"))
            for ratio, gains in findings.gains.items():
                found = crossover(sorted(gains), gains)
                out.writerow((ratio, *found) if found else (ratio, *[""] * 6))
        return [compared, crossed]


def _write(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_text(text)
    part.replace(path)
