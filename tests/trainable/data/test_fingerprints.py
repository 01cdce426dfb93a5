"""Images that are known again, though they were saved in another way."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from trainable.data.fingerprints import fingerprints, known
from trainable.data.sources import load


@pytest.fixture(scope="module")
def phantoms() -> np.ndarray:
    return load("phantom", 32).images


def as_jpeg(images: np.ndarray, quality: int) -> np.ndarray:
    found = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image[0]).save(file, "JPEG", quality=quality)
        found.append(np.asarray(Image.open(file))[None])
    return np.stack(found)


def test_images_are_known_by_their_pixels_and_when_saved_again_and_no_others_are(phantoms):
    images, seen = phantoms, fingerprints(phantoms[:50])
    assert known(images, seen).tolist() == [True] * 50 + [False] * 150
    again = as_jpeg(images, 95)
    assert (again != images).any((1, 2, 3)).all()
    found = known(again, seen)
    assert found[:50].mean() > 0.9
    assert not found[50:].any()


def test_marks_of_older_records_know_the_same_pixels_alone(phantoms):
    images = phantoms
    seen = [mark[:16] for mark in fingerprints(images[:50])]
    assert known(images, seen).tolist() == [True] * 50 + [False] * 150
    assert not known(as_jpeg(images, 95), seen).any()
    assert not known(images, []).any()


def test_images_that_are_black_but_for_a_spot_are_not_taken_for_each_other():
    images = np.zeros((2, 1, 32, 32), np.uint8)
    images[0, 0, 4:8, 4:8], images[1, 0, 20:24, 12:16] = 200, 200
    assert known(images, fingerprints(images[:1])).tolist() == [True, False]


def test_flat_images_are_not_taken_for_each_other():
    flat = np.stack([np.full((1, 32, 32), level, np.uint8) for level in (0, 9, 200)])
    assert known(flat, fingerprints(flat[:1])).tolist() == [True, False, False]
