"""Files as users have them: formats, subfolders, links, depth, transparency, names, bounds."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
import unicodedata
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from search.study.folder import check_output
from tests.helpers.pictures import class_folder, image, jpeg, png, raw_png
from tests.helpers.refusals import refused, tells
from tests.helpers.toys import make_data
from trainable.data.__main__ import main
from trainable.data.dataset import LoadReport
from trainable.data.fingerprints import image_differences, write_images
from trainable.data.folders import limits, opening
from trainable.data.folders.decode import FORMATS, SUFFIXES, decode
from trainable.data.folders.limits import UnreadableError
from trainable.data.folders.listing import folders
from trainable.data.folders.read import load_folder, stack
from trainable.data.folders.scan import scan
from trainable.data.reading import FITS, USUAL, Levels, Reading
from trainable.data.small import build_small
from trainable.data.sources import load
from trainable.data.split.held_out import held_out
from trainable.metrics.__main__ import main as score
from trainable.metrics.two_folders.read import list_images


@pytest.fixture
def root(tmp_path: Path) -> Path:
    class_folder(tmp_path / "set" / "ant", 20, 1)
    class_folder(tmp_path / "set" / "cat", 20, 2)
    return tmp_path / "set"


def write(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


# --- which files are read ------------------------------------------------------------------------


def test_the_suffixes_are_those_of_the_formats():
    Image.init()
    known = {suffix for suffix, name in Image.EXTENSION.items() if name in (*FORMATS, "MPO")}
    assert set(SUFFIXES) == known


@pytest.mark.parametrize(
    "name",
    ["x.webp", "x.tif", "x.TIFF", "x.bmp", "x.JFIF", "x.jpe", "x.gif", "x.pgm", "x.JP2", "x.tga"],
)
def test_formats_that_pillow_reads(name: str, root: Path):
    path = root / "cat" / "deep" / "er" / name
    path.parent.mkdir(parents=True)
    image(77).save(path, format=Image.registered_extensions()[path.suffix.lower()])
    data = load_folder(root, 32)
    assert data.sources[-1] == f"cat/deep/er/{name}"
    assert data.n == 41
    assert data.report.nested == 1
    assert "1 from subfolders" in str(data.report)


def counted(report: LoadReport, word: str) -> int:
    """How many files were left out for the one reason that has a word."""
    [number] = [n for reason, n in report.left_out.items() if word in reason]
    return number


def test_what_is_left_out_is_counted_and_what_systems_leave_is_not(root: Path):
    for name in ("a.dcm", "b.DCM", "notes.txt", "README"):
        (root / "cat" / name).write_bytes(b"x")
    for name in (".DS_Store", "._000.png", "Thumbs.db", "desktop.ini", "__MACOSX/1.png",
                 ".git/2.png", "@eaDir/3.png"):  # fmt: skip
        path = root / "cat" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    write(root / "cat" / "masks" / "000.png", np.zeros((40, 40), np.uint8))
    image(1).save(root / "lost.png")
    data = load_folder(root, 32)
    assert data.n == 40
    assert counted(data.report, ".dcm") == 2
    for word in (".txt", "suffix", "masks", "outside"):
        assert counted(data.report, word) == 1
    assert sum(data.report.left_out.values()) == 6
    assert tells(str(data.report), "2 .dcm files", "1 .txt files")


def test_a_class_of_other_files_says_what_they_are(root: Path):
    (root / "dog").mkdir()
    (root / "dog" / "1.nii").write_bytes(b"x")
    with refused("'dog'", root, "0 image", "1 .nii files"):
        load_folder(root, 32)


def test_only_the_most_common_reasons_are_listed(root: Path):
    for number in range(9):
        (root / "cat" / f"x.{number}").write_bytes(b"x")
    (root / "cat" / "y.8").write_bytes(b"x")
    said = str(load_folder(root, 32).report)
    assert tells(said, "2 .8 files")
    assert re.search(r", 3 of other kinds[^,]*$", said)
    assert len(said.split(", ")) == 1 + 7


def test_loops_of_links_end_and_linked_folders_are_read_once(root: Path, tmp_path: Path):
    class_folder(tmp_path / "more", 3, 9)
    (root / "cat" / "here").symlink_to(root / "cat")
    (root / "cat" / "up").symlink_to(tmp_path)
    (root / "cat" / "a").symlink_to(tmp_path / "more")
    (root / "cat" / "b").symlink_to(tmp_path / "more")
    (tmp_path / "more" / "back").symlink_to(tmp_path / "more")
    (root / "loop").symlink_to(root)
    data = load_folder(root, 32)
    assert data.counts == {"ant": 20, "cat": 23}
    assert counted(data.report, "links") == 4
    assert len(data.report.left_out) == 1


def test_what_is_no_file_is_named_and_never_opened(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    os.mkfifo(tmp_path / "pipe")
    (root / "cat" / "fifo.png").symlink_to(tmp_path / "pipe")
    (root / "cat" / "zero.png").symlink_to("/dev/zero")
    entries = {e.source: e for e in scan(root).entries}
    server = socket.socket(socket.AF_UNIX)
    monkeypatch.chdir(tmp_path)  # a socket's path has some 100 characters at most
    server.bind("s.png")
    kinds = {"cat/fifo.png": "pipe", "cat/zero.png": "device"}
    for name, kind in kinds.items():
        with pytest.raises(UnreadableError, match=kind):
            opening.opened(entries[name].path)
    with pytest.raises(UnreadableError, match="socket"):
        opening.opened(tmp_path / "s.png")
    server.close()
    skipped = dict(load_folder(root, 32).report.skipped)
    assert skipped.keys() == kinds.keys()
    assert all(tells(skipped[name], kind) for name, kind in kinds.items())


def test_broken_links_and_links_in_a_circle_are_named(root: Path):
    (root / "cat" / "gone.png").symlink_to("nowhere.png")
    (root / "cat" / "circle.png").symlink_to("circle.png")
    skipped = dict(load_folder(root, 32).report.skipped)
    assert skipped["cat/gone.png"] == "No such file or directory"
    assert "symbolic links" in skipped["cat/circle.png"]


def test_a_class_that_is_a_broken_link_is_refused(root: Path):
    (root / "dog").symlink_to("/mnt/disk/dog")
    with refused(root / "dog", "/mnt/disk/dog", "link"):
        load_folder(root, 32)


def test_a_folder_that_cannot_be_entered_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch):
    """Tests may run as root, who may enter all."""

    def is_dir(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_dir", is_dir)
    with refused(root / "ant", "Permission denied"):
        folders(root)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("set.zip", "unpack"),
        ("set.tar.gz", "unpack"),
        ("https://a.b/set.zip", "download"),
        ("none/at/all", "folder"),
        ("x" * 300, "folder"),
        (f"a/{'x' * 300}", "File name too long"),
        ("", "empty"),
    ],
)
def test_what_is_no_folder_says_what_to_do(
    name: str, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("a").mkdir()
    for archive in ("set.zip", "set.tar.gz"):
        Path(archive).write_bytes(b"x")
    with refused(name, word):
        load(name, 32)
    with refused(name, word):
        held_out(make_data(), "phantom", name)
    if name:
        with refused(name, "File name too long" if name[-1] == "x" else word):
            list_images(Path(name))
        return
    for command in (["small", "--source", ""], ["small", "--source", "a", "--out", ""]):
        assert main(command) == 2
        assert tells(capsys.readouterr().err, command[-2], "empty")
    assert score(["", "a"]) == 2
    assert tells(capsys.readouterr().err, "argument real", "empty")


def test_a_folder_with_an_archive_in_it(tmp_path: Path):
    (tmp_path / "set.zip").write_bytes(b"x")
    with refused(tmp_path, "unpack set.zip"):
        load_folder(tmp_path, 32)


def test_show_and_small_pass_over_them_too(root: Path, tmp_path: Path):
    os.mkfifo(root / "cat" / "fifo.png")
    assert main(["show", str(root), "--out", str(tmp_path / "x.png")]) == 0
    report = build_small(root, tmp_path / "small", per_class=10)
    [(source, reason)] = report.skipped
    assert source == "cat/fifo.png"
    assert tells(reason, "pipe")


def test_files_of_one_name_in_two_subfolders_both_come_into_a_small_set(tmp_path: Path):
    for seed, name in enumerate(("a/1", "a/2", "b/1", "b/3")):
        class_folder(tmp_path / "set" / name, 5, seed)
    build_small(tmp_path / "set", tmp_path / "small", per_class=10)
    assert load_folder(tmp_path / "small", 32).counts == {"a": 10, "b": 10}


# --- bounds --------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_pixels_are_bounded_before_they_are_decoded(root: Path):
    bomb = raw_png(0, b"\0\0", side=1).replace(  # the header alone says how large it is
        (1).to_bytes(4, "big") * 2, (13000).to_bytes(4, "big") * 2, 1
    )
    (root / "cat" / "bomb.png").write_bytes(repaired(bomb))
    [(source, reason)] = load_folder(root, 32).report.skipped
    assert source == "cat/bomb.png"
    assert tells(reason, "13000 x 13000", "67 million")


def repaired(data: bytes) -> bytes:
    """A PNG with the checksum that its changed header needs."""
    return data[:29] + zlib.crc32(data[12:29]).to_bytes(4, "big") + data[33:]


def test_bytes_are_bounded(root: Path, monkeypatch: pytest.MonkeyPatch):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    write(root / "cat" / "big.png", noise)
    monkeypatch.setattr(opening, "MAX_BYTES", 3000)
    [(source, reason)] = load_folder(root, 32).report.skipped
    assert source == "cat/big.png"
    assert tells(reason, "MiB")


def test_threads_share_the_pixels_that_are_decoded_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "_free", 2000)
    at_once, most = [0], [0]

    def load(size: tuple[int, int]) -> None:
        with limits.share(size):
            at_once[0] += size[0] * size[1]
            most[0] = max(most[0], at_once[0])
            time.sleep(0.005)
            at_once[0] -= size[0] * size[1]

    threads = [threading.Thread(target=load, args=((30, 30),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1800
    assert limits._free == 2000


MEMORY = """
import resource, sys
from pathlib import Path
from trainable.data.folders import limits
from trainable.data.folders.read import read_all
from trainable.data.folders.entries import Entry

limits._free = 4000**2
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before, paths = peak(), sorted(Path(sys.argv[1]).iterdir())
read = list(read_all([Entry(path, path.name, "", None) for path in paths], 32, workers=4))
assert all(item.picture and item.picture.transparent for item in read)
print((peak() - before) * 1024 // 4000**2)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_threads_do_not_keep_the_memory_of_what_they_decoded(tmp_path: Path):
    large = png(Image.new("RGBA", (4000, 4000), (9, 9, 9, 0)), compress_level=1)
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(large)
    # A process of its own: the most memory that one has ever held never falls.
    words = [sys.executable, "-c", MEMORY, str(tmp_path)]
    run = subprocess.run(words, capture_output=True, text=True, check=True)
    assert int(run.stdout) < 40  # bytes a pixel of one image: 61 if they kept it


# --- depth ---------------------------------------------------------------------------------------


def films(folder: Path, low: int, high: int, count: int = 10, suffix: str = ".png", turns: int = 0):
    """Ramps from `low` to a top that grows with the number, to `high`: 16 bits; turned, others."""
    for number in range(count):
        top = low + (high - low) * (number + 1) / count
        ramp = np.linspace(low, top, 32 * 32).reshape(32, 32)
        ramp = np.rot90(ramp, turns)
        write(folder / f"{number:02}{suffix}", ramp.round().astype(np.uint16))


def test_12_bits_in_16_are_scaled_by_what_the_set_uses(tmp_path: Path):
    films(tmp_path / "a", 0, 4095)
    films(tmp_path / "b", 0, 3000)
    data = load_folder(tmp_path, 32)
    assert data.report.reading.levels == Levels((("16-bit", 0.0, 4095.0),))
    assert tells(str(data.report), "16-bit 0 to 4095", "scaled")
    assert len(np.unique(data.images)) == 256
    tops = dict(zip(data.sources, data.images.max((1, 2, 3)).tolist(), strict=True))
    assert (tops["a/09.png"], tops["a/04.png"]) == (255, 128)  # one scale for all of the set
    assert tops["b/09.png"] == round(3000 * 255 / 4095)


def test_a_set_that_uses_an_eighth_keeps_its_full_range(tmp_path: Path):
    films(tmp_path / "a", 0, 8192)
    films(tmp_path / "b", 0, 100)
    data = load_folder(tmp_path, 32)
    assert data.images.max() == 32
    assert "scaled" not in str(data.report)
    films(tmp_path / "a", 0, 8191)
    assert load_folder(tmp_path, 32).images.max() == 255


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        (np.uint16, (31744, 35839)),  # Hounsfield units with an offset, as in DeepLesion
        (np.dtype(">u2"), (0, 1023)),  # Pillow's I;16B
        (np.int16, (-1024, 3071)),
        (np.int32, (100, 4000)),
        (np.int32, (2**30, 2**30 + 4000)),
        (np.float32, (0.0, 1.0)),
        (np.float32, (-0.5, 1e4)),
    ],
)
def test_other_depths_are_scaled_by_what_the_set_uses(values, ends, tmp_path: Path):
    for name in ("a", "b"):
        for number in range(10):
            ramp = np.linspace(ends[0], ends[1], 32 * 32).reshape(32, 32)
            ramp[int(name == "b"), 1] += (ends[1] - ends[0]) * (number + 1) / 100
            write_tiff(tmp_path / name / f"{number}.tif", ramp.astype(values))
    data = load_folder(tmp_path, 32)
    assert (data.images.min(), data.images.max()) == (0, 255)
    assert len(np.unique(data.images)) > 200
    assert Levels.parse(str(data.report.reading.levels)) == data.report.reading.levels


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_a_tiff_that_stores_white_as_0_is_no_negative(kind, tmp_path: Path):
    """As film scanners write it: Pillow turns 8 bits alone around."""
    most = 255 if kind is np.uint8 else 65535
    ramp = np.linspace(0, most, 32 * 32).reshape(32, 32).astype(kind)
    read = []
    for values, photometric in ((ramp, 1), (most - ramp, 0)):
        file = io.BytesIO()
        Image.fromarray(values).save(file, "TIFF")
        tag = struct.pack("<HHI", 262, 3, 1)
        content = file.getvalue().replace(tag + b"\1", tag + bytes([photometric]))
        read.append(decode(content, 32, USUAL).pixels)
    assert read[0][0, 0, 0] < read[0][0, -1, -1]
    np.testing.assert_array_equal(read[1], read[0])


def write_tiff(path: Path, values: np.ndarray) -> None:
    if values.dtype != np.int16:
        return write(path, values)
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(values.view(np.uint16)).save(path, tiffinfo={339: 2})  # signed
    return None


def test_values_that_are_not_finite_are_no_image(root: Path):
    write(root / "cat" / "nan.tif", np.full((40, 40), np.nan, np.float32))
    [(source, reason)] = load_folder(root, 32).report.skipped
    assert source == "cat/nan.tif"
    assert tells(reason, "finite")


def test_a_range_too_narrow_is_named(tmp_path: Path):
    for name in ("a", "b"):
        for number in range(10):
            write(
                tmp_path / name / f"{number}.png",
                np.random.default_rng([number, name == "b"]).integers(0, 16, (32, 32), np.uint8),
            )
    report = load_folder(tmp_path, 32).report
    assert report.narrow == (0, 15)
    assert tells(str(report), "0 and 15 of 0 to 255")


def test_values_beyond_the_levels_of_another_set_are_said(tmp_path: Path):
    for name in ("a", "b"):
        films(tmp_path / "train" / name, 0, 4095 if name == "a" else 3999)
        films(tmp_path / "test" / name, 0, 4000 if name == "a" else 60000, turns=1)
    data = load_folder(tmp_path, 32)
    assert data.report.clipped == 0
    said: list[str] = []
    held_out(data, str(tmp_path), None, say=said.append)
    assert re.search("16-bit 0 to 4095 .*, 10 ", said[0])


@pytest.mark.parametrize("fit", FITS)
def test_held_out_images_are_read_as_the_training_images_were(fit: str, tmp_path: Path):
    for name in ("a", "b"):
        films(tmp_path / "train" / name, 0, 4095 if name == "a" else 3999)
        films(tmp_path / "test" / name, 0, 2000 if name == "a" else 1001, turns=1)
    data = load_folder(tmp_path, 32, how=Reading(fit, "white"))
    apart = held_out(data, str(tmp_path), None)
    assert apart is not None
    assert apart.report.reading == data.report.reading == Reading(
        fit, "white", Levels((("16-bit", 0.0, 4095.0),))
    )  # fmt: skip
    assert apart.images.max() == round(2000 * 255 / 4095)


# --- transparency --------------------------------------------------------------------------------


def see_through(kind: str) -> bytes:
    """A picture, half of it transparent, the other of level 60."""
    plain = np.full((40, 40), 60, np.uint8)
    mask = np.full((40, 40), 255, np.uint8)
    mask[:20] = 0
    grey = Image.fromarray(plain)
    with_alpha = grey.copy()
    with_alpha.putalpha(Image.fromarray(mask))
    coded = Image.fromarray(np.where(mask, plain, 7).astype(np.uint8))
    match kind:
        case "RGBA":
            return png(with_alpha.convert("RGBA"))
        case "LA":
            return png(with_alpha)
        case "P":
            palette = coded.convert("P")
            return png(palette, transparency=7)
        case "L":
            return png(coded, transparency=7)
        case "RGB":
            return png(coded.convert("RGB"), transparency=(7, 7, 7))
        case "16":
            return marked_16(np.where(mask, 257 * 60, 7).astype(np.uint16))
        case "GIF" | "WEBP":
            file = io.BytesIO()
            with_alpha.convert("RGBA").save(file, kind, lossless=True)
            return file.getvalue()
    raise AssertionError(kind)


def marked_16(values: np.ndarray) -> bytes:
    """A 16-bit PNG whose header says that the value 7 is transparent."""
    data = png(Image.fromarray(values))
    body = b"tRNS" + struct.pack(">H", 7)
    chunk = struct.pack(">I", 2) + body + struct.pack(">I", zlib.crc32(body))
    place = data.index(b"IDAT") - 4
    return data[:place] + chunk + data[place:]


@pytest.mark.parametrize("kind", ["RGBA", "LA", "P", "L", "RGB", "16", "GIF", "WEBP"])
def test_transparency_is_laid_on_the_background(kind: str):
    data = see_through(kind)
    for background, levels in (
        ("black", (0, 0, 0)), ("white", (255, 255, 255)), ("#102030", (16, 32, 48)),
    ):  # fmt: skip
        picture = decode(data, 32, Reading(background=background))
        assert picture.transparent
        assert picture.pixels.shape[0] == (3 if background.startswith("#") else 1)
        assert picture.pixels[:, 2, 9].tolist() == list(levels[: len(picture.pixels)])
        assert (picture.pixels[:, 30, 9] == 60).all()


def test_an_alpha_channel_that_hides_nothing_is_no_transparency():
    picture = decode(png(image(1).convert("RGBA")), 32, USUAL)
    assert not picture.transparent
    assert (picture.pixels == decode(png(image(1)), 32, USUAL).pixels).all()


def test_images_with_transparency_are_counted_and_the_flag_is_named(root: Path):
    (root / "cat" / "x.png").write_bytes(see_through("LA"))
    black, white = (load_folder(root, 32, how=Reading(background=b)) for b in ("black", "#FFFFFF"))
    assert tells(str(black.report), "1 with transparency", "black", "(--background)")
    assert tells(str(white.report), "1 with transparency", "white", "(--background)")
    assert black.digest != white.digest


def test_show_takes_a_background(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (root / "cat" / "x.png").write_bytes(see_through("LA"))
    show = ["show", str(root), "--out", str(tmp_path / "x.png"), "--background"]
    assert main([*show, "white"]) == 0
    printed = capsys.readouterr().out
    assert tells(printed, "1 with transparency", "white")
    assert printed.rstrip().endswith("--background white --dry-run")
    assert main([*show, "pink"]) == 2
    assert tells(capsys.readouterr().err, "--background", "'pink'", "black, white or #rrggbb")


@pytest.mark.parametrize("wrong", ["", "red", "#fff", "#12345", "#gggggg", "ffffff", "#1234567"])
def test_backgrounds_that_are_none(wrong: str):
    with refused("--background", repr(wrong), "#rrggbb"):
        Reading(background=wrong)


def test_a_reading_survives_its_record():
    how = Reading("pad", "#A0b0C0", Levels((("16-bit", 0.0, 4095.0), ("float", -0.1, 1 / 3))))
    assert Reading.of(how.settings) == how
    as_text = {key: str(value) for key, value in USUAL.settings.items()}  # as MLflow keeps it
    assert Reading.of(as_text) == Reading.of({}) == USUAL
    assert Reading(background="#FFffFF") == Reading(background="White")


# --- grey or colour ------------------------------------------------------------------------------


def test_a_pixel_off_grey_does_not_make_a_set_colour(root: Path):
    for name, change in (("level", (0, 0, 1)), ("far", (200, 0, 0))):
        pixels = np.repeat(np.asarray(image(3, 64, 64))[..., None], 3, 2)
        pixels[5, 5] = np.array((20, 20, 20)) + change
        write(root / "cat" / f"{name}.png", pixels)
    data = load_folder(root, 64)
    assert data.task.channels == 1
    assert data.report.colour == 0
    assert tells(str(data.report), 2, "8 levels")


def test_chroma_noise_of_jpeg_is_grey(root: Path):
    film = np.linspace(20, 220, 64 * 64).reshape(64, 64, 1)
    noise = np.random.default_rng(0).normal(0, 4, (64, 64, 3))
    (root / "cat" / "noisy.jpg").write_bytes(
        jpeg(Image.fromarray((film + noise).clip(0, 255).astype(np.uint8)), quality=75)
    )
    assert load_folder(root, 64).task.channels == 1


@pytest.mark.parametrize("what", ["a tint", "a patch"])
def test_colour_that_can_be_seen_stays(what: str, root: Path):
    pixels = np.repeat(np.asarray(image(3, 64, 64))[..., None] // 2, 3, 2)
    if what == "a tint":
        pixels[..., 0] += 10
    else:
        pixels[5:9, 5:9, 0] += 100
    write(root / "cat" / "colour.png", pixels)
    data = load_folder(root, 64)
    assert data.task.channels == 3
    assert data.report.colour == 1


def test_in_a_colour_set_nearly_grey_images_stay_as_they_are():
    nearly = np.full((3, 32, 32), 90, np.uint8)
    nearly[2] += 3
    red = np.zeros((3, 32, 32), np.uint8)
    red[0] = 200
    images, colour = stack([nearly, red])
    assert colour == 1
    assert (images[0] == nearly).all()


# --- names ---------------------------------------------------------------------------------------


def test_names_that_are_not_utf_8_are_escaped_once_and_for_all(tmp_path: Path, capsys):
    root = tmp_path / "set"
    for seed, name in enumerate((b"gro\xdf", b"klein")):
        class_folder(root / os.fsdecode(name), 10, seed)
    image(99).save(root / "klein" / os.fsdecode(b"f\xe4ll\x1b[2J.png"))
    data = load_folder(root, 32)
    assert data.classes == ("gro\\xdf", "klein")
    assert data.sources[-1] == "klein/f\\xe4ll\\x1b[2J.png"
    json.dumps([*data.sources, *data.classes, data.name], ensure_ascii=False).encode()
    write_images(tmp_path / "images.csv", data)
    assert tells(image_differences(tmp_path / "images.csv", data), "order")
    assert main(["show", str(root), "--out", str(root / os.fsdecode(b"\xe4.png"))]) == 0
    capsys.readouterr().out.encode()
    build_small(root, tmp_path / "small", per_class=10)
    with (tmp_path / "small" / "manifest.csv").open(encoding="utf-8") as file:
        assert {row["class"] for row in csv.DictReader(file)} == {"gro\\xdf", "klein"}
    assert load_folder(tmp_path / "small", 32).classes == data.classes


def test_a_line_break_in_a_name_breaks_no_line(root: Path):
    (root / "cat").rename(root / "c\nat")
    (root / "c\nat" / "000.png").rename(root / "c\nat" / "0\n.png")
    data = load_folder(root, 32)
    assert data.classes == ("ant", "c\\nat")
    assert "c\\nat/0\\n.png" in data.sources
    assert data.n == 40


def test_accents_composed_in_either_way_are_the_same_class(root: Path):
    """An archive from a Mac has them in parts, and so has one half of many a data set."""
    forms: tuple[tuple[str, Literal["NFC", "NFD"]], ...] = (("train", "NFC"), ("test", "NFD"))
    for split, form in forms:
        for seed, name in enumerate(("Röntgen", "ant")):
            folder = root / "set" / split / unicodedata.normalize(form, name)
            class_folder(folder, 10, 10 * seed + len(split))
    data = load(str(root / "set"), 32)
    assert data.classes == ("Röntgen", "ant")
    apart = held_out(data, str(root / "set"), None)
    assert apart is not None
    assert apart.n == 20


@pytest.mark.parametrize("name", ["CAT", "cat ", "Cat"])
def test_classes_that_are_called_alike_are_refused(root: Path, name: str):
    class_folder(root / name, 10, 3)
    with refused(root, "'cat'", repr(name)):
        load_folder(root, 32)


def test_classes_that_look_the_same_are_told_apart_by_the_message(root: Path):
    for seed, form in enumerate(("NFC", "NFD")):
        class_folder(root / unicodedata.normalize(form, "ö"), 10, 3 + seed)
    with refused(root, r"'o\u0308'", r"'\xf6'"):
        load_folder(root, 32)


def test_a_folder_that_no_study_can_record_is_refused_with_a_way_out(root: Path, tmp_path: Path):
    odd = root.rename(tmp_path / os.fsdecode(b"R\xf6ntgen"))
    with refused(r"R\xf6ntgen", "UTF-8", "ln -s") as told:
        load(str(odd), 32)
    words = ["bash", "-c", str(told.value)[str(told.value).index("ln -s") :]]
    subprocess.run(words, cwd=tmp_path, check=True)  # a shell's own quotes, read by a shell
    data = load(str(tmp_path / "images"), 32)
    assert (data.n, data.name) == (40, "R\\xf6ntgen")
    with refused("--output", r"R\xf6ntgen/runs", "UTF-8"):
        check_output(odd / "runs")


# --- orientation and frames ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "WEBP", "PNG", "AVIF"])
def test_exif_orientation_holds_in_every_format(kind: str):
    picture = Image.new("RGB", (64, 64), 0)
    picture.paste((255, 255, 255), (0, 0, 64, 32))  # the upper half is bright
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: up becomes right
    file = io.BytesIO()
    picture.save(file, kind, exif=exif)
    pixels = decode(file.getvalue(), 32, USUAL).pixels[0]
    assert pixels[:, 20:].mean() > 240
    assert pixels[:, :12].mean() < 15


@pytest.mark.parametrize("name", ["x.gif", "x.tif", "x.webp", "x.png"])
def test_of_several_images_in_a_file_the_first_is_read_and_that_is_said(name: str, root: Path):
    first, second = Image.new("L", (40, 40), 200), Image.new("L", (40, 40), 10)
    first.save(root / "cat" / name, save_all=True, append_images=[second])
    data = load_folder(root, 32)
    assert (data.images[data.sources.index(f"cat/{name}")] == 200).all()
    assert tells(str(data.report), "1 with several images")
