"""Loading labelled images: what the files may be, what the folder must be, and the sources."""

from __future__ import annotations

import itertools
import pickle
import shlex
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from spaces.errors import InputError
from spaces.task import Task
from tests.helpers.pictures import class_folder, image, jpeg, png, raw_png
from tests.helpers.refusals import refused, tells
from trainable.data.__main__ import main
from trainable.data.dataset import check_image_size
from trainable.data.folders import decode as decoding
from trainable.data.folders.decode import Picture
from trainable.data.folders.entries import Entry
from trainable.data.folders.inventory import Item, exact_dimensions
from trainable.data.folders.limits import UnreadableError
from trainable.data.folders.read import Decoded, load_folder, read_all
from trainable.data.folders.scan import scan
from trainable.data.labelling import Labelling
from trainable.data.reading import FITS, Reading
from trainable.data.sources import load


@pytest.fixture
def root(tmp_path: Path) -> Path:
    class_folder(tmp_path / "set" / "cat", 12, 1)
    class_folder(tmp_path / "set" / "ant", 11, 2)
    return tmp_path / "set"


def read(data: bytes, size: int = 32, fit: str = "crop", background: str = "black") -> Picture:
    return decoding.decode(data, size, Reading(fit, background))


def decode(data: bytes, size: int = 32, fit: str = "crop", background: str = "black") -> np.ndarray:
    return read(data, size, fit, background).pixels


# --- one file ---------------------------------------------------------------------------------


def test_16_bit_grey_uses_its_full_range():
    levels = np.array([0, 257, 128 * 257, 65535], dtype=np.uint16)
    for value, expected in zip(levels, (0, 1, 128, 255), strict=True):
        pixels = decode(png(Image.fromarray(np.full((40, 40), value))), 32)
        assert pixels.shape == (1, 32, 32)
        assert (pixels == expected).all()


def test_16_bit_colour_and_alpha():
    colour = decode(raw_png(2, struct.pack(">HHH", 65535, 257 * 100, 0)), 32)
    assert colour[:, 0, 0].tolist() == [255, 100, 0]
    half = decode(raw_png(4, struct.pack(">HH", 257 * 200, 257 * 128)), 32)
    assert half.shape == (1, 32, 32)
    np.testing.assert_allclose(half, 100, atol=1)
    whole = decode(raw_png(6, struct.pack(">HHHH", 65535, 0, 257 * 9, 65535)), 32)
    assert whole[:, 0, 0].tolist() == [255, 0, 9]


def test_transparency_is_laid_on_black():
    half = Image.new("RGBA", (40, 40), (200, 100, 50, 128))
    pixels = decode(png(half), 32)
    assert pixels.shape == (3, 32, 32)
    np.testing.assert_allclose(pixels[:, 0, 0], (100, 50, 25), atol=1)
    assert (decode(png(Image.new("LA", (40, 40), (200, 0))), 32) == 0).all()


def test_cmyk_palette_and_bilevel():
    red = decode(jpeg(Image.new("CMYK", (40, 40), (0, 255, 255, 0)), quality=95), 32)
    np.testing.assert_allclose(red[:, 5, 5], (255, 0, 0), atol=6)
    palette = Image.new("RGB", (40, 40), (10, 200, 30)).quantize(4)
    assert palette.mode == "P"
    np.testing.assert_allclose(decode(png(palette), 32)[:, 5, 5], (10, 200, 30), atol=2)
    assert (decode(png(Image.new("1", (40, 40), 1)), 32) == 255).all()


def test_one_pixel_and_odd_sizes():
    assert (decode(png(Image.new("L", (1, 1), 77)), 64) == 77).all()
    for fit in FITS:
        for width, height in ((1, 999), (333, 17), (31, 33)):
            assert decode(png(image(0, width, height)), 32, fit).shape == (1, 32, 32)
            assert decode(jpeg(image(0, width, height)), 32, fit).shape == (1, 32, 32)


def test_exif_orientation_is_applied():
    picture = Image.new("L", (64, 64), 0)
    picture.paste(255, (0, 0, 64, 32))  # the upper half is bright
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: up becomes right
    pixels = decode(jpeg(picture, exif=exif, quality=95), 32)[0]
    assert pixels[:, 20:].mean() > 240
    assert pixels[:, :12].mean() < 15


def test_crop_takes_the_centre_square_and_the_others_keep_everything():
    wide = Image.new("L", (96, 32), 0)
    wide.paste(100, (32, 0, 64, 32))
    wide.paste(200, (64, 0, 96, 32))  # thirds of 0, 100, 200
    assert (decode(png(wide), 32, "crop") == 100).all()
    padded = decode(png(wide), 32, "pad")[0]
    rows = np.flatnonzero(padded.any(axis=1))
    assert (rows[0], rows[-1]) == (10, 20)  # 32 / 3 = 11 rows, centred
    assert padded[16, 2] == 0
    assert padded[16, 16] == 100
    assert padded[16, 29] == 200
    stretched = decode(png(wide), 32, "stretch")[0]
    assert [int(stretched[row, column]) for row in (0, 31) for column in (2, 16, 29)] == [
        0, 100, 200, 0, 100, 200
    ]  # fmt: skip


def test_shrinking_is_antialiased_and_a_drafted_jpeg_agrees():
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (512, 256))
    np.testing.assert_allclose(decode(png(Image.fromarray(stripes)), 32), 127.5, atol=3)
    y, x = np.mgrid[:1024, :1024] / 1024
    smooth = Image.fromarray((127 + 100 * np.sin(7 * x) * np.cos(5 * y)).astype(np.uint8))
    for shape, fit in itertools.product(((1024, 1024), (1024, 320)), FITS):
        shown = smooth.resize(shape)
        drafted = decode(jpeg(shown, quality=95), 64, fit).astype(int)
        np.testing.assert_allclose(drafted, decode(png(shown), 64, fit), atol=4)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"hello", "image"),
        (png(image(0))[:300], "truncated"),
        (jpeg(image(0, 300, 300))[:2000], "truncated"),
    ],
)
def test_broken_files_say_why(data: bytes, reason: str):
    with pytest.raises(UnreadableError, match=reason):
        decode(data, 32)


# --- a folder ---------------------------------------------------------------------------------


def test_classes_are_found_once(root: Path):
    """Not for each image again, which took minutes for 100,000."""
    found = scan(root)
    assert found.classes == ("ant", "cat")
    assert found.classes is found.classes


def test_a_folder_becomes_a_dataset(root: Path):
    (root / "cat" / ".hidden.png").write_bytes(b"x")
    (root / "cat" / "notes.txt").write_text("x")
    (root / "cat" / "link.PNG").symlink_to(root / "ant" / "000.png")
    (root / "ant" / "000.png").rename(root / "elsewhere.png")
    (root / "cat" / "link.PNG").unlink()
    (root / "cat" / "link.PNG").symlink_to(root / "elsewhere.png")
    calls: list[tuple[int, int]] = []
    data = load_folder(root, 32, progress=lambda done, total: calls.append((done, total)))
    assert data.images.shape == (23, 1, 32, 32)
    assert data.task == Task(32, 1, 2, 23)
    assert data.counts == {"ant": 10, "cat": 13}
    assert data.sources[:1] == ("ant/001.png",)
    assert data.sources[-1] == "cat/link.PNG"
    assert list(data.sources) == sorted(data.sources)
    assert set(data.patients) == {None}
    assert data.name == "set"
    assert calls[-1] == (23, 23)


def test_order_and_digest_do_not_depend_on_threads(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("trainable.data.folders.read.local_cores", lambda: 1)
    one = load_folder(root, 32)
    monkeypatch.setattr("trainable.data.folders.read.local_cores", lambda: 8)
    many = load_folder(root, 32)
    assert one.sources == many.sources
    assert one.digest == many.digest == pickle.loads(pickle.dumps(one)).digest
    assert load_folder(root, 64).digest != one.digest
    image(999).save(root / "cat" / "000.png")
    assert load_folder(root, 32).digest != one.digest


def test_the_digest_covers_labels_and_classes_and_read_only_arrays(root: Path):
    data = load_folder(root, 32)
    data.images.flags.writeable = False
    assert replace(data).digest == data.digest
    assert replace(data, images=data.images[..., ::-1][..., ::-1]).digest == data.digest
    assert replace(data, labels=1 - data.labels).digest != data.digest
    assert replace(data, classes=("ant", "dog")).digest != data.digest
    with pytest.raises(ValueError, match="uint8"):
        replace(data, images=data.images.astype(float))


def test_grey_or_colour_is_found_out(root: Path):
    image(5).convert("RGB").save(root / "cat" / "equal_channels.png")
    assert load_folder(root, 32).task.channels == 1
    image(6, mode="RGB").save(root / "cat" / "colour.png")
    data = load_folder(root, 32)
    assert data.task.channels == 3
    assert data.report.colour == 1
    grey = data.images[data.sources.index("cat/equal_channels.png")]
    assert (grey == grey[:1]).all()


def test_duplicates_are_dropped_and_counted(root: Path):
    original = (root / "cat" / "003.png").read_bytes()
    (root / "cat" / "zzz.png").write_bytes(original)
    (root / "cat" / "yyy.png").write_bytes(original)
    data = load_folder(root, 32)
    assert data.n == 23
    assert data.report.duplicates == 2
    assert "2 duplicates" in str(data.report)
    assert "cat/zzz.png" not in data.sources


def test_the_same_bytes_with_two_labels_are_an_error(root: Path):
    (root / "ant" / "copy.png").write_bytes((root / "cat" / "003.png").read_bytes())
    with refused("ant/copy.png", "cat/003.png", "'ant'", "'cat'"):
        load_folder(root, 32)


def test_five_percent_may_be_unreadable_and_no_more(tmp_path: Path):
    class_folder(tmp_path / "a", 19, 1)
    class_folder(tmp_path / "b", 19, 2)
    (tmp_path / "a" / "bad1.png").write_bytes(b"junk")
    (tmp_path / "b" / "bad2.png").symlink_to(tmp_path / "nowhere.png")
    data = load_folder(tmp_path, 32)
    assert data.n == 38
    assert data.report.files == 40
    assert [source for source, _ in data.report.skipped] == ["a/bad1.png", "b/bad2.png"]
    assert data.report.skipped[1][1] == "No such file or directory"
    (tmp_path / "b" / "bad3.png").write_bytes(b"")
    with refused("3 of 41", tmp_path, "5%", "a/bad1.png: ", "b/bad2.png: ", "b/bad3.png: "):
        load_folder(tmp_path, 32)


def test_a_class_needs_ten_readable_images(root: Path):
    class_folder(root / "bee", 9, 3)
    with refused("'bee'", root, "9 image", 10):
        load_folder(root, 32)
    (root / "bee" / "copy.png").write_bytes((root / "bee" / "000.png").read_bytes())
    with refused("'bee'", root, "9 readable", "1 duplicates", 10):
        load_folder(root, 32)
    class_folder(root / "empty", 0, 3)
    with refused("'empty'", root, 0, 10):
        load_folder(root, 32)


def test_folders_that_cannot_serve(tmp_path: Path, root: Path):
    with refused(tmp_path / "nowhere"):
        load_folder(tmp_path / "nowhere", 32)
    with refused(root / "cat" / "000.png", "folder"):
        load_folder(root / "cat" / "000.png", 32)
    (tmp_path / "empty").mkdir()
    with refused(tmp_path / "empty", "empty/<class>/*.png"):
        load_folder(tmp_path / "empty", 32)
    class_folder(tmp_path / "one" / "cat", 10, 1)
    with refused(tmp_path / "one", "two classes", "('cat')"):
        load_folder(tmp_path / "one", 32)


@pytest.mark.parametrize("size", [0, 16, 48, 63, 512, -32])
def test_image_sizes_are_powers_of_two(size: int, root: Path):
    with refused("--image-size", size, "32, 64, 128, 256"):
        check_image_size(size)
    with pytest.raises(InputError):
        load_folder(root, size)


def test_wrong_options_are_named(root: Path):
    with refused("--fit", "'squash'", "crop, pad, stretch"):
        load_folder(root, 32, how=Reading("squash"))
    with refused("split", "'training'", "train"):
        load_folder(root, 32, split="training")
    with refused(root, "split 'test'"):
        load_folder(root, 32, split="test")


def test_splits_are_kept_apart(tmp_path: Path):
    for index, split in enumerate(("train", "test")):
        class_folder(tmp_path / split / "a", 10 + index, 1 + index)
        class_folder(tmp_path / split / "b", 10 + index, 5 + index)
    (tmp_path / "test" / "a" / "broken.png").write_bytes(b"junk")
    (tmp_path / "__MACOSX").mkdir()
    train = load_folder(tmp_path, 32)
    assert train.n == 20
    assert all(source.startswith("train/") for source in train.sources)
    assert load_folder(tmp_path, 32, split="test").report.skipped[0][0] == "test/a/broken.png"
    with refused(tmp_path, "split 'val'", "test, train"):
        load_folder(tmp_path, 32, split="val")


@pytest.mark.parametrize(
    ("train", "test"), [("Training", "Testing"), ("Train", "Test"), ("TRAIN", "test")]
)
def test_splits_may_go_by_other_names(tmp_path: Path, train: str, test: str):
    for split, seed in ((train, 1), (test, 3), ("Validation", 5)):
        class_folder(tmp_path / split / "a", 10, seed)
        class_folder(tmp_path / split / "b", 10, seed + 1)
    for split, folder in (("train", train), ("test", test), ("val", "Validation")):
        sources = load_folder(tmp_path, 32, split=split).sources
        assert {source.split("/")[0] for source in sources} == {folder}
    class_folder(tmp_path / "training" / "a", 0, 0)
    (tmp_path / train).rename(tmp_path / "TRAINING")
    with refused(tmp_path, "split 'train'", "TRAINING, training"):
        load_folder(tmp_path, 32)


def test_patients_of_splits_are_named_at_the_top_or_in_each(tmp_path: Path):
    for split in ("train", "test"):
        for seed, name in enumerate(("a", "b")):
            class_folder(tmp_path / split / name, 10, seed=100 * seed + 10 * (split == "test"))
    top = tmp_path / "manifest.csv"
    top.write_text("file,patient\ntrain/a/000.png,ann\ntest/a/000.png,bob\ntest/b/000.png,bob\n")
    known = {split: load_folder(tmp_path, 32, split=split).patients for split in ("train", "test")}
    assert [p for p in known["train"] if p] == ["ann"]
    assert [p for p in known["test"] if p] == ["bob", "bob"]
    (tmp_path / "train" / "manifest.csv").write_text("file,patient\nb/003.png,eve\n")
    data = load_folder(tmp_path, 32)
    assert {s: p for s, p in zip(data.sources, data.patients, strict=True) if p} == {
        "train/b/003.png": "eve"
    }
    top.write_text("file,patient\na/0.png,ann\n")
    with refused(top, "'a/0.png'", "'file'"):
        load_folder(tmp_path, 32, split="test")


def test_an_interrupt_does_not_decode_the_rest(root: Path, monkeypatch: pytest.MonkeyPatch):
    started: list[str] = []

    def slow(entry, **_):
        started.append(entry.source)
        return Decoded(entry, "", None)

    monkeypatch.setattr("trainable.data.folders.read._read", slow)
    entries = scan(root).entries * 200
    reading = read_all(entries, 32, workers=1)
    next(reading)
    reading.close()
    assert len(started) < len(entries)


# --- Kaggle's chest X-rays ----------------------------------------------------------------------


@pytest.fixture
def xrays(tmp_path: Path) -> Path:
    base = tmp_path / "chest" / "train"
    class_folder(base / "NORMAL", 0, 0)
    class_folder(base / "PNEUMONIA", 0, 0)
    for i in range(10):
        stem = f"IM-{i:04}-0001" if i % 2 else f"NORMAL2-IM-{i:04}-0001-0002"
        image(i).save(base / "NORMAL" / f"{stem}.jpeg")
        image(100 + i).save(base / "PNEUMONIA" / f"person{i // 2}_bacteria_{i}.jpeg")
        image(200 + i).save(base / "PNEUMONIA" / f"person{1000 + i}_virus_{i}.jpeg")
    image(300).save(base / "PNEUMONIA" / "scan.jpeg")
    return tmp_path / "chest"


def test_kaggle_names_tell_cause_and_patient(xrays: Path):
    data = load_folder(xrays, 32)
    assert data.classes == ("bacterial_pneumonia", "normal")
    assert data.counts == {"bacterial_pneumonia": 10, "normal": 10}
    assert data.report.left_out.pop("viral_pneumonia") == 10
    assert list(data.report.left_out.values()) == [1]  # of pneumonia, one does not say which
    patients = dict(zip(data.sources, data.patients, strict=True))
    assert patients["train/PNEUMONIA/person2_bacteria_5.jpeg"] == "person2_bacteria"
    assert patients["train/NORMAL/IM-0001-0001.jpeg"] == "IM-0001"
    assert patients["train/NORMAL/NORMAL2-IM-0002-0001-0002.jpeg"] == "NORMAL2-IM-0002"
    assert len(set(data.patients)) == 15


def test_viral_pneumonia_on_request(xrays: Path):
    chosen = Labelling(classes="viral_pneumonia,normal")
    data = load_folder(xrays, 32, labelling=chosen)
    assert data.classes == ("viral_pneumonia", "normal")
    assert data.counts == {"viral_pneumonia": 10, "normal": 10}
    assert data.report.left_out.pop("images of other classes") == 10


@pytest.mark.parametrize("order", [("ant", "cat"), ("cat", "ant"), ("cat", "a, b")])
def test_classes_are_chosen_and_ordered(tmp_path: Path, order: tuple[str, str]):
    for seed, name in enumerate(("ant", "cat", "a, b", "COVID+")):
        class_folder(tmp_path / name, 10, seed)
    asked = Labelling(classes=",".join(f'"{name}"' if "," in name else name for name in order))
    data = load_folder(tmp_path, 32, labelling=asked)
    assert data.classes == order
    assert data.counts == dict.fromkeys(order, 10)
    assert data.sources[0].startswith(f"{order[0]}/")
    assert data.report.left_out == {"images of other classes": 20}


def test_all_classes_in_order_are_the_same_data(tmp_path: Path):
    for seed, name in enumerate(("ant", "cat")):
        class_folder(tmp_path / name, 10, seed)
    same, other = (
        load_folder(tmp_path, 32, labelling=Labelling(classes=classes))
        for classes in ("ant,cat", "cat, ant")
    )
    assert same.digest == load_folder(tmp_path, 32).digest != other.digest


def test_an_unknown_class_names_the_near_one(tmp_path: Path):
    for seed, name in enumerate(("normal", "bacteria", "COVID+")):
        class_folder(tmp_path / name, 10, seed)
    with refused("--classes", "'bacterai'", "'bacteria'", "'normal'", tmp_path):
        load_folder(tmp_path, 32, labelling=Labelling(classes="bacterai,normal"))
    with refused("'covid+'", "'COVID+'"):
        load_folder(tmp_path, 32, labelling=Labelling(classes="covid+,normal"))


@pytest.mark.parametrize("classes", ["", "a", "a,a", "a,,b", 'a,"b'])
def test_classes_that_cannot_be_are_refused(classes: str):
    with refused("--classes"):
        Labelling(classes=classes)


# --- what --data may name -----------------------------------------------------------------------


def test_phantom_is_embedded_and_a_folder_of_that_name_is_addressed_with_a_dot(
    root: Path, monkeypatch: pytest.MonkeyPatch
):
    root.rename(root.with_name("phantom"))
    monkeypatch.chdir(root.parent)
    assert load("./phantom", 32).classes == ("ant", "cat")
    monkeypatch.setattr("trainable.data.sources.PHANTOMS_PER_CLASS", 2)
    data = load("phantom", 32, seed=3)
    assert data.classes == ("normal", "pneumonia")
    assert data.counts == {"normal": 2, "pneumonia": 2}
    assert data.digest == load("phantom", 32, seed=3).digest != load("phantom", 32).digest
    with refused("--split", "'test'", "phantom", "--seed"):
        load("phantom", 32, split="test")


def test_an_unknown_word_lists_the_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with refused("'fantom'", "'phantom'", "'pneumoniamnist'", "folder", "phantom?"):
        load("fantom", 32)
    with refused("nowhere/x"):
        load("nowhere/x", 32)


def test_pneumoniamnist_without_its_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "medmnist", None)
    with refused("medmnist", "pip install -c constraints.txt -e '.[pneumoniamnist]'"):
        load("pneumoniamnist", 32)


@pytest.mark.parametrize(("size", "stored"), [(32, 64), (64, 64), (128, 128), (256, 224)])
def test_pneumoniamnist(size: int, stored: int, monkeypatch: pytest.MonkeyPatch):
    asked: dict[str, object] = {}

    def source(**options):
        asked.update(options)
        imgs = np.full((6, options["size"], options["size"]), 9, dtype=np.uint8)
        labels = np.array([[0], [1], [1], [0], [1], [1]], dtype=np.uint8)
        info = {"label": {"0": "normal", "1": "pneumonia"}}
        return SimpleNamespace(imgs=imgs, labels=labels, info=info)

    monkeypatch.setitem(sys.modules, "medmnist", SimpleNamespace(PneumoniaMNIST=source))
    data = load("pneumoniamnist", size, split="val")
    assert asked == {"split": "val", "download": True, "size": stored}
    assert data.images.shape == (6, 1, size, size)
    assert (data.images == 9).all()
    assert data.counts == {"normal": 2, "pneumonia": 4}


def test_pneumoniamnist_without_network(monkeypatch: pytest.MonkeyPatch):
    def source(**_):
        raise RuntimeError("Something went wrong when downloading!")

    monkeypatch.setitem(sys.modules, "medmnist", SimpleNamespace(PneumoniaMNIST=source))
    with refused("64 pixels", "Something went wrong when downloading!", "~/.medmnist"):
        load("pneumoniamnist", 32)


# --- show, and the command line -----------------------------------------------------------------


def test_show_draws_a_row_a_class(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "pictures" / "grid.png"
    assert main(["show", str(root), "--out", str(out), "--per-class", "5"]) == 0
    with Image.open(out) as sheet:
        assert sheet.size[0] == 5 * 66 + 2
        assert sheet.size[1] > 2 * 64
    printed = capsys.readouterr().out
    assert "cat" in printed
    assert "40 x 40: 12" in printed
    assert "patient" not in printed
    assert printed.rstrip().splitlines()[-1].startswith("  cgan-search run --data")


def test_show_needs_no_name_for_its_picture_and_passes_flags_on(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    rows = [f"{name}/{i:03};{name} (1)" for name in ("ant", "cat") for i in range(11)]
    Path("labels.csv").write_text("\n".join(["file;label", *rows]), encoding="utf-8-sig")
    flags = ["--labels", "labels.csv", "--classes", "cat (1),ant (1)"]
    assert main(["show", "set", *flags]) == 0
    with Image.open("set-grid.png") as sheet:
        assert sheet.size[0] == 10 * 66 + 2
    printed = capsys.readouterr().out
    assert tells(printed, "set-grid.png", "1 images without a row")
    following = ["--labels", str(tmp_path / "labels.csv"), "--classes", "cat (1),ant (1)"]
    assert shlex.split(printed.splitlines()[-1])[4:] == [*following, "--dry-run"]


def test_show_tells_grey_from_colour_and_dimensions_exactly(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for i, size in enumerate(((40, 41), (140, 60), (50, 250))):
        image(900 + i, *size, mode="RGB").save(root / "ant" / f"more{i}.png")
    assert main(["show", str(root), "--out", str(tmp_path / "grid.png")]) == 0
    lines = capsys.readouterr().out.splitlines()
    ant, cat = (next(i for i, line in enumerate(lines) if n in line) for n in ("ant", "cat"))
    assert lines[ant].split()[:4] == ["ant", "14", "11", "3"]
    assert lines[cat].split()[:4] == ["cat", "12", "12", "0"]
    ends = [line.rstrip().rpartition("  ")[2].strip() for line in lines[ant:cat]]
    assert ends[:2] == ["40 x 40: 11", "40 x 41: 1"]
    assert exact_dimensions([]) == []


def test_the_rest_of_the_dimensions_is_a_range():
    entry = Entry(Path("x"), "x", "a", None)
    sizes = [(9, 9)] * 4 + [(8, 8)] * 3 + [(7, 7)] * 2 + [(10, 30), (20, 5)]
    assert exact_dimensions([Item(entry, 1, *size) for size in sizes]) == [
        ("9 x 9", 4), ("8 x 8", 3), ("7 x 7", 2), ("10 to 20 x 5 to 30", 2)
    ]  # fmt: skip


def test_show_counts_patients_where_they_are_known(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (root / "cat").rename(root / "viral_pneumonia")  # a class of that name, not Kaggle's layout
    (root / "manifest.csv").write_text("file,patient\nant/000.png,ann\nant/001.png,ann\n")
    assert main(["show", str(root), "--out", str(tmp_path / "grid.png")]) == 0
    printed = capsys.readouterr().out
    ant, other = (next(line for line in printed.splitlines() if n in line) for n in ("ant", "vir"))
    assert ant.split()[:3] == ["ant", "11", "1"]
    assert other.split()[:3] == ["viral_pneumonia", "12", "-"]
    assert tells(printed, "2 of 23 images", "manifest.csv")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["show", "nowhere", "--out", "x.png"], ("data 'nowhere'", "folder")),
        (["show", "phantom", "--out", "x.jpg"], ("--out x.jpg", ".png")),
        (["show", "phantom", "--out", "x.png", "--image-size", "48"], ("--image-size", 48, 64)),
        (["show", "phantom", "--out", "x.png", "--per-class", "0"], ("--per-class", 0, 1)),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    arguments: list[str], parts: tuple[object, ...], capsys: pytest.CaptureFixture[str]
):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert tells(error, *parts)
    assert error.count("\n") == 1


def test_the_module_runs_without_torch():
    code = (
        "import sys, trainable.data, trainable.data.__main__\n"
        "heavy = {'torch', 'ray', 'mlflow', 'optuna', 'scipy', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    run = subprocess.run(
        [sys.executable, "-m", "trainable.data", "show", "nowhere", "--out", "x.png"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 2
    assert run.stderr.startswith("error: ")
    assert "Traceback" not in run.stderr
