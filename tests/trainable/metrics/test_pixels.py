"""Copies, collapse, CID and likeness: planted cases, hand values, plain implementations, scipy."""

import math

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import ks_2samp
from torch.utils._python_dispatch import TorchDispatchMode

from trainable.data.phantom import phantom
from trainable.metrics.creativity import (
    creativity_inheritance_diversity,
    glcm_contrast,
    ssim_matrix,
)
from trainable.metrics.likeness import ks_statistic, likeness_score
from trainable.metrics.pixels import PART, grey, pixel_copies, within_class_diversity


@pytest.fixture(scope="module")
def films():
    """Training phantoms, and fresh ones of another seed."""
    return tuple(torch.from_numpy(phantom(64, per_class=20, seed=seed)[0]) for seed in (0, 1))


def noise(n: int, seed: int = 0, channels: int = 1, side: int = 32) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, channels, side, side), generator=rng).byte()


def shifted(images: torch.Tensor, down: int, right: int) -> torch.Tensor:
    """Moved in by up to 8 pixels, black outside."""
    side = images.shape[-1]
    padded = F.pad(images, (8, 8, 8, 8))
    return padded[..., 8 - down : 8 - down + side, 8 - right : 8 - right + side]


def exposed(images: torch.Tensor, contrast: float = 1.0, light: float = 0.0, sd: float = 0.0):
    values = (images.float() - 128) * contrast + 128 + light
    values = values + sd * torch.randn(values.shape, generator=torch.Generator().manual_seed(1))
    return values.round().clamp(0, 255).byte()


class Largest(TorchDispatchMode):
    """The most values that any one floating-point result has."""

    def __init__(self):
        super().__init__()
        self.values = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.is_floating_point():
            self.values = max(self.values, result.numel())
        return result


CHANGES = {
    "unchanged": lambda x: x,
    "shifted by an eighth": lambda x: shifted(x, 8, -8),
    "shifted by an odd amount": lambda x: shifted(x, -3, 5),
    "mirrored": lambda x: x.flip(-1),
    "noisy": lambda x: exposed(x, sd=8),
    "re-exposed": lambda x: exposed(x, contrast=0.9, light=20),
    "all at once": lambda x: exposed(shifted(x.flip(-1), 5, 7), 1.1, -15, 8),
}


@pytest.mark.parametrize("of", [grey, glcm_contrast])
def test_colour_images_become_floats_a_part_at_a_time(of):
    """A thousand of 256 pixels took 1.5 GB at once."""
    images = noise(2 * PART + 1, channels=3)
    with Largest() as largest:
        found = of(images)
    assert largest.values <= images[:PART].numel()
    assert torch.equal(found, torch.cat([of(image[None]) for image in images]))


@pytest.mark.parametrize("change", CHANGES)
def test_altered_training_images_are_copies(films, change):
    train, _ = films
    found = pixel_copies(train, CHANGES[change](train[10:30]))
    assert found.rate >= 0.95
    assert found.nearest.tolist() == list(range(10, 30))
    assert bool((found.similarity <= 1).all())


def test_fresh_images_are_no_copies(films):
    train, fresh = films
    assert pixel_copies(train, fresh).rate <= 0.025


def test_the_rate_is_the_planted_share(films):
    train, fresh = films
    mixed = torch.cat([shifted(train[:5], 2, 3), fresh[:15]])
    assert pixel_copies(train, mixed).rate == pytest.approx(0.25, abs=0.05)


def test_repeats_in_the_training_set_do_not_hide_copies(films):
    train, fresh = films
    train = torch.cat([train, train[:6]])
    assert pixel_copies(train, exposed(train[10:30], sd=8)).rate >= 0.95
    assert pixel_copies(train, fresh).rate <= 0.05


def test_a_small_copy_stands_out_among_unlike_images():
    train = F.interpolate(noise(30, side=8), size=64)
    assert pixel_copies(train, train[:4].flip(-1)).rate == 1
    assert pixel_copies(train, F.interpolate(noise(30, seed=1, side=8), size=64)).rate == 0


@pytest.mark.parametrize("side", [32, 128])
def test_copies_are_found_at_every_size(side):
    train = F.interpolate(noise(30, side=8), size=side)
    found = pixel_copies(train, shifted(train, side // 32, 0))
    assert found.rate == 1
    assert found.nearest.tolist() == list(range(30))


def test_colour_and_single_images():
    image, other = (noise(1, seed, channels=3, side=64) for seed in (0, 1))
    assert pixel_copies(image, image).rate == 1
    assert pixel_copies(image, other).rate == 0
    assert pixel_copies(image, other).nearest.tolist() == [0]


def test_flat_images_copy_nothing():
    flat = torch.full((3, 1, 32, 32), 7, dtype=torch.uint8)
    found = pixel_copies(noise(25), flat)
    assert found.rate == 0
    assert bool(found.similarity.isfinite().all())


def test_more_training_images_than_a_block_keep_their_indices():
    train = noise(230)
    assert pixel_copies(train, train[[3, 120, 229]]).nearest.tolist() == [3, 120, 229]


def test_grey_weighs_the_channels_and_keeps_white():
    image = torch.zeros(1, 3, 1, 2, dtype=torch.uint8)
    image[0, 1, 0, 0] = 100
    image[0, :, 0, 1] = 255
    assert grey(image).flatten().tolist() == pytest.approx([58.7, 255.0])


# Variety within a class


def gaussian(n: int, seed: int, scale: float = 1.0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return scale * torch.randn(n, 16, generator=rng)


def test_variety_of_another_draw_is_one_and_of_a_repeat_nought():
    labels = torch.arange(400) % 2
    fake = gaussian(400, 1)
    fake[labels == 1] = fake[1].clone()
    ratios = within_class_diversity(gaussian(400, 0), labels, fake, labels, 2)
    assert ratios[0] == pytest.approx(1, abs=0.05)
    assert ratios[1] == pytest.approx(0, abs=1e-6)


def test_variety_between_classes_does_not_count():
    labels = torch.arange(40) % 2
    real = gaussian(40, 0) + 100 * labels[:, None]
    collapsed = 100.0 * labels[:, None].expand(40, 16)
    assert within_class_diversity(real, labels, collapsed, labels, 2) == pytest.approx([0, 0])
    mislabelled = within_class_diversity(real, labels, real, torch.arange(40) // 20, 2)
    assert min(mislabelled) > 10


def test_variety_scales_with_distances_and_ignores_a_common_offset():
    labels = torch.zeros(20, dtype=torch.int64)
    real = gaussian(20, 0)
    assert within_class_diversity(real, labels, 2 * real + 1000, labels, 1) == pytest.approx(
        [2], rel=1e-4
    )


def test_variety_needs_two_images_of_a_class():
    labels = torch.tensor([0, 0, 1])
    ratios = within_class_diversity(gaussian(3, 0), labels, gaussian(3, 1), labels, 3)
    assert ratios[0] > 0
    assert all(math.isnan(ratio) for ratio in ratios[1:])


# SSIM and GLCM


def plain_ssim(a: torch.Tensor, b: torch.Tensor) -> float:
    """Of two images, by five filters, in float64."""
    line = torch.exp(-((torch.arange(11, dtype=torch.float64) - 5) ** 2) / 4.5)
    window = (torch.outer(line, line) / line.sum() ** 2)[None, None]
    x, y = a.double()[None], b.double()[None]
    mx, my, xx, yy, xy = (F.conv2d(v, window) for v in (x, y, x * x, y * y, x * y))
    c1, c2 = 6.5025, 58.5225
    top = (2 * mx * my + c1) * (2 * (xy - mx * my) + c2)
    return float((top / ((mx**2 + my**2 + c1) * (xx - mx**2 + yy - my**2 + c2))).mean())


def test_ssim_of_all_pairs_is_that_of_each_pair(films):
    a, b = films[0][:3, :, :40, :40], films[1][:4, :, :40, :40]
    expected = [[plain_ssim(x, y) for y in b] for x in a]
    assert torch.allclose(ssim_matrix(a, b), torch.tensor(expected), atol=1e-5)


def test_ssim_is_one_with_itself_and_symmetric(films):
    six = films[0][:6]
    matrix = ssim_matrix(six, six)
    assert torch.allclose(matrix, ssim_matrix(six, six.clone()), atol=1e-6)
    assert torch.allclose(matrix.diagonal(), torch.ones(6), atol=1e-6)
    assert torch.allclose(matrix, matrix.T, atol=1e-6)
    assert float(matrix.fill_diagonal_(0).max()) < 0.95


def test_ssim_of_flat_images_is_their_luminance_term():
    flat = torch.tensor([50, 200], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 1, 32, 32)
    expected = (2 * 50 * 200 + 6.5025) / (50**2 + 200**2 + 6.5025)
    assert float(ssim_matrix(flat, flat)[0, 1]) == pytest.approx(expected, abs=1e-6)


def test_ssim_of_many_images_is_that_of_few():
    a, b = noise(600, side=12), noise(600, seed=1, side=12)  # past one block of pairs
    assert torch.allclose(ssim_matrix(a, b)[:5, -5:], ssim_matrix(a[:5], b[-5:]), atol=1e-6)


def test_glcm_contrast_by_hand():
    # Horizontal steps: 0 1 1 / 3 0 0 / 0 0 4 / 1 1 1, squares 2 + 9 + 16 + 3 over 12 pairs.
    image = torch.tensor([[0, 0, 1, 2], [5, 2, 2, 2], [9, 9, 9, 5], [3, 4, 5, 6]])
    assert glcm_contrast(image[None, None].byte()).tolist() == [30 / 12]


# Creativity, inheritance, diversity


def test_copies_are_not_creative(films):
    cid = creativity_inheritance_diversity(films[0], films[0][:10])
    assert (cid.creativity, cid.inheritance, cid.diversity) == (0, 0, 0)


def test_other_noise_is_creative_alike_in_texture_and_varied():
    cid = creativity_inheritance_diversity(noise(20), noise(30, seed=1))
    assert cid.creativity == 1
    assert cid.inheritance == pytest.approx(1, abs=0.05)
    assert cid.diversity == pytest.approx(math.log(30))


def test_one_image_repeated_has_no_diversity_and_two_halves_log_2():
    fake = noise(2, seed=1)
    assert creativity_inheritance_diversity(noise(5), fake[[0] * 8]).diversity == 0
    halves = creativity_inheritance_diversity(noise(5), fake[[0, 1] * 4])
    assert halves.diversity == pytest.approx(math.log(2))


def test_duplicates_count_neither_in_texture_nor_in_diversity():
    real, fake = noise(5), noise(4, seed=1)
    cid = creativity_inheritance_diversity(real, torch.cat([fake, real[:4]]))
    assert cid.creativity == 0.5
    assert cid.diversity == pytest.approx(math.log(4))


def test_inheritance_is_the_ratio_of_contrasts():
    real = noise(1)
    half = (real // 2).byte()
    expected = float(glcm_contrast(half)[0] / glcm_contrast(real)[0])
    cid = creativity_inheritance_diversity(real, half, alike=1.1)
    assert cid.inheritance == pytest.approx(expected)


def test_flat_images_inherit_flatness_and_nothing_else():
    flat = torch.full((3, 1, 32, 32), 200, dtype=torch.uint8)
    assert creativity_inheritance_diversity(flat // 8, flat).inheritance == 1
    assert creativity_inheritance_diversity(noise(5), flat).inheritance == 0


def test_cid_takes_colour_and_single_images():
    cid = creativity_inheritance_diversity(noise(1, channels=3), noise(1, seed=1, channels=3))
    assert (cid.creativity, cid.diversity) == (1, 0)


# Likeness


def likeness(real: torch.Tensor, fake: torch.Tensor) -> float:
    return likeness_score(torch.cdist(real, real), torch.cdist(real, fake), torch.cdist(fake, fake))


def scipys_ks(a: torch.Tensor, b: torch.Tensor) -> float:
    found = ks_2samp(a.numpy(), b.numpy())
    return found.statistic  # pyright: ignore[reportAttributeAccessIssue]


def test_likeness_is_high_for_one_distribution_and_nought_for_two():
    assert likeness(gaussian(200, 0), gaussian(200, 1)) > 0.95
    assert likeness(gaussian(50, 0), gaussian(50, 1) + 100) == pytest.approx(0)


def test_likeness_falls_when_the_generated_set_collapses():
    fake = gaussian(100, 1)
    collapsed = fake[[0, 1] * 50]  # half of its distances are 0, and they are kept
    assert likeness(gaussian(100, 0), collapsed) < 0.6 < likeness(gaussian(100, 0), fake)


def test_likeness_reads_each_pair_once_and_ignores_the_diagonal():
    real, fake = gaussian(30, 0), gaussian(20, 1, 1.5)
    rr, rf, ff = torch.cdist(real, real), torch.cdist(real, fake), torch.cdist(fake, fake)
    expected = likeness_score(rr, rf, ff)
    ours = 1 - max(
        scipys_ks(square[tuple(torch.triu_indices(n, n, 1))], rf.flatten())
        for square, n in ((rr, 30), (ff, 20))
    )
    assert expected == pytest.approx(ours, abs=1e-12)
    assert likeness_score(rr.clone().fill_diagonal_(9), rf, ff) == expected


def test_likeness_of_one_image_is_undefined():
    assert math.isnan(likeness(gaussian(1, 0), gaussian(5, 1)))
    assert math.isnan(likeness(gaussian(5, 0), gaussian(1, 1)))


@pytest.mark.parametrize(("n", "m", "levels"), [(1, 1, 0), (50, 80, 0), (300, 200, 5), (999, 1, 3)])
def test_ks_is_scipys(n, m, levels):
    rng = torch.Generator().manual_seed(n)
    a = torch.randn(n, generator=rng, dtype=torch.float64)
    b = 0.3 + torch.randn(m, generator=rng, dtype=torch.float64)
    if levels:  # ties
        a, b = (a * levels).round(), (b * levels).round()
    assert ks_statistic(a, b) == pytest.approx(scipys_ks(a, b), abs=1e-12)
