"""Real images made as soft as generated ones."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.augmentation.design.softness import blurred, matching_sigma
from trainable.data.sources import load


@pytest.fixture(scope="module")
def phantoms() -> np.ndarray:
    return load("phantom", 32).images


@pytest.mark.parametrize("sigma", [0.5, 0.8, 1.2])
def test_the_blur_of_other_images_of_the_kind_is_found_again(phantoms, sigma):
    soft = blurred(phantoms[1::2], sigma)
    assert matching_sigma(phantoms[::2], soft) == pytest.approx(sigma, rel=0.08)


def test_nothing_is_blurred_where_images_are_as_sharp_or_sharper(phantoms):
    noisy = np.random.default_rng(0).integers(0, 256, phantoms.shape, dtype=np.uint8)
    assert matching_sigma(phantoms, noisy) == 0
    same = blurred(phantoms, matching_sigma(phantoms, phantoms))
    np.testing.assert_array_equal(same, phantoms)


def test_a_blur_keeps_the_type_and_the_mean_and_each_channel_apart():
    images = np.zeros((1, 3, 32, 32), np.uint8)
    images[0, 1] = 200
    images[0, 2, 16, 16] = 255
    soft = blurred(images, 2.0)
    assert soft.dtype == np.uint8
    assert (soft[0, 0] == 0).all()
    assert (soft[0, 1] == 200).all()
    assert 0 < soft[0, 2].max() < 20
