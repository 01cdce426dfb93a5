"""Training what a study lacks: generators of its sizes' own, then the cells."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

from rich.console import Console

from analysis.augmentation.design.cells import COMPLETE, Cell, Result
from analysis.augmentation.design.materials import Source
from analysis.augmentation.design.retrain import Drawn, Retraining, Which
from analysis.augmentation.running.on_ray import run_on_ray
from analysis.augmentation.running.store import Store
from analysis.augmentation.running.train_cell import Materials, train_cell
from trainable.basics.progress import stage
from trainable.basics.terminal import say
from trainable.basics.wording import format_duration
from trainable.distributed.cluster import connected
from trainable.distributed.resources import Resources

_LINES = 20
"""Of progress, where there is no terminal for a bar."""


class Work:
    """The work of one study; see `run`.

    Attributes:
        lost: generators and cells that failed, and are tried again by the next run.
    """

    def __init__(
        self,
        store: Store,
        cells: Sequence[Cell],
        materials: Materials,
        retraining: Retraining | None,
        console: Console,
    ):
        self._store, self._cells, self._materials = store, cells, materials
        self._retraining, self._console = retraining, console
        self.lost = 0

    def run(
        self,
        where: Resources,
        stops: Sequence[int],
        enough: Callable[[Mapping[Cell, Result], int], bool],
    ) -> dict[Cell, Result]:
        """Train what is not there yet; whenever so many repeats as one of `stops` says are done,
        `enough` is asked, with the results and that number, whether to leave the rest.

        Returns:
            The study's results, with those of cells that it had before, and without those that
            failed.

        Raises:
            InputError: Ray or what a cell needs is not there.
            OSError: a result cannot be written.
        """
        results = self._store.read()
        before = sum(cell in results for cell in self._cells)
        if before:
            self._print(f"{before} cells are already done, {len(self._cells) - before} remain")
        self._began, self._trained = time.monotonic(), 0
        settled: tuple[Resources, int] | None = None
        with ExitStack() as ray:
            for first, last in itertools.pairwise((0, *stops)):
                missing = [c for c in self._cells if first <= c.repeat < last and c not in results]
                if missing and settled is None:
                    with stage(self._console, "starting Ray"):
                        settled = ray.enter_context(connected(where, self._print))
                    self._print(f"{settled[1]} at a time on {settled[0].device}")
                if missing and settled is not None:
                    self._train(missing, results, before, *settled)
                if enough(results, last):
                    break
        return results

    def _train(
        self,
        cells: Sequence[Cell],
        results: dict[Cell, Result],
        before: int,
        where: Resources,
        workers: int,
    ) -> None:
        """Train `cells` into `results`, and first the generators that they need."""
        materials = self._materials
        if self._retraining is not None:
            needed = {_drawn_by(cell) for cell in cells}
            wanted = [which for which in self._retraining.wanted if which in needed]
            own = self._retrained(self._retraining, wanted, where, workers)
            materials = replace(materials, own=own)
            without = set(wanted) - own.keys()
            cells = [cell for cell in cells if _drawn_by(cell) not in without]
        total, done = len(self._cells), before + self._trained
        with stage(self._console, "training", total, done) as progress:

            def keep(cell: Cell, result: Result) -> None:
                self._store.keep(cell, result)
                results[cell] = result
                self._trained += 1
                progress(before + self._trained, total)
                if result["status"] != COMPLETE:
                    self._print(f"cell {cell.key}: {result['reason']}")
                self._line(self._trained, total - before, self._began)

            run_on_ray(train_cell, materials, cells, where, workers, keep, self._lose)

    def _retrained(
        self, retraining: Retraining, wanted: Sequence[Which], where: Resources, workers: int
    ) -> dict[Which, Source]:
        """All generators of their own that could be had."""
        before = {which: retraining.read(which) for which in wanted}
        own = {which: source for which, source in before.items() if source is not None}
        missing = [which for which in wanted if which not in own]
        if not missing:
            return own
        began = time.monotonic()
        with stage(self._console, "training generators", len(wanted), len(own)) as progress:

            def keep(which: Which, drawn: Drawn) -> None:
                own[which] = retraining.keep(which, drawn)
                progress(len(own), len(wanted))
                self._line(len(own) - len(wanted) + len(missing), len(missing), began)

            run_on_ray(Retraining.train, retraining, missing, where, workers, keep, self._lose)
        return own

    def _lose(self, what: Which | Cell, why: str) -> None:
        self.lost += 1
        name = what.key if isinstance(what, Cell) else f"the generator of {what.size} images"
        self._print(f"{name} failed and is left out; the same command retries it: {why}")

    def _line(self, done: int, total: int, began: float) -> None:
        if self._console.is_interactive or done % max(1, total // _LINES):
            return
        left = (time.monotonic() - began) / done * (total - done)
        self._print(f"{done} of {total} done, about {format_duration(left)} left")

    def _print(self, text: str) -> None:
        say(self._console, text)


def _drawn_by(cell: Cell) -> Which | None:
    """The generator of its own that a cell may need: `Retraining` says whether there is one."""
    added = cell.what.added
    if added in (None, "duplicates", "oracle"):
        return None
    return Which(cell.size, cell.repeat, early=added == "early")
