"""`python -m trainable.metrics` on files as they are: any size, straight to the extractor."""

from __future__ import annotations

import functools
import itertools
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_fid import fid_score
from pytorch_fid.inception import InceptionV3
from torch import Tensor, nn

from tests.helpers.pictures import jpeg, png
from tests.helpers.refusals import refused, tells
from trainable.metrics.__main__ import main
from trainable.metrics.two_folders import read as folders_module
from trainable.metrics.two_folders.compare import compare
from trainable.metrics.two_folders.read import PIXELS, TOGETHER
from trainable.metrics.two_folders.result import Options
from trainable.pretrained.catalog import EXTRACTORS

Size = tuple[int, int]
SIZES: dict[str, list[Size]] = {
    "32": [(32, 32)], "64": [(64, 64)], "224": [(224, 224)], "299": [(299, 299)],
    "300x200": [(300, 200)], "512": [(512, 512)], "97x411": [(97, 411)],
    "mixed": [(64, 64), (300, 200), (31, 17), (512, 512), (224, 224)],
}  # fmt: skip
"""Width and height of the files of a folder, in turn."""


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CGAN_SEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "120")


class Small(nn.Module):
    """A network in Inception's place: 16 features that fine detail moves."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return 10 * self.conv(x).abs().mean((2, 3))

    def logits(self, features: Tensor) -> Tensor:
        return features


def films(root: Path, seed: int, sizes: list[Size], n: int = 24) -> Path:
    """Grey and colour, JPEG and PNG by turns; the detail differs from seed to seed."""
    root.mkdir(parents=True)
    for name, content in _films(seed, tuple(sizes), n).items():
        (root / name).write_bytes(content)
    return root


@functools.cache
def _films(seed: int, sizes: tuple[Size, ...], n: int) -> dict[str, bytes]:
    """The files by their names: half of what many tests here took went into drawing them."""
    rng, found = np.random.default_rng(seed), {}
    for i in range(n):
        width, height = sizes[i % len(sizes)]
        shape = (height, width, 3) if i % 3 else (height, width)
        coarse = Image.fromarray(rng.integers(0, 256, (9, 9, *shape[2:]), np.uint8))
        smooth = np.asarray(coarse.resize((width, height))).astype(float)
        noisy = smooth + rng.normal(0, 10 + 20 * seed, shape)
        image = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
        if i % 2:
            found[f"{i:02}.png"] = png(image, compress_level=1)
        else:
            found[f"{i:02}.jpg"] = jpeg(image)
    return found


def compared(real: Path, fake: Path, **options: Any) -> dict[str, Any]:
    """What the command prints of them with --json."""
    return compare(real, fake, Options(**options)).to_json()


@pytest.mark.parametrize("name", [*SIZES, "repeats"])
def test_fid_of_files_of_any_size_is_pytorch_fid_s(tmp_path, monkeypatch, name):
    """Whole calls on the same folders, by the same network: reading, resizing, distance."""
    sizes = SIZES.get(name, SIZES["64"])
    paths = [films(tmp_path / side, seed, sizes) for seed, side in enumerate(("a", "b"))]
    if name == "repeats":
        for root, i in itertools.product(paths, range(4)):
            shutil.copy(root / f"0{2 * i + 1}.png", root / f"again{i}.png")
    torch.manual_seed(0)
    network, weights = Small(), tmp_path / "small.pth"
    torch.save(network.state_dict(), weights)

    theirs = InceptionV3.__new__(InceptionV3)  # all of theirs but the network
    nn.Module.__init__(theirs)
    theirs.resize_input = theirs.normalize_input = True
    theirs.output_blocks, theirs.last_needed_block = [0], 0
    theirs.blocks = nn.ModuleList([network, nn.Identity()])
    network.forward = lambda x: Small.forward(network, x)[:, :, None, None]
    place = type("InPlace", (), {"BLOCK_INDEX_BY_DIM": {16: 0}, "__new__": lambda *_: theirs})
    monkeypatch.setattr(fid_score, "InceptionV3", place)
    batch = 1 if len(sizes) > 1 else 8
    expected = fid_score.calculate_fid_given_paths(
        [str(p) for p in paths], batch, "cpu", 16, num_workers=0
    )

    spec = replace(EXTRACTORS["inception"], network=Small, features=16)
    monkeypatch.setitem(EXTRACTORS, "inception", spec)
    options = {"features": "inception", "weights": weights, "unverified": True}
    found = compared(*paths, **options)
    assert found["fid"] == pytest.approx(expected, rel=1e-4)
    assert found["fid"] > 0.01
    if name not in ("64", "repeats"):
        squares = compared(*paths, size=64, **options)
        assert squares["fid"] != pytest.approx(expected, rel=0.01)


def test_squares_of_the_asked_size_score_the_same_as_files(tiny, tmp_path):
    """A grey PNG of 64 pixels is its own square: where nothing is to be resized, nothing moves."""
    paths = tmp_path / "a", tmp_path / "b"
    for seed, root in enumerate(paths):
        root.mkdir()
        for i, image in enumerate(
            np.random.default_rng(seed).integers(0, 256, (24, 64, 64), np.uint8)
        ):
            Image.fromarray(image).save(root / f"{i}.png")
    files, squares = compared(*paths), compared(*paths, size=64)
    numbers = {key for key, value in files.items() if isinstance(value, float)}
    assert len(numbers) > 15
    for key in numbers:  # the mean of three equal channels is rounded
        assert squares[key] == pytest.approx(files[key], rel=1e-4, abs=1e-6)
    differ = {key for key in files.keys() - numbers if files[key] != squares[key]}
    assert differ == {"protocol", "image_size", "real_digest", "train_digest"}


def test_the_output_says_what_was_compared(tiny, tmp_path, capsys):
    paths = [films(tmp_path / side, seed, SIZES["mixed"]) for seed, side in enumerate("ab")]
    assert main([*map(str, paths), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["image_size"] is None
    assert result["pixel_size"] == PIXELS
    assert result["protocol"] == f"tiny/mean-8/files-as-they-are/pixels-{PIXELS}"
    assert main([*map(str, paths)]) == 0
    out = capsys.readouterr().out
    assert tells(out, f"{PIXELS} pixels", result["protocol"])
    assert "image_size" not in out


@pytest.mark.parametrize("first", [["--image-size", "64"], []])
def test_squares_and_files_are_not_held_against_each_other(tiny, tmp_path, capsys, first):
    paths = [str(films(tmp_path / side, seed, SIZES["64"])) for seed, side in enumerate("ab")]
    then = [] if first else ["--image-size", "64"]
    assert main([*paths, "--json", *first]) == 0
    baseline = tmp_path / "before.json"
    baseline.write_text(capsys.readouterr().out)
    assert main([*paths, *first, "--baseline", str(baseline)]) == 0
    assert main([*paths, *then, "--baseline", str(baseline)]) == 2
    kept = "tiny/mean-8/files-as-they-are/pixels-64"
    parts = (f"--baseline {baseline}", "protocol", "tiny/mean-8", kept)
    assert tells(capsys.readouterr().err, *parts)


@pytest.mark.parametrize(
    ("real", "fake", "remedy"),
    [
        ("224", "64", "224x224 .*64x64 "),
        ("64", "512", "--image-size 64 "),
        ("300x200", "32", "--image-size 32 "),
        ("512", "97x411", "--image-size 64 "),
        ("512", "300x200", "--image-size 128 "),
    ],
)
def test_sets_of_unlike_sizes_are_told_of(tiny, tmp_path, real, fake, remedy):
    paths = films(tmp_path / "a", 0, SIZES[real]), films(tmp_path / "b", 1, SIZES[fake])
    assert any(re.search(remedy, line) for line in compared(*paths)["warnings"])
    assert not any("--image-size" in line for line in compared(*paths, size=32)["warnings"])


def test_sets_of_like_sizes_are_not(tiny, tmp_path):
    paths = films(tmp_path / "a", 0, SIZES["224"]), films(tmp_path / "b", 1, SIZES["299"])
    assert not any("--image-size" in line for line in compared(*paths)["warnings"])


def test_few_files_are_held_at_their_full_size(tiny, tmp_path, monkeypatch):
    paths = [films(tmp_path / side, seed, SIZES["mixed"]) for seed, side in enumerate("ab")]
    whole, held = folders_module.read_all, []

    def counted(entries, size, *args, **options):
        held.append((len(entries), size))
        return whole(entries, size, *args, **options)

    monkeypatch.setattr(folders_module, "read_all", counted)
    monkeypatch.setattr("trainable.data.folders.read.read_all", counted)
    compared(*paths)
    full = [n for n, size in held if size is None]
    assert sum(full) == 48
    assert max(full) <= TOGETHER
    assert {size for _, size in held} == {None, PIXELS}


def test_features_of_the_reals_are_kept_and_known_again(tiny, tmp_path):
    paths = [films(tmp_path / side, seed, SIZES["mixed"]) for seed, side in enumerate("ab")]
    first = compared(*paths)
    images, own = [], tiny.forward
    tiny.forward = lambda x, *a: images.append(x) or own(x, *a)
    again = compared(*paths)
    assert again == first
    assert len(images) == 24 // TOGETHER + 24  # the generated ones alone, each file in a list
    with Image.open(paths[0] / "03.png") as image:
        moved = np.array(image)
    moved[0, 0] ^= 1  # too little to be seen at 64 pixels
    Image.fromarray(moved).save(paths[0] / "03.png")
    other = compared(*paths)
    assert other["real_digest"] != first["real_digest"]
    assert other["fid"] != first["fid"]


@pytest.mark.usefixtures("tiny")
def test_what_lies_outside_the_squares_tells_features_apart(tmp_path):
    """Transparent margins, which are cut off the squares: the background is seen by FID alone."""
    for seed, side in enumerate("ab"):
        for i in range(24):
            pixels = np.random.default_rng([seed, i]).integers(0, 256, (64, 128, 4), np.uint8)
            pixels[..., 3] = 255
            pixels[:, :32, 3] = pixels[:, 96:, 3] = 0
            (tmp_path / side).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / side / f"{i:02}.png")
    paths = tmp_path / "a", tmp_path / "b"
    black, white = (compared(*paths, background=b) for b in ("black", "white"))
    assert black["real_digest"] != white["real_digest"]
    assert black["fid"] != white["fid"]
    assert black["creativity"] == white["creativity"]


def test_repeated_reals_count_for_fid_alone(tiny, tmp_path):
    paths = tmp_path / "a", tmp_path / "b"
    for seed, (root, name) in enumerate(itertools.product(paths, ("cats", "dogs"))):
        films(root / name, seed, SIZES["32"], n=15)
    plain = compared(*paths)
    for i in range(5):
        shutil.copy(paths[0] / "cats" / "01.png", paths[0] / "cats" / f"again{i}.png")
    repeated = compared(*paths)
    assert repeated["n_real"] == plain["n_real"] == 30
    assert repeated["real_digest"] != plain["real_digest"]
    for result, said in ((repeated, True), (plain, False)):
        told = [re.search(f"{paths[0]}: .*duplicates", line) for line in result["warnings"]]
        assert any(told) == said
    scores = {key for key, value in plain.items() if isinstance(value, float)}
    assert {key for key in scores if repeated[key] != plain[key]} == {"fid", "fid/cats"}


@pytest.mark.parametrize("change", ["other bytes", "gone"])
def test_a_file_that_changes_meanwhile_is_refused(tiny, tmp_path, monkeypatch, change):
    paths = [films(tmp_path / side, seed, SIZES["64"]) for seed, side in enumerate("ab")]
    file, own = paths[1] / "11.png", tiny.forward

    def meanwhile(images, *rest):
        if change == "gone":
            file.unlink(missing_ok=True)
        else:
            Image.new("L", (64, 64)).save(file)
        return own(images, *rest)

    monkeypatch.setattr(tiny, "forward", meanwhile)
    with refused(file):
        compared(*paths)
