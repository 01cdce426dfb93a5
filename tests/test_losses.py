"""Loss formulas by hand values, and the directions in which they pull."""

import math

import pytest
import torch

from trainable.losses import discriminator_loss, generator_loss

LN2 = math.log(2)


def logits(*values: float) -> torch.Tensor:
    return torch.tensor(values, requires_grad=True)


@pytest.mark.parametrize("loss", ["minimax", "non_saturating"])
def test_discriminator_cross_entropy_at_indifference(loss):
    assert discriminator_loss(loss, logits(0.0, 0.0), logits(0.0, 0.0)).item() == pytest.approx(
        2 * LN2
    )


def test_discriminator_cross_entropy_by_hand():
    # s(ln 3) = 3/4: -ln(3/4) for the real one, -ln(1 - 3/4) for the fake one.
    value = discriminator_loss("minimax", logits(math.log(3)), logits(math.log(3)))
    assert value.item() == pytest.approx(-math.log(3 / 4) - math.log(1 / 4))


def test_discriminator_hinge_by_hand():
    # max(0, 1 - 0.5), max(0, 1 - 2); max(0, 1 + 0.5), max(0, 1 - 3)
    value = discriminator_loss("hinge", logits(0.5, 2.0), logits(0.5, -3.0))
    assert value.item() == pytest.approx((0.5 + 0) / 2 + (1.5 + 0) / 2)


def test_generator_losses_by_hand():
    fake = logits(math.log(3))
    assert generator_loss("minimax", fake).item() == pytest.approx(math.log(1 / 4))
    assert generator_loss("non_saturating", fake).item() == pytest.approx(-math.log(3 / 4))
    assert generator_loss("hinge", fake).item() == pytest.approx(-math.log(3))


@pytest.mark.parametrize("loss", ["minimax", "non_saturating", "hinge"])
def test_players_pull_in_opposite_directions(loss):
    real, fake = logits(0.1), logits(-0.1)
    discriminator_loss(loss, real, fake).backward()
    assert real.grad is not None
    assert fake.grad is not None
    assert real.grad.item() < 0 < fake.grad.item()  # descent raises real, lowers fake
    again = logits(-0.1)
    generator_loss(loss, again).backward()
    assert again.grad is not None
    assert again.grad.item() < 0  # descent raises fake


def test_only_the_saturating_loss_goes_flat_where_the_discriminator_wins():
    slopes = {}
    for loss in ("minimax", "non_saturating", "hinge"):
        fake = logits(-10.0)
        generator_loss(loss, fake).backward()
        assert fake.grad is not None
        slopes[loss] = abs(fake.grad.item())
    assert slopes["minimax"] < 1e-4
    assert slopes["non_saturating"] > 0.99
    assert slopes["hinge"] == 1


@pytest.mark.parametrize("loss", ["minimax", "non_saturating", "hinge"])
def test_extreme_logits_stay_finite(loss):
    values = [
        discriminator_loss(loss, logits(-1e4), logits(1e4)),
        generator_loss(loss, logits(-1e4)),
        generator_loss(loss, logits(1e4)),
    ]
    assert all(math.isfinite(v.item()) for v in values)
