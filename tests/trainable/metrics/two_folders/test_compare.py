"""`python -m trainable.metrics REAL FAKE`: its scores, its sheet, and every refusal."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers.refusals import tells
from tests.helpers.toys import Told
from trainable.data.folders.read import load_folder
from trainable.data.phantom import phantom
from trainable.data.sheets import CAPTION, COLUMNS, GAP, HEAD, SEAM, corners
from trainable.metrics.__main__ import main
from trainable.metrics.two_folders.compare import compare
from trainable.metrics.two_folders.result import Options
from trainable.pretrained.efficientnet_lite import Lite

KEYS = {
    "fid", "kid", "one_nn", "precision", "recall", "density", "coverage", "copy_rate",
    "pixel_copy_rate", "inception_score", "floor", "protocol", "n_real", "n_fake", "warnings",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    """Nothing is ever written to the home folder."""
    monkeypatch.setenv("CGAN_SEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "120")


def pictures(n: int, seed: int, channels: int = 1) -> np.ndarray:
    """Blotches [n, 32, 32] or [n, 32, 32, 3], no two alike."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (n, 8, 8, channels), dtype=np.uint8)
    fine = coarse.repeat(4, 1).repeat(4, 2)
    return fine[..., 0] if channels == 1 else fine


def write(root: Path, images: np.ndarray) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        Image.fromarray(image).save(root / f"{i:03}.png")
    return root


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    """24 real and 30 generated images, in no classes."""
    return write(tmp_path / "real", pictures(24, 0)), write(tmp_path / "fake", pictures(30, 1))


@pytest.fixture
def classes(tmp_path) -> tuple[Path, Path]:
    """Two classes of 15 in each of two folders."""
    for i, (side, name) in enumerate((s, n) for s in ("reals", "fakes") for n in ("cats", "dogs")):
        write(tmp_path / side / name, pictures(15, i))
    return tmp_path / "reals", tmp_path / "fakes"


def judged(capsys, *argv: Path | str) -> dict[str, Any]:
    """What the command prints with --json, which must be JSON and nothing else."""
    assert main([*map(str, argv), "--image-size", "32", "--json"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    return json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def refusal(capsys, *argv: Path | str) -> str:
    """The one line that the command refuses with."""
    assert main([*map(str, argv), "--image-size", "32"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    return said.err


def part(told: Told, *words: str) -> list[tuple[int, int]]:
    """What the one stage told whose label has these words."""
    [steps] = [steps for label, steps in told.items() if all(word in label for word in words)]
    return steps


def test_every_part_says_how_many_images_are_done(tiny, classes, tmp_path):
    real, fake = classes
    train, told = tmp_path / "train", Told()
    write(train / "cats", pictures(21, 9))
    write(train / "dogs", pictures(20, 10))
    for name in ("first", "kept"):
        told.clear()
        compare(real, fake, Options(size=32, train=train), stage=told)
        features = int(name == "first")  # the extractor tells once, of all
        for which, read, measured in (
            ("real", 30, features), ("generated", 30, 1), ("training", 41, features),
        ):  # fmt: skip
            assert len(part(told, "reading", which)) == read
            assert len(part(told, "features", which)) == measured
        assert part(told, "scoring") == []
        assert len(told) == 7
        assert part(told, "reading", "training")[-1] == (41, 41)
        assert part(told, "features", "generated") == [(30, 30)]


def test_json_has_every_score_and_what_it_rests_on(tiny, folders, capsys):
    result = judged(capsys, *folders)
    assert result.keys() >= KEYS
    assert (result["n_real"], result["n_fake"], result["n_train"]) == (24, 30, 24)
    assert result["protocol"] == "tiny/mean-8"
    assert result["features"] == "features: tiny"
    numbers = [v for v in result.values() if isinstance(v, float)]
    assert len(numbers) >= 15
    assert all(map(math.isfinite, numbers))
    assert not [key for key in result if "/" in key]
    assert any("24 real images" in w for w in result["warnings"])
    assert any("30 generated images" in w for w in result["warnings"])


def test_each_class_is_scored_by_name(tiny, classes, capsys):
    result = judged(capsys, *classes)
    assert result["classes"] == ["cats", "dogs"]
    # The search's own digest, so that both share cached features.
    assert result["real_digest"] == load_folder(classes[0], 32).digest
    for key in ("fid", "kid", "diversity", "floor"):
        assert {k for k in result if k.startswith(f"{key}/")} == {f"{key}/cats", f"{key}/dogs"}


def test_class_folders_against_a_flat_folder(tiny, classes, folders, capsys):
    result = judged(capsys, classes[0], folders[1])
    assert (result["n_real"], result["n_fake"], result["classes"]) == (30, 30, [])


def test_a_folder_with_one_class_folder(tiny, tmp_path, capsys):
    write(tmp_path / "one" / "cats", pictures(22, 7))
    write(tmp_path / "other" / "cats", pictures(24, 0))
    result = judged(capsys, tmp_path / "other", tmp_path / "one")
    assert (result["n_real"], result["n_fake"], result["classes"]) == (24, 22, ["cats"])


def test_the_real_images_score_best_and_count_as_copies(tiny, folders, capsys):
    real, fake = folders
    same, other = judged(capsys, real, real), judged(capsys, real, fake)
    assert same["fid"] == pytest.approx(0, abs=1e-6)
    assert same["fid"] < other["floor"] < 2 * other["fid"]
    assert same["copy_rate"] == same["pixel_copy_rate"] == same["coverage"] == 1
    assert other["copy_rate"] < 0.2
    told = [
        any(f"{each['floor']:.4g}" in line for line in each["warnings"]) for each in (same, other)
    ]
    assert told == [True, other["fid"] < other["floor"]]
    assert other["pixel_copy_rate"] == 0


def test_the_table_names_sizes_protocol_and_floor(tiny, classes, capsys):
    (classes[0] / "dogs").rename(classes[0] / "[red]dogs")
    (classes[1] / "dogs").rename(classes[1] / "[red]dogs")
    result = judged(capsys, *classes)
    assert main([*map(str, classes), "--image-size", "32"]) == 0
    out = capsys.readouterr().out
    head = out[: out.index("─")]
    assert tells(head, "30 generated", "30 real", "32 pixels", "tiny/mean-8", "features: tiny")
    assert tells(out, f"{result['floor']:.4g}", f"{result['floor/cats']:.4g}", "fid/[red]dogs")
    assert tells(out, "warning: 30 real images")


def test_repeats_count_among_generated_images_but_not_among_reals(tiny, folders, capsys):
    real, fake = folders
    plain = judged(capsys, real, fake)
    for i in range(10):
        shutil.copy(real / "000.png", real / f"again{i}.png")
    repeated = judged(capsys, real, fake)
    assert repeated["n_real"] == 24
    assert {k: v for k, v in repeated.items() if isinstance(v, float)} == {
        k: v for k, v in plain.items() if isinstance(v, float)
    }
    assert any("10 duplicates dropped" in w for w in repeated["warnings"])
    for path in sorted(fake.iterdir())[1:]:
        shutil.copy(fake / "000.png", path)
    collapsed = judged(capsys, real, fake)
    assert collapsed["n_fake"] == 30
    assert collapsed["diversity"] == 0
    assert collapsed["one_nn_fake"] == 1
    assert collapsed["fid"] > plain["fid"]


def test_copies_are_sought_in_train(tiny, folders, tmp_path, capsys):
    real, fake = folders
    train = write(tmp_path / "train", np.concatenate([pictures(24, 5), pictures(30, 1)[:12]]))
    plain, moved = judged(capsys, real, fake), judged(capsys, real, fake, "--train", train)
    assert plain["pixel_copy_rate"] == 0
    assert moved["pixel_copy_rate"] == pytest.approx(12 / 30)
    assert moved["copy_rate"] >= 12 / 30 > plain["copy_rate"]
    assert moved["n_train"] == 36
    assert moved["fid"] == plain["fid"]
    assert main([str(real), str(fake), "--image-size", "32", "--train", str(train)]) == 0
    assert tells(capsys.readouterr().out, "36 training images")


@pytest.mark.parametrize("channels", [1, 3])
def test_the_sheet_shows_planted_copies_first_beside_their_originals(
    tiny, tmp_path, capsys, channels
):
    real, fake = pictures(24, 0, channels), pictures(28, 1, channels)
    planted = {3: 7, 11: 0, 20: 23}  # generated: real
    for i, j in planted.items():
        fake[i] = real[j]
    sheet = tmp_path / "new folder" / "sheet.png"
    folders = write(tmp_path / "real", real), write(tmp_path / "fake", fake)
    judged(capsys, *folders, "--neighbours", sheet)
    with Image.open(sheet) as opened:
        assert opened.format == "PNG"
        pixels = np.asarray(opened)
    side = 128
    width = COLUMNS * (2 * side + SEAM + GAP) + GAP
    assert pixels.shape == (HEAD + 6 * (side + CAPTION), width, 3)

    def shown(index: int, which: int) -> np.ndarray:
        left, right, top = corners(index, side)
        x = (left, right)[which]
        cell = pixels[top : top + side, x : x + side]
        assert (cell[::4, ::4] == cell[3::4, 3::4]).all()  # enlarged by repeating pixels
        return cell[::4, ::4]

    def colour(image: np.ndarray) -> np.ndarray:
        return image if channels == 3 else image[:, :, None].repeat(3, 2)

    own = [colour(image).tobytes() for image in fake]
    known = [colour(image).tobytes() for image in real]
    left = [own.index(shown(place, 0).tobytes()) for place in range(24)]
    right = [known.index(shown(place, 1).tobytes()) for place in range(24)]
    assert len(set(left)) == 24
    assert dict(zip(left[:3], right[:3], strict=True)) == planted
    captions = [pixels[corners(p, side)[2] + side :][:CAPTION, :, 2] for p in (0, 4)]
    orange = [(c[:, GAP : GAP + side] < 50).all() for c in captions]  # no blue in it
    assert orange == [True, False]


def test_grey_against_colour(tiny, folders, tmp_path, capsys):
    colour = write(tmp_path / "colour", pictures(24, 3, channels=3))
    result = judged(capsys, folders[0], colour, "--neighbours", tmp_path / "sheet.png")
    assert result["n_fake"] == 24


def test_a_name_with_spaces(tiny, folders, tmp_path, capsys):
    moved = folders[1].rename(tmp_path / "my fakes, take 2")
    assert judged(capsys, folders[0], moved)["n_fake"] == 30


def test_unreadable_and_hidden_files_are_told_of_or_passed_over(tiny, folders, capsys):
    (folders[1] / "._000.png").write_bytes(b"what macOS leaves")
    assert judged(capsys, *folders)["n_fake"] == 30
    assert not any("unreadable" in w for w in judged(capsys, *folders)["warnings"])
    (folders[0] / "scan.dcm").write_text("no picture")
    assert any("1 .dcm files" in w for w in judged(capsys, *folders)["warnings"])
    (folders[1] / "bad.png").write_text("no picture")
    result = judged(capsys, *folders)
    assert result["n_fake"] == 30
    assert any("1 unreadable" in w for w in result["warnings"])
    (folders[1] / "worse.png").write_text("no picture")
    assert tells(refusal(capsys, *folders), "2 of 32", "5%", folders[1])


def test_the_floor_is_that_of_as_many_as_are_generated(tiny, folders, tmp_path, capsys):
    many = write(tmp_path / "many", pictures(60, 4))
    few, more = (judged(capsys, folders[0], fake)["floor"] for fake in (folders[1], many))
    assert more < 0.95 * few


def test_too_few_images(tiny, folders, tmp_path, capsys):
    few = write(tmp_path / "few", pictures(19, 2))
    for pair in ((few, folders[1]), (folders[0], few), (*folders, "--train", few)):
        said = refusal(capsys, *pair)
        assert tells(said, few, "19 images", 20)
    (tmp_path / "none").mkdir()
    said = refusal(capsys, folders[0], tmp_path / "none")
    assert tells(said, tmp_path / "none", "0 images", 20)
    shutil.copy(few / "000.png", few / "again.png")
    said = refusal(capsys, few, folders[1])
    assert tells(said, few, "19 different", 20)


def test_too_few_images_of_a_class(tiny, classes, capsys):
    for path in sorted((classes[1] / "dogs").iterdir())[9:]:
        path.unlink()
    assert tells(refusal(capsys, *classes), "class 'dogs'", classes[1], "9 image", 10)


@pytest.mark.parametrize(
    ("real", "fake", "alone"),
    [
        (("cats", "dogs"), ("cats", "birds"), "{0} has 'dogs' .*{1} has 'birds';"),
        (("cats", "dogs"), ("cats",), "{0} has 'dogs';"),
        (("cats",), ("cats", "dogs"), "{1} has 'dogs';"),
        (("cats", "dogs"), ("a", "b"), "{0} has 'cats', 'dogs' .*{1} has 'a', 'b';"),
        (("cats", "dogs", "owls"), ("cats", "owls"), "{0} has 'dogs';"),
        (("cats",), ("Cats",), "{0} has 'cats' .*{1} has 'Cats';"),
    ],
)
def test_scores_of_some_classes_are_not_given_for_all(
    tiny, tmp_path, capsys, monkeypatch, real, fake, alone
):
    roots = tmp_path / "real", tmp_path / "fake"
    for seed, (root, names) in enumerate(zip(roots, (real, fake), strict=True)):
        for name in names:
            write(root / name, pictures(24, seed))
    if set(real) & set(fake):  # what the refusal recommends
        assert judged(capsys, *(root / "cats" for root in roots))["n_real"] == 24

    def never(*args, **kwargs):
        raise AssertionError("an image was read")

    monkeypatch.setattr("trainable.metrics.two_folders.compare.read_images", never)
    said = refusal(capsys, *roots)
    assert re.search("classes, .*" + alone.format(*roots), said)


@pytest.mark.parametrize("colour", [None, (200, 10, 10)])
def test_plain_images(tiny, folders, capsys, colour):
    for path in folders[1].iterdir():
        plain = Image.new("L", (32, 32), 7) if colour is None else Image.new("RGB", (9, 9), colour)
        plain.save(path)
    for order in (folders, folders[::-1]):
        assert tells(refusal(capsys, *order), folders[1], "colour")


def test_one_picture_in_many_files_is_no_crash(tiny, folders, capsys):
    for i, path in enumerate(sorted(folders[0].iterdir())):
        image = Image.fromarray(pictures(2, 0)[0])
        image.save(path, compress_level=i % 10, dpi=(i + 1, i + 1))  # equal pixels, other bytes
    result = judged(capsys, *folders)
    assert result["n_real"] == 24
    assert result["diversity"] is None
    assert result["floor"] == 0
    assert main([*map(str, folders), "--image-size", "32"]) == 0
    assert "diversity" in capsys.readouterr().out


@pytest.mark.parametrize("which", ["real", "fake", "train"])
def test_features_that_are_not_finite(tiny, folders, tmp_path, capsys, which):
    train = write(tmp_path / "train", pictures(26, 6))
    count = {"real": 24, "fake": 30, "train": 26}[which]
    whole = tiny.forward

    def broken(images, progress):
        found = whole(images, progress)
        return found.log() * torch.nan if len(images) == count else found

    tiny.forward = broken
    said = refusal(capsys, *folders, "--train", train)
    assert tells(said, tmp_path / which, "finite", "--features", "--features-weights")


def test_weights_that_are_wrong(folders, tmp_path, capsys):
    path = tmp_path / "weights.pth"
    flags = ["--features", "efficientnet-lite0", "--features-weights", path]
    assert tells(refusal(capsys, *folders, *flags), path, "No such file or directory")
    torch.save({"conv.weight": torch.zeros(3)}, path)
    said = refusal(capsys, *folders, *flags)
    assert tells(said, path, "SHA-256", "--unverified-weights")
    said = refusal(capsys, *folders, *flags, "--unverified-weights")
    assert tells(said, path, "efficientnet-lite0 network")
    assert "SHA-256" not in said


def test_weights_with_nan_are_refused_at_once(folders, tmp_path, capsys):
    state = Lite().state_dict()
    first = next(key for key, value in state.items() if value.is_floating_point())
    state[first] = torch.full_like(state[first], torch.nan)
    torch.save(state, tmp_path / "nan.pth")
    said = refusal(
        capsys, *folders, "--features", "efficientnet-lite0", "--features-weights",
        tmp_path / "nan.pth", "--unverified-weights",
    )  # fmt: skip
    assert tells(said, tmp_path / "nan.pth", "efficientnet-lite0", "finite")


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (["--features", "vgg"], ("--features", "'vgg'", "auto, efficientnet-lite0")),
        (["--protocol", "nearest"], ("--protocol", "'nearest'", "bilinear, clean")),
        (["--image-size", "48"], ("--image-size", 48, "32, 64, 128")),
        (["--unverified-weights"], ("--unverified-weights", "--features-weights")),
    ],
)
def test_flags_out_of_range(folders, capsys, flags, parts):
    assert main([*map(str, folders), *flags]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert tells(said, *parts)
    assert said.count("\n") == 1


def test_folders_that_are_not(tiny, folders, tmp_path, capsys):
    nowhere = tmp_path / "no where"
    for argv in ((nowhere, folders[1]), (folders[0], nowhere), (*folders, "--train", nowhere)):
        assert tells(refusal(capsys, *argv), nowhere)
    file = folders[0] / "000.png"
    assert tells(refusal(capsys, file, folders[1]), file, "folder")


def test_images_beside_folders_of_images(tiny, classes, capsys):
    Image.new("L", (32, 32)).save(classes[1] / "sheet.png")
    said = refusal(capsys, *classes)
    assert tells(said, classes[1], "(sheet.png)", "(cats, dogs)")


def test_a_corrupt_cache_is_made_again_and_said_once(tiny, folders, tmp_path, capsys):
    expected = judged(capsys, *folders)
    (path,) = (tmp_path / "cache").glob("*.npz")
    path.write_bytes(path.read_bytes()[:100])
    assert main([*map(str, folders), "--image-size", "32", "--json"]) == 0
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert tells(said.err, path)
    assert json.loads(said.out) == expected
    assert main([*map(str, folders), "--image-size", "32", "--json"]) == 0
    assert capsys.readouterr().err == ""


def test_the_sheet_s_place_is_checked_before_any_work(folders, tmp_path, capsys, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("an image was read")

    monkeypatch.setattr("trainable.metrics.two_folders.compare.read_images", never)
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    for place, fault in (
        (tmp_path / "file" / "sheet.png", "File exists"),
        (tmp_path / "folder.png", "Is a directory"),
        (tmp_path / "sheet.gif", ".png"),
        (folders[1] / "000.png", f" in {folders[1]}, "),
        (folders[1] / "deep" / "sheet.png", f" in {folders[1]}, "),
        (Path("/proc/sheet.png"), ": "),
    ):
        said = refusal(capsys, *folders, "--neighbours", place)
        assert tells(said, f"--neighbours {place}", fault)
    assert (folders[1] / "000.png").stat().st_size > 100


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_for_the_sheet(folders, tmp_path, capsys):
    (tmp_path / "locked").mkdir(mode=0o500)
    said = refusal(capsys, *folders, "--neighbours", tmp_path / "locked" / "sheet.png")
    assert tells(said, "--neighbours", "Permission denied")


def test_a_disk_that_fills_up_does_not_cost_the_scores(
    tiny, folders, tmp_path, capsys, monkeypatch
):
    def full(self, path, *args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Image.Image, "save", full)
    result = judged(capsys, *folders, "--neighbours", tmp_path / "sheet.png")
    fault = f"{tmp_path / 'sheet.png'} .*No space left on device"
    assert any(re.search(fault, w) for w in result["warnings"])
    assert not (tmp_path / "sheet.png").exists()


def test_a_baseline_stands_beside(tiny, folders, tmp_path, capsys):
    earlier = judged(capsys, *folders)
    path = tmp_path / "before.json"
    path.write_text(json.dumps({**earlier, "fid": 12, "kid": None, "note": "by hand"}))
    again = judged(capsys, *folders, "--baseline", path)
    assert again["baseline"]["fid"] == 12
    assert again["baseline"]["kid"] is None
    assert again["baseline"]["coverage"] == again["coverage"] == earlier["coverage"]
    assert again["baseline"].keys() == {k for k, v in again.items() if isinstance(v, float)}
    assert main([*map(str, folders), "--image-size", "32", "--baseline", str(path)]) == 0
    out = capsys.readouterr().out
    assert "baseline" in out
    assert "│ 12 " in out


@pytest.mark.parametrize(
    ("change", "here"),
    [
        ({"protocol": "inception/bilinear-299"}, "tiny/mean-8"),
        ({"weights": "1" * 64}, ""),
        ({"image_size": 64}, 32),
        ({"n_fake": 200}, 30),
        ({"n_real": 25}, 24),
        ({"real_digest": "0" * 64}, ""),
        ({"train_digest": "0" * 64}, ""),
        ({"classes": ["cats", "dogs"]}, "[]"),
    ],
)
def test_unequal_protocols_are_not_compared(tiny, folders, tmp_path, capsys, change, here):
    path = tmp_path / "before.json"
    path.write_text(json.dumps({**judged(capsys, *folders), **change}))

    def never(images):
        raise AssertionError("features were computed first")

    tiny.forward = never
    said = refusal(capsys, *folders, "--baseline", path)
    [(key, there)] = change.items()
    assert tells(said, f"--baseline {path}", f"{key} {there}", here)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        (b"fid: 12", "Expecting value"),
        (b"", "Expecting value"),
        (b"\xff\xfe\x00", "codec can't decode"),
        (b"[1, 2]", "--json"),
        (b'{"fid": 12}', "--json"),
    ],
)
def test_a_baseline_that_is_none(tiny, folders, tmp_path, capsys, content, reason):
    path = tmp_path / "before.json"
    if content is not None:
        path.write_bytes(content)
    said = refusal(capsys, *folders, "--baseline", path)
    assert f"--baseline {path} " in said
    assert reason in said


def test_two_draws_of_phantoms_by_the_bundled_network(tmp_path, capsys):
    """The whole command on true features: held-out films are no copies, planted ones are."""
    for name, seed in (("real", 0), ("fake", 1)):
        images, labels, _ = phantom(32, per_class=12, seed=seed)
        for label in (0, 1):
            write(tmp_path / name / f"class{label}", images[labels == label, 0])
    for i in range(3):
        shutil.copy(tmp_path / f"real/class0/00{i}.png", tmp_path / f"fake/class0/00{i}.png")
    flags = ["--features", "efficientnet-lite0", "--neighbours", tmp_path / "sheet.png"]
    result = judged(capsys, tmp_path / "real", tmp_path / "fake", *flags)
    assert result["protocol"] == "efficientnet-lite0/bilinear-224"
    assert (result["n_real"], result["n_fake"]) == (24, 24)
    assert result["floor"] > 0
    assert result["floor"] / 2 < result["fid"] < 3 * result["floor"]
    assert 3 / 24 <= result["copy_rate"] < 0.3
    assert 3 / 24 <= result["pixel_copy_rate"] < 0.3
    assert result["inception_score"] > 1
    assert (tmp_path / "sheet.png").exists()


def test_help_is_quick_because_it_imports_nothing_heavy():
    code = "import sys, trainable.metrics.__main__; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
