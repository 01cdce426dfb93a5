"""Which way hyperparameters move FID, on studies whose truth is planted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from analysis.figures.hyperparameters import summary
from analysis.study.directions import directions, spearman
from analysis.study.table import StudyTable
from tests.helpers.refusals import tells
from tests.helpers.tables import study


def drawn(seed: int, trials: int = 60, effect: float = 1.0) -> StudyTable:
    """FID rises with the rate and falls with class ``COVID+``; the width does nothing."""
    rng = np.random.default_rng(seed)
    made: dict[int, tuple[str, dict[str, Any], list[tuple[int, float]]]] = {}
    for number in range(trials):
        rate, kind = 10.0 ** rng.uniform(-4, -1), str(rng.choice(["COVID+", "a (1)", "b"]))
        params = {"rate": rate, "kind": kind, "width": int(rng.integers(8, 65))}
        if number % 3:
            params["slope"] = float(rng.uniform())
        worse = np.log10(rate) - 1.5 * (kind == "COVID+") + 0.5 * rng.standard_normal()
        fid = 60.0 * np.exp(0.2 * (worse if effect else rng.standard_normal()))
        made[number] = "pruned", params, [(10, float(fid))]
    return study(made)


@pytest.mark.parametrize("seed", range(3))
def test_what_moves_fid_is_named_with_its_sign(seed):
    found = {one.name: one for one in directions(drawn(seed), 10) or ()}
    assert (
        {"rate", "kind=COVID+"} <= found.keys() <= {"rate", "kind=COVID+", "kind=a (1)", "kind=b"}
    )
    assert found["kind=COVID+"].high < 0 < found["rate"].low
    for one in found.values():
        assert one.low < one.rho < one.high
    said = summary(drawn(seed))[-1]
    assert tells(said, "FID at epoch 10", "rate +0.", "kind=COVID+ -0.")


def test_where_nothing_moves_fid_one_study_in_twenty_names_any():
    named = [bool(directions(drawn(seed, effect=0.0), 10)) for seed in range(60)]
    assert sum(named) <= 8  # of 60 by chance with a probability of 0.995
    assert any("none beyond chance" in summary(drawn(seed, effect=0.0))[-1] for seed in range(5))


def test_too_few_say_nothing():
    assert directions(drawn(0, trials=9), 10) is None
    table = drawn(0)
    table.curves["fid"] = 50.0
    assert directions(table, 10) == []


def test_of_two_choices_one_is_named():
    rng = np.random.default_rng(0)
    made = {}
    for number in range(40):
        chosen = bool(rng.integers(2))
        fid = 60.0 + 10 * chosen + float(rng.standard_normal())
        made[number] = "pruned", {"residual": chosen}, [(10, fid)]
    assert [way.name for way in directions(study(made), 10) or ()] == ["residual=True"]


def test_it_is_scipys_along_many_at_once():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 4, (5, 20)), rng.standard_normal((5, 20))
    theirs = [spearmanr(a, b)[0] for a, b in zip(x, y, strict=True)]
    assert spearman(x, y) == pytest.approx(theirs)
