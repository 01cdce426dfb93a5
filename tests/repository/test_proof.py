"""What the proof by real searches makes of their fresh trainings."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from benchmarks.proof import gain, tell


def line(best: list[float | None], usual: list[float], **changed):
    numbered = {str(10**6 * n + 7): fid for n, fid in enumerate(best, 1)}
    numbered |= {str(10**6 * n + 10**6 - 1): fid for n, fid in enumerate(usual, 1)}
    afresh = {number: fid and {"fid": fid} for number, fid in numbered.items()}
    return {"champion": 7, "is_default": False, "afresh": afresh} | changed


def test_a_search_gains_what_its_champion_does_in_geometric_means():
    assert gain(line([40.0, 90.0], [50.0, 80.0])) == pytest.approx(math.log(60 / 4000**0.5))


def test_a_training_that_broke_down_has_no_part_in_it():
    assert gain(line([40.0, None], [80.0])) == pytest.approx(math.log(0.5))


@pytest.mark.parametrize("found", [{"champion": None}, {"is_default": True}])
def test_a_search_that_ends_with_the_default_gains_nothing(found):
    assert gain(line([], [], **found)) == 0.0


def test_an_improvement_is_told_with_its_interval():
    logs = [math.log(x) for x in (0.8, 0.9, 0.95, 1.0)]
    mean, error = sum(logs) / 4, stats.sem(logs)
    half = stats.t.ppf(0.975, 3) * error
    shares = [f"{1 - math.exp(mean + x):.1%}" for x in (0, half, -half)]
    p = 2 * stats.t.sf(abs(mean / error), 3)
    assert tell(logs) == [shares[0], f"{shares[1]} to {shares[2]}", f"{p:.2g}"]
