"""The small-set builder: what it draws, what it writes, what it refuses."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.pictures import class_folder
from tests.helpers.refusals import refused, tells
from tests.helpers.toys import Told
from trainable.data import small
from trainable.data.__main__ import main
from trainable.data.folders.inventory import Item, common_dimensions, inventory
from trainable.data.folders.read import load_folder
from trainable.data.folders.scan import scan
from trainable.data.small import build_small


def noise(path: Path, seed: int, side: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Kaggle's layout: 40 images a class, of about 0.9 to 6.4 KB (noise does not compress)."""
    root = tmp_path / "xrays"
    for folder in ("NORMAL", "PNEUMONIA"):
        (root / "train" / folder).mkdir(parents=True)
    for i in range(40):
        noise(root / "train" / "NORMAL" / f"IM-{i:04}-0001.png", i, 29 + (i * 7) % 50)
        noise(root / "train" / "PNEUMONIA" / f"person{i}_bacteria_1.png", 100 + i, 29 + i)
    noise(root / "train" / "PNEUMONIA" / "person99_virus_1.png", 999, 50)
    return root


def test_every_part_says_how_many_files_are_done(source: Path, tmp_path: Path):
    for n in range(2):  # of equal length, so they must be read to be told apart
        noise(source / "train" / "NORMAL" / f"IM-9{n:03}-0001.png", 7000 + n, 40)
    told = Told()
    build_small(source, tmp_path / "small", per_class=10, target_kb=2.0, stage=told)
    words = ("headers", "duplicates", "bacterial_pneumonia", "normal", "copying")
    assert all(tells(name, word) for name, word in zip(told, words, strict=True))
    headers, hashed, *others = map(len, told.values())
    assert (headers, others) == (82, [20, 20, 20])
    assert 2 <= hashed < 82
    assert all(steps == [(i + 1, len(steps)) for i in range(len(steps))] for steps in told.values())


def manifest(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_manifest_tells_the_truth(source: Path, tmp_path: Path):
    out = tmp_path / "deep" / "small"
    report = build_small(source, out, per_class=10, target_kb=2.0)
    rows = manifest(out)
    assert Counter(row["class"] for row in rows) == {"bacterial_pneumonia": 10, "normal": 10}
    for row in rows:
        data = (out / row["file"]).read_bytes()
        assert data == (source / row["source"]).read_bytes()
        assert row["sha256"] == hashlib.sha256(data).hexdigest()
        assert int(row["bytes"]) == len(data)
        with Image.open(out / row["file"]) as image:
            assert image.size == (int(row["width"]), int(row["height"]))
    assert report.left_out == {"viral_pneumonia": 1}
    assert [c.patients for c in report.classes] == [10, 10]
    assert sorted(p.name for p in out.iterdir()) == [
        "bacterial_pneumonia", "manifest.csv", "normal",
    ]  # fmt: skip


def test_the_loader_knows_its_patients(source: Path, tmp_path: Path):
    build_small(source, tmp_path / "small", per_class=10, target_kb=2.0)
    data = load_folder(tmp_path / "small", 32)
    assert data.counts == {"bacterial_pneumonia": 10, "normal": 10}
    assert (data.report.known, data.report.patients) == (20, "manifest.csv")
    rows = {row["file"]: row["patient"] for row in manifest(tmp_path / "small")}
    assert dict(zip(data.sources, data.patients, strict=True)) == rows


def test_the_pool_is_what_lies_nearest_the_target(source: Path, tmp_path: Path):
    report = build_small(source, tmp_path / "small", per_class=10, target_kb=2.0)
    items, _ = inventory(scan(source).entries)
    for drawn in report.classes:
        members = [item for item in items if item.entry.label == drawn.name]
        nearest = sorted(abs(item.size - 2048) for item in members)[: drawn.pool]
        assert drawn.pool == 20
        assert drawn.available == 40
        assert max(abs(drawn.smallest - 2048), abs(drawn.largest - 2048)) <= nearest[-1]


def test_the_seed_decides(source: Path, tmp_path: Path):
    def sources(name: str, seed: int) -> list[str]:
        build_small(source, tmp_path / name, per_class=10, target_kb=2.0, seed=seed)
        return [row["source"] for row in manifest(tmp_path / name)]

    first = sources("a", 0)
    assert sources("b", 0) == first
    assert sources("c", 1) != first
    assert (tmp_path / "a" / "manifest.csv").read_bytes() == (
        tmp_path / "b" / "manifest.csv"
    ).read_bytes()


def test_files_of_one_name_in_several_folders_are_all_copied(source: Path, tmp_path: Path):
    entries = [e for e in scan(source).entries if e.label == "normal"][:2]
    twins = [
        replace(e, path=e.path.with_name("x.png"), source=f"train/NORMAL/{i}/x.png")
        for i, e in enumerate(entries)
    ]
    noise(entries[0].path.with_name("x.png"), 5, 30)
    rows = [small._copy_one(Item(twin, 1, 30, 30), tmp_path) for twin in twins]
    assert [row.file for row in rows] == ["normal/x.png", "normal/train_NORMAL_1_x.png"]
    assert all((tmp_path / row.file).is_file() for row in rows)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError])
def test_an_interrupted_build_leaves_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: type[BaseException]
):
    out = tmp_path / "place" / "small"
    copied: list[object] = []
    copy_one = small._copy_one

    def fail_at_the_fifth(item, folder):
        copied.append(item)
        if len(copied) == 5:
            raise stop
        return copy_one(item, folder)

    monkeypatch.setattr(small, "_copy_one", fail_at_the_fifth)
    with pytest.raises(stop):
        build_small(source, out, per_class=10)
    assert len(copied) == 5
    assert list(out.parent.iterdir()) == []


def test_what_is_refused(source: Path, tmp_path: Path):
    out = tmp_path / "small"
    with refused("'bacterial_pneumonia'", source, 40, 41, "--per-class"):
        build_small(source, out, per_class=41)
    with refused("--per-class", 9, 10):
        build_small(source, out, per_class=9)
    with refused("--target-kb", "nan", 0):
        build_small(source, out, target_kb=float("nan"))
    with refused("--seed", "-1", 0):
        build_small(source, out, seed=-1)
    with refused(f"--out {source}/train/small", f"--source {source}"):
        build_small(source, source / "train" / "small", per_class=10)
    with refused(tmp_path / "nowhere"):
        build_small(tmp_path / "nowhere", out, per_class=10)
    assert not out.exists()
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    with refused(f"--out {out}", "empty"):
        build_small(source, out, per_class=10)
    with refused(f"--out {out}/mine.txt", "file"):
        build_small(source, out / "mine.txt", per_class=10)
    assert (out / "mine.txt").read_text() == "keep"
    (out / "mine.txt").unlink()
    build_small(source, out, per_class=10)  # an empty folder will do


def test_duplicates_and_broken_files_are_not_drawn(source: Path, tmp_path: Path):
    normal = source / "train" / "NORMAL"
    (normal / "copy.png").write_bytes((normal / "IM-0003-0001.png").read_bytes())
    (normal / "header.png").write_bytes(b"junk")
    whole = (normal / "IM-0005-0001.png").read_bytes()
    (normal / "half.png").write_bytes(whole[: len(whole) // 2])
    report = build_small(source, tmp_path / "small", per_class=40)
    assert report.duplicates == 1
    reasons = dict(report.skipped)
    assert set(reasons) == {"train/NORMAL/header.png", "train/NORMAL/half.png"}
    assert len(manifest(tmp_path / "small")) == 80
    (source / "train" / "PNEUMONIA" / "person3_bacteria_2.png").write_bytes(whole)
    with refused("train/NORMAL/IM-0005-0001.png", "train/PNEUMONIA/person3_bacteria_2.png"):
        build_small(source, tmp_path / "other", per_class=10)


def test_a_dropped_copy_says_whose_image_it_is(tmp_path: Path):
    """As the loader has it; else the patient could come to lie on both sides of a split."""
    for name in ("ill", "well"):
        class_folder(tmp_path / "all" / name, 10, seed=len(name))
    known = tmp_path / "all" / "ill" / "known.png"
    known.write_bytes((tmp_path / "all" / "ill" / "000.png").read_bytes())
    (tmp_path / "all" / "manifest.csv").write_text("file,patient\nill/known.png,Ann\n")
    build_small(tmp_path / "all", tmp_path / "small", per_class=10)
    patients = {row["file"]: row["patient"] for row in manifest(tmp_path / "small")}
    assert (len(patients), patients["ill/000.png"]) == (20, "Ann")


def test_dimensions_are_counted_in_round_numbers(source: Path):
    items, skipped = inventory(scan(source).entries)
    assert skipped == []
    common = common_dimensions(items, most=100)
    assert common[0] == ((100, 100), sum(item.width > 50 for item in items))
    assert sum(count for _, count in common) == 80


def test_the_command(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "small"
    arguments = ["small", "--source", str(source), "--out", str(out), "--per-class", "10"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "bacterial_pneumonia" in printed
    assert tells(printed, "1 viral_pneumonia")
    assert printed.rstrip().splitlines()[-1] == (f"  cgan-search data show {out} --out {out}.png")
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith(f"error: --out {out} ")
