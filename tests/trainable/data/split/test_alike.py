"""Parts of a data set that were treated differently are told from those that were not."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests.helpers.refusals import tells
from trainable.data.dataset import Dataset, LoadReport
from trainable.data.phantom import CLASSES, phantom
from trainable.data.reading import Reading
from trainable.data.split.alike import unlike


@cache
def films(seed: int) -> Dataset:
    """Phantoms, which take a while to draw."""
    images, labels, sources = phantom(32, per_class=40, seed=seed)
    report = LoadReport(files=0, layout="phantom")
    return Dataset(images, labels, CLASSES, sources, (None,) * len(images), "films", report)


def part(seed: int, width: int = 1200, height: int = 1000) -> Dataset:
    """These, as from files of that size, some 10 % more or less."""
    data = films(seed)
    sizes = np.random.default_rng(seed).uniform(0.9, 1.1, (data.n, 2)) * (width, height)
    return replace(data, stored=sizes.astype(np.int64))


def changed(data: Dataset, change) -> Dataset:
    images = [np.asarray(change(Image.fromarray(image[0])))[None] for image in data.images]
    return replace(data, images=np.stack(images))


@pytest.mark.parametrize("few", [4, 20, 40])
def test_draws_of_one_kind_are_alike(few):
    other = part(1)
    chosen = np.concatenate([np.flatnonzero(other.labels == k)[:few] for k in range(2)])
    assert unlike(part(0), other.at(chosen), "test images") == ""


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda image: image.point(lambda level: min(255, level + 60)), "brightness"),
        (lambda image: image.point(lambda level: 90 + level // 4), "contrast"),
        (lambda image: image.filter(ImageFilter.GaussianBlur(1.5)), "share of fine detail"),
    ],
)
def test_a_treatment_of_one_part_is_named(change, named):
    said = unlike(part(0), changed(part(1), change), "held-out images")
    assert tells(said, "held-out images", named)
    assert "stretch" not in said


def test_files_that_were_squashed_are_told_with_the_remedy():
    squashed = part(1, 224, 224)
    said = unlike(part(0), squashed, "test images")
    assert tells(said, "pixels in the file", "width over height", "--fit stretch")
    one, other = (
        replace(data, report=replace(data.report, reading=Reading("stretch")))
        for data in (part(0), squashed)
    )
    assert "width over height" not in unlike(one, other, "test images")


def test_classes_in_other_shares_are_no_treatment():
    """Each class is held against itself: bright ones may be rarer in one part."""
    data = part(1)
    bright = np.where(data.labels[:, None, None, None] == 0, 200, 40).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 40, data.images.shape, np.uint8)
    one = replace(data, images=bright + noise)
    rare = np.r_[np.flatnonzero(data.labels == 0)[:12], np.flatnonzero(data.labels == 1)]
    assert unlike(one, one.at(rare), "test images") == ""


def test_embedded_sets_have_no_files_and_colour_is_read_too():
    data = replace(part(0), stored=None)
    colour = replace(data, images=data.images.repeat(3, axis=1))
    assert unlike(colour, replace(part(1), stored=None), "test images") == ""
