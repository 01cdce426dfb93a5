"""A convolution of a frozen network with what follows it, in one pass over memory where possible.

On x86 CPUs oneDNN applies the activation as it writes the convolution's result. PyTorch offers this
to compiled code only (`torch.compile`, which needs a C++ compiler at hand), as a private operator
without gradients, whose activations turn NaN into 0. So it is used in inference mode alone, where
images are bytes, and not in training, where NaN must be seen. Features differ by some 1e-6
relative: another order of summation.
"""

from __future__ import annotations

import platform
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_FUSES = (
    platform.machine().lower() in ("x86_64", "amd64")
    and torch.backends.mkldnn.is_available()
    and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
)
_SCALARS = {"none": [], "relu": [], "relu6": [0.0, 6.0]}
_NAMES = {"none": "none", "relu": "relu", "relu6": "hardtanh"}


def convolve(
    x: Tensor,
    conv: nn.Conv2d,
    norm: nn.Module,
    activation: Literal["none", "relu", "relu6"] = "none",
    *,
    same: bool = False,
) -> Tensor:
    """`activation` of `norm` of `conv` of x [n, C, H, W].

    With `same`, the padding is not the convolution's own but TensorFlow's SAME, for square x: to
    side / stride rounded up, the smaller part first.
    """
    weight, padding = conv.weight, conv.padding
    if same:
        x, weight, padding = _padded(x, conv)
    plain = (
        x.device.type == "cpu" and x.dtype == torch.float32 and torch.is_inference_mode_enabled()
    )
    if _FUSES and plain and isinstance(norm, nn.Identity):
        return torch.ops.mkldnn._convolution_pointwise(
            x, weight, conv.bias, padding, conv.stride, conv.dilation, conv.groups,
            _NAMES[activation], _SCALARS[activation], "",
        )  # fmt: skip
    h = F.conv2d(x, weight, conv.bias, conv.stride, padding, conv.dilation, conv.groups)
    h = norm(h)
    if activation == "relu6":
        return F.relu6(h, inplace=True)
    return F.relu(h, inplace=True) if activation == "relu" else h


def _padded(x: Tensor, conv: nn.Conv2d) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """x, weights and an even padding, which together come to SAME padding."""
    side, kernel, stride = x.shape[2], conv.kernel_size[0], conv.stride[0]
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    before, after = total // 2, total - total // 2
    if before == after:
        return x, conv.weight, (before, before)
    if x.device.type == "cpu":
        # A zero before each kernel's first weight does as well as a copy of x with one more zero
        # behind: the copy took a sixth of all time.
        return x, F.pad(conv.weight, (1, 0, 1, 0)), (after, after)
    return F.pad(x, (before, after, before, after)), conv.weight, (0, 0)
