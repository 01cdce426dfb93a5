"""What a study says while it runs, and when it has seen enough."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import numpy as np
from rich.console import Console

from analysis.augmentation.design.cells import Cell, Result
from analysis.augmentation.findings.claims import PILOT, looks_before, plain, power_sentence
from analysis.augmentation.findings.results import Findings
from analysis.augmentation.running.store import Store
from analysis.augmentation.running.train_cell import Materials
from trainable.basics.terminal import say


class Looking:
    """Looks at a study's results, where its plan has them.

    Attributes:
        stops: numbers of repeats, ascending, at which `enough` is to be asked.
    """

    def __init__(
        self, store: Store, materials: Materials, args: argparse.Namespace, console: Console
    ):
        self._store, self._materials, self._console = store, materials, console
        self._planned, self._detect = args.repeats, args.detect
        self._looks = [] if args.all_repeats else looks_before(args.repeats)
        self.stops = sorted({min(PILOT, args.repeats), *self._looks, args.repeats})

    def enough(self, results: Mapping[Cell, Result], repeats: int) -> bool:
        """Say what so many repeats show of the study's power, and whether its answer is plain."""
        if repeats == PILOT < self._planned:
            self._foretell(self._findings(results, ()))
        if repeats not in self._looks:
            return False
        found = self._findings(results, self._store.look(repeats)).upto(repeats)
        if not plain(found.claims, self._detect):
            return False
        say(
            self._console,
            f"the answer is plain after {repeats} of {self._planned} repeats: each claim is told, "
            f"or its gain is below {self._detect:.1%}; --all-repeats runs the others too",
        )
        return True

    def findings(self, results: Mapping[Cell, Result]) -> Findings:
        """What all results say; this is a look as well."""
        repeats = max((cell.repeat for cell in results), default=-1) + 1
        return self._findings(results, self._store.look(repeats))

    def _findings(self, results: Mapping[Cell, Result], looks: list[int] | tuple[()]) -> Findings:
        real, positive = self._materials.real, self._materials.positive
        return Findings(results, real.test.labels, positive, real.tested, looks)

    def _foretell(self, found: Findings) -> None:
        spreads = found.spreads
        if spreads:
            tested = self._materials.real.tested
            said = power_sentence(spreads, self._planned, self._detect, len(self._looks) + 1)
            who = f"{len(tested)} test images of {len(np.unique(tested))} patients or groups"
            say(self._console, f"after {PILOT} repeats, with {who}: {said}")
