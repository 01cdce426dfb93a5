"""Training what a study lacks: generators of its sizes' own, then the cells."""

from __future__ import annotations

import itertools
import math
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


class _Pace:
    """What one kind of work takes: the time at it, over how many were done in that."""

    def __init__(self, missing: int):
        self.missing, self.done, self.lost = missing, 0, 0
        self._spent, self._since, self._workers = 0.0, 0.0, 1

    def begin(self, workers: int) -> None:
        """From now on so many work at it."""
        self._since, self._workers = time.monotonic(), workers

    def tick(self) -> None:
        """One more is done."""
        now = time.monotonic()
        self._spent, self._since = self._spent + now - self._since, now
        self.done += 1

    @property
    def left(self) -> float:
        """Seconds for the rest; NaN before one is done."""
        rest = self.missing - self.done - self.lost
        if not self.done:
            return math.nan if rest else 0.0
        # The first that is done is one of those that all workers began with.
        return rest * self._spent / max(self.done, min(self._workers, self.missing))


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
        missing = [cell for cell in self._cells if cell not in results]
        if before := len(self._cells) - len(missing):
            self._print(f"{before} cells are already done, {len(missing)} remain")
        self._own = self._kept(missing)
        self._cell = _Pace(len(missing))
        self._generator = _Pace(len(self._wanted(missing)) - len(self._own))
        settled: tuple[Resources, int] | None = None
        with ExitStack() as ray:
            for first, last in itertools.pairwise((0, *stops)):
                now = [cell for cell in missing if first <= cell.repeat < last]
                if now and settled is None:
                    with stage(self._console, "starting Ray"):
                        settled = ray.enter_context(connected(where, self._print))
                    self._print(f"{settled[1]} at a time on {settled[0].device}")
                if now and settled is not None:
                    self._train(now, results, *settled)
                if enough(results, last):
                    break
        return results

    def _wanted(self, cells: Sequence[Cell]) -> list[Which]:
        """The generators of their own that `cells` need."""
        needed = {_drawn_by(cell) for cell in cells}
        return [w for w in self._retraining.wanted if w in needed] if self._retraining else []

    def _kept(self, cells: Sequence[Cell]) -> dict[Which, Source]:
        """Those of them that are there."""
        if self._retraining is None:
            return {}
        read = {which: self._retraining.read(which) for which in self._wanted(cells)}
        return {which: source for which, source in read.items() if source is not None}

    def _train(
        self, cells: Sequence[Cell], results: dict[Cell, Result], where: Resources, workers: int
    ) -> None:
        """Train `cells` into `results`, and first the generators that they need."""
        materials = self._materials
        if self._retraining is not None:
            wanted = self._wanted(cells)
            self._retrain(self._retraining, wanted, where, workers)
            own = {which: self._own[which] for which in wanted if which in self._own}
            materials = replace(materials, own=own)
            without = set(wanted) - own.keys()
            with_theirs = [cell for cell in cells if _drawn_by(cell) not in without]
            self._cell.lost += len(cells) - len(with_theirs)
            cells = with_theirs
        pace, total = self._cell, len(self._cells)
        before = total - pace.missing
        with stage(self._console, "training", total, before + pace.done) as progress:

            def keep(cell: Cell, result: Result) -> None:
                self._store.keep(cell, result)
                results[cell] = result
                pace.tick()
                progress(before + pace.done, total)
                if result["status"] != COMPLETE:
                    self._print(f"cell {cell.key}: {result['reason']}")
                self._line(pace, "cells")

            pace.begin(workers)
            run_on_ray(train_cell, materials, cells, where, workers, keep, self._lose)

    def _retrain(
        self, retraining: Retraining, wanted: Sequence[Which], where: Resources, workers: int
    ) -> None:
        """Have all generators of their own that can be had."""
        missing = [which for which in wanted if which not in self._own]
        if not missing:
            return
        there = len(wanted) - len(missing)
        with stage(self._console, "training generators", len(wanted), there) as progress:

            def keep(which: Which, drawn: Drawn) -> None:
                self._own[which] = retraining.keep(which, drawn)
                self._generator.tick()
                progress(sum(which in self._own for which in wanted), len(wanted))
                self._line(self._generator, "generators")

            self._generator.begin(workers)
            run_on_ray(Retraining.train, retraining, missing, where, workers, keep, self._lose)

    def _lose(self, what: Which | Cell, why: str) -> None:
        self.lost += 1
        (self._cell if isinstance(what, Cell) else self._generator).lost += 1
        name = what.key if isinstance(what, Cell) else f"the generator of {what.size} images"
        self._print(f"{name} failed and is left out; the same command retries it: {why}")

    def _line(self, pace: _Pace, what: str) -> None:
        if self._console.is_interactive or pace.done % max(1, pace.missing // _LINES):
            return
        left = self._cell.left + self._generator.left
        whole = not math.isnan(left)  # before one of each kind is done there is no telling
        known = format_duration(left if whole else pace.left)
        self._print(
            f"{pace.done} of {pace.missing} {what} done, about {known} left "
            f"{'for all' if whole else 'for these'}"
        )

    def _print(self, text: str) -> None:
        say(self._console, text)


def _drawn_by(cell: Cell) -> Which | None:
    """The generator of its own that a cell may need: `Retraining` says whether there is one."""
    added = cell.what.added
    if added in (None, "duplicates", "oracle"):
        return None
    return Which(cell.size, cell.repeat, early=added == "early")
