"""What can be told of two configurations, by trainings that chance alone tells apart."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.helpers import ROOT
from trainable.metrics.intervals import Interval
from trainable.metrics.seed_noise import FID_NOISE, SeedNoise, p_value, ratio, told_apart

DOCS = ROOT / "docs"
NOISE = SeedNoise(0.045, 10)


def score(mean: float, half: float = 0.0) -> Interval:
    return Interval(mean - half, mean + half, mean)


def test_one_training_each_is_the_t_interval_of_the_noise_that_is_known():
    found = ratio([score(50)], [score(60)], NOISE)
    half = stats.t.ppf(0.975, 10) * 0.045 * math.sqrt(2)
    assert found.mean == pytest.approx(1.2)
    assert math.log(found.high / found.mean) == pytest.approx(half)
    assert math.log(found.mean / found.low) == pytest.approx(half)
    back = ratio([score(60)], [score(50)], NOISE)
    assert (1 / back.high, 1 / back.low) == pytest.approx((found.low, found.high))


def test_of_several_comparisons_each_is_told_less_easily():
    found = ratio([score(50)], [score(60)], NOISE, comparisons=6)
    half = stats.t.ppf(1 - 0.025 / 6, 10) * 0.045 * math.sqrt(2)
    assert math.log(found.high / found.mean) == pytest.approx(half)


def test_a_score_known_worse_tells_less():
    sharp, dull = (ratio([score(50, h)], [score(50, h)], NOISE) for h in (0.0, 5.0))
    variance = 2 * (0.045**2 + (5 / 1.959964 / 50) ** 2)
    assert math.log(dull.high) == pytest.approx(stats.t.ppf(0.975, 10) * math.sqrt(variance))
    assert dull.high > sharp.high


@pytest.mark.parametrize(("k", "half"), [(2, 5.2), (3, 4.2)])
def test_replicates_narrow_it_and_add_to_what_is_known_of_the_noise(k, half):
    """At an FID of 53, the replicates as far apart as is expected, and no rounding more."""
    steps = np.linspace(-1, 1, k)
    logs = math.log(53) + 0.045 * (1 - 1e-9) * steps / np.std(steps, ddof=1)
    side = [score(x) for x in np.exp(logs)]
    known = NOISE.after([logs.tolist()] * 2)
    assert (known.sd, known.freedom) == (pytest.approx(0.045), 10 + 2 * (k - 1))
    assert 53 * math.log(ratio(side, side, NOISE).high) == pytest.approx(half, abs=0.05)


def test_one_training_says_nothing_of_the_noise():
    known = FID_NOISE.after([[4.0], [5.0]])
    assert (known.sd, known.freedom) == (pytest.approx(FID_NOISE.sd), FID_NOISE.freedom)


@pytest.mark.parametrize(
    ("sd", "k"),
    [(0.04, 1), (0.04, 2), (0.04, 4), (0.05, 1), (0.05, 2), (0.05, 4), (0.08, 3), (0.15, 3)],
)
def test_trainings_of_one_configuration_are_not_told_apart(sd, k):
    """Nor where they lie further apart than is known, if each side has a few."""
    rng = np.random.default_rng(0)
    logs = 4 + sd * rng.standard_normal((1000, 2, k))
    sides = [[[score(x, 0.03 * x) for x in side] for side in pair] for pair in np.exp(logs)]
    assert np.mean([told_apart(first, second) for first, second in sides]) <= 0.05


def test_the_p_value_is_five_percent_where_an_end_of_the_interval_is_one():
    first, second = [score(50), score(53)], [score(48), score(49.5)]
    found = ratio(first, second, NOISE)
    p = p_value(first, second, NOISE)
    shifted = [score(x.mean / found.high) for x in second]  # the interval then ends at 1
    assert p_value(first, shifted, NOISE) == pytest.approx(0.05)
    assert p_value(second, first, NOISE) == pytest.approx(p)
    assert p_value(first, first, NOISE) == 1.0
    assert (p < 0.05) == (found.high < 1)


def test_with_nothing_known_before_it_is_student_s_test():
    rng = np.random.default_rng(0)
    first, second = np.exp(rng.normal(4, 0.05, 5)), np.exp(rng.normal(3.95, 0.05, 5))
    p = p_value([score(x) for x in first], [score(x) for x in second], SeedNoise(0.0, 0))
    test: Any = stats.ttest_ind(np.log(first), np.log(second))
    assert p == pytest.approx(test.pvalue)


def test_replicates_far_apart_speak_for_themselves():
    """As where a user's images train less alike than X-rays do."""
    first, second = [score(x) for x in (40, 50, 62)], [score(x) for x in (30, 36, 45)]
    alone = ratio(first, second, SeedNoise(0.0, 0))
    assert ratio(first, second, NOISE) == alone
    assert alone.high > 1  # 28 % better, and not told
    assert p_value(first, second, NOISE) == p_value(first, second, SeedNoise(0.0, 0))


@pytest.mark.parametrize("other", [score(0.0), score(0.0, 1.0), score(math.nan), score(math.inf)])
def test_of_a_score_without_a_log_nothing_is_told(other):
    assert not told_apart([other], [score(50.0)])
    assert not told_apart([score(50.0)], [score(40.0), other])
    assert p_value([other], [score(50.0)]) == 1.0


def test_of_a_score_whose_own_spread_is_not_known_nothing_is_told():
    assert not told_apart([score(50.0, math.nan)], [score(500.0)])


def test_the_noise_is_that_of_the_trainings_on_the_page():
    text = (DOCS / "performance.md").read_text()
    whole, _, default = text.partition("## The recipe")[2].partition("changed from today's default")
    rows = re.findall(r"^\|[^|]*\| \d+ \| \d+ \|[^|]*\| ([\d., ]+) \|", whole, re.MULTILINE)[:4]
    rows += re.findall(r"^\| default \|[^|]*\| ([\d., ]+) \|", default, re.MULTILINE)
    logs = np.log([[float(fid) for fid in row.split(",")] for row in rows])
    assert logs.shape == (5, 3)
    assert FID_NOISE.freedom == 10
    assert pytest.approx(logs.var(axis=1, ddof=1).mean() ** 0.5) == FID_NOISE.sd
    said = (DOCS / "metrics.md").read_text()
    assert f"a standard deviation of {FID_NOISE.sd:.1%}".replace("%", " %") in said
    assert (
        f"must differ by some {ratio([score(50)], [score(50)]).high - 1:.0%}".replace("%", " %")
        in said
    )
