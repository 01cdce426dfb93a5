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
        for one in given:
            now[0] += GENERATOR if function is Retraining.train else CELL
            keep(one, {"status": COMPLETE})

    @contextmanager
    def connected(where, say):
        yield SimpleNamespace(device="cpu"), 1

    monkeypatch.setattr(work.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(work, "run_on_ray", run)
    monkeypatch.setattr(work, "connected", connected)
    monkeypatch.setattr(work, "replace", lambda materials, **_: materials)
    return now


def lines(there: list[Which]) -> list[str]:
    """Of a study of 4 repeats, each with a generator of its own and 10 cells, looked at twice."""
    arms = ["real", *(f"classical + {added}" for added in ("synthetic", "duplicates", "blurred"))]
    cells = plan([25], [1.0, 2.0, 4.0], 4, arms)
    assert len(cells) == 4 * 10
    wanted = [Which(25, repeat) for repeat in range(4)]
    kept: Any = Kept(wanted, there)
    said = Console(file=io.StringIO(), width=200)
    materials: Any = Materials
    Work(kept, cells, materials, kept, said).run(
        SimpleNamespace(),  # pyright: ignore[reportArgumentType]
        [2, 4],
        lambda results, last: False,
    )
    return re.findall(r"^.* done, about .*$", said.file.getvalue(), re.M)  # pyright: ignore


def test_what_is_left_knows_generators_that_are_still_to_be_trained(clock):
    said = lines(there=[])
    assert said[:2] == [
        "1 of 4 generators done, about 15 min left for these",
        "2 of 4 generators done, about 10 min left for these",
    ]
    assert said[2] == "2 of 40 cells done, about 11 min left in all"  # 76 s and two generators
    assert said[11] == "20 of 40 cells done, about 11 min left in all"
    assert said[12] == "3 of 4 generators done, about 6 min left in all"
    assert said[-1] == "40 of 40 cells done, about 0 s left in all"


def test_generators_that_are_there_cost_no_time(clock):
    said = lines(there=[Which(25, repeat) for repeat in range(4)])
    assert said[0] == "2 of 40 cells done, about 76 s left in all"
    assert not any("generators" in line for line in said)
