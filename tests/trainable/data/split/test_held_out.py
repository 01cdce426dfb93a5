"""Held-out images: where they come from, and that no generator learns from any of them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis.augmentation.design.partition import overlaps
from tests.helpers.refusals import refused, tells
from trainable.data import sources
from trainable.data.dataset import Dataset
from trainable.data.phantom import CLASSES, phantom
from trainable.data.sources import load
from trainable.data.split.held_out import held_out

N = 10
"""Images of a class: as few as a folder may have."""


def paint(folder: Path, seed: int, *, classes=("ill", "well"), n: int = N, colour: bool = False):
    """Noise at 32 pixels, so that nothing is resampled: n PNG files in a folder for each class."""
    rng = np.random.default_rng(seed)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(n):
            shape = (32, 32, 3) if colour else (32, 32)
            image = Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))
            image.save(folder / name / f"{i:02d}.png")
    return folder


def pixels(data: Dataset) -> set[bytes]:
    return {image.tobytes() for image in data.images}


def find(spec: Path | str, named: Path | str | None = None) -> tuple[Dataset, Dataset | None]:
    data = load(str(spec), 32)
    return data, held_out(data, str(spec), None if named is None else str(named))


def lines(spec: Path | str, named: Path | None = None) -> list[str]:
    said: list[str] = []
    named_so = None if named is None else str(named)
    held_out(load(str(spec), 32), str(spec), named_so, say=said.append)
    return said


@pytest.fixture
def own(tmp_path) -> Path:
    return paint(tmp_path / "own", 0)


def test_a_named_folder_without_splits_is_taken_whole(own, tmp_path):
    data, apart = find(own, paint(tmp_path / "other", 1))
    assert apart is not None
    assert (apart.n, apart.classes, apart.counts) == (20, data.classes, {"ill": 10, "well": 10})
    assert not pixels(apart) & pixels(data)


def test_of_a_named_folder_with_splits_the_test_split_is_taken(own, tmp_path):
    other = tmp_path / "other"
    paint(other / "train", 1)
    paint(other / "test", 2, n=12)
    _, apart = find(own, other)
    assert apart is not None
    assert apart.n == 24
    assert all(source.startswith("test/") for source in apart.sources)


def test_a_named_folder_with_no_test_split_gives_its_training_images(own, tmp_path):
    other = tmp_path / "other"
    paint(other / "train", 1)
    paint(other / "val", 2)
    _, apart = find(own, other)
    assert apart is not None
    assert all(source.startswith("train/") for source in apart.sources)


def test_a_name_goes_before_the_datas_own_test_split(tmp_path):
    own, other = tmp_path / "own", paint(tmp_path / "other", 3)
    paint(own / "train", 1)
    paint(own / "test", 2)
    _, apart = find(own, other)
    assert apart is not None
    assert pixels(apart) == pixels(load(str(other), 32))


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("Training", "Testing")])
def test_the_datas_own_test_split_serves(tmp_path, train, test):
    paint(tmp_path / train, 1)
    paint(tmp_path / test, 2)
    data, apart = find(tmp_path)
    assert apart is not None
    assert apart.n == 20
    assert not pixels(apart) & pixels(data)


def test_data_without_a_test_split_has_none(own):
    assert find(own)[1] is None


@pytest.mark.parametrize("fault", ["unlabelled", "few", "other classes"])
def test_a_test_split_of_its_own_that_cannot_serve_is_left_alone(tmp_path, fault):
    """Nobody asked for it: unlabelled test images are what many a download has."""
    paint(tmp_path / "train", 1)
    if fault == "unlabelled":
        paint(tmp_path, 2, classes=("test",))
    else:
        classes = ("ill", "other") if fault == "other classes" else ("ill", "well")
        paint(tmp_path / "test", 2, classes=classes, n=3 if fault == "few" else N)
    assert find(tmp_path)[1] is None
    said = lines(tmp_path)
    assert len(said) == 1
    words = {
        "unlabelled": (tmp_path / "test", "<class>"),
        "few": (tmp_path / "test", "'ill'", 3),
        "other classes": ("ill, other", "ill, well"),
    }
    assert tells(said[0], "no held-out images", *words[fault])


def test_the_same_fault_in_a_named_folder_is_said(own, tmp_path):
    few = paint(tmp_path / "few", 2, n=3)
    with refused("'ill'", few, 3, 10):
        find(own, few)


def test_other_classes_are_refused_with_both_named(own, tmp_path):
    other = paint(tmp_path / "other", 1, classes=("cat", "dog"))
    with refused(f"--held-out {other}", "cat, dog", "ill, well"):
        find(own, other)


def test_a_missing_folder_is_refused(own, tmp_path):
    with refused(tmp_path / "nowhere"):
        find(own, tmp_path / "nowhere")


def test_phantoms_are_held_against_other_phantoms(monkeypatch):
    monkeypatch.setattr(sources, "PHANTOMS_PER_CLASS", 10)
    data, apart = find("phantom")
    assert apart is not None
    assert (apart.n, apart.classes) == (data.n, data.classes)
    assert not pixels(apart) & pixels(data)
    again = find("phantom")[1]
    assert again is not None
    assert again.digest == apart.digest


def test_pneumoniamnist_has_a_test_split_named_or_not(own, monkeypatch):
    asked = []
    real = load(str(own), 32)

    def fake(spec, size, **flags):
        asked.append((spec, size, flags["split"]))
        return replace(real, images=255 - real.images)

    monkeypatch.setattr("trainable.data.split.held_out.load", fake)
    for named in (None, "pneumoniamnist"):
        held_out(real, "pneumoniamnist", named)
    assert asked == [("pneumoniamnist", 32, "test")] * 2


def test_grey_ones_become_colour_where_the_data_are(tmp_path):
    own, other = paint(tmp_path / "own", 0, colour=True), paint(tmp_path / "other", 1)
    data, apart = find(own, other)
    assert apart is not None
    assert apart.images.shape[1:] == data.images.shape[1:] == (3, 32, 32)
    grey = load(str(other), 32).images
    for channel in range(3):
        np.testing.assert_array_equal(apart.images[:, channel : channel + 1], grey)


def test_colour_ones_become_grey_where_the_data_are(own, tmp_path):
    other = paint(tmp_path / "other", 1, colour=True)
    data, apart = find(own, other)
    assert apart is not None
    assert apart.images.dtype == np.uint8
    assert apart.images.shape[1:] == data.images.shape[1:] == (1, 32, 32)
    colour = load(str(other), 32).images
    grey = [np.asarray(Image.fromarray(i.transpose(1, 2, 0)).convert("L")) for i in colour]
    np.testing.assert_array_equal(apart.images[:, 0], np.stack(grey))


def test_training_images_are_dropped_whatever_they_are_called(own, tmp_path):
    other = paint(tmp_path / "other", 1)
    for i in range(4):
        with Image.open(own / "ill" / f"{i:02d}.png") as image:
            image.convert("RGB").save(other / "ill" / f"copy{i}.bmp")
    data, apart = find(own, other)
    assert apart is not None
    assert apart.counts == {"ill": 10, "well": 10}
    assert not pixels(apart) & pixels(data)
    assert len(apart.sources) == len(apart.patients) == apart.n
    assert not any("copy" in source for source in apart.sources)


def test_patients_in_training_are_dropped_and_those_without_a_name_kept(tmp_path):
    paint(tmp_path / "Training", 1)
    paint(tmp_path / "Testing", 2)
    rows = [f"Training/ill/{i:02d}.png,P{i}" for i in range(10)]
    rows += [f"Testing/{name}/{i:02d}.png,p{8 + i} " for name in ("ill", "well") for i in range(6)]
    (tmp_path / "manifest.csv").write_text("\n".join(["File;Patient", *rows]).replace(",", ";"))
    data, apart = find(tmp_path)
    assert apart is not None
    assert apart.counts == {"ill": 8, "well": 8}
    assert {*apart.patients} == {None, "p10", "p11", "p12", "p13"}
    assert sum(patient is None for patient in data.patients) == 10


def test_a_patient_spelled_otherwise_in_another_folder_is_the_same(own, tmp_path):
    other = paint(tmp_path / "other", 1)
    for root, who in ((own, "Ann"), (other, "ann ")):
        (root / "manifest.csv").write_text(f"file,patient\nill/00.png,{who}\n")
    data, apart = find(own, other)
    assert apart is not None
    assert apart.counts == {"ill": 9, "well": 10}
    assert [(a, b) for a, b, _ in overlaps(data, load(str(other), 32))] == [("ill/00.png",) * 2]


def test_what_was_read_and_left_out_is_said(own, tmp_path):
    """Of two tables that number patients from 1, equal numbers count as one patient."""
    other = paint(tmp_path / "other", 1)
    (other / "ill" / "copy.png").write_bytes((own / "ill" / "00.png").read_bytes())
    (other / "ill" / "notes.txt").write_text("x")
    for root, first in ((own, 1), (other, 8)):
        rows = [f"{name}/{i:02d}.png,{i + first}" for name in ("ill", "well") for i in range(10)]
        (root / "manifest.csv").write_text("\n".join(["file,patient", *rows]))
    [said] = lines(own, other)
    assert tells(said, "7 ill, 7 well", "21 files", "1 .txt files", "20 of 21", "manifest.csv")
    assert re.search(r"; .*\b1 .*\b6 .*'8'", said)  # training images, and their patients


def test_phantoms_need_no_line(monkeypatch):
    monkeypatch.setattr(sources, "PHANTOMS_PER_CLASS", 10)
    assert lines("phantom") == []


def test_copies_are_found_after_the_conversion_of_colours(tmp_path):
    own, other = paint(tmp_path / "own", 0, colour=True), paint(tmp_path / "other", 1)
    with Image.open(other / "ill" / "00.png") as image:
        image.convert("RGB").save(own / "well" / "grey.png")
    _, apart = find(own, other)
    assert apart is not None
    assert apart.counts == {"ill": 9, "well": 10}


def test_training_images_that_were_saved_again_are_left_out(tmp_path):
    """As a set's test part may have them, under other names and as JPEG."""
    parts = {split: phantom(32, N, seed) for seed, split in enumerate(("train", "test"))}
    for split, (images, labels, _) in parts.items():
        for row, (image, label) in enumerate(zip(images, labels, strict=True)):
            folder = tmp_path / split / CLASSES[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0]).save(folder / f"{row}.png")
    for row, image in enumerate(parts["train"][0][:3]):
        again = tmp_path / "test" / CLASSES[0] / f"again{row}.jpg"
        Image.fromarray(image[0]).save(again, quality=85)
    _, apart = find(tmp_path)
    assert apart is not None
    assert apart.counts == dict.fromkeys(apart.classes, N)
    assert not any("again" in source for source in apart.sources)
    assert tells(lines(tmp_path)[0], 3, f"test/{CLASSES[0]}/again0.jpg")


@pytest.mark.parametrize("named", [True, False])
def test_a_class_that_has_none_left(tmp_path, named):
    """An error if they were asked for."""
    own = paint(tmp_path / "own" / "train", 0)
    other = paint(tmp_path / "own" / "test", 1)
    for path in (other / "ill").iterdir():
        path.unlink()
    for path in (own / "ill").iterdir():
        (other / "ill" / path.name).write_bytes(path.read_bytes())
    if not named:
        assert find(tmp_path / "own")[1] is None
        assert tells(lines(tmp_path / "own")[0], "no held-out images", "'ill'", 10)
        return
    with refused(f"--held-out {other}", "'ill'", 10):
        find(own, other)
