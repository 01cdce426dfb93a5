"""What discriminators see: each augmentation, its probability, and instance noise."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.helpers.toys import make_data, small_config
from trainable.gan.augment import BRIGHTNESS, CONTRAST, SHIFT, ZOOM, augment
from trainable.gan.config import AUGMENTATIONS
from trainable.gan.discriminator_input import ADAPTATION_KIMG, DiscriminatorInput

DATA = make_data()


def seed(value: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(value)


def rand(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=seed(7))


def one(x: Tensor, part: str, span: float = 1.0, **more: Any) -> Tensor:
    return augment(x, (part,), span, seed(), **more)


# Each part


@pytest.mark.parametrize("part", AUGMENTATIONS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_each_part_changes_images_each_its_own_way_and_passes_gradients(part, layout):
    x = rand(32, 3, 32, 32).contiguous(memory_format=layout).requires_grad_()
    before = x.detach().clone()
    out = one(x, part)
    assert out.shape == x.shape
    assert torch.equal(x, before)
    moved = (out - x).flatten(1).abs().amax(1)
    if part == "flip":
        assert 8 < (moved > 0).sum() < 24
    else:
        assert (moved > 0).sum() >= 28
    assert len(moved.unique()) > 8  # a draw for each image, not one for the batch
    out.square().sum().backward()
    assert x.grad is not None
    assert (x.grad.flatten(1).abs().sum(1) > 0).all()


@pytest.mark.parametrize("part", AUGMENTATIONS)
def test_gradients_are_those_of_differences_and_do_not_depend_on_the_image(part):
    """Every part is affine in the image: R1's second derivatives pass it by."""
    x, v, u = rand(3, 4, 1, 16, 16)
    x.requires_grad_()
    out = one(x, part)
    (pulled,) = torch.autograd.grad((out * u).sum(), x, create_graph=True)
    pushed = one(x + v, part) - out
    assert (pushed * u).sum().item() == pytest.approx((v * pulled).sum().item(), rel=1e-4)
    assert (
        not pulled.requires_grad
        or not torch.autograd.grad(pulled.sum(), x, allow_unused=True, materialize_grads=True)[
            0
        ].any()
    )


@pytest.mark.parametrize("part", ["translation", "zoom", "flip"])
def test_what_moves_pixels_leaves_a_flat_image_as_it_is(part):
    flat = torch.full((16, 2, 32, 32), 0.3)
    assert torch.allclose(one(flat, part), flat, atol=1e-6)


def test_translation_moves_content_by_whole_pixels_and_reflects():
    x = torch.zeros(128, 1, 32, 32)
    x[:, :, 16, 16] = 1.0
    out = one(x, "translation")
    places = out.flatten(1).argmax(1)
    assert (out.flatten(1).sum(1) == 1).all()
    reach = round(32 * SHIFT)
    for where in (places // 32, places % 32):
        assert (where.min().item(), where.max().item()) == (16 - reach, 16 + reach)
    # A ramp shows what enters: the image's own reflection, without its edge twice.
    ramp = torch.arange(32.0).expand(64, 1, 32, 32)
    rows = one(ramp, "translation")[:, 0, 0]
    padded = F.pad(ramp[:1, :, :1], (reach, reach, 0, 0), mode="reflect").flatten()
    windows = {tuple(padded[i : i + 32].tolist()) for i in range(2 * reach + 1)}
    assert {tuple(row.tolist()) for row in rows} == windows


@pytest.mark.parametrize(("size", "channels"), [(32, 3), (8, 1), (5, 2)])
def test_zoom_is_grid_sampling_with_reflection(size, channels):
    x = rand(40, channels, size, size)
    out = one(x, "zoom")
    factor = ZOOM ** (torch.rand(40, 1, 1, 1, generator=seed()) * 2 - 1).flatten()
    assert factor.min() < 1 / 1.1 < 1.1 < factor.max()
    grid = F.affine_grid(
        torch.eye(2, 3) / factor[:, None, None], [40, channels, size, size], align_corners=True
    )
    expected = F.grid_sample(
        x, grid, mode="bilinear", padding_mode="reflection", align_corners=True
    )
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)


def test_zoom_keeps_the_memory_layout():
    x = rand(4, 3, 16, 16)
    assert one(x, "zoom").is_contiguous()
    last = x.contiguous(memory_format=torch.channels_last)
    assert one(last, "zoom").is_contiguous(memory_format=torch.channels_last)


def test_flip_mirrors_left_and_right_half_of_the_time_and_only_when_asked():
    x = rand(400, 1, 8, 8)
    out = one(x, "flip")
    mirrored = (out == x.flip(3)).flatten(1).all(1)
    assert ((out == x).flatten(1).all(1) ^ mirrored).all()
    assert 160 < mirrored.sum() < 240
    # A left half that is bright stays left under all other parts.
    half = torch.zeros(64, 1, 32, 32)
    half[..., :16] = 1.0
    seen = augment(half, tuple(p for p in AUGMENTATIONS if p != "flip"), 1.0, seed())
    assert (seen[..., :16].mean((1, 2, 3)) > seen[..., 16:].mean((1, 2, 3))).all()


@pytest.mark.parametrize("span", [1.0, 2.0])
def test_brightness_adds_up_to_a_fifth_of_the_range(span):
    x = rand(500, 1, 4, 4) * span
    offset = one(x, "brightness", span) - x
    assert torch.allclose(offset, offset[:, :, :1, :1].expand_as(offset), atol=1e-6)
    low, high = offset.min().item(), offset.max().item()
    assert low == pytest.approx(-BRIGHTNESS * span, rel=0.02)
    assert high == pytest.approx(BRIGHTNESS * span, rel=0.02)


def test_contrast_scales_about_each_images_own_mean():
    x = rand(500, 2, 4, 4)
    out = one(x, "contrast", 2.0)
    mean = x.mean((1, 2, 3), keepdim=True)
    assert torch.allclose(out.mean((1, 2, 3), keepdim=True), mean, atol=1e-6)
    ratio = (out - mean).flatten(1).norm(dim=1) / (x - mean).flatten(1).norm(dim=1)
    assert ratio.min().item() == pytest.approx(1 - CONTRAST, abs=0.01)
    assert ratio.max().item() == pytest.approx(1 + CONTRAST, abs=0.01)


def test_cutout_blanks_one_square_that_may_hang_over_the_edge():
    out = one(torch.ones(300, 2, 32, 32), "cutout")
    assert torch.equal(out[:, 0], out[:, 1])
    for hole in 1 - out[:, 0]:
        rows, columns = hole.any(1), hole.any(0)
        assert torch.equal(hole, torch.outer(rows.float(), columns.float()))
        for side in (rows, columns):
            at = side.nonzero().flatten()
            assert (at.diff() == 1).all()
            assert len(at) == 7 or (4 <= len(at) < 7 and (at[0] == 0 or at[-1] == 31))


# Which parts, how often


def test_parts_come_in_their_order_and_none_changes_nothing():
    x = rand(8, 1, 16, 16)
    assert augment(x, (), 1.0, seed()) is x
    rng = seed()
    expected = augment(augment(x, ("cutout",), 1.0, rng), ("brightness",), 1.0, rng)
    assert torch.equal(augment(x, ("cutout", "brightness"), 1.0, seed()), expected)
    with pytest.raises(ValueError, match="'sepia'"):
        one(x, "sepia")


@pytest.mark.parametrize("part", AUGMENTATIONS)
def test_probability_none_and_all_as_number_and_as_tensor(part):
    x = rand(64, 1, 16, 16)
    assert torch.equal(one(x, part, probability=torch.tensor(0.0)), x)
    always = one(x, part)
    assert torch.equal(one(x, part, probability=1), always)
    assert torch.equal(one(x, part, probability=torch.tensor(1.0)), always)


@pytest.mark.parametrize("p", [0.3, torch.tensor(0.3)])
def test_each_image_gets_each_part_with_the_probability_apart(p):
    x = rand(2000, 1, 8, 8)
    out = augment(x, ("brightness", "contrast"), 1.0, seed(), p)
    mean, spread = x.mean((1, 2, 3)), x.flatten(1).std(1)
    brighter = (out.mean((1, 2, 3)) - mean).abs() > 1e-6
    starker = (out.flatten(1).std(1) / spread - 1).abs() > 1e-5
    for share, expected in (
        (brighter, 0.3), (starker, 0.3), (brighter & starker, 0.09),
    ):  # fmt: skip
        assert share.float().mean().item() == pytest.approx(expected, abs=0.03)


# The view


def view(**changes: Any) -> DiscriminatorInput:
    return DiscriminatorInput(small_config(DATA, **changes), seed())


ADAPTIVE = {"augment_control": "adaptive", "augment_probability": None, "augment_target": 0.6}


def test_a_fixed_probability_is_used_and_never_follows():
    x = rand(1000, 1, 16, 16)
    looking = view(augment="brightness", augment_probability=0.25)
    looking.follow(torch.ones(8))
    assert looking.probability == 0
    changed = (looking.augmented(x) != x).flatten(1).any(1)
    assert changed.float().mean().item() == pytest.approx(0.25, abs=0.05)


def test_brightness_knows_the_output_activations_span():
    x = torch.zeros(500, 1, 4, 4)
    for activation, span in (("tanh", 2), ("sigmoid", 1)):
        out = view(augment="brightness", output_activation=activation).augmented(x)
        assert out.max().item() == pytest.approx(BRIGHTNESS * span, rel=0.02)


def test_adaptive_augmentation_starts_at_never_and_moves_by_the_documented_step():
    looking = view(**ADAPTIVE)
    x = rand(8, 1, 32, 32)
    assert torch.equal(looking.augmented(x), x)
    step = 8 / (ADAPTATION_KIMG * 1000)
    overfits, fits = torch.full((8,), 3.0), torch.tensor([9.0, 9, 9, 9, 9, 9, -0.1, -0.1])
    for _ in range(3):
        looking.follow(overfits)  # mean sign 1
    assert looking.probability.item() == pytest.approx(3 * step, rel=1e-5)
    looking.follow(fits)  # mean sign 0.5, below 0.6
    assert looking.probability.item() == pytest.approx(2 * step, rel=1e-5)
    for _ in range(4):
        looking.follow(-overfits)
    assert looking.probability == 0


def test_adaptive_probability_ends_at_always():
    looking = view(**ADAPTIVE)
    looking.probability.fill_(1 - 1e-6)
    for _ in range(3):
        looking.follow(torch.ones(8, requires_grad=True))
    assert looking.probability == 1
    assert not looking.probability.requires_grad
    x = rand(8, 1, 32, 32)
    again = view(**ADAPTIVE)
    again.probability.fill_(1)
    parts = ("translation", "brightness", "contrast")
    expected = augment(x, parts, 2.0, seed(), torch.tensor(1.0))
    assert torch.equal(again.augmented(x), expected)


@pytest.mark.parametrize(("activation", "span"), [("tanh", 2), ("sigmoid", 1)])
def test_instance_noise_halves_over_its_halflife_on_either_scale(activation, span):
    looking = view(
        instance_noise=0.5, instance_noise_halflife_kimg=1.0, augment="none",
        augment_control=None, augment_probability=None, output_activation=activation,
    )  # fmt: skip
    flat = torch.zeros(64, 1, 32, 32)
    for seen, std in ((0, 0.5), (1000, 0.25), (2000, 0.125)):
        looking.age(seen)
        noise = looking.noisy(flat)
        assert noise.std().item() == pytest.approx(std * span / 2, rel=0.03)
        assert noise.mean().item() == pytest.approx(0, abs=0.01)
    assert looking.augmented(flat) is flat  # for who is spared the noise


def test_without_noise_a_view_adds_none():
    x = rand(4, 1, 32, 32)
    plain = view(augment="none", augment_control=None, augment_probability=None)
    assert torch.equal(plain.noisy(x), x)


def test_noise_lies_on_augmented_images_and_passes_the_gradient():
    looking = view(instance_noise=0.1, instance_noise_halflife_kimg=1.0, augment="translation")
    x = rand(4, 1, 32, 32).requires_grad_()
    looking.noisy(x).sum().backward()
    assert x.grad is not None
    # Reflection counts some pixels twice and others not at all, but loses none of the total.
    assert x.grad.sum().item() == pytest.approx(x.numel(), rel=1e-5)
