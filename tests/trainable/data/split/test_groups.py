"""Groups: one patient's images and the same image in another guise, and nobody else's."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from tests.helpers.refusals import tells
from trainable.data import sources
from trainable.data.dataset import Dataset, LoadReport
from trainable.data.folders.decode import decode
from trainable.data.phantom import phantom
from trainable.data.reading import Reading
from trainable.data.sources import load
from trainable.data.split.groups import groups, look_alikes, perceptual_hash

ALL = 2**64 - 1
HOW = ("6 bits of 64", "0.985")


def dataset(
    images: np.ndarray,
    patients: Sequence[str | None] | None = None,
    labels: Sequence[int] | None = None,
) -> Dataset:
    n = len(images)
    return Dataset(
        images,
        np.array([0] * n if labels is None else labels, np.int64),
        ("bacterial_pneumonia", "viral_pneumonia"),
        tuple(f"{i}.png" for i in range(n)),
        (None,) * n if patients is None else tuple(patients),
        "made",
        LoadReport(n, patients="manifest.csv"),
    )


@pytest.fixture(scope="module")
def films() -> np.ndarray:
    """Twelve phantoms, as large as a file."""
    return phantom(256, per_class=6)[0]


def shown(films: np.ndarray, scale: float = 1, gain: float = 1, lift: float = 0, cut: int = 0):
    """The films at 64 pixels, through a JPEG of other size and exposure, with the edges cut off."""
    again = []
    for film in films[:, 0, cut : 256 - cut, cut : 256 - cut]:
        side = round(len(film) * scale)
        exposed = Image.fromarray(np.clip(film * float(gain) + lift, 0, 255).astype(np.uint8))
        file = io.BytesIO()
        exposed.resize((side, side), Image.Resampling.BILINEAR).save(file, "JPEG", quality=60)
        again.append(decode(file.getvalue(), 64, Reading()).pixels)
    return np.stack(again)


def small(films: np.ndarray) -> np.ndarray:
    return films.reshape(len(films), 1, 64, 4, 64, 4).mean((3, 5)).astype(np.uint8)


@pytest.mark.parametrize(("row", "column"), [(0, 1), (0, 8), (3, 4), (7, 8)])
def test_one_bright_area_sets_the_bit_of_its_place(row, column):
    image = np.zeros((1, 1, 72, 72), np.uint8)
    image[..., 9 * row : 9 * (row + 1), 8 * column : 8 * (column + 1)] = 1
    assert perceptual_hash(image).tolist() == [1 << (63 - (8 * row + column - 1))]


def test_ramps_and_flat_images_have_known_hashes():
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8), (64, 64))
    images = np.stack([ramp, ramp[:, ::-1], ramp.T, np.full((64, 64), 7)]).astype(np.uint8)
    found = perceptual_hash(images[:, None])
    assert found.dtype == np.uint64
    assert found.tolist() == [ALL, 0, 0, 0]


@pytest.mark.parametrize("size", [32, 64])
def test_pixels_that_straddle_two_areas_count_in_both(size):
    images = np.random.default_rng(0).integers(0, 256, (100, 1, size, size), dtype=np.uint8)
    fine = np.repeat(images[:, 0], 9, axis=2).astype(int)
    means = fine.reshape(100, 8, size // 8, 9, size).sum((2, 4))
    bits = (np.diff(means, axis=2) > 0).reshape(100, 64)
    expected = [int("".join("01"[bit] for bit in row), 2) for row in bits.astype(int)]
    assert perceptual_hash(images).tolist() == expected


def test_grey_has_the_same_hash_in_one_channel_and_in_three(films):
    flat = films.copy()
    flat[:, :, :, :200] = 90  # ties, which a rounding error would break
    for images in (films, flat):
        np.testing.assert_array_equal(
            perceptual_hash(images), perceptual_hash(images.repeat(3, axis=1))
        )


GUISES = [
    {},
    {"scale": 0.5},
    {"scale": 1.3},
    {"gain": 1.1},
    {"gain": 0.8},
    {"lift": 12},
    {"lift": -12, "scale": 0.8},
    {"cut": 2},
]


@pytest.mark.parametrize("guise", GUISES, ids=str)
def test_a_film_saved_again_is_found_and_no_other(films, guise):
    found = look_alikes(small(films), shown(films, **guise))
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, np.arange(12)[:, None].repeat(2, axis=1))


def test_sizes_and_colours_may_differ(films):
    found = look_alikes(films.repeat(3, axis=1), small(films))
    np.testing.assert_array_equal(found, np.arange(12)[:, None].repeat(2, axis=1))


def test_blocks_change_nothing():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (150, 1, 32, 32), dtype=np.uint8)
    pairs = look_alikes(images, images[::-1])
    np.testing.assert_array_equal(pairs, np.column_stack([np.arange(150), np.arange(150)[::-1]]))


def test_different_phantoms_are_not_joined(monkeypatch):
    monkeypatch.setattr(sources, "PHANTOMS_PER_CLASS", 20)
    group, said = groups(load("phantom", 64))
    assert group.tolist() == list(range(40))
    assert tells(said, "40 images", "unknown", "40 groups", *HOW)


def test_the_same_film_in_another_guise_is_one_group(films):
    data = dataset(np.concatenate([small(films), shown(films, gain=0.9)[::-1]]))
    group, said = groups(data)
    assert group.dtype == np.int64
    assert group.tolist() == [*range(12), *reversed(range(12))]
    assert tells(said, "24 images", "unknown", "12 groups", *HOW)


def test_many_look_alikes_cost_no_memory():
    """Frames of one film: a million pairs look alike, of which none is kept."""
    rng = np.random.default_rng(0)
    frame = rng.integers(4, 250, (1, 32, 32))
    images = (frame + rng.integers(-2, 3, (1000, 1, 32, 32))).astype(np.uint8)
    tracemalloc.start()
    group, _ = groups(dataset(images))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not group.any()
    assert peak < 30e6


def test_chains_of_look_alikes_are_one_group_whatever_their_order():
    """A looks like B and B like C: both ends and those between are joined."""
    rng = np.random.default_rng(0)
    ends = rng.integers(40, 215, (2, 8, 8)).repeat(4, 1).repeat(4, 2)
    steps = np.linspace(0, 1, 60)[:, None, None]
    film = (ends[0] * (1 - steps) + ends[1] * steps).round().astype(np.uint8)[:, None]
    assert not len(look_alikes(film[:1], film[-1:]))
    order = rng.permutation(60)
    stranger = rng.integers(0, 256, (1, 1, 32, 32), dtype=np.uint8)
    group, _ = groups(dataset(np.concatenate([film[order], stranger])))
    assert group.tolist() == [0] * 60 + [1]


def test_flat_images_are_joined_by_equal_pixels_only():
    images = np.full((4, 1, 32, 32), 5, np.uint8)
    images[2] = 6
    assert groups(dataset(images))[0].tolist() == [0, 0, 1, 0]


def test_a_patients_images_are_one_group(films):
    data = dataset(small(films)[:5], ["b", "a", "b", "c", "a"])
    group, said = groups(data)
    assert group.tolist() == [0, 1, 0, 2, 1]
    assert tells(said, "5 images", "3 patients", "manifest.csv")
    assert "look" not in said


def test_two_patients_with_one_film_are_one_group_with_all_their_films(films):
    images = small(films)[:5]
    images[3] = shown(films[:1])[0]
    group, said = groups(dataset(images, ["a", "a", "b", "c", "c"]))
    assert group.tolist() == [0, 0, 1, 0, 0]
    assert tells(said, "5 images", "3 patients", "manifest.csv", "2 groups", *HOW)


def test_images_without_a_patient_go_with_whom_they_look_like(films):
    images = np.concatenate([small(films)[:4], shown(films[:2])])
    group, said = groups(dataset(images, ["a", None, None, "a", None, None]))
    assert group.tolist() == [0, 1, 2, 0, 0, 1]
    assert tells(said, "6 images", "2 of 1 patients", "manifest.csv", "3 groups", *HOW)
