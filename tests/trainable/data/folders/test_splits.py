"""The folder that was meant: splits under other names, classes named like splits, one too high."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from spaces.errors import InputError
from tests.helpers.refusals import refused
from trainable.data.folders import splits
from trainable.data.folders.listing import visible
from trainable.data.folders.scan import scan
from trainable.data.folders.splits import split_of
from trainable.data.labelling import Labelling, joined

PIXEL = Image.new("L", (1, 1))


def fill(root: Path, folders: Sequence[str], n: int = 10) -> Path:
    for folder in folders:
        (root / folder).mkdir(parents=True)
        for i in range(n):
            PIXEL.save(root / folder / f"{i}.png")
    return root


def both(*splits: str) -> list[str]:
    return [f"{split}/{name}" for split in splits for name in ("cat", "dog")]


@pytest.mark.parametrize("name", ["train", "Train", "TRAINING", "Testing", "Valid", "validation"])
def test_names_of_splits(name: str):
    assert split_of(name) in ("train", "test", "val")
    assert split_of(f"{name}s") is split_of(f"my{name}") is None


def test_names_of_splits_with_set_behind_them():
    """As of Kaggle's cats and dogs; other names with a split's word in them may be classes."""
    for name in ("training_set", "Test set", "testset", "VALIDATION-SET", "val_set", "train_set"):
        assert split_of(name) in ("train", "test", "val")
    for name in ("set", "test_positive", "trainset_2", "offset", "seg_train"):
        assert split_of(name) is None


def test_of_a_training_set_and_a_test_set_one_is_read(tmp_path: Path):
    fill(tmp_path, both("training_set", "test_set"))
    for split in ("train", "test"):
        assert scan(tmp_path, split).classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("parts", "meant"),
    [
        (["fold1", "fold2", "fold3"], "fold1"),
        (["seg_test", "seg_train"], "seg_train"),
        (["test_2/images", "train_2/images"], "train_2/images"),
    ],
)
def test_parts_of_a_data_set_are_no_classes(tmp_path: Path, parts: list[str], meant: str):
    """Else the images to test on would be trained on, and the classes be lost."""
    fill(tmp_path, [*both(*parts), "pred"])
    names = [part.partition("/")[0] for part in parts]
    with refused(tmp_path, "(cat, dog)", ", ".join(names), tmp_path / meant):
        scan(tmp_path)
    with refused(tmp_path, "(cat, dog)"):
        scan(tmp_path, labelling=Labelling(classes="cat,dog"))
    assert scan(tmp_path / meant).classes == ("cat", "dog")
    assert scan(tmp_path, labelling=Labelling(classes=joined(names))).classes == tuple(names)


@pytest.mark.parametrize(
    "folders",
    [
        ["ill/p1", "ill/p2", "well/p1", "well/p3"],
        ["ill/left", "ill/right", "well"],
        ["ill", "ill/left", "ill/right", "well/left", "well/right"],
        ["ill/images", "ill/masks", "well/images", "well/masks"],
        ["ill/images", "well/images"],
    ],
)
def test_classes_may_have_folders_of_their_own(tmp_path: Path, folders: list[str]):
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for i in range(10):
            PIXEL.save(tmp_path / folder / f"{i}.png")
    assert scan(tmp_path).classes == ("ill", "well")


@pytest.mark.parametrize("name", ["train", "test", "val", "Train", "Testing"])
def test_a_class_named_like_a_split_is_to_be_renamed(tmp_path: Path, name: str):
    with refused(tmp_path, name, "(car, plane)", tmp_path / "train"):
        scan(fill(tmp_path, ["car", "plane", name]))


def test_images_of_a_split_that_are_in_no_class_folders(tmp_path: Path):
    with refused(tmp_path / "Training", "Training/<class>/*.png"):
        scan(fill(tmp_path, ["Training", "Testing"]))


@pytest.mark.parametrize(
    "others", [["test"], ["chest_xray/train/cat", "chest_xray/train/dog"], ["notes"], both("val")]
)
def test_what_lies_beside_a_split_for_training_is_left_alone(tmp_path: Path, others: list[str]):
    found = scan(fill(tmp_path, [*both("train"), *others]))
    assert found.classes == ("cat", "dog")
    assert all(entry.source.startswith("train/") for entry in found.entries)


def test_class_folders_beside_a_test_split(tmp_path: Path):
    with refused(tmp_path, "test", "(cat, dog)", tmp_path / "train"):
        scan(fill(tmp_path, ["cat", "dog", *both("test")]))


def test_a_folder_too_high(tmp_path: Path):
    fill(tmp_path / "downloads" / "pets", ["cat", "dog"])
    for above in (tmp_path / "downloads", tmp_path):
        with refused(above, tmp_path / "downloads" / "pets"):
            scan(above)
    meant = fill(tmp_path / "archive" / "one" / "two", both("Training", "Testing"))
    with refused(tmp_path / "archive", meant):
        scan(tmp_path / "archive")


def test_a_folder_of_several_data_sets(tmp_path: Path):
    for name in ("a", "b"):
        fill(tmp_path / name, both("train", "test"))
    with refused(tmp_path, "(a, b)", tmp_path / "a", tmp_path / "b"):
        scan(tmp_path)


def test_splits_inside_classes(tmp_path: Path):
    with refused(tmp_path, "(cat/test)", tmp_path / "test" / "cat"):
        scan(fill(tmp_path, ["cat/train", "cat/test", "dog/train", "dog/test"]))


def test_a_folder_too_low(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fill(tmp_path / "pets", ["cat", "dog"])
    fill(tmp_path / "xrays", both("Train", "Test"))
    for low, meant in (("pets/cat", "pets"), ("xrays/Train/cat", "xrays")):
        with refused(tmp_path / low, f" {tmp_path / meant};", "cat/<class>/*.png"):
            scan(tmp_path / low)
    monkeypatch.chdir(tmp_path / "xrays" / "Train")
    with refused("cat", " ..;"):
        scan(Path("cat"))
    fill(tmp_path / "alone", ["photos"])
    with refused(tmp_path / "alone" / "photos", "photos/<class>/*.png") as caught:
        scan(tmp_path / "alone" / "photos")
    assert f"{tmp_path}/alone;" not in str(caught.value)


def test_a_split_itself_serves(tmp_path: Path):
    fill(tmp_path, both("train", "test"))
    assert scan(tmp_path / "train").classes == ("cat", "dog")


def test_a_split_that_is_not_there_names_the_folder_of_one_that_is(tmp_path: Path):
    with refused(tmp_path, "split 'train'", tmp_path / "test"):
        scan(fill(tmp_path, both("test")))


def test_what_lies_beside_a_folder_without_classes_cannot_break_the_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fill(tmp_path, ["cat", "private"])

    def listed(folder: Path) -> list[Path]:
        if folder.name == "private":
            raise InputError("private cannot be listed: Permission denied")
        return visible(folder)

    monkeypatch.setattr(splits, "visible", listed)
    with refused(tmp_path / "cat", "cat/<class>/*.png"):
        scan(tmp_path / "cat")
