"""The discriminator on a backbone's features: what it learns, and what stays as it was."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from spaces.presets import backed
from spaces.task import Task
from tests.helpers.toys import make_data, small_config
from trainable.gan.adversaries import BackboneAdversary
from trainable.gan.backbone_discriminator import BackboneDiscriminator
from trainable.gan.config import TrialConfig
from trainable.gan.losses import discriminator_loss
from trainable.pretrained.backbones import Backbone, load_backbone

DATA = make_data()
LITE = "efficientnet-lite1"
PLAIN = {"augment": "none", "augment_control": None, "augment_probability": None}


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    found = load_backbone(LITE)
    assert found is not None
    return found


def backed_config(**changes: Any) -> TrialConfig:
    small = {"backbone_size": 32, "backbone_channels": 6, "backbone_width": 5}
    return small_config(DATA, **{**backed(Task(32, 1, 2, 40, LITE)), **small, **PLAIN, **changes})


def heads_of(backbone: Backbone, classes: int = 2, **changes: Any) -> BackboneDiscriminator:
    torch.manual_seed(0)
    return BackboneDiscriminator(backed_config(**changes), Task(32, 1, classes, 40), backbone)


def player(backbone: Backbone, **changes: Any) -> BackboneAdversary:
    config = backed_config(**changes)
    heads = heads_of(backbone, **changes)
    heads.calibrate(torch.tensor(DATA.images))
    return BackboneAdversary(config, heads)


def batch(n: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    real = torch.tensor(DATA.images[:n]).float() / 127.5 - 1
    fake = torch.randn(n, 1, 32, 32, generator=torch.Generator().manual_seed(1)).tanh()
    return real, fake, torch.eye(2)[torch.arange(n) % 2]


def kept(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


# The network


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_logits_at_every_place_of_every_scale(backbone, classes):
    heads = heads_of(backbone, classes)
    y = torch.eye(classes)[torch.arange(3) % classes]
    logits = heads(torch.rand(3, 1, 32, 32), y)
    assert [tuple(scale.shape) for scale in logits] == [(3, 64), (3, 16), (3, 4), (3, 1)]
    if classes > 1:
        for one, other in zip(logits, heads(torch.rand(3, 1, 32, 32), y.flip(1)), strict=True):
            assert not torch.allclose(one, other)


def test_the_class_and_only_the_images_own_class_matters(backbone):
    heads = heads_of(backbone).eval()
    x, y = torch.rand(3, 1, 32, 32), torch.eye(2)[[0, 1, 0]]
    before, after = heads(x, y), heads(x, torch.eye(2)[[1, 1, 0]])
    for a, b in zip(before, after, strict=True):
        changed = [not torch.allclose(p, q, atol=1e-5) for p, q in zip(a, b, strict=True)]
        assert changed == [True, False, False]


@pytest.mark.parametrize("images", [DATA.images, make_data(100).images])
@pytest.mark.parametrize("projection", ["random", "learned"])
def test_calibrated_features_of_reals_have_mean_square_one(backbone, images, projection):
    heads = heads_of(backbone, backbone_projection=projection)
    pixels = torch.tensor(images)
    heads.calibrate(pixels)
    features = backbone(pixels[:: -(-len(pixels) // 64)].float() / 255, 32)
    for mix, found in zip(heads.mixes, features, strict=True):
        assert mix(found).square().mean().item() == pytest.approx(1, rel=1e-4)
        assert mix.weight.requires_grad == (projection == "learned")


def test_the_state_dict_holds_nothing_of_the_backbone(backbone):
    heads = heads_of(backbone)
    assert {name.split(".")[0] for name in heads.state_dict()} == {
        "mixes", "hidden", "heads", "embeds",
    }  # fmt: skip
    assert {id(t) for t in heads.parameters()}.isdisjoint(id(t) for t in backbone.parameters())
    assert len(heads.mixes) == len(backbone.tapped) == 4
    heads.train().requires_grad_(True)
    assert not any(w.requires_grad for w in backbone.parameters())
    assert not any(module.training for module in backbone.modules())


def test_losses_are_hinge_losses_summed_over_scales(backbone):
    heads = heads_of(backbone)
    real = [torch.tensor([[0.5, 2.0]]), torch.tensor([[-1.0]])]
    fake = [torch.tensor([[0.5, -3.0]]), torch.tensor([[-0.25]])]
    # max(0, 1 - real) and max(0, 1 + fake): means of (0.5, 0) and (1.5, 0), then 2 and 0.75.
    assert heads.d_loss(real, fake).item() == pytest.approx(0.25 + 0.75 + 2 + 0.75)
    assert heads.g_loss(fake).item() == pytest.approx(1.25 + 0.25)


# The player


def test_it_takes_part_in_every_intervalth_step(backbone):
    adversary = player(backbone, backbone_interval=4)
    assert [step for step in range(10) if adversary.phase(step) is not None] == [0, 4, 8]
    assert adversary.lr == adversary.optimizer.param_groups[0]["lr"] == 5e-4


@pytest.mark.parametrize("projection", ["random", "learned"])
def test_an_update_moves_what_is_learned_and_never_the_backbone(backbone, projection):
    adversary = player(backbone, backbone_projection=projection)
    frozen, heads = kept(backbone), kept(adversary.network)
    real, fake, y = batch()
    losses = [adversary.update(real, fake, y, 0)[0].item() for step in range(15)]
    assert losses[-1] < losses[0]
    assert all(torch.equal(frozen[n], t) for n, t in backbone.state_dict().items())
    assert not any(module.training for module in backbone.modules())
    assert all(w.grad is None for w in backbone.parameters())
    now = dict(adversary.network.named_parameters())
    fixed = {n for n, w in now.items() if w.dim() > 1 and torch.equal(heads[n], w)}
    assert fixed == ({f"mixes.{i}.weight" for i in range(4)} if projection == "random" else set())


def test_an_update_reports_loss_and_mean_logits_as_they_were(backbone):
    adversary = player(backbone)
    heads, (real, fake, y) = copy.copy(adversary.network).eval(), batch()  # no power iteration
    logits = [heads(x / 2 + 0.5, y) for x in (real, fake)]
    expected = sum(discriminator_loss("hinge", r, f) for r, f in zip(*logits, strict=True))
    means = [torch.cat(side, 1).mean() for side in logits]
    told = adversary.update(real, fake, y, 0)
    torch.testing.assert_close(told, torch.stack([torch.as_tensor(expected), *means]).detach(),
                               rtol=1e-3, atol=1e-4)  # fmt: skip
    assert not told.requires_grad


@pytest.mark.parametrize("role", ["auxiliary", "only"])
@pytest.mark.parametrize("projection", ["random", "learned"])
def test_the_verdict_is_weighted_and_reaches_the_fakes_and_nothing_else(backbone, role, projection):
    only = {"backbone_role": "only", "backbone_interval": None, "backbone_weight": None}
    own_d = (
        "d_depth", "d_width", "d_residuals", "d_norm", "d_conditioning", "loss", "penalty",
        "penalty_weight", "penalty_interval", "lr_ratio",
    )  # fmt: skip
    changes = only | dict.fromkeys(own_d) if role == "only" else {"backbone_weight": 2.5}
    adversary = player(backbone, backbone_projection=projection, **changes)
    assert (adversary.phase(1) is not None) == (role == "only")
    adversary.network.eval()  # no power iteration
    real, fake, y = batch()
    real.requires_grad_()
    fake.requires_grad_()
    weight = 1 if role == "only" else 2.5
    expected = -weight * sum(s.mean() for s in adversary.network(fake / 2 + 0.5, y))
    (wanted,) = torch.autograd.grad(torch.as_tensor(expected), fake)
    verdict = adversary.judge(real, fake, y)
    torch.testing.assert_close(verdict, torch.as_tensor(expected))
    verdict.backward()
    assert fake.grad is not None
    torch.testing.assert_close(fake.grad, wanted)
    assert real.grad is None
    network = adversary.network
    assert all(w.grad is None for w in (*network.parameters(), *backbone.parameters()))
    # Afterwards what is learned, and only that, is learned again.
    moving = {n.split(".")[0] for n, w in network.named_parameters() if w.requires_grad}
    learned = {"mixes"} if projection == "learned" else set()
    assert moving == {"hidden", "heads", "embeds"} | learned


def test_an_update_leaves_the_generators_side_alone(backbone):
    adversary, (real, fake, y) = player(backbone), batch()
    source = fake.clone().requires_grad_()
    grown = source * 1
    adversary.update(real, grown, y, 0)
    assert source.grad is None
    grown.sum().backward()
    assert source.grad is not None


@pytest.mark.parametrize(("activation", "low", "high"), [("tanh", -1, 1), ("sigmoid", 0, 1)])
def test_it_sees_images_from_zero_to_one_without_noise(backbone, activation, low, high):
    adversary = player(
        backbone, output_activation=activation, instance_noise=0.5,
        instance_noise_halflife_kimg=1.0,
    )  # fmt: skip
    x = torch.linspace(low, high, 32).expand(2, 1, 32, 32)
    assert torch.allclose(adversary._seen(x), torch.linspace(0, 1, 32).expand_as(x), atol=1e-6)


def test_heads_stay_spectrally_normalised(backbone):
    adversary, (real, fake, y) = player(backbone), batch()
    for _ in range(30):
        adversary.update(real, fake, y, 0)
    network = adversary.network
    for layer in (*network.hidden, *network.heads, *network.embeds):
        largest = torch.linalg.matrix_norm(torch.as_tensor(layer.weight).flatten(1), 2).item()
        assert largest == pytest.approx(1, abs=0.05)
