"""The Inception network of the original FID (Heusel et al. 2017), as its PyTorch weights want it.

It is not torchvision's `inception_v3`: 1008 classes, average pools that leave the padding out,
and a maximum pool in the last block. Parameter names are torchvision's and pytorch-fid's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import inception as tv

from trainable.pretrained.convolve import convolve


class _Conv(tv.BasicConv2d):
    def forward(self, x: Tensor) -> Tensor:
        return convolve(x, self.conv, self.bn, "relu")


def _average(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class _A(tv.InceptionA):
    def _forward(self, x: Tensor) -> list[Tensor]:
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        return [
            self.branch1x1(x),
            self.branch5x5_2(self.branch5x5_1(x)),
            self.branch3x3dbl_3(double),
            self.branch_pool(_average(x)),
        ]


class _C(tv.InceptionC):
    def _forward(self, x: Tensor) -> list[Tensor]:
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        return [
            self.branch1x1(x),
            seven,
            self.branch7x7dbl_5(self.branch7x7dbl_4(double)),
            self.branch_pool(_average(x)),
        ]


class _E(tv.InceptionE):
    def __init__(self, channels: int, *, maximum: bool):
        super().__init__(channels, conv_block=_Conv)
        self.maximum = maximum

    def _forward(self, x: Tensor) -> list[Tensor]:
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = F.max_pool2d(x, 3, stride=1, padding=1) if self.maximum else _average(x)
        return [
            self.branch1x1(x),
            torch.cat([self.branch3x3_2a(three), self.branch3x3_2b(three)], 1),
            torch.cat([self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)], 1),
            self.branch_pool(pooled),
        ]


class FIDInception(nn.Module):
    """Features [n, 2048] (the last average pool) of images [n, 3, 299, 299] in [-1, 1]."""

    def __init__(self):
        super().__init__()
        conv = _Conv
        self.Conv2d_1a_3x3 = conv(3, 32, kernel_size=3, stride=2)
        self.Conv2d_2a_3x3 = conv(32, 32, kernel_size=3)
        self.Conv2d_2b_3x3 = conv(32, 64, kernel_size=3, padding=1)
        self.maxpool1 = nn.MaxPool2d(3, 2)
        self.Conv2d_3b_1x1 = conv(64, 80, kernel_size=1)
        self.Conv2d_4a_3x3 = conv(80, 192, kernel_size=3)
        self.maxpool2 = nn.MaxPool2d(3, 2)
        self.Mixed_5b = _A(192, 32, conv_block=_Conv)
        self.Mixed_5c = _A(256, 64, conv_block=_Conv)
        self.Mixed_5d = _A(288, 64, conv_block=_Conv)
        self.Mixed_6a = tv.InceptionB(288, conv_block=_Conv)
        self.Mixed_6b = _C(768, 128, conv_block=_Conv)
        self.Mixed_6c = _C(768, 160, conv_block=_Conv)
        self.Mixed_6d = _C(768, 160, conv_block=_Conv)
        self.Mixed_6e = _C(768, 192, conv_block=_Conv)
        self.Mixed_7a = tv.InceptionD(768, conv_block=_Conv)
        self.Mixed_7b = _E(1280, maximum=False)
        self.Mixed_7c = _E(2048, maximum=True)
        self.fc = nn.Linear(2048, 1008)

    def forward(self, x: Tensor) -> Tensor:
        """Average-pooled output of the last block."""
        for name, layer in self.named_children():
            if name != "fc":
                x = layer(x)
        return x.mean((2, 3))

    def logits(self, features: Tensor) -> Tensor:
        """Class scores [n, 1008] of features [n, 2048], without the bias.

        The original Inception Score leaves the bias out, and torch-fidelity's ``logits_unbiased``
        with it.
        """
        return features @ self.fc.weight.T
