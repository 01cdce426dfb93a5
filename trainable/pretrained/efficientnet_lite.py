"""EfficientNet-Lite0 to Lite2 (Tan and Le 2019, the variants without squeeze-and-excitation).

Parameter names are those of the published ImageNet weights. Padding follows TensorFlow's SAME: more
on the right and below where it is uneven. It depends on the side, and is not that of a network made
for 224 pixels where an odd side is halved, as Lite1's own 240 and Lite2's 260 come to be.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from trainable.pretrained.convolve import convolve

_STAGES = (
    # kernel, stride, expansion, channels, repeats
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_SCALES = ((1.0, 1.0), (1.0, 1.1), (1.1, 1.2))
"""Multiples of channels and of repeats, by variant; the stem and the head stay as they are."""
_ENDS = (1, 2, 4, 6)
"""Stages after which the grid is about to shrink, or the network ends."""


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class _Block(nn.Module):
    """Inverted bottleneck: expand 1x1, depthwise, project 1x1; a shortcut where shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        wide = inputs * expansion
        self.expands = expansion > 1
        if self.expands:
            self._expand_conv = nn.Conv2d(inputs, wide, 1, bias=False)
            self._bn0 = _norm(wide)
        self._depthwise_conv = nn.Conv2d(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = _norm(wide)
        self._project_conv = nn.Conv2d(wide, outputs, 1, bias=False)
        self._bn2 = _norm(outputs)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        h = convolve(x, self._expand_conv, self._bn0, "relu6") if self.expands else x
        h = convolve(h, self._depthwise_conv, self._bn1, "relu6", same=True)
        h = convolve(h, self._project_conv, self._bn2)
        return h + x if self.shortcut else h


class Lite(nn.Module):
    """Features [n, 1280] of normalised images [n, 3, 224, 224].

    Attributes:
        tapped: channels of the features that `taps` gives.
    """

    def __init__(self, variant: int = 0):
        super().__init__()
        width, depth = _SCALES[variant]
        self._conv_stem = nn.Conv2d(3, 32, 3, 2, bias=False)
        self._bn0 = _norm(32)
        self._blocks = nn.ModuleList()
        self._ends: list[int] = []
        tapped: list[int] = []
        channels = 32
        for stage, (kernel, stride, expansion, outputs, repeats) in enumerate(_STAGES):
            wide = _scaled(outputs, width)
            if stage not in (0, len(_STAGES) - 1):
                repeats = math.ceil(repeats * depth)
            for repeat in range(repeats):
                block = _Block(channels, wide, kernel, 1 if repeat else stride, expansion)
                self._blocks.append(block)
                channels = wide
            if stage in _ENDS:
                self._ends.append(len(self._blocks) - 1)
                tapped.append(wide)
        self.tapped = tuple(tapped)
        self._conv_head = nn.Conv2d(channels, 1280, 1, bias=False)
        self._bn1 = _norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def _stem(self, x: Tensor) -> Tensor:
        return convolve(x, self._conv_stem, self._bn0, "relu6", same=True)

    def forward(self, x: Tensor) -> Tensor:
        """Average-pooled output of the last convolution."""
        x = self._stem(x)
        for block in self._blocks:
            x = block(x)
        return convolve(x, self._conv_head, self._bn1, "relu6").mean((2, 3))

    def taps(self, x: Tensor) -> list[Tensor]:
        """Features on the grids of 1/4, 1/8, 1/16 and 1/32 of the side."""
        x, found = self._stem(x), []
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in self._ends:
                found.append(x)
        return found

    def logits(self, features: Tensor) -> Tensor:
        """ImageNet class scores [n, 1000] of features [n, 1280]."""
        return self._fc(features)


def _scaled(channels: int, width: float) -> int:
    """Channels in the scaled network: a multiple of 8 that loses no more than a tenth."""
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded
