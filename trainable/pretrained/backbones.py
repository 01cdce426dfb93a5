"""Frozen pretrained networks whose features a discriminator may stand on, and their weights.

A discriminator on the features that FID is computed on flatters FID: see `shares_features`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spaces.errors import InputError
from spaces.task import Task
from trainable.pretrained.catalog import BACKBONES, WEIGHTS
from trainable.pretrained.extractors import Extractor
from trainable.pretrained.protocol import SHARED
from trainable.pretrained.weights import fill, fold, known_checksum, read_tensors


class Backbone(nn.Module):
    """Images to features at four scales, by a frozen network.

    Attributes:
        name: which network.
        sha256: checksum of its weights file.
        tapped: channels of the features at each scale.
    """

    def __init__(self, name: str, weights: Path, *, unverified: bool = False):
        """Load the weights file `weights`; with `unverified`, whatever its checksum.

        Raises:
            InputError: the file cannot be read, has another checksum, or holds another network.
        """
        super().__init__()
        spec = BACKBONES[name]
        self.name = name
        self.sha256 = known_checksum(
            weights, "--backbone-weights", name, WEIGHTS[name].sha256, unverified=unverified
        )
        whole, tapped = spec.build()
        state = read_tensors(weights, name)
        if name == "xrv-densenet121":
            state.pop("op_threshs", None)  # thresholds, no weights
        fill(whole, state, weights, name)
        whole.eval().requires_grad_(False)
        fold(whole)
        network = tapped()
        network.to(memory_format=torch.channels_last)  # pyright: ignore
        self.network, self.tapped = network, network.tapped
        self._colours = spec.channels
        self.mean: Tensor
        self.deviation: Tensor
        mean, deviation = (torch.tensor(v).view(1, -1, 1, 1) for v in spec.statistics)
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        self.eval()

    def forward(self, x: Tensor, size: int) -> list[Tensor]:
        """Features [B, tapped[i], h_i, w_i], finest first, of images x [B, C, S, S] in [0, 1].

        Images are resized to `size` (bilinear, antialiased where that reduces them). Gradients
        flow to x.
        """
        if x.shape[1] != self._colours:
            x = x.mean(1, keepdim=True) if self._colours == 1 else x.expand(-1, 3, -1, -1)
        if x.shape[2] != size:
            smaller = size < x.shape[2]
            x = F.interpolate(x, size=(size, size), mode="bilinear", antialias=smaller)
        x = (x - self.mean) / self.deviation
        return self.network.taps(x.contiguous(memory_format=torch.channels_last))


def backed_task(task: Task, backbone: Backbone | None) -> Task:
    """`task`, with `backbone` at hand."""
    return replace(task, backbone=backbone.name if backbone else "none")


def shares_features(backbone: str, extractor: str) -> bool:
    """Whether training on `backbone` flatters scores on `extractor`: they are one network.

    torchvision's Inception and that of the original FID are the same network, trained alike.
    """
    return backbone == extractor or (backbone, extractor) == ("inception_v3", "inception")


def scored_protocol(extractor: Extractor, backbone: Backbone | None, *, shared: bool) -> str:
    """The extractor's protocol, marked if the backbone is the same network.

    Raises:
        InputError: it is, and `shared` does not allow it.
    """
    if backbone is None or not shares_features(backbone.name, extractor.name):
        return extractor.protocol
    if not shared:
        raise InputError(
            f"--backbone is {backbone.name}, on which FID is computed too (--features "
            f"{extractor.name}): a discriminator that sees those features flatters FID. Choose "
            "another --backbone or other --features, or allow it with --allow-shared-features, "
            "which marks every score"
        )
    return extractor.protocol + SHARED


def load_backbone(
    name: str, weights: Path | None = None, *, unverified: bool = False
) -> Backbone | None:
    """The backbone for ``--backbone name``; None for ``none``.

    Its weights are the file `weights`, or come from a Python package, the torch hub cache, or a
    download into that cache.

    Raises:
        InputError: unknown name, a wrong weights file, or weights that cannot be had.
    """
    if name != "none" and name not in BACKBONES:
        raise InputError(f"--backbone is {name!r}, but must be one of none, {', '.join(BACKBONES)}")
    if name == "none":
        if weights is not None:
            raise InputError(f"--backbone-weights is {weights}, but --backbone is none")
        return None
    if weights is not None:
        return Backbone(name, weights, unverified=unverified)
    with WEIGHTS[name].at_hand("--backbone", "efficientnet-lite1") as path:
        return Backbone(name, path)
