"""The folder that was meant: splits under other names, classes named like splits, one too high."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from spaces.errors import InputError
from trainable.data.folders import splits
from trainable.data.folders.listing import visible
from trainable.data.folders.scan import scan
from trainable.data.folders.splits import split_of

PIXEL = Image.new("L", (1, 1))


def fill(root: Path, folders: Sequence[str], n: int = 10) -> Path:
    for folder in folders:
        (root / folder).mkdir(parents=True)
        for i in range(n):
            PIXEL.save(root / folder / f"{i}.png")
    return root


def both(*splits: str) -> list[str]:
    return [f"{split}/{name}" for split in splits for name in ("cat", "dog")]


def refusal(root: Path, split: str = "train") -> str:
    with pytest.raises(InputError) as refused:
        scan(root, split)
    return str(refused.value)


@pytest.mark.parametrize("name", ["train", "Train", "TRAINING", "Testing", "Valid", "validation"])
def test_names_of_splits(name: str):
    assert split_of(name) in ("train", "test", "val")
    assert split_of(f"{name}s") is split_of(f"my{name}") is None


@pytest.mark.parametrize("name", ["train", "test", "val", "Train", "Testing"])
def test_a_class_named_like_a_split_is_to_be_renamed(tmp_path: Path, name: str):
    said = refusal(fill(tmp_path, ["car", "plane", name]))
    assert f"{tmp_path} has {name}, as splits are called, beside folders of images (car, p" in said
    assert f"rename {name} if it is a class like these, or move these into {tmp_path}/train" in said


def test_images_of_a_split_that_are_in_no_class_folders(tmp_path: Path):
    said = refusal(fill(tmp_path, ["Training", "Testing"]))
    assert said == (
        f"{tmp_path}/Training holds no class folders; put the images in one folder per class, "
        "Training/<class>/*.png"
    )


@pytest.mark.parametrize(
    "others", [["test"], ["chest_xray/train/cat", "chest_xray/train/dog"], ["notes"], both("val")]
)
def test_what_lies_beside_a_split_for_training_is_left_alone(tmp_path: Path, others: list[str]):
    found = scan(fill(tmp_path, [*both("train"), *others]))
    assert found.classes == ("cat", "dog")
    assert all(entry.source.startswith("train/") for entry in found.entries)


def test_class_folders_beside_a_test_split(tmp_path: Path):
    said = refusal(fill(tmp_path, ["cat", "dog", *both("test")]))
    assert f"move these into {tmp_path}/train" in said


def test_a_folder_too_high(tmp_path: Path):
    fill(tmp_path / "downloads" / "pets", ["cat", "dog"])
    said = refusal(tmp_path / "downloads")
    assert said.endswith(f"two; give {tmp_path}/downloads/pets, which holds class folders")
    assert f"give {tmp_path}/downloads/pets, which holds" in refusal(tmp_path)
    fill(tmp_path / "archive" / "one" / "two", both("Training", "Testing"))
    assert f"give {tmp_path}/archive/one/two, which holds" in refusal(tmp_path / "archive")


def test_a_folder_of_several_data_sets(tmp_path: Path):
    for name in ("a", "b"):
        fill(tmp_path / name, both("train", "test"))
    assert refusal(tmp_path) == (
        f"{tmp_path} holds data sets (a, b), not class folders; give {tmp_path}/a or {tmp_path}/b"
    )


def test_splits_inside_classes(tmp_path: Path):
    said = refusal(fill(tmp_path, ["cat/train", "cat/test", "dog/train", "dog/test"]))
    assert "has splits inside a class folder (cat/test); put them above the classes: " in said
    assert said.endswith(f"{tmp_path}/test/cat")


def test_a_folder_too_low(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fill(tmp_path / "pets", ["cat", "dog"])
    fill(tmp_path / "xrays", both("Train", "Test"))
    assert (
        f"pets/cat holds no class folders; if it is one of several classes, give the folder of "
        f"all, {tmp_path}/pets; else put the images in one folder per class, cat/<class>/*.png"
    ) in refusal(tmp_path / "pets" / "cat")
    assert f"give the folder of all, {tmp_path}/xrays;" in refusal(tmp_path / "xrays/Train/cat")
    monkeypatch.chdir(tmp_path / "xrays" / "Train")
    assert "give the folder of all, ..;" in refusal(Path("cat"))
    fill(tmp_path / "alone", ["photos"])
    said = refusal(tmp_path / "alone" / "photos")
    assert said.endswith("photos holds no class folders; put the images in one folder per class, "
                         "photos/<class>/*.png")  # fmt: skip


def test_a_split_itself_serves(tmp_path: Path):
    fill(tmp_path, both("train", "test"))
    assert scan(tmp_path / "train").classes == ("cat", "dog")


def test_a_split_that_is_not_there_names_the_folder_of_one_that_is(tmp_path: Path):
    root = fill(tmp_path, both("test"))
    assert refusal(root).endswith(
        f"it has test: give a split's own folder, such as {tmp_path}/test"
    )


def test_what_lies_beside_a_folder_without_classes_cannot_break_the_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fill(tmp_path, ["cat", "private"])

    def listed(folder: Path) -> list[Path]:
        if folder.name == "private":
            raise InputError("private cannot be listed: Permission denied")
        return visible(folder)

    monkeypatch.setattr(splits, "visible", listed)
    assert "cat holds no class folders; put the images in one folder" in refusal(tmp_path / "cat")
