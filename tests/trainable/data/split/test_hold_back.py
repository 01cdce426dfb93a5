"""What is held back from generators: whole patients, of each class its share, always the same."""

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.refusals import refused, tells
from tests.helpers.toys import make_data
from trainable.data.dataset import Dataset
from trainable.data.fingerprints import pixel_digests
from trainable.data.split.hold_back import hold_back, split_held_back


def noise(n: int = 80, per_patient: int = 1) -> Dataset:
    """No two alike; patients have images of one class or of both."""
    images = np.random.default_rng(1).integers(0, 256, (n, 1, 32, 32), dtype=np.uint8)
    patients = tuple(f"p{i // per_patient}" for i in range(n))
    return replace(make_data(n), images=images, patients=patients)


def test_each_class_gives_its_share_and_no_image_is_in_both():
    data = noise()
    data = data.at(np.flatnonzero((data.labels == 0) | (np.arange(80) < 50)))  # 40 and 25
    kept, held, said = hold_back(data, 0.2)
    assert held.counts == {"class0": 8, "class1": 5}
    assert not set(kept.sources) & set(held.sources)
    assert set(kept.sources) | set(held.sources) == set(data.sources)
    assert tells(said, "8 class0, 5 class1", "65 images", "65 patients")


def test_patients_are_never_divided():
    kept, held, _ = hold_back(noise(per_patient=4), 0.25)
    assert not set(kept.patients) & set(held.patients)
    assert held.counts == {"class0": 10, "class1": 10}


def test_the_same_images_are_held_back_whatever_the_order_of_calls():
    first, again = (hold_back(noise(), 0.25)[1] for _ in range(2))
    assert first.sources == again.sources
    assert first.digest == again.digest


def test_the_same_images_are_held_back_in_another_order_under_other_names():
    data = noise(per_patient=4)
    order = np.random.default_rng(2).permutation(data.n)
    renamed = tuple(f"copy/{i}" for i in order)
    held = hold_back(data, 0.25)[1]
    again = hold_back(replace(data.at(order), sources=renamed), 0.25)[1]
    assert sorted(pixel_digests(held.images)) == sorted(pixel_digests(again.images))


@pytest.mark.parametrize("per_patient", [1, 4])
def test_images_and_classes_more_leave_most_of_the_part_as_it_is(per_patient):
    few = noise(80, per_patient)
    part = set(pixel_digests(hold_back(few, 0.25)[1].images))
    more = noise(84, per_patient)
    order = np.random.default_rng(3).permutation(84)
    labels = more.labels.copy()
    labels[80:] = 1 - labels[80:]
    grown = hold_back(replace(more, labels=labels).at(order), 0.25)[1]
    assert len(part - set(pixel_digests(grown.images))) <= 2 * per_patient

    labels = np.concatenate([few.labels + 1, np.zeros(40, np.int64)])
    classes = ("added", *few.classes)
    wider = hold_back(replace(noise(120, per_patient), labels=labels, classes=classes), 0.25)[1]
    added = set(pixel_digests(wider.images[wider.labels == 0]))
    assert added
    assert set(pixel_digests(wider.images)) - added == part


def test_patients_of_many_images_do_not_come_first():
    data = noise(400)
    patients = tuple("many" + str(i // 20) if i < 200 else str(i) for i in range(400))
    held = hold_back(replace(data, patients=patients), 0.25)[1]
    of_many = sum(str(patient).startswith("many") for patient in held.patients)
    assert 20 <= of_many <= 80


def test_nothing_is_held_back_where_nothing_is_asked_for():
    data = noise()
    assert split_held_back(data, 0.0) == (data, None, ())


@pytest.mark.parametrize("share", [-0.1, 0.6, 1.0, float("nan")])
def test_a_share_that_is_none(share):
    with refused("--hold-back", f"{share:g}", 0, 0.5):
        split_held_back(noise(), share)


def test_too_few_images_of_a_class():
    with refused("--hold-back 0.1", "4 of the 40", "'class0'", 5):
        hold_back(noise(), 0.1)


def test_one_patient_is_no_class_to_divide():
    data = replace(noise(), patients=tuple(f"p{i % 2}" for i in range(80)))
    with refused("--hold-back 0.25", "0 of the 40", "'class0'", "patients", "look-alikes"):
        hold_back(data, 0.25)
