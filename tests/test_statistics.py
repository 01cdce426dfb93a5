"""What is said of a study's outcome, against scipy, closed forms and simulations of known truth."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from analysis.crossover import crossover, crossover_sentence
from analysis.statistics import (
    Estimate,
    holm,
    mcnemar,
    mcnemar_repeats,
    mean_interval,
    paired_bootstrap,
)

SIZES = [25, 50, 100, 200]
RIGHT, WRONG = True, False


def decisions(
    rng: np.random.Generator, r: int, m: int, *, lead: float = 0.0, repeat: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Two arms on the same hard and easy images, each with images it finds easier than the other.

    Right is a score above zero, so that the true accuracy is `accuracy` of its mean.
    """
    hard, arms = 2 * rng.standard_normal(m), []
    for of in (0.0, lead):
        own = hard + 0.5 * rng.standard_normal(m) + repeat * rng.standard_normal((r, 1))
        arms.append(1 + of + own + 0.3 * rng.standard_normal((r, m)) > 0)
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


def test_the_interval_of_a_mean_is_that_of_the_t_test():
    values = [0.71, 0.74, 0.69, 0.75, 0.72]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    found = mean_interval(values, 0.9)
    assert found == pytest.approx((np.mean(values), expected.low, expected.high))
    assert mean_interval([0.5, 0.5]) == (0.5, 0.5, 0.5)


def test_one_value_has_no_interval_and_none_is_an_error():
    assert mean_interval([0.7]) == pytest.approx((0.7, math.nan, math.nan), nan_ok=True)
    for bad in ([], [0.1, math.nan], [[0.1]]):
        with pytest.raises(ValueError, match="one or more finite numbers"):
            mean_interval(bad)


@pytest.mark.parametrize(("lost", "won"), [(0, 5), (3, 9), (9, 3), (6, 6), (40, 61), (1, 0)])
def test_mcnemar_is_the_binomial_test_of_what_one_alone_gets_right(lost, won):
    first = np.array([RIGHT] * lost + [WRONG] * won + [RIGHT] * 30 + [WRONG] * 20)
    second = np.array([WRONG] * lost + [RIGHT] * won + [RIGHT] * 30 + [WRONG] * 20)
    expected = stats.binomtest(lost, lost + won).pvalue
    assert mcnemar(first, second) == pytest.approx(expected)
    assert mcnemar(~first, ~second) == pytest.approx(expected)


def test_mcnemar_of_equal_decisions_is_one():
    assert mcnemar([RIGHT, WRONG], [RIGHT, WRONG]) == 1.0


@pytest.mark.parametrize("r", [1, 2, 5])
def test_repeats_that_decide_alike_are_worth_one(r):
    first, second = decisions(np.random.default_rng(0), 1, 80, lead=0.5)
    alone = mcnemar(first[0], second[0])
    assert alone < 1
    assert mcnemar_repeats(first.repeat(r, axis=0), second.repeat(r, axis=0)) == alone


def test_a_tied_vote_stands_between_right_and_wrong():
    tied = np.array([[RIGHT] * 6, [WRONG] * 6])
    right, wrong = np.ones((2, 6), dtype=bool), np.zeros((2, 6), dtype=bool)
    assert mcnemar_repeats(tied, right) == mcnemar_repeats(wrong, tied) == 2 * 0.5**6
    assert mcnemar_repeats(tied, tied[::-1]) == 1.0


def test_votes_keep_the_level_that_pooled_pairs_lose():
    rng = np.random.default_rng(1)
    pairs = [decisions(rng, 5, 100) for _ in range(300)]
    assert np.mean([mcnemar_repeats(*pair) < 0.05 for pair in pairs]) <= 0.06
    pooled = [mcnemar(first.ravel(), second.ravel()) < 0.05 for first, second in pairs]
    assert np.mean(pooled) > 0.2


@pytest.mark.parametrize("function", [mcnemar, mcnemar_repeats, paired_bootstrap])
def test_what_are_no_paired_decisions_is_an_error(function):
    dims = 1 if function is mcnemar else 2
    right = np.ones((3,) * dims, dtype=bool)
    with pytest.raises(ValueError, match="need bool"):
        function(right, right.astype(int))
    for other in (right[:2], np.ones((3,) * (3 - dims), dtype=bool)):
        with pytest.raises(ValueError, match="need one shape"):
            function(right, other)


@pytest.mark.parametrize(("r", "m", "repeat"), [(5, 100, 0.3), (10, 60, 0.1)])
def test_the_bootstrap_holds_the_truth_over_images_and_repeats(r, m, repeat):
    rng, truth = np.random.default_rng(11), true_difference(0.3, repeat)
    held = 0
    for seed in range(200):
        first, second = decisions(rng, r, m, lead=0.3, repeat=repeat)
        (found,) = paired_bootstrap(first, second, draws=100, seed=seed)
        assert found.mean == pytest.approx(second.mean() - first.mean())
        held += found.low <= truth <= found.high
    assert 0.9 <= held / 200 <= 0.99


def test_without_differences_between_repeats_it_is_the_interval_over_images():
    first, second = decisions(np.random.default_rng(3), 1, 300, lead=0.3)
    each = second[0].astype(float) - first[0]
    half = stats.norm.ppf(0.975) * each.std(ddof=1) / math.sqrt(300)
    (found,) = paired_bootstrap(first.repeat(4, axis=0), second.repeat(4, axis=0))
    assert found == pytest.approx((each.mean(), each.mean() - half, each.mean() + half), abs=0.006)


def test_without_differences_between_images_it_is_the_interval_over_repeats():
    """Whole rows right or wrong: accuracies of repeats alone, and their t."""
    first = np.repeat([[RIGHT], [WRONG]], [2, 10], axis=0).repeat(50, axis=1)
    second = np.repeat([[RIGHT], [WRONG]], [8, 4], axis=0).repeat(50, axis=1)
    expected = mean_interval(second.mean(axis=1) - first.mean(axis=1))
    assert paired_bootstrap(first, second)[0] == pytest.approx(expected, abs=0.05)


def test_the_bootstrap_depends_on_its_seed_alone():
    first, second = decisions(np.random.default_rng(4), 3, 50, lead=0.5)
    assert paired_bootstrap(first, second, seed=1) == paired_bootstrap(first, second, seed=1)
    assert paired_bootstrap(first, second, seed=1) != paired_bootstrap(first, second, seed=2)


def test_images_of_one_patient_count_as_one_case():
    """Four copies of each image tell no more than one; and the mean is that of the images."""
    rng = np.random.default_rng(6)
    first, second = decisions(rng, 4, 60, lead=0.5, repeat=0.3)
    (each,) = paired_bootstrap(first, second)
    patients = np.arange(60).repeat(4)
    copies = first.repeat(4, axis=1), second.repeat(4, axis=1)
    (together,) = paired_bootstrap(*copies, clusters=patients)
    assert together == pytest.approx(each)
    (apart,) = paired_bootstrap(*copies)
    assert apart.high - apart.low < 0.9 * (each.high - each.low)
    counts = [8] + [1] * 59
    uneven = np.repeat(np.arange(60), counts)
    wide = first.repeat(counts, axis=1), second.repeat(counts, axis=1)
    (found,) = paired_bootstrap(*wide, clusters=uneven)
    assert found.mean == pytest.approx(wide[1].mean() - wide[0].mean())
    with pytest.raises(ValueError, match=r"clusters are \(3,\) for 60 images"):
        paired_bootstrap(first, second, clusters=[1, 2, 3])


@pytest.mark.parametrize("seed", range(2))
def test_the_bootstrap_holds_the_truth_over_patients_too(seed):
    """Patients of one to five images that share what is hard about them."""
    rng, held = np.random.default_rng(seed), 0
    for draw in range(100):
        counts = rng.integers(1, 6, 50)
        first, second = decisions(rng, 5, 50, lead=0.3, repeat=0.2)
        wide = first.repeat(counts, axis=1), second.repeat(counts, axis=1)
        patients = np.arange(50).repeat(counts)
        (found,) = paired_bootstrap(*wide, draws=100, seed=draw, clusters=patients)
        held += found.low <= true_difference(0.3, 0.2) <= found.high
    assert 0.88 <= held / 100 <= 1


def test_equal_arms_differ_by_nothing_and_one_repeat_tells_no_interval():
    first, second = decisions(np.random.default_rng(5), 3, 50, lead=0.5)
    assert paired_bootstrap(first, first) == [(0, 0, 0)]
    (alone,) = paired_bootstrap(first[:1], second[:1])
    mean = second[0].mean() - first[0].mean()
    assert alone == pytest.approx(Estimate(mean, math.nan, math.nan), nan_ok=True)


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
        with pytest.raises(ValueError, match="two or more, all above zero and with gains"):
            crossover(sizes, {0: [0.1], 25: [0.1]})


@pytest.mark.parametrize(
    ("means", "start", "end"),
    [
        ((0.04, 0.02, -0.01, -0.0001),
         "synthetic images helped at 25 and 50 and no longer from about 79 (", "harmed at 100"),
        ((-0.04, -0.02, 0.0001, 0.0001),
         "synthetic images harmed at 25 and 50 and no longer from about 100 (",
         "% of resamples have a crossing)"),
        ((0.0001, 0.0001, -0.02, -0.02),
         "synthetic images harmed at 100 and 200; the mean gain turns below zero at about 50 (",
         "crossing)"),
        ((0.02, -0.02, 0.02, 0.02),
         "synthetic images helped at 25, 100 and 200 and harmed at 50; the mean gain turns below",
         ", the first of 2 changes of sign"),
        ((0.02, 0.02, 0.02, 0.0001),
         "no crossover between 25 and 200: the gain is above zero at every size", "50 and 100)"),
        ((-0.02, 0.0, -0.0001, -0.0001),
         "no crossover between 25 and 200: the gain is at or below zero at every", "chance at 25)"),
        ((0.0002, 0.0001, -0.0001, -0.0001),
         "no crossover can be told: the gain may be zero at every size (25, 50, 100 and 200; ",
         "least adjusted p 1)"),
    ],
)  # fmt: skip
def test_the_sentence_claims_what_the_repeats_show(means, start, end):
    said = crossover_sentence(SIZES, about(*means))
    assert said.startswith(start)
    assert said.endswith(end)


def test_the_sentence_names_open_ends_and_what_one_repeat_cannot_tell():
    open_end = crossover_sentence(SIZES, about(0.05, 0.05, 0.03, -0.0001, width=0.002))
    assert " to above 200; " in open_end
    single = about(0.05, 0.05, -0.03, -0.03) | {100: [-0.03]}
    assert "(from one repeat, so that its interval is not known)" in crossover_sentence(
        SIZES, single
    )
    only = crossover_sentence(SIZES, {n: [0.1 - n / 1000] for n in SIZES})
    assert only.startswith("no crossover can be told")


def test_of_noise_no_crossover_is_told():
    """Though its mean changes sign in most studies."""
    rng = np.random.default_rng(8)
    noise = [{n: (0.02 * rng.standard_normal(5)).tolist() for n in SIZES} for _ in range(200)]
    said = [crossover_sentence(SIZES, of, draws=2) for of in noise]
    assert np.mean(["can be told" in sentence for sentence in said]) > 0.92
    assert np.mean([crossover(SIZES, of, draws=2) is not None for of in noise]) > 0.8


def test_equal_gains_of_all_repeats_tell_nothing():
    few_images = {n: [0.83 - 0.81, 0.81 - 0.79, 0.02] for n in SIZES}
    assert crossover_sentence(SIZES, few_images).startswith("no crossover can be told")


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
