"""Loss formulas by hand values, the directions in which they pull, and gradient penalties."""

import math

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.toys import make_data, small_config
from trainable.gan.config import ACTIVATIONS
from trainable.gan.losses import discriminator_loss, generator_loss, squared_gradient
from trainable.gan.networks import Discriminator

LN2 = math.log(2)
LOSSES = ("minimax", "non_saturating", "hinge", "relativistic")


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


def test_relativistic_by_hand_in_pairs():
    # Differences of ln 3 and 0: s = 3/4 and 1/2.
    real, fake = logits(math.log(3) + 5, -7.0), logits(5.0, -7.0)
    expected = (-math.log(3 / 4) - math.log(1 / 2)) / 2
    assert discriminator_loss("relativistic", real, fake).item() == pytest.approx(expected)
    # For the generator the same, its own side first: 1 - 3/4 and 1/2.
    expected = (-math.log(1 / 4) - math.log(1 / 2)) / 2
    assert generator_loss("relativistic", fake, real).item() == pytest.approx(expected)


def test_the_relativistic_loss_sees_differences_alone():
    real, fake = logits(0.3, -1.2), logits(2.0, 0.4)
    for f in (
        lambda c: discriminator_loss("relativistic", real + c, fake + c),
        lambda c: generator_loss("relativistic", fake + c, real + c),
    ):
        assert f(0).item() == pytest.approx(f(11).item(), rel=1e-5)


def test_generator_losses_by_hand():
    fake = logits(math.log(3))
    assert generator_loss("minimax", fake).item() == pytest.approx(math.log(1 / 4))
    assert generator_loss("non_saturating", fake).item() == pytest.approx(-math.log(3 / 4))
    assert generator_loss("hinge", fake).item() == pytest.approx(-math.log(3))


@pytest.mark.parametrize("loss", LOSSES)
def test_players_pull_in_opposite_directions(loss):
    real, fake = logits(0.1), logits(-0.1)
    discriminator_loss(loss, real, fake).backward()
    assert real.grad is not None
    assert fake.grad is not None
    assert real.grad.item() < 0 < fake.grad.item()  # descent raises real, lowers fake
    again = logits(-0.1)
    generator_loss(loss, again, logits(0.1)).backward()
    assert again.grad is not None
    assert again.grad.item() < 0  # descent raises fake


def test_only_the_saturating_loss_goes_flat_where_the_discriminator_wins():
    slopes = {}
    for loss in LOSSES:
        fake = logits(-10.0)
        generator_loss(loss, fake, logits(10.0)).backward()
        assert fake.grad is not None
        slopes[loss] = abs(fake.grad.item())
    assert slopes["minimax"] < 1e-4
    assert min(slopes["non_saturating"], slopes["relativistic"]) > 0.99
    assert slopes["hinge"] == 1


@pytest.mark.parametrize("loss", LOSSES)
def test_extreme_logits_stay_finite(loss):
    for sign in (-1, 1):
        real, fake = logits(sign * 1e4), logits(-sign * 1e4)
        values = [discriminator_loss(loss, real, fake), generator_loss(loss, fake, real)]
        torch.stack(values).sum().backward()
        assert real.grad is not None
        assert fake.grad is not None
        assert all(math.isfinite(t.item()) for t in (*values, real.grad, fake.grad))


# Gradient penalties


def images(n: int = 3, channels: int = 2, size: int = 4) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randn(n, channels, size, size, generator=rng).requires_grad_()


def test_squared_gradient_of_a_linear_discriminator():
    """D(x) = <w, x> + b has gradient w everywhere: ||w||^2, whose own gradient is 2 w."""
    x, linear = images(), nn.Linear(32, 1)
    value = squared_gradient(linear(x.flatten(1)).squeeze(1), x)
    assert value.item() == pytest.approx(linear.weight.square().sum().item(), rel=1e-6)
    value.backward()
    assert linear.weight.grad is not None
    assert torch.allclose(linear.weight.grad, 2 * linear.weight)


def test_squared_gradient_of_a_quadratic_discriminator():
    """D(x) = a ||x||^2 / 2 has gradient a x: a^2 times the mean squared norm."""
    x, a = images(), torch.tensor(1.5, requires_grad=True)
    norms = x.detach().square().sum(dim=(1, 2, 3))
    value = squared_gradient(a * x.square().sum(dim=(1, 2, 3)) / 2, x)
    assert value.item() == pytest.approx(1.5**2 * norms.mean().item(), rel=1e-6)
    value.backward()
    assert a.grad is not None
    assert a.grad.item() == pytest.approx(2 * 1.5 * norms.mean().item(), rel=1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", ["none", "spectral"])
def test_squared_gradient_is_that_of_a_loop_for_every_discriminator(activation, norm):
    """In double precision, against one image at a time, and by differences of the weights."""
    data = make_data(channels=3, size=16)
    slope = 0.2 if activation == "leaky_relu" else None
    changes = {"activation": activation, "leaky_slope": slope, "d_norm": norm, "d_width": 2}
    config = small_config(data, d_depth=2, d_residuals=1, **changes)
    torch.manual_seed(0)
    D = Discriminator(config, data.task).double().eval()  # eval: no more power iterations
    x, y = images(4, 3, 16).detach().double().requires_grad_(), torch.eye(2).repeat(2, 1).double()
    value = squared_gradient(D(x, y), x)
    loop = []
    for one, label in zip(x.detach(), y, strict=True):
        single = one[None].clone().requires_grad_()
        D(single, label[None]).backward()
        assert single.grad is not None
        loop.append(single.grad.square().sum().item())
    assert value.item() == pytest.approx(sum(loop) / 4, rel=1e-9)

    D.zero_grad()
    value.backward()
    weight = next(p for n, p in D.named_parameters() if n.startswith("blocks.0") and p.dim() == 4)
    assert weight.grad is not None
    gradient, step = weight.grad.clone(), 1e-6
    toward = gradient / gradient.norm()
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            weight += sign * step * toward
        ends.append(squared_gradient(D(x, y), x).item())
        with torch.no_grad():
            weight -= sign * step * toward
    slope_found = (ends[0] - ends[1]) / (2 * step)
    # Kinks of a piecewise linear D may lie inside the step, but seldom do.
    assert slope_found == pytest.approx(gradient.norm().item(), rel=1e-4)
