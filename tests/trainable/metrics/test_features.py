"""KID, neighbours, Inception score and intervals: closed forms, brute force, other packages."""

import re

import numpy as np
import pytest
import torch
from prdc import compute_prdc
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric
from torch_fidelity.metric_kid import kernel_mmd

from trainable.metrics.frechet import FeatureStats, frechet_distance
from trainable.metrics.inception_score import inception_score
from trainable.metrics.intervals import extrapolated_floor, interval
from trainable.metrics.kernel import check_finite, kernel_distance, kernel_mean
from trainable.metrics.neighbours import CopyRate, Distances, copy_rate, nearest, one_nn, prdc
from trainable.metrics.scores import RealSet, copied, evaluation_scores

THEIR_KID = {"kid_kernel": "poly", "kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None,
             "kid_kernel_poly_coef0": 1}  # fmt: skip


def gaussian(n: int, d: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=rng, dtype=torch.float64) + shift


def shuffled(rows: torch.Tensor, seed: int = 9) -> torch.Tensor:
    return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))]


def neighbours(real: torch.Tensor, fake: torch.Tensor) -> Distances:
    return Distances.between(real, fake)


def copies(train: torch.Tensor, fake: torch.Tensor) -> CopyRate:
    every = torch.arange(len(train))
    return copy_rate(nearest(train, train, own=every).values, nearest(train, fake))


# --- Kernel distance


@pytest.mark.parametrize(("n", "m"), [(12, 12), (9, 15), (2, 5)])
def test_kid_is_the_double_loop(n, m):
    real, fake = gaussian(n, 6, 0).numpy(), gaussian(m, 6, 1, 0.3).numpy()

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return float(x @ y / 6 + 1) ** 3

    within_real = np.mean([k(real[i], real[j]) for i in range(n) for j in range(n) if i != j])
    within_fake = np.mean([k(fake[i], fake[j]) for i in range(m) for j in range(m) if i != j])
    across = np.mean([k(x, y) for x in real for y in fake])
    ours = kernel_distance(torch.tensor(real), torch.tensor(fake))
    assert ours == pytest.approx(within_real + within_fake - 2 * across, rel=1e-10)


@pytest.mark.parametrize("shift", [0.0, 0.1, 1.0])
def test_kid_agrees_with_torch_fidelity(shift):
    # More rows than one block of the sum.
    real, fake = gaussian(1100, 24, 2), gaussian(1100, 24, 3, shift)
    theirs = kernel_mmd(real.numpy(), fake.numpy(), **THEIR_KID)
    assert kernel_distance(real, fake) == pytest.approx(theirs, rel=1e-8, abs=1e-12)


def test_kid_is_zero_on_average_for_one_distribution_of_two_sizes():
    values = np.array([kernel_distance(gaussian(40, 8, 2 * s), gaussian(25, 8, 2 * s + 1))
                       for s in range(200)])  # fmt: skip
    assert abs(values.mean()) < 3 * values.std() / len(values) ** 0.5
    assert values.min() < 0 < values.max()
    assert kernel_distance(gaussian(40, 8, 0), gaussian(25, 8, 1, 0.5)) > 5 * values.std()


def test_kid_is_symmetric_and_blind_to_order():
    real, fake = gaussian(40, 8, 0), gaussian(30, 8, 1, 0.2)
    expected = kernel_distance(real, fake)
    assert kernel_distance(fake, real) == pytest.approx(expected, rel=1e-10)
    assert kernel_distance(shuffled(real), shuffled(fake)) == pytest.approx(expected, rel=1e-10)


def test_kid_takes_a_known_real_term_and_float32():
    real, fake = gaussian(40, 8, 0).float(), gaussian(30, 8, 1, 0.2).float()
    expected = kernel_distance(real.double(), fake.double())
    assert kernel_distance(real, fake) == expected
    assert kernel_distance(real, fake, kernel_mean(real)) == expected


# --- Distances


def test_distances_are_euclidean_far_from_the_origin_too():
    real, fake = gaussian(30, 7, 0, 1e4), gaussian(20, 7, 1, 1e4)
    ours = neighbours(real, fake)
    for got, (a, b) in (
        (ours.real_real, (real, real)), (ours.real_fake, (real, fake)),
        (ours.fake_fake, (fake, fake)),
    ):  # fmt: skip
        assert torch.allclose(got, (a[:, None] - b).norm(dim=2), rtol=1e-9, atol=1e-9)
        assert got.dtype == torch.float64


@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_copies_are_at_exactly_zero_and_nothing_else_is(shift):
    real = gaussian(60, 1280, 0, shift).float()
    ours = neighbours(real, shuffled(real))
    assert (ours.real_real == 0).sum() == 60
    assert torch.equal((ours.real_fake == 0).sum(0), torch.ones(60, dtype=torch.int64))


def test_known_distances_of_the_reals_are_taken_as_they_are():
    real, fake = gaussian(30, 7, 0), gaussian(20, 7, 1)
    first = neighbours(real, fake)
    again = Distances.between(real, shuffled(fake), first.real_real)
    assert again.real_real is first.real_real
    assert prdc(again) == prdc(first)


# --- One nearest neighbour


def brute_one_nn(real: np.ndarray, fake: np.ndarray) -> tuple[float, float]:
    rows, n = np.concatenate([real, fake]), len(real)
    right = []
    for i, row in enumerate(rows):
        others = [(np.linalg.norm(row - x), j) for j, x in enumerate(rows) if j != i]
        right.append((min(others)[1] < n) == (i < n))
    return float(np.mean(right[:n])), float(np.mean(right[n:]))


@pytest.mark.parametrize("shift", [0.0, 0.4, 2.0])
def test_one_nn_is_the_brute_force(shift):
    real, fake = gaussian(40, 5, 0), gaussian(40, 5, 1, shift)
    ours = one_nn(neighbours(real, fake))
    assert (ours.real_part, ours.fake_part) == brute_one_nn(real.numpy(), fake.numpy())
    assert ours.accuracy == pytest.approx((ours.real_part + ours.fake_part) / 2)
    swapped = one_nn(neighbours(fake, real))
    assert swapped == (ours.accuracy, ours.fake_part, ours.real_part)
    assert one_nn(neighbours(shuffled(real), shuffled(fake))) == ours


def test_one_nn_of_the_same_distribution_is_a_half_and_of_distant_ones_one():
    same = [one_nn(neighbours(gaussian(100, 5, 2 * s), gaussian(100, 5, 2 * s + 1))).accuracy
            for s in range(20)]  # fmt: skip
    assert np.mean(same) == pytest.approx(0.5, abs=0.03)
    assert one_nn(neighbours(gaussian(50, 5, 0), gaussian(50, 5, 1, 100.0))) == (1, 1, 1)


def test_one_nn_of_exact_copies_is_zero_however_often_they_repeat():
    real = gaussian(50, 200, 0).float()
    assert one_nn(neighbours(real, shuffled(real))) == (0, 0, 0)
    few = real[:5].repeat(10, 1)  # each generated image has nine twins besides the real one
    assert one_nn(neighbours(real, few)).fake_part == 0


def test_one_nn_shows_collapse_in_its_fake_part():
    collapsed = gaussian(1, 5, 1).repeat(50, 1)
    parts = one_nn(neighbours(gaussian(50, 5, 0), collapsed))
    assert parts.fake_part == 1
    assert parts.real_part > 0.5


def test_one_nn_wants_equal_sizes_and_even_gives_them():
    real, fake = gaussian(30, 5, 0), gaussian(20, 5, 1)
    uneven = neighbours(real, fake)
    with pytest.raises(ValueError, match="30 real and 20 generated"):
        one_nn(uneven)
    even = uneven.even(seed=3)
    assert torch.equal(even.fake_fake, uneven.fake_fake)
    kept = [
        row
        for row in range(30)
        if any(torch.equal(uneven.real_fake[row], r) for r in even.real_fake)
    ]
    assert len(kept) == 20
    assert torch.equal(even.real_real, uneven.real_real[kept][:, kept])
    assert torch.equal(even.real_fake, uneven.even(seed=3).real_fake)
    assert not torch.equal(even.real_fake, uneven.even(seed=4).real_fake)
    assert neighbours(fake, real).even().real_fake.shape == (20, 20)


# --- Precision, recall, density, coverage


@pytest.mark.parametrize(("n", "m", "k", "shift"), [
    (60, 60, 5, 0.0), (80, 50, 3, 0.3), (40, 90, 1, 0.6), (50, 50, 48, 0.1),
])  # fmt: skip
def test_prdc_is_that_of_its_authors(n, m, k, shift, capsys):
    real, fake = gaussian(n, 12, 0), gaussian(m, 12, 1, shift)
    theirs = compute_prdc(real.numpy(), fake.numpy(), k)
    capsys.readouterr()  # it prints
    assert prdc(neighbours(real, fake), k)._asdict() == pytest.approx(theirs, rel=1e-12)
    assert prdc(neighbours(shuffled(real), shuffled(fake)), k)._asdict() == pytest.approx(theirs)


def test_collapse_lowers_coverage_and_not_precision():
    real, fake = gaussian(200, 8, 0), gaussian(200, 8, 1)
    healthy, collapsed = (
        prdc(neighbours(real, images)) for images in (fake, shuffled(fake)[:10].repeat(20, 1))
    )
    assert collapsed.precision == pytest.approx(healthy.precision, abs=0.25)
    assert healthy.coverage > 0.9
    assert collapsed.coverage < 0.4


def test_prdc_of_distant_sets_is_nothing_and_k_must_fit():
    real, fake = gaussian(20, 4, 0), gaussian(10, 4, 1, 100.0)
    assert prdc(neighbours(real, fake)) == (0, 0, 0, 0)
    for k in (0, 10):
        with pytest.raises(ValueError, match="from 1 to 9"):
            prdc(neighbours(real, fake), k)


# --- Copies


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("blur", [0.0, 0.01])
def test_copy_rate_reads_the_planted_share(share, blur):
    train, fake = gaussian(300, 20, 0), gaussian(200, 20, 1)
    planted = round(share * 200)
    fake[:planted] = train[100 : 100 + planted] + blur * gaussian(planted, 20, 2)
    found = copies(train, fake)
    assert found.rate == pytest.approx(share, abs=0.02)
    assert found.nearest.indices[:planted].tolist() == list(range(100, 100 + planted))
    assert (found.nearest.values[:planted] <= found.threshold).all()


def test_exact_copies_count_even_where_training_images_repeat():
    train = gaussian(50, 20, 0).repeat(2, 1)
    found = copies(train, torch.cat([train[:30], gaussian(70, 20, 1)]))
    assert (found.rate, found.threshold) == (0.3, 0)


def test_nearest_is_the_row_of_the_smallest_distance():
    real = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
    found = nearest(real, torch.tensor([[9.0, 0.0], [3.0, 4.0], [10.0, 0.0]]))
    assert found.indices.tolist() == [1, 0, 1]
    assert found.values.tolist() == pytest.approx([1.0, 5.0, 0.0], abs=1e-12)


def test_nearest_looks_at_all_in_blocks_and_not_at_an_image_itself(monkeypatch):
    monkeypatch.setattr("trainable.metrics.neighbours._BLOCK", 7)
    real, fake = gaussian(50, 5, 0), gaussian(9, 5, 1)
    whole = torch.cdist(real.double(), fake.double())
    found = nearest(real, fake)
    assert found.values.tolist() == pytest.approx(whole.amin(0).tolist())
    assert found.indices.tolist() == whole.argmin(0).tolist()
    rows = torch.tensor([3, 6, 7, 48])
    own = torch.cdist(real.double(), real[rows].double())
    own[rows, range(4)] = torch.inf
    assert nearest(real, real[rows], own=rows).values.tolist() == pytest.approx(
        own.amin(0).tolist()
    )


def test_copies_of_any_of_many_training_images_count(monkeypatch):
    monkeypatch.setattr("trainable.metrics.scores.NEIGHBOURS", 60)
    train, fake = gaussian(400, 20, 0), gaussian(200, 20, 1)
    assert copied(train, train[200:]) == 1
    assert copied(train, fake) < 0.05
    real = RealSet.of(train, torch.arange(400) // 200, 2)
    labels = torch.arange(200) // 100
    assert evaluation_scores(real, train[::2], labels, gaussian(200, 4, 2))["copy_rate"] == 1


# --- Inception score


def test_inception_score_of_one_answer_for_all_is_one():
    assert inception_score(torch.zeros(10, 7)) == pytest.approx(1)
    assert inception_score(gaussian(1, 7, 0).repeat(10, 1)) == pytest.approx(1)


def test_inception_score_of_certain_answers_counts_the_classes():
    assert inception_score(1e4 * torch.eye(7).repeat(3, 1)) == pytest.approx(7)
    assert inception_score(1e4 * torch.eye(7)[:4].repeat(3, 1)) == pytest.approx(4)


def test_inception_score_agrees_with_torch_fidelity():
    logits = 3 * gaussian(50, 20, 0).float()
    theirs = isc_features_to_metric(logits, splits=1, shuffle=False)[KEY_METRIC_ISC_MEAN]
    assert inception_score(logits) == pytest.approx(theirs, rel=1e-12)
    assert inception_score(shuffled(logits)) == pytest.approx(theirs, rel=1e-12)


# --- Intervals


def mean_of(_: None, rows: torch.Tensor) -> float:
    return float(rows.mean())


@pytest.mark.parametrize("n", [1500, 20_000])
def test_the_interval_of_a_mean_is_the_theory(n):
    # 3 / sqrt(100) = 0.3 is the standard error of a mean of 100 rows, however many were generated.
    values = 3 * gaussian(n, 1, 0)
    found = interval(mean_of, None, values, size=100, draws=2000)
    assert found.mean == pytest.approx(values.mean().item(), abs=0.03)
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.3, rel=0.08)
    assert interval(mean_of, None, values, size=100, draws=2000) == found
    narrow = interval(mean_of, None, values, size=100, draws=2000, level=0.5)
    assert narrow.high - narrow.low == pytest.approx(2 * 0.674 * 0.3, rel=0.1)


def test_the_interval_holds_fids_of_its_size_and_not_of_others():
    real = FeatureStats.of(gaussian(300, 64, 0))
    found = interval(frechet_distance, real, gaussian(1000, 64, 1), size=100)
    fresh = np.array([frechet_distance(real, gaussian(100, 64, seed)) for seed in range(2, 102)])
    inside = (found.low < fresh) & (fresh < found.high)
    assert inside.mean() > 0.85
    assert found.mean == pytest.approx(fresh.mean(), rel=0.02)
    assert frechet_distance(real, gaussian(200, 64, 102)) < found.low


def test_intervals_take_a_metric_of_two_sets():
    real = gaussian(100, 8, 0)
    near, same, far = (
        interval(kernel_distance, real, gaussian(400, 8, seed, shift), size=40, draws=50)
        for seed, shift in ((1, 0.0), (2, 0.0), (3, 1.0))
    )
    assert near.low < same.high
    assert near.high > same.low
    assert far.low > near.high


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"size": 50}, "from 2 to 49"), ({"size": 1}, "from 2"), ({"draws": 1}, "draws is 1"),
     ({"level": 1.0}, "level 1.0")],
)  # fmt: skip
def test_an_interval_says_what_it_cannot_do(wrong, message):
    with pytest.raises(ValueError, match=message):
        interval(mean_of, None, gaussian(50, 3, 0), **{"size": 10, **wrong})


@pytest.mark.parametrize(("n", "others"), [(80, 80), (203, 203), (80, 200), (203, 60), (400, 200)])
def test_the_floor_foretells_sets_that_are_not_there(n, others):
    def real(n: int, seed: int) -> torch.Tensor:  # variances fall off, as a network's features' do
        return gaussian(n, 400, seed) / torch.arange(1, 401).sqrt()

    features = real(n, 0)
    found = extrapolated_floor(features, others, seed=0)
    true = np.mean([
        frechet_distance(FeatureStats.of(real(n, 2 * s)), real(others, 2 * s + 1))
        for s in range(1, 6)
    ])  # fmt: skip
    assert found.half_n == n // 4 * 2
    assert found.floor == pytest.approx(true, rel=0.15)
    assert others < n or found.halves > 1.3 * true
    assert extrapolated_floor(features, others, seed=0) == found


def test_the_floor_of_equal_images_is_zero():
    assert extrapolated_floor(torch.ones(16, 4), 16, seed=0).floor == 0


# --- Bad features


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_features_that_are_not_finite_are_refused_everywhere(value):
    good, bad = gaussian(20, 5, 0), gaussian(20, 5, 1)
    bad[3, 2] = value
    for call in (
        lambda: kernel_distance(good, bad),
        lambda: kernel_distance(bad, good),
        lambda: Distances.between(good, bad),
        lambda: Distances.between(bad, good),
        lambda: inception_score(bad),
        lambda: interval(mean_of, None, bad, size=10),
        lambda: extrapolated_floor(bad, 20, seed=0),
        lambda: nearest(good, bad),
        lambda: nearest(bad, good),
    ):
        with pytest.raises(ValueError, match="finite"):
            call()


@pytest.mark.parametrize("shape", [(5,), (1, 5), (0, 5), (4, 5, 2)])
def test_features_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=re.escape(str(list(shape)))):
        check_finite(torch.zeros(shape))
