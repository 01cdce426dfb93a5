"""The classifiers: one small network, and published ones whose last layer is made anew.

small_cnn is for a few hundred images and one CPU core. resnet18 (He et al. 2016), densenet121
(Huang et al. 2017) and vgg11 (Simonyan and Zisserman 2015) are torchvision's; efficientnet-lite0
(Tan and Le 2019) is the one of this project. They may start from their ImageNet weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models

from spaces.errors import InputError
from trainable.pretrained.catalog import HALF, IMAGENET, WEIGHTS, Statistics
from trainable.pretrained.efficientnet_lite import Lite
from trainable.pretrained.weights import fill, known_checksum, read_tensors

CLASSIFIERS = ("small_cnn", "resnet18", "densenet121", "vgg11", "efficientnet-lite0")

_FLAG = "--classifier"
_WIDTHS = (16, 32, 64, 128)  # of small_cnn: 98,000 parameters
_DROPOUT = 0.3  # in small_cnn
_LITE_DROPOUT = 0.2  # what EfficientNet-Lite0 was trained with


class Classifier(nn.Module):
    """A network behind the scaling of its input.

    Attributes:
        network: from normalised images to logits.
    """

    def __init__(self, network: nn.Module, colours: int, statistics: Statistics):
        """`network` sees `colours` channels, less `statistics`' mean, over its deviation."""
        super().__init__()
        # A quarter less time on a CPU than the other layout.
        self.network = network.to(memory_format=torch.channels_last)  # pyright: ignore
        self._colours = colours
        self.mean: Tensor
        self.deviation: Tensor
        mean, deviation = (torch.tensor(v).view(1, -1, 1, 1) for v in statistics)
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [n, classes] of images x [n, C, S, S] in 0 to 1; grey ones are repeated."""
        return self.network((x.expand(-1, self._colours, -1, -1) - self.mean) / self.deviation)


class _LiteNet(Lite):
    """EfficientNet-Lite0 up to its logits."""

    def forward(self, x: Tensor) -> Tensor:
        """Logits [n, classes] of normalised images [n, 3, S, S]."""
        return self.logits(F.dropout(super().forward(x), _LITE_DROPOUT, self.training))


@dataclass(frozen=True)
class _Spec:
    """A published network: how it is built for ImageNet, its last layer, and what it sees."""

    build: Callable[[], nn.Module]
    last: str
    statistics: Statistics


_SPECS = {
    "resnet18": _Spec(models.resnet18, "fc", IMAGENET),
    "densenet121": _Spec(models.densenet121, "classifier", IMAGENET),
    "vgg11": _Spec(models.vgg11, "classifier.6", IMAGENET),
    "efficientnet-lite0": _Spec(_LiteNet, "_fc", HALF),
}


def build(
    name: str, channels: int, classes: int, weights: Mapping[str, Tensor] | None = None
) -> Classifier:
    """The classifier `name`, in training mode, drawn from torch's global generator.

    Args:
        name: one of `CLASSIFIERS`.
        channels: 1 or 3, of the images that it is to see, S x S pixels from 32 to 256.
        classes: length of its logits.
        weights: what `load_weights` gives: copied into all layers but the last.

    Raises:
        InputError: unknown name, or `weights` for small_cnn.
    """
    _check_name(name)
    if name == "small_cnn":
        if weights is not None:
            raise InputError(_no_weights())
        return Classifier(_small_cnn(channels, classes), channels, HALF)
    spec = _SPECS[name]
    network = spec.build()
    if weights is not None:
        network.load_state_dict(weights)
    last = network.get_submodule(spec.last)
    assert isinstance(last, nn.Linear)
    parent, _, child = spec.last.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Linear(last.in_features, classes))
    return Classifier(network, 3, spec.statistics)


def load_weights(
    name: str, file: Path | None, *, unverified: bool = False
) -> tuple[Mapping[str, Tensor], str]:
    """ImageNet weights of the whole network `name`, and one line that says where they are from.

    They are `file`, with `unverified` whatever its checksum, or come from a Python package, the
    torch hub cache, or a download into that cache.

    Raises:
        InputError: unknown name, a network without published weights, a wrong weights file, or
            weights that cannot be had.
    """
    _check_name(name)
    if name == "small_cnn":
        raise InputError(_no_weights())
    published = WEIGHTS[name]
    if file is not None:
        state, known = _read(name, file, unverified)
        return state, f"classifier: {name}, {'' if known else 'unverified '}weights {file}"
    with published.at_hand(_FLAG, "efficientnet-lite0") as path:
        state, _ = _read(name, path, False)
        if published.packaged:
            return state, f"classifier: {name} (ImageNet weights from its package)"
        return state, f"classifier: {name}, weights {path}"


def _read(name: str, path: Path, unverified: bool) -> tuple[Mapping[str, Tensor], bool]:
    """The state dict in a file, held against the network, and whether it is the known one."""
    spec = _SPECS[name]
    start = WEIGHTS[name].sha256
    sha256 = known_checksum(path, f"{_FLAG}-weights", name, start, unverified=unverified)
    with torch.device("meta"):  # no memory and no draws, just names and shapes
        network = spec.build()
    fill(network, read_tensors(path, name), path, name, assign=True)
    return network.state_dict(), sha256.startswith(start)


def _check_name(name: str) -> None:
    if name not in CLASSIFIERS:
        names = ", ".join(CLASSIFIERS)
        raise InputError(f"{_FLAG} is {name!r}, but must be one of {names}")


def _no_weights() -> str:
    return (
        f"{_FLAG} is small_cnn, of which there are no published weights; train it from scratch, "
        f"or choose one of {', '.join(_SPECS)}"
    )


def _small_cnn(channels: int, classes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for into, out in pairwise((channels, *_WIDTHS)):
        conv = nn.Conv2d(into, out, 3, 2, 1, bias=False)
        layers += [conv, nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(_DROPOUT)]
    return nn.Sequential(*layers, nn.Linear(_WIDTHS[-1], classes))
