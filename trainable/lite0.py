"""EfficientNet-Lite0 (Tan and Le 2019, the variant without squeeze-and-excitation).

Parameter names are those of the published ImageNet weights. Padding follows TensorFlow's SAME,
computed for 224-pixel input: more on the right and below where a stride of 2 leaves it uneven.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

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


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


def _same(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """`conv` of x with SAME padding for an even side: kernel - stride, the smaller part first."""
    total = max(conv.kernel_size[0] - conv.stride[0], 0)
    if total % 2 == 0:
        return F.conv2d(x, conv.weight, conv.bias, conv.stride, total // 2, 1, conv.groups)
    before, after = total // 2, total - total // 2
    return conv(F.pad(x, (before, after, before, after)))


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
        h = F.relu6(self._bn0(self._expand_conv(x)), inplace=True) if self.expands else x
        h = F.relu6(self._bn1(_same(h, self._depthwise_conv)), inplace=True)
        h = self._bn2(self._project_conv(h))
        return h + x if self.shortcut else h


class Lite0(nn.Module):
    """Features [n, 1280] of normalised images [n, 3, 224, 224]."""

    def __init__(self):
        super().__init__()
        self._conv_stem = nn.Conv2d(3, 32, 3, 2, bias=False)
        self._bn0 = _norm(32)
        self._blocks = nn.ModuleList()
        channels = 32
        for kernel, stride, expansion, outputs, repeats in _STAGES:
            for repeat in range(repeats):
                self._blocks.append(
                    _Block(channels, outputs, kernel, 1 if repeat else stride, expansion)
                )
                channels = outputs
        self._conv_head = nn.Conv2d(channels, 1280, 1, bias=False)
        self._bn1 = _norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x: Tensor) -> Tensor:
        """Average-pooled output of the last convolution."""
        x = F.relu6(self._bn0(_same(x, self._conv_stem)), inplace=True)
        for block in self._blocks:
            x = block(x)
        return F.relu6(self._bn1(self._conv_head(x)), inplace=True).mean((2, 3))

    def logits(self, features: Tensor) -> Tensor:
        """ImageNet class scores [n, 1000] of features [n, 1280]."""
        return self._fc(features)
