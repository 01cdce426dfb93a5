"""Real images made as soft as generated ones: the control for a gain that is only one of blur."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.optimize import minimize_scalar

MOST_SIGMA = 8.0
"""Pixels: nothing but the coarsest shapes is left."""
_LEAST = 0.2  # sigma that changes an image
_CUT = 4  # sigmas at which scipy ends its Gaussian
_ROUNDING = 1 / 12  # power that rounding to whole grey levels leaves at every frequency


def matching_sigma(sharp: np.ndarray, soft: np.ndarray) -> float:
    """The Gaussian blur, sigma in pixels, that gives `sharp` images the spectrum of `soft` ones.

    Sigma has the least squares between logarithms of the mean power at each radius, every frequency
    counting alike. 0 where the soft images are as sharp or sharper.

    Args:
        sharp, soft: uint8 [n, C, S, S] and [m, C, S, S].
    """
    size = sharp.shape[-1]
    steps = np.fft.fftfreq(size)
    ring = (np.hypot(steps[:, None], steps) * size).round().astype(int)
    inside = (ring > 0) & (ring <= size // 2)
    count = np.bincount(ring[inside])[1:]

    def by_radius(power: np.ndarray) -> np.ndarray:
        return np.log(np.maximum(np.bincount(ring[inside], power[inside])[1:] / count, _ROUNDING))

    power, target = _power(sharp), by_radius(_power(soft))

    def apart(sigma: float) -> float:
        passed = _transfer(sigma, steps) ** 2
        there = power * np.outer(passed, passed) + (_ROUNDING if sigma else 0.0)
        return float((count * (by_radius(there) - target) ** 2).sum())

    found = minimize_scalar(apart, bounds=(0.0, MOST_SIGMA), method="bounded")
    return 0.0 if apart(0.0) <= found.fun or found.x < _LEAST else float(found.x)


def blurred(images: np.ndarray, sigma: float) -> np.ndarray:
    """uint8 `images` [n, C, S, S] after a Gaussian blur of `sigma` pixels; edges are mirrored."""
    if sigma == 0:
        return images
    soft = gaussian_filter(images.astype(np.float32), (0, 0, sigma, sigma), truncate=_CUT)
    return soft.round().clip(0, 255).astype(np.uint8)


def _transfer(sigma: float, steps: np.ndarray) -> np.ndarray:
    """What `blurred` lets pass of an amplitude at each of `steps`, in cycles a pixel."""
    reach = np.arange(-int(_CUT * sigma + 0.5), int(_CUT * sigma + 0.5) + 1)
    weights = np.exp(-0.5 * (reach / max(sigma, 1e-9)) ** 2)
    return np.cos(2 * np.pi * steps[:, None] * reach) @ (weights / weights.sum())


def _power(images: np.ndarray) -> np.ndarray:
    """The mean power of an image at each frequency [S, S]; of white noise, its variance."""
    size = images.shape[-1]
    levels = images.astype(np.float32)
    levels -= levels.mean((2, 3), keepdims=True)
    # Without a window, the step from one edge to the opposite one fills all frequencies.
    window = np.outer(np.hanning(size), np.hanning(size))
    return (np.abs(np.fft.fft2(levels * window)) ** 2).mean((0, 1)) / (window**2).sum()
