"""How images reach an extractor's input size: two rules, whose scores do not compare.

``bilinear`` is pytorch-fid's: torch's bilinear, half-pixel centres, no antialiasing, no rounding.
``clean`` is clean-fid's (Parmar et al. 2022): Pillow's bicubic on float images, antialiased,
clipped to [0, 255], no rounding.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

RULES = ("bilinear", "clean")


def resized(images: Tensor, size: int, rule: str) -> Tensor:
    """Images [n, C, H, W] with values of 0 to 255, as float32 [n, C, size, size], same range.

    ``clean`` is within 1e-4 of what Pillow makes of each channel. Torch's own antialiased bicubic
    is not: it computes the filter in float32, and is off by up to 6e-3.
    """
    n, channels, height, width = images.shape
    # Channel by channel, so that grey and the same grey in colour are equal to the last bit.
    x = images.float().reshape(n * channels, 1, height, width)
    if rule == "bilinear":
        x = F.interpolate(x, (size, size), mode="bilinear", align_corners=False)
    else:
        rows, columns = (_bicubic(side, size).to(x.device) for side in (height, width))
        x = (rows @ (x @ columns.T)).clamp(0, 255)
    return x.reshape(n, channels, size, size)


@lru_cache
def _bicubic(old: int, new: int) -> Tensor:
    """Pillow's bicubic filter (a = -0.5, as wide as a new pixel) as a float32 matrix [new, old]."""
    scale = old / new
    stretch = max(scale, 1.0)
    centres = (np.arange(new)[:, None] + 0.5) * scale
    first = (centres - 2 * stretch + 0.5).astype(int)
    last = (centres + 2 * stretch + 0.5).astype(int)
    pixels = np.arange(old)
    d = np.abs(pixels - centres + 0.5) / stretch
    weights = np.where(d < 1, (1.5 * d - 2.5) * d * d + 1, ((-0.5 * d + 2.5) * d - 4) * d + 2)
    weights[(d >= 2) | (pixels < first) | (pixels >= last)] = 0
    return torch.from_numpy((weights / weights.sum(1, keepdims=True)).astype(np.float32))
