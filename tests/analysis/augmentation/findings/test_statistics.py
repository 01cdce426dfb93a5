"""What is said of a study's outcome, against scipy, closed forms and simulations of known truth."""

from __future__ import annotations

import math
import re
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy import stats

from analysis.augmentation.findings.crossover import crossover, crossover_sentence
from analysis.augmentation.findings.statistics import Estimate, holm, mean_interval, paired_test
from tests.helpers.refusals import tells

SIZES = [25, 50, 100, 200]
RIGHT, WRONG = True, False


def decisions(
    rng: np.random.Generator,
    r: int,
    m: int,
    *,
    lead: float = 0.0,
    repeat: float = 0.0,
    own: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Two arms on the same hard and easy images, each with images it finds easier than the other.

    Repeats differ by `repeat` alike in both arms, and by `own` in each by itself. Right is a score
    above zero, so that the true accuracy is that of its mean.
    """
    hard, arms = 2 * rng.standard_normal(m), []
    for of in (0.0, lead):
        easy = hard + 0.5 * rng.standard_normal(m) + repeat * rng.standard_normal((r, 1))
        trained = easy + own * rng.standard_normal((r, 1))
        arms.append(1 + of + trained + 0.3 * rng.standard_normal((r, m)) > 0)
    return arms[0], arms[1]


def true_difference(lead: float, repeat: float) -> float:
    spread = math.sqrt(2**2 + 0.5**2 + 0.3**2 + repeat**2)
    return float(stats.norm.cdf((1 + lead) / spread) - stats.norm.cdf(1 / spread))


def gains(rng: np.random.Generator, r: int, sd: float, end: float = 80.0) -> dict[int, list[float]]:
    """Gains that fall linearly in log(size) and are zero at `end`."""
    return {n: (0.02 * math.log(end / n) + sd * rng.standard_normal(r)).tolist() for n in SIZES}


def about(*means: float, width: float = 0.001) -> dict[int, list[float]]:
    """Three repeats' gains of each mean, that differ little."""
    return {n: [m - width, m, m + width] for n, m in zip(SIZES, means, strict=True)}


def t_test(values: list[float]) -> float:
    found: Any = stats.ttest_1samp(values, 0)
    return float(found.pvalue)


def sentence(gains: dict[int, list[float]], draws: int = 2000) -> str:
    """Of a test over repeats alone, in the place of that over repeats and images."""
    several = [n for n in SIZES if len(gains[n]) > 1]
    adjusted = dict(zip(several, holm([t_test(gains[n]) for n in several]), strict=True))
    told = {n: int(np.sign(np.mean(gains[n]))) if adjusted.get(n, 1) < 0.05 else 0 for n in SIZES}
    return crossover_sentence(SIZES, gains, told, draws=draws)


def test_the_interval_of_a_mean_is_that_of_the_t_test():
    values = [0.71, 0.74, 0.69, 0.75, 0.72]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    found = mean_interval(values, 0.9)
    assert found == pytest.approx((np.mean(values), expected.low, expected.high))
    assert mean_interval([0.5, 0.5]) == (0.5, 0.5, 0.5)


def test_one_value_has_no_interval_and_none_is_an_error():
    assert mean_interval([0.7]) == pytest.approx((0.7, math.nan, math.nan), nan_ok=True)
    for bad in ([], [0.1, math.nan], [[0.1]]):
        with pytest.raises(ValueError, match="finite"):
            mean_interval(bad)


def test_what_are_no_paired_decisions_is_an_error():
    right = np.ones((3, 3), dtype=bool)
    with pytest.raises(ValueError, match="bool"):
        paired_test(right, right.astype(int))
    for other in (right[:2], right[0]):
        with pytest.raises(ValueError, match="shape"):
            paired_test(right, other)
    with pytest.raises(ValueError, match="shape"):
        paired_test(right[:0], right[:0])


@pytest.mark.parametrize(("r", "m", "own"), [(3, 60, 0.5), (5, 100, 0.3), (10, 220, 0.0)])
def test_of_arms_that_are_alike_one_test_in_twenty_differs(r, m, own):
    """Each arm has images of its own that it finds easy, the same in all its repeats."""
    rng = np.random.default_rng(2)
    p = [paired_test(*decisions(rng, r, m, own=own))[1] for _ in range(2000)]
    assert 0.025 <= np.mean(np.array(p) < 0.05) <= 0.06
    assert np.mean(np.array(p) < 0.0025) <= 0.005  # where adjusted ones are decided


@pytest.mark.parametrize(("r", "m"), [(2, 20), (5, 60), (10, 30)])
def test_p_is_below_a_twentieth_exactly_where_the_interval_leaves_out_zero(r, m):
    rng = np.random.default_rng(3)
    both = set()
    for lead in np.linspace(0, 2, 200):
        found, p = paired_test(*decisions(rng, r, m, lead=float(lead), own=0.2))
        assert (p < 0.05) == (found.low > 0 or found.high < 0)
        both.add(p < 0.05)
    assert both == {True, False}


def test_the_other_way_round_it_is_the_same():
    first, second = decisions(np.random.default_rng(4), 5, 80, lead=0.5)
    (found, p), (back, same) = paired_test(first, second), paired_test(second, first)
    assert (back, same) == (pytest.approx((-found.mean, -found.high, -found.low)), p)


@pytest.mark.parametrize(("r", "m", "repeat"), [(5, 100, 0.3), (10, 60, 0.1)])
def test_the_interval_holds_the_truth_over_images_and_repeats(r, m, repeat):
    rng, truth = np.random.default_rng(11), true_difference(0.3, repeat)
    held = 0
    for _ in range(1000):
        first, second = decisions(rng, r, m, lead=0.3, repeat=repeat)
        found, _ = paired_test(first, second)
        assert found.mean == pytest.approx(second.mean() - first.mean())
        held += found.low <= truth <= found.high
    assert 0.93 <= held / 1000 <= 0.98


def test_without_differences_between_repeats_it_is_the_test_over_images():
    first, second = decisions(np.random.default_rng(3), 1, 300, lead=0.3)
    each = second[0].astype(float) - first[0]
    half = stats.norm.ppf(0.975) * each.std(ddof=1) / math.sqrt(300)
    found, p = paired_test(first.repeat(4, axis=0), second.repeat(4, axis=0))
    assert found == pytest.approx((each.mean(), each.mean() - half, each.mean() + half))
    assert p == pytest.approx(2 * stats.norm.sf(1.959964 * abs(each.mean()) / half), rel=1e-4)


def test_without_differences_between_images_it_is_the_t_test_over_repeats():
    """Whole rows right or wrong: accuracies of repeats alone, and their t."""
    first = np.repeat([[RIGHT], [WRONG]], [2, 10], axis=0).repeat(50, axis=1)
    second = np.repeat([[RIGHT], [WRONG]], [8, 4], axis=0).repeat(50, axis=1)
    gains = second.mean(axis=1) - first.mean(axis=1)
    found, p = paired_test(first, second)
    assert found == pytest.approx(mean_interval(gains))
    assert p == pytest.approx(t_test(gains.tolist()))


def test_images_of_one_patient_count_as_one_case():
    """Four copies of each image tell no more than one; and the mean is that of the images."""
    rng = np.random.default_rng(6)
    first, second = decisions(rng, 4, 60, lead=0.5, repeat=0.3)
    each, p = paired_test(first, second)
    patients = np.arange(60).repeat(4)
    copies = first.repeat(4, axis=1), second.repeat(4, axis=1)
    together, same = paired_test(*copies, clusters=patients)
    assert (together, same) == (pytest.approx(each), pytest.approx(p))
    apart, less = paired_test(*copies)
    assert apart.high - apart.low < 0.9 * (each.high - each.low)
    assert less < p
    counts = [8] + [1] * 59
    uneven = np.repeat(np.arange(60), counts)
    wide = first.repeat(counts, axis=1), second.repeat(counts, axis=1)
    found, _ = paired_test(*wide, clusters=uneven)
    assert found.mean == pytest.approx(wide[1].mean() - wide[0].mean())
    with pytest.raises(ValueError, match=r"\(3,\).* 60 images"):
        paired_test(first, second, clusters=[1, 2, 3])


def test_the_interval_holds_the_truth_over_patients_too():
    """Patients of one to five images that share what is hard about them."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(500):
        counts = rng.integers(1, 6, 50)
        first, second = decisions(rng, 5, 50, lead=0.3, repeat=0.2)
        wide = first.repeat(counts, axis=1), second.repeat(counts, axis=1)
        found, _ = paired_test(*wide, clusters=np.arange(50).repeat(counts))
        held += found.low <= true_difference(0.3, 0.2) <= found.high
    assert 0.91 <= held / 500 <= 0.98


def test_equal_arms_differ_by_nothing_and_one_repeat_tells_no_interval():
    first, second = decisions(np.random.default_rng(5), 3, 50, lead=0.5)
    assert paired_test(first, first) == (pytest.approx((0, -3 / 50, 3 / 50)), 1.0)
    found, p = paired_test(~first & first, first | ~first)
    assert found == pytest.approx((1, 1 - 3 / 50, 1))
    assert p == 2**-49
    mean = second[0].mean() - first[0].mean()
    nothing = pytest.approx(Estimate(mean, math.nan, math.nan), nan_ok=True)
    assert paired_test(first[:1], second[:1]) == (nothing, 1.0)


@pytest.mark.parametrize(("m", "gain"), [(20, 0.05), (40, 0.04), (100, 0.02)])
def test_the_interval_holds_a_gain_that_few_images_show(m, gain):
    """Images that only one arm gets right, in every repeat: often there is none among so few."""
    rng, held = np.random.default_rng(1), 0
    for _ in range(300):
        first = np.tile(rng.random(m) >= gain, (5, 1))
        found, p = paired_test(first, first | ~first)
        held += found.low <= gain <= found.high
        assert (p < 0.05) == (found.low > 0 or found.high < 0)
    assert held / 300 >= 0.95


def test_fewer_than_six_cases_decide_nothing():
    """As in the sign test: of five that all favour one arm, one in sixteen studies has so many."""
    wrong = np.zeros((5, 40), bool)
    second = wrong.copy()
    for k in range(1, 6):
        second[:, k - 1] = RIGHT
        found, p = paired_test(wrong, second)
        assert p >= 0.05
        assert found.low <= 0
    second[:, 5] = RIGHT
    found, p = paired_test(wrong, second)
    assert found.low > 0
    assert p >= stats.binomtest(6, 6).pvalue
    patients = np.repeat([0, 1, 2], [3, 3, 34])
    found, p = paired_test(wrong, second, clusters=np.arange(40) // 2)  # three patients favour it
    assert (p >= 0.05, found.low <= 0) == (True, True)
    for few, clusters in ((second, patients), (second[:, :4], None)):  # no more test images
        found, p = paired_test(~few & few, few, clusters)
        assert p == 1
        assert math.isnan(found.low)
        assert math.isnan(found.high)


def test_a_crossover_is_where_the_line_in_log_size_is_zero():
    found = crossover(SIZES, about(0.03, 0.01, -0.01, -0.02))
    assert found is not None
    assert found.size == pytest.approx(math.sqrt(50 * 100))
    assert (found.helps_below, found.changes, found.share) == (True, 1, pytest.approx(1, abs=0.02))
    assert 50 < found.low < found.size < found.high < 100
    turned = crossover(SIZES[::-1], about(-0.03, -0.01, 0.01, 0.02))
    assert turned is not None
    assert (turned.size, turned.helps_below) == (pytest.approx(found.size), False)


def test_the_first_of_several_changes_counts_and_a_zero_is_none_by_itself():
    found = crossover(SIZES, about(0.02, -0.02, 0.01, -0.01))
    assert found is not None
    assert (found.size, found.changes) == (pytest.approx(math.sqrt(25 * 50)), 3)
    touched = crossover(SIZES, about(0.02, 0.0, -0.01, -0.01))
    assert touched is not None
    assert touched.size == pytest.approx(50)
    assert crossover(SIZES, about(0.02, 0.0, 0.01, 0.01)) is None
    assert crossover(SIZES, {n: [0.0, 0.0] for n in SIZES}) is None


def test_none_is_found_where_none_is():
    for sign in (1, -1):
        assert crossover(SIZES, about(*(sign * g for g in (0.03, 0.02, 0.01, 0.005)))) is None


@pytest.mark.parametrize(("r", "sd"), [(3, 0.03), (5, 0.03), (10, 0.01)])
def test_the_interval_of_a_planted_crossover_holds_it(r, sd):
    rng = np.random.default_rng(6)
    found = [crossover(SIZES, gains(rng, r, sd), seed, draws=100) for seed in range(200)]
    right = [f for f in found if f is not None and f.helps_below]
    assert len(right) > 170
    assert 0.9 <= np.mean([f.low <= 80 <= f.high for f in right]) <= 1.0


def test_a_crossover_that_may_lie_outside_has_an_open_end():
    found = crossover(SIZES, about(0.05, 0.05, 0.03, -0.001, width=0.008))
    assert found is not None
    assert 100 < found.low < found.size < 200 < found.high == math.inf
    assert 0.3 < found.share < 0.9
    below = crossover(SIZES, about(0.001, -0.03, -0.05, -0.05, width=0.008))
    assert below is not None
    assert below.low == 0
    assert 25 < below.high < 100


def test_crossovers_depend_on_their_seed_alone():
    planted = gains(np.random.default_rng(7), 5, 0.01)
    assert crossover(SIZES, planted, seed=1) == crossover(SIZES, planted, seed=1)
    assert crossover(SIZES, planted, seed=1) != crossover(SIZES, planted, seed=2)


def test_sizes_without_gains_are_an_error():
    for sizes in ([25], [25, 25], [0, 25], [25, 30]):
        with pytest.raises(ValueError, match="two or more"):
            crossover(sizes, {0: [0.1], 25: [0.1]})


@pytest.mark.parametrize(
    ("means", "pattern"),
    [
        ((0.04, 0.02, -0.01, -0.0001), r"\bhelped at 25 and 50 .* 79 \(.*\bharmed at 100$"),
        ((-0.04, -0.02, 0.0001, 0.0001), r"\bharmed at 25 and 50 [^;]* 100 \(.*% .*crossing\)$"),
        ((0.0001, 0.0001, -0.02, -0.02), r"\bharmed at 100 and 200; .*below .* 50 \(.*crossing\)$"),
        ((0.02, -0.02, 0.02, 0.02),
         r"\bhelped at 25, 100 and 200 and harmed at 50; .*below .*, [^,]*\b2 changes\b[^,]*$"),
        ((0.02, 0.02, 0.02, 0.0001), r"^no crossover .*25 and 200.* above zero .*50 and 100\)$"),
        ((-0.02, 0.0, -0.0001, -0.0001), r"^no crossover .*25 and 200.* below zero .* 25\)$"),
        ((0.0002, 0.0001, -0.0001, -0.0001),
         r"^no crossover .*told.*\(25, 50, 100 and 200.*\)$"),
    ],
)  # fmt: skip
def test_the_sentence_claims_what_the_repeats_show(means, pattern):
    said = sentence(about(*means))
    assert re.search(pattern, said), said


def test_the_sentence_names_open_ends_and_what_one_repeat_cannot_tell():
    open_end = sentence(about(0.05, 0.05, 0.03, -0.0001, width=0.002))
    assert " above 200; " in open_end
    single = about(0.05, 0.05, -0.03, -0.03) | {100: [-0.03]}
    assert tells(sentence(single), "one repeat", "not known")
    only = sentence({n: [0.1 - n / 1000] for n in SIZES})
    assert tells(only, "no crossover", "told")


def test_of_noise_no_crossover_is_told():
    """Though its mean changes sign in most studies."""
    rng = np.random.default_rng(8)
    noise = [{n: (0.02 * rng.standard_normal(5)).tolist() for n in SIZES} for _ in range(200)]
    said = [sentence(of, draws=2) for of in noise]
    assert np.mean(["told" in sentence for sentence in said]) > 0.92
    assert np.mean([crossover(SIZES, of, draws=2) is not None for of in noise]) > 0.8


def test_a_crossover_is_told_by_the_claims_that_are_reported_beside_it():
    planted = about(0.05, 0.05, -0.03, -0.03)
    told = dict(zip(SIZES, (1, 1, 0, -1), strict=True))
    assert tells(crossover_sentence(SIZES, planted, told), "helped at 25 and 50")
    said = crossover_sentence(SIZES, planted, dict.fromkeys(SIZES, 0))
    assert tells(said, "no crossover", "25, 50, 100 and 200")


def test_holm_is_the_closed_test_of_bonferronis():
    rng = np.random.default_rng(9)
    p = [*(rng.uniform(size=4) ** 3).tolist(), 0.0, 1.0]
    every = [s for k in range(1, 7) for s in combinations(range(6), k)]
    expected = [
        max(min(1.0, len(s) * min(p[j] for j in s)) for s in every if i in s) for i in range(6)
    ]
    assert holm(p) == pytest.approx(expected)
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    for bad in (math.nan, -0.1, 1.1):
        with pytest.raises(ValueError, match="from 0 to 1"):
            holm([0.5, bad])
