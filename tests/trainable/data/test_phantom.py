"""The embedded data set: reproducible, one scene at every size, classes told apart by the lungs."""

import numpy as np
import pytest

from trainable.data.phantom import CLASSES, phantom, render

PER_CLASS = 40


@pytest.fixture(scope="module")
def films():
    return phantom(64, PER_CLASS)


def lungs(images: np.ndarray) -> np.ndarray:
    """Mean brightness of each film's mid lung zones, relative to its own mean."""
    zone = np.concatenate([images[..., 24:44, 12:24], images[..., 24:44, 42:54]], axis=-1)
    return zone.mean(axis=(1, 2, 3)) - images.mean(axis=(1, 2, 3))


def test_shapes_labels_and_sources(films):
    images, labels, sources = films
    assert images.shape == (2 * PER_CLASS, 1, 64, 64)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert labels.tolist() == [0] * PER_CLASS + [1] * PER_CLASS
    assert len(set(sources)) == len(labels)
    assert sources[17] == "phantom/0/normal/17"
    assert sources[PER_CLASS + 3] == "phantom/0/pneumonia/3"
    assert all(s.split("/")[2] == CLASSES[y] for s, y in zip(sources, labels, strict=True))


def test_a_film_depends_on_seed_class_and_index_only(films):
    images, _, _ = films
    fewer, _, _ = phantom(64, 2)
    assert np.array_equal(fewer[:2], images[:2])
    assert np.array_equal(fewer[2:], images[PER_CLASS : PER_CLASS + 2])
    other, _, sources = phantom(64, 2, seed=1)
    assert sources[0] == "phantom/1/normal/0"
    assert all((a != b).mean() > 0.5 for a, b in zip(fewer, other, strict=True))


def test_no_films_data_set_is_empty_not_broken():
    images, labels, sources = phantom(32, 0)
    assert images.shape == (0, 1, 32, 32)
    assert labels.shape == (0,)
    assert sources == ()


@pytest.mark.parametrize("pneumonia", [False, True])
def test_a_smaller_film_is_the_area_mean_of_the_larger(pneumonia):
    small, large = (
        render(np.random.default_rng(5), pneumonia=pneumonia, size=s).astype(float)
        for s in (64, 128)
    )
    assert np.abs(large.reshape(64, 2, 64, 2).mean(axis=(1, 3)) - small).max() <= 1


@pytest.mark.parametrize("size", [28, 96, 256, 320])
def test_any_size_renders_the_same_scene(size):
    film = render(np.random.default_rng(3), pneumonia=False, size=size)
    small = render(np.random.default_rng(3), pneumonia=False, size=64)
    assert film.shape == (size, size)
    assert abs(film.mean() - small.mean()) < 1.5


def test_no_two_films_are_near_duplicates(films):
    flat = films[0].reshape(2 * PER_CLASS, -1).astype(np.float32)
    square = (flat**2).sum(1)
    apart = np.sqrt(np.maximum(square[:, None] + square - 2 * flat @ flat.T, 0) / flat.shape[1])
    assert apart[~np.eye(len(flat), dtype=bool)].min() > 5  # grey levels, root mean square


def test_exposure_is_that_of_a_film(films):
    images = films[0].astype(float)
    means = images.mean(axis=(1, 2, 3))
    assert 85 < means.min() < means.max() < 160
    assert means.std() > 4  # exposure varies
    assert images.std(axis=(1, 2, 3)).min() > 25  # there is contrast
    assert (images >= 254).mean() < 0.01  # and no saturation


def test_consolidation_whitens_the_lungs_but_exposure_does_not_give_it_away(films):
    images, labels, _ = films
    zone, total = lungs(images.astype(float)), images.mean(axis=(1, 2, 3))
    normal, sick = zone[labels == 0], zone[labels == 1]
    assert sick.mean() > normal.mean() + 5
    assert normal.max() > sick.min()  # no threshold on the lungs separates all
    gap = abs(total[labels == 0].mean() - total[labels == 1].mean())
    assert gap < total.std()


def test_the_heart_is_on_the_patients_left_and_lungs_are_dark(films):
    normal = films[0][films[1] == 0].astype(float).mean(axis=0)[0]
    left, right = normal[36:44, 36:44].mean(), normal[36:44, 20:28].mean()
    assert left > right + 10  # image right is the patient's left
    assert normal[24:40, 14:24].mean() < normal[24:40, 28:36].mean() - 40  # lung under spine
    assert normal[56:, 24:40].mean() > normal[24:40, 14:24].mean() + 40  # abdomen over lung


def test_each_film_has_its_marker_at_the_upper_left():
    images, _, _ = phantom(256, 6)
    corner = images[:, 0, :128, :64].astype(int)
    beyond = images[:, 0, 128:, :64].astype(int)
    assert (corner.max(axis=(1, 2)) >= 225).all()
    assert ((corner >= 225).sum(axis=(1, 2)) > 15).all()
    assert ((corner >= 225).sum(axis=(1, 2)) > (beyond >= 225).sum(axis=(1, 2))).all()
