"""What a study says while it runs, and when it has seen enough."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

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
        self,
        store: Store,
        cells: Sequence[Cell],
        materials: Materials,
        args: argparse.Namespace,
        console: Console,
    ):
        self._store, self._materials, self._console = store, materials, console
        self._planned, self._detect, self._all = args.repeats, args.detect, args.all_repeats
        self._places = {(cell.size, cell.ratio, cell.arm) for cell in cells}
        self._looks = [] if args.all_repeats else looks_before(args.repeats)
        self.stops = sorted({min(PILOT, args.repeats), *self._looks, args.repeats})

    def enough(self, results: Mapping[Cell, Result], repeats: int) -> bool:
        """Say what so many repeats show of the study's power, and whether its answer is plain."""
        if repeats == PILOT < self._planned:
            planned = {c: r for c, r in results.items() if (c.size, c.ratio, c.arm) in self._places}
            self._foretell(self._findings(planned, ()).upto(repeats))
        if repeats not in self._looks:
            return False
        claims = self._looked(results, repeats).upto(repeats).claims
        asked = [c for c in claims if (c.size, c.ratio, c.arm) in self._places]
        if not plain(asked, self._detect):
            return False
        say(
            self._console,
            f"the answer is plain after {repeats} of {self._planned} repeats: each claim is told, "
            f"or its gain is below {self._detect:.1%}; --all-repeats runs the others too",
        )
        return True

    def findings(self, results: Mapping[Cell, Result]) -> Findings:
        """What all results say; this is a look as well."""
        return self._looked(results, max((cell.repeat for cell in results), default=-1) + 1)

    def _looked(self, results: Mapping[Cell, Result], repeats: int) -> Findings:
        """What results say, so many repeats being looked at now; no claim, no look."""
        if self._findings(results, ()).upto(repeats).claims:
            return self._findings(results, self._store.look(repeats))
        return self._findings(results, self._store.looks())

    def _findings(self, results: Mapping[Cell, Result], looks: Sequence[int]) -> Findings:
        real, positive = self._materials.real, self._materials.positive
        return Findings(results, real.test.labels, positive, real.tested, looks)

    def _foretell(self, found: Findings) -> None:
        spreads = found.spreads
        if spreads:
            tested = self._materials.real.tested
            said = power_sentence(spreads, self._planned, self._detect, self._looks_of)
            who = f"{len(tested)} test images of {len(np.unique(tested))} patients or groups"
            say(self._console, f"after {PILOT} repeats, with {who}: {said}")

    def _looks_of(self, repeats: int) -> int:
        return 1 if self._all else len(looks_before(repeats)) + 1
