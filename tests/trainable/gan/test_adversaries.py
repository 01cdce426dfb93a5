"""The discriminators as players: what an update learns from, and whom the verdict reaches."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.helpers.toys import make_data, small_config
from trainable.gan.adversaries import PixelAdversary
from trainable.gan.discriminator_input import ADAPTATION_KIMG, DiscriminatorInput
from trainable.gan.losses import discriminator_loss, generator_loss, squared_gradient
from trainable.gan.networks import Discriminator

DATA = make_data()
PLAIN = {"augment": "none", "augment_control": None, "augment_probability": None}
UNPENALISED = {"penalty": "none", "penalty_weight": None, "penalty_interval": None}
LOSSES = ("minimax", "non_saturating", "hinge", "relativistic")


def pixel(**changes: Any) -> PixelAdversary:
    """On what it is given as it is, unless told otherwise."""
    config = small_config(DATA, **{**PLAIN, **UNPENALISED, "d_depth": 2, **changes})
    torch.manual_seed(0)
    view = DiscriminatorInput(config, torch.Generator().manual_seed(0))
    return PixelAdversary(config, Discriminator(config, DATA.task), view)


def batch(n: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1)
    real, fake = torch.randn(2, n, 1, 32, 32, generator=rng)
    return real, fake + 0.5, torch.eye(2)[torch.arange(n) % 2]


def gradients(adversary: PixelAdversary, step: int = 0) -> list[Tensor]:
    """What an update at that step would move the weights by; it moves none."""
    adversary.optimizer.step = lambda *a, **k: None  # type: ignore[method-assign]
    adversary.update(*batch(), adversary.phase(step))
    found = [w.grad for w in adversary.network.parameters()]
    return [g.clone() for g in found if g is not None]


def expected_gradients(adversary: PixelAdversary, r1: float, r2: float) -> list[Tensor]:
    """Of the loss and of `r1`, `r2` times the squared gradients, by hand."""
    D, (real, fake, y) = adversary.network, batch()
    real.requires_grad_()
    fake.requires_grad_()
    of_real, of_fake = D(real, y), D(fake, y)
    loss = discriminator_loss(adversary.loss, of_real, of_fake)
    loss = loss + r1 * squared_gradient(of_real, real) + r2 * squared_gradient(of_fake, fake)
    return list(torch.autograd.grad(loss, list(D.parameters())))


def assert_all_close(found: list[Tensor], expected: list[Tensor]) -> None:
    assert len(found) == len(expected)
    largest = max(float(b.abs().max()) for b in expected)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5 * largest)


# Updates


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_an_update_learns_the_loss_and_reports_it_as_it_was(loss, norm):
    """Batch statistics are each half's own; without them, one pass over both is the same."""
    adversary = pixel(loss=loss, d_norm=norm)
    real, fake, y = batch()
    D = copy.deepcopy(adversary.network)
    of_real, of_fake = D(real, y), D(fake, y)
    expected = [discriminator_loss(loss, of_real, of_fake), of_real.mean(), of_fake.mean()]
    assert_all_close(gradients(adversary), expected_gradients(adversary, 0, 0))
    adversary = pixel(loss=loss, d_norm=norm)
    told = adversary.update(real, fake, y, adversary.phase(0))
    torch.testing.assert_close(told, torch.stack(expected).detach(), rtol=1e-4, atol=1e-5)
    assert not told.requires_grad
    again = discriminator_loss(loss, adversary.network(real, y), adversary.network(fake, y))
    assert again < expected[0]


def test_mixed_batch_statistics_would_have_been_seen():
    """The test above tells the two apart: fakes that differ from reals are far from them."""
    real, fake, y = batch()
    D = pixel(d_norm="batch").network
    apart = torch.cat([D(real, y), D(fake, y)])
    together = D(torch.cat([real, fake]), torch.cat([y, y]))
    assert (apart - together).abs().max() > 0.1 * apart.abs().max()


@pytest.mark.parametrize(
    ("norm", "penalty"), [("none", "r1"), ("none", "r1+r2"), ("batch", "none")]
)
def test_an_update_leaves_the_generators_side_alone(norm, penalty):
    lazy = {} if penalty == "none" else {"penalty_weight": 1.0, "penalty_interval": 1}
    without = {} if lazy else {"penalty_weight": None, "penalty_interval": None}
    adversary = pixel(d_norm=norm, penalty=penalty, **lazy, **without)
    real, fake, y = batch()
    source = fake.clone().requires_grad_()
    grown = source * 1
    adversary.update(real, grown, y, adversary.phase(0))
    assert source.grad is None
    assert not real.requires_grad
    grown.sum().backward()  # its way back is still there
    assert source.grad is not None


# Penalties


@pytest.mark.parametrize(("penalty", "kinds"), [("r1", (1, 0)), ("r1+r2", (1, 1))])
@pytest.mark.parametrize("interval", [1, 4])
@pytest.mark.parametrize("loss", ["non_saturating", "relativistic"])
def test_a_penalty_weighs_as_many_times_more_in_the_steps_it_is_due(penalty, kinds, interval, loss):
    """Gamma / 2 in every step, on average over an interval: lazy regularisation."""
    adversary = pixel(
        loss=loss, penalty=penalty, penalty_weight=0.6, penalty_interval=interval, d_residuals=1
    )
    r1, r2 = (0.3 * kind for kind in kinds)
    due = expected_gradients(adversary, r1 * interval, r2 * interval)
    off = expected_gradients(adversary, 0, 0)
    found = [gradients(adversary, step) for step in range(2 * interval)]
    for step, gradient in enumerate(found):
        assert_all_close(gradient, off if step % interval else due)
    mean = [torch.stack(parts).mean(0) for parts in zip(*found, strict=True)]
    assert_all_close(mean, expected_gradients(adversary, r1, r2))


def test_without_a_penalty_the_images_need_no_gradient(monkeypatch):
    seen = []
    adversary = pixel(penalty="r1", penalty_weight=1.0, penalty_interval=2)
    adversary.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    adversary.update(*batch(), adversary.phase(1))
    assert [(len(x), x.requires_grad) for x in seen] == [(16, False)]  # one pass over both
    adversary.update(*batch(), adversary.phase(2))
    assert (len(seen[1]), seen[1].requires_grad) == (8, True)


def test_a_penalty_flattens_the_discriminator():
    slopes = []
    for weight in (1e-6, 30.0):
        adversary = pixel(penalty="r1", penalty_weight=weight, penalty_interval=1)
        real, fake, y = batch()
        for step in range(30):
            adversary.update(real, fake, y, adversary.phase(step))
        real.requires_grad_()
        slopes.append(squared_gradient(adversary.network(real, y), real).item())
    assert slopes[1] < 0.2 * slopes[0]


# Verdicts


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("norm", ["none", "spectral", "batch"])
def test_the_verdicts_gradient_reaches_the_fakes_and_nothing_else(loss, norm):
    adversary = pixel(loss=loss, d_norm=norm, d_residuals=1)
    real, fake, y = batch()
    real.requires_grad_()
    fake.requires_grad_()
    D = copy.deepcopy(adversary.network)  # spectral norm takes a step at each call
    of_real = D(real, y).detach() if loss == "relativistic" else None
    expected = generator_loss(loss, D(fake, y), of_real)
    verdict = adversary.judge(real, fake, y)
    torch.testing.assert_close(verdict, expected)
    verdict.backward()
    (wanted,) = torch.autograd.grad(expected, fake)
    assert fake.grad is not None
    torch.testing.assert_close(fake.grad, wanted)
    assert real.grad is None
    assert all(w.grad is None and w.requires_grad for w in adversary.network.parameters())


def test_after_a_verdict_an_update_still_learns():
    adversary = pixel()
    real, fake, y = batch()
    adversary.judge(real, fake, y)
    before = [w.clone() for w in adversary.network.parameters()]
    adversary.update(real, fake, y, adversary.phase(0))
    assert not any(torch.equal(a, b) for a, b in
                   zip(before, adversary.network.parameters(), strict=True))  # fmt: skip


def test_fakes_are_not_overwritten_on_the_way():
    """Augmentations, activations in place, the resizing: none writes into what it was given."""
    adversary = pixel(augment="none", activation="relu", leaky_slope=None)
    real, fake, y = batch()
    kept = real.clone(), fake.clone()
    adversary.update(real, fake, y, adversary.phase(0))
    adversary.judge(real, fake, y)
    assert torch.equal(real, kept[0])
    assert torch.equal(fake, kept[1])


# What it sees


def test_noise_lies_on_all_that_it_sees_and_decays():
    adversary = pixel(instance_noise=0.5, instance_noise_halflife_kimg=1.0)
    seen: list[Tensor] = []
    adversary.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    y = torch.eye(2)[torch.arange(32) % 2]
    flat = torch.zeros(32, 1, 32, 32)
    adversary.update(flat, flat, y, adversary.phase(0))
    adversary.view.age(2000)
    adversary.judge(flat, flat, y)
    assert [x.std().item() for x in seen] == pytest.approx([0.5, 0.125], rel=0.03)


def test_adaptive_augmentation_follows_the_reals_at_every_update():
    adversary = pixel(
        augment="translation",
        augment_control="adaptive",
        augment_target=0.5,
        augment_probability=None,
    )
    real, fake, y = batch()
    with torch.no_grad():
        adversary.network.head.weight.zero_()
        adversary.network.head.bias.fill_(50.0)  # all logits positive: reals and fakes alike
    for k in range(1, 4):
        adversary.update(real, fake, y, adversary.phase(k))
        assert adversary.view.probability.item() == pytest.approx(k * 8 / (ADAPTATION_KIMG * 1000))
    with torch.no_grad():
        adversary.network.head.bias.fill_(-50.0)
    adversary.update(real, fake, y, adversary.phase(0))
    assert adversary.view.probability.item() == pytest.approx(2 * 8 / (ADAPTATION_KIMG * 1000))


def test_it_is_always_due_at_its_share_of_the_generators_rate():
    adversary = pixel(g_lr=2e-3, lr_ratio=1.5)
    assert all(adversary.phase(step) is not None for step in range(5))
    assert adversary.lr == pytest.approx(3e-3)
    assert adversary.optimizer.param_groups[0]["lr"] == pytest.approx(3e-3)
