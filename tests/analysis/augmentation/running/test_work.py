"""How long a study says that it still takes."""

from __future__ import annotations

import io
import re
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from analysis.augmentation.design.cells import COMPLETE, plan
from analysis.augmentation.design.retrain import Retraining, Which
from analysis.augmentation.running import work
from analysis.augmentation.running.train_cell import Materials
from analysis.augmentation.running.work import Work

GENERATOR, CELL = 300.0, 2.0
BROKEN = Which(25, 9)
"""The generator that cannot be trained."""


class Kept:
    """Results and generators, in memory."""

    def __init__(self, wanted: list[Which], there: list[Which]):
        self.wanted, self._there = wanted, there

    def read(self, which: Which | None = None) -> Any:
        return {} if which is None else (object() if which in self._there else None)

    def keep(self, *_: object) -> object:
        return object()


@pytest.fixture
def clock(monkeypatch):
    """Time that passes as work is done, which needs no Ray."""
    now = [0.0]

    def run(function, shared, given, where, workers, keep, lose):
        for place, one in enumerate(given):
            if place % workers == 0:  # so many end at once
                now[0] += GENERATOR if function is Retraining.train else CELL
            if one == BROKEN:
                lose(one, "its worker was lost")
            else:
                keep(one, {"status": COMPLETE})

    @contextmanager
    def connected(where, say):
        yield SimpleNamespace(device="cpu"), where

    monkeypatch.setattr(work, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(work, "run_on_ray", run)
    monkeypatch.setattr(work, "connected", connected)
    monkeypatch.setattr(work, "replace", lambda materials, **_: materials)
    return now


def lines(there: list[Which], workers: int = 1, repeats: int = 4) -> list[str]:
    """Of a study whose repeats have a generator of their own and 10 cells each, looked at twice."""
    arms = ["real", *(f"classical + {added}" for added in ("synthetic", "duplicates", "blurred"))]
    cells = plan([25], [1.0, 2.0, 4.0], repeats, arms)
    assert len(cells) == repeats * 10
    wanted = [Which(25, repeat) for repeat in range(repeats)]
    kept: Any = Kept(wanted, there)
    said = Console(file=io.StringIO(), width=200)
    materials: Any = Materials
    Work(kept, cells, materials, kept, said).run(
        workers,  # pyright: ignore[reportArgumentType]
        [2, repeats],
        lambda results, last: False,
    )
    return re.findall(r"^.* done, about .*$", said.file.getvalue(), re.M)  # pyright: ignore


def test_what_is_left_knows_generators_that_are_still_to_be_trained(clock):
    said = lines(there=[])
    assert said[:2] == [
        "1 of 4 generators done, about 15 min left for these",
        "2 of 4 generators done, about 10 min left for these",
    ]
    assert said[2] == "2 of 40 cells done, about 11 min left for all"  # 76 s and two generators
    assert said[11] == "20 of 40 cells done, about 11 min left for all"
    assert said[12] == "3 of 4 generators done, about 6 min left for all"
    assert said[-1] == "40 of 40 cells done, about 0 s left for all"


def test_generators_that_are_there_cost_no_time(clock):
    said = lines(there=[Which(25, repeat) for repeat in range(4)])
    assert said[0] == "2 of 40 cells done, about 76 s left for all"
    assert not any("generators" in line for line in said)


def test_workers_that_begin_together_are_not_taken_for_one(clock):
    assert lines(there=[], workers=2)[0] == "1 of 4 generators done, about 8 min left for these"


def test_what_failed_is_not_left(clock):
    said = lines(there=[], repeats=10)
    assert said[-1] == "90 of 100 cells done, about 8 s left for all"  # 6 want that generator
