"""Nested subsets, and what two data sets share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis.augmentation.design.partition import check_apart, nested_subsets, overlaps
from tests.helpers.refusals import refused
from trainable.data.dataset import Dataset, LoadReport
from trainable.data.labelling import Labelling
from trainable.data.sources import load
from trainable.data.split.groups import groups

CLASSES = ("ill", "well")
OF_KIND = [("person3_virus_3", []), ("person3_bacteria_99", ["the same patient"])]


def drawn(seed: int, mixed: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Groups of 1 to 9 images, shuffled, and their labels: of one class each unless mixed."""
    rng = np.random.default_rng(seed)
    sizes = rng.choice([1, 1, 1, 2, 4, 9], 80)
    group = np.repeat(rng.permutation(1000)[:80], sizes)
    each = rng.integers(0, 2, 80)
    labels = rng.integers(0, 2, len(group)) if mixed else np.repeat(each, sizes)
    order = rng.permutation(len(group))
    return group[order], labels[order]


def noise(seed: int, n: int, names: Sequence[str | None] = ()) -> Dataset:
    images = np.random.default_rng(seed).integers(0, 256, (n, 1, 32, 32), dtype=np.uint8)
    return Dataset(
        images,
        np.arange(n, dtype=np.int64) % 2,
        CLASSES,
        tuple(f"{seed}/{i}.png" for i in range(n)),
        (*names, *(None,) * (n - len(names))),
        "noise",
        LoadReport(n),
    )


def test_parts_of_a_set_have_nothing_in_common_though_copies_and_patients_abound():
    data = noise(0, 60, [f"p{i // 3}" for i in range(30)])
    images = data.images.copy()
    rng = np.random.default_rng(1)
    for _ in range(20):
        copy, of = rng.integers(0, 60, 2)
        images[copy] = np.clip(images[of] * 0.9 + 10, 0, 255).astype(np.uint8)
    data = replace(data, images=images)
    group, _ = groups(data)
    for seed in range(5):
        small = np.random.default_rng(seed).uniform(size=60)[group] < 0.3
        assert overlaps(data.at(~small), data.at(small)) == []
    assert overlaps(data.at(np.arange(30)), data.at(np.arange(30, 60)))


def test_subsets_are_nested_balanced_and_of_the_sizes_asked():
    for seed in range(30):
        group, labels = drawn(seed, mixed=seed % 2 == 0)
        sizes = [2, 7, 10, 25, 50]
        subsets = nested_subsets(group, labels, CLASSES, sizes, seed)
        assert list(subsets) == sizes
        for size, rows in subsets.items():
            assert (np.diff(rows) > 0).all()
            assert np.bincount(labels[rows], minlength=2).tolist() == [size - size // 2, size // 2]
        for less, more in pairwise(sizes):
            assert set(subsets[less]) < set(subsets[more])


def test_of_three_classes_the_first_get_the_rest():
    labels = np.arange(30) % 3
    subsets = nested_subsets(np.arange(30), labels, ("a", "b", "c"), [6, 7, 8, 9], 0)
    counts = [np.bincount(labels[rows]).tolist() for rows in subsets.values()]
    assert counts == [[2, 2, 2], [3, 2, 2], [3, 3, 2], [3, 3, 3]]


def test_a_subset_cuts_one_group_of_each_class_at_most():
    for seed in range(20):
        group, labels = drawn(seed)
        whole = {g: (group == g).sum() for g in np.unique(group)}
        for rows in nested_subsets(group, labels, CLASSES, [20, 40, 60], seed).values():
            for label in (0, 1):
                own = group[rows][labels[rows] == label]
                assert sum((own == g).sum() < whole[g] for g in np.unique(own)) <= 1


def test_what_is_to_come_first_comes_first():
    for seed in range(10):
        group, labels = drawn(seed)
        first = np.random.default_rng(seed).uniform(size=len(group)) < 0.3
        for rows in nested_subsets(group, labels, CLASSES, [8, 20, 50], seed, first).values():
            for label in (0, 1):
                own = rows[labels[rows] == label]
                assert first[own].sum() == min(len(own), first[labels == label].sum())


def test_a_subset_depends_on_the_seed_and_not_on_the_other_sizes():
    group, labels = drawn(0)
    one = nested_subsets(group, labels, CLASSES, [20], 0)[20]
    np.testing.assert_array_equal(one, nested_subsets(group, labels, CLASSES, [30, 20], 0)[20])
    assert one.tolist() != nested_subsets(group, labels, CLASSES, [20], 1)[20].tolist()


@pytest.mark.parametrize(("counts", "most"), [((9, 5), 11), ((5, 9), 10), ((5, 5), 10)])
def test_sizes_out_of_reach_are_refused_and_the_nearest_that_works_is_named(counts, most):
    """One more of the first class than of the second makes an odd size."""
    labels = np.repeat([0, 1], counts)
    group = np.arange(len(labels))
    assert len(nested_subsets(group, labels, CLASSES, [most], 0)[most]) == most
    with refused("--sizes", "1 images", 2):
        nested_subsets(group, labels, CLASSES, [1], 0)
    scarce = int(counts[1] < counts[0])
    with refused("--sizes", f"{most + 1} images", 6, f"class {CLASSES[scarce]!r}", 5, most):
        nested_subsets(group, labels, CLASSES, [4, most + 1], 0)


def test_overlaps_say_which_files_and_why():
    train, other = noise(0, 8, ["p", "q"]), noise(1, 8, ["q", "r", "p"])
    images = other.images.copy()
    images[2] = train.images[0]  # of the same patient as well
    images[5] = np.clip(train.images[6] * 0.9 + 5, 0, 255).astype(np.uint8)
    found = overlaps(train, replace(other, images=images))
    assert found == [
        ("0/0.png", "1/2.png", "the same pixels"),
        ("0/1.png", "1/0.png", "the same patient"),
        ("0/6.png", "1/5.png", "look alike"),
    ]


def test_a_copy_in_colour_looks_alike():
    train, other = noise(0, 4), noise(1, 4)
    other = replace(other, images=train.images.repeat(3, axis=1)[::-1])
    assert [why for *_, why in overlaps(train, other)] == ["look alike"] * 4


def test_all_pairs_of_a_patient_are_found():
    found = overlaps(noise(0, 3, ["p"] * 3), noise(1, 2, ["p"] * 2))
    assert [why for *_, why in found] == ["the same patient"] * 6


def test_sets_that_share_nothing_pass():
    """Unknown patients are not one patient."""
    check_apart(noise(0, 10, ["a"]), noise(1, 10, ["b"]), "the test images")


@pytest.mark.parametrize(("shared", "more"), [(1, 0), (3, 0), (5, 2)])
def test_three_pairs_are_named_and_the_others_counted(shared, more):
    train, other = noise(0, 8), noise(1, 8)
    other.images[:shared] = train.images[:shared]
    pairs = [f"0/{i}.png and 1/{i}.png" for i in range(min(shared, 3))]
    with refused("the test images", *pairs, *([f"{more} more"] if more else [])) as caught:
        check_apart(train, other, "the test images")
    said = str(caught.value)
    assert said.count("(the same pixels)") == len(pairs)
    assert ("more" in said) == bool(more)


@pytest.mark.parametrize(("film", "why"), OF_KIND)
def test_in_kaggles_folder_a_number_is_a_patient_within_its_kind(tmp_path: Path, film, why):
    rng = np.random.default_rng(0)

    def save(split: str, folder: str, name: str) -> None:
        (tmp_path / split / folder).mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(rng.integers(0, 256, (32, 32), dtype=np.uint8))
        image.save(tmp_path / split / folder / f"{name}.png")

    for split, first in (("train", 0), ("test", 20)):
        for i in range(first, first + 10):
            save(split, "NORMAL", f"IM-{i:04}-0001")
            save(split, "PNEUMONIA", f"person{i}_bacteria_{i}")
            save(split, "PNEUMONIA", f"person{i + 100}_virus_{i}")
    save("test", "PNEUMONIA", film)
    chosen = Labelling(classes="bacterial_pneumonia,normal,viral_pneumonia")
    train, test = (load(str(tmp_path), 32, labelling=chosen, split=s) for s in ("train", "test"))
    assert [reason for *_, reason in overlaps(train, test)] == why
