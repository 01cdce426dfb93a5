"""Training what a study lacks: generators of its sizes' own, then the cells."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from rich.console import Console

from analysis.augmentation.design.cells import COMPLETE, Cell, Result
from analysis.augmentation.design.materials import Source
from analysis.augmentation.design.retrain import Drawn, Retraining, Which
from analysis.augmentation.running.store import Store
from analysis.augmentation.running.train_cell import Materials, run_on_ray, train_cell
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

    def run(self, where: Resources) -> dict[Cell, Result]:
        """Train what is not there yet; the study's results, with those of cells that it had before,
        and without those that failed.

        Raises:
            InputError: Ray or what a cell needs is not there.
            OSError: a result cannot be written.
        """
        results = self._store.read()
        missing = [cell for cell in self._cells if cell not in results]
        before = len(self._cells) - len(missing)
        if before:
            self._print(f"{before} cells are already done, {len(missing)} remain")
        if not missing:
            return results
        with ExitStack() as ray:
            with stage(self._console, "starting Ray"):
                settled, workers = ray.enter_context(connected(where, self._print))
            self._print(f"{workers} at a time on {settled.device}")
            materials = self._materials
            if self._retraining is not None:
                own = self._retrained(self._retraining, settled, workers)
                materials = replace(materials, own=own)
                without = set(self._retraining.wanted) - own.keys()
                missing = [c for c in missing if (c.size, c.repeat) not in without]
            began, trained = time.monotonic(), 0
            with stage(self._console, "training", len(self._cells), before) as progress:

                def keep(cell: Cell, result: Result) -> None:
                    nonlocal trained
                    self._store.keep(cell, result)
                    results[cell] = result
                    trained += 1
                    progress(before + trained, len(self._cells))
                    if result["status"] != COMPLETE:
                        self._print(f"cell {cell.key}: {result['reason']}")
                    self._line(trained, len(missing), began)

                run_on_ray(train_cell, materials, missing, settled, workers, keep, self._lose)
        return results

    def _retrained(
        self, retraining: Retraining, where: Resources, workers: int
    ) -> dict[Which, Source]:
        """All generators of their own that could be had."""
        wanted = len(retraining.wanted)
        before = {which: retraining.read(which) for which in retraining.wanted}
        own = {which: source for which, source in before.items() if source is not None}
        missing = [which for which in retraining.wanted if which not in own]
        began = time.monotonic()
        with stage(self._console, "training generators", wanted, len(own)) as progress:

            def keep(which: Which, drawn: Drawn) -> None:
                own[which] = retraining.keep(which, drawn)
                progress(len(own), wanted)
                self._line(len(own) - wanted + len(missing), len(missing), began)

            run_on_ray(Retraining.train, retraining, missing, where, workers, keep, self._lose)
        return own

    def _lose(self, what: Which | Cell, why: str) -> None:
        self.lost += 1
        name = what.key if isinstance(what, Cell) else f"the generator of {what[0]} images"
        self._print(f"{name} failed and is left out; the same command retries it: {why}")

    def _line(self, done: int, total: int, began: float) -> None:
        if self._console.is_interactive or done % max(1, total // _LINES):
            return
        left = (time.monotonic() - began) / done * (total - done)
        self._print(f"{done} of {total} done, about {format_duration(left)} left")

    def _print(self, text: str) -> None:
        say(self._console, text)
