"""Names of studies: chosen for folders of any name, and refused before any image is read."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from analysis import report
from search import resolve as prepare
from search.run import main
from search.study.config import FLAGS
from search.study.flags import parser
from search.study.names import LONGEST, check_name, free_name
from tests.helpers.refusals import refused, tells
from trainable.basics.files import read_json
from trainable.basics.terminal import command
from trainable.pretrained.weights import checksum


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("chest_xray", "full-chest_xray-64-1"),
        ("chest xray", "full-chest-xray-64-1"),
        ("chest_xray (1)", "full-chest_xray-1-64-1"),
        ("Röntgen", "full-Rontgen-64-1"),
        ("a+b", "full-a-b-64-1"),
        ("o'brien", "full-o-brien-64-1"),
        ("runs[old]", "full-runs-old-64-1"),
        ("[/x]", "full-x-64-1"),
        ("肺炎", "full-64-1"),
        ("..hidden..", "full-hidden-64-1"),
        ("new\nline", "full-new-line-64-1"),
        ("$a$b `id` #%?", "full-a-b-id-64-1"),
        ("-", "full-64-1"),
        ("figures", "full-figures-64-1"),
        ("ﬁlm", "full-film-64-1"),
    ],
)
def test_a_folder_of_any_name_gives_a_study_a_legal_one(folder, name, tmp_path):
    for data in (folder, f"{folder}/", str(tmp_path / folder)):
        assert free_name(tmp_path, "full", data, 64) == name
    check_name(name)


def test_a_long_or_empty_name_of_a_folder_is_cut(tmp_path):
    for data in ("x" * 255, "é" * 127, "/"):
        name = free_name(tmp_path, "pack.module:" + "ä" * 300, data, 256)
        assert len(name) <= LONGEST
        assert name.endswith("-256-1")
        check_name(name)
        (tmp_path / name).mkdir()
        again = free_name(tmp_path, "pack.module:" + "ä" * 300, data, 256)
        assert again == f"{name[:-1]}2"
        (tmp_path / name).rmdir()


def test_a_link_to_nowhere_is_no_free_name(tmp_path):
    (tmp_path / "full-phantom-64-1").symlink_to(tmp_path / "gone")
    assert free_name(tmp_path, "full", "phantom", 64) == "full-phantom-64-2"


BAD = [
    *((name, [repr(name), "letters"]) for name in
      ("a/b", "", ".", "..", ".x", "-x", "a b", "ö", "x\n")),
    *(("x" * length, [length, LONGEST]) for length in (LONGEST + 1, 300)),
    ("figures", ["'figures'", "cgan-search figures compare"]),
    ("Single", ["'Single'", "cgan-search train"]),
    ("augmentation", ["'augmentation'", "cgan-search augment"]),
    ("mlartifacts", ["'mlartifacts'", "MLflow"]),
    ("mlflow.db-journal", ["'mlflow.db-journal'", "MLflow"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "parts"), BAD)
def test_a_bad_name_is_refused_before_images_are_read(name, parts, tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "load_inputs", lambda *a, **k: pytest.fail("images were read"))
    args = parser().parse_args([f"--study={name}", "--output", str(tmp_path)])
    with refused("--study", *parts):
        prepare.prepare(args, None)  # pyright: ignore[reportArgumentType]


def test_the_longest_name_is_taken():
    check_name("x" * LONGEST)


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (["--seed", str(2**64)], [2**64, 2**63 - 1]),
        (["--seed", str(2**63)], [2**63, 2**63 - 1]),
        (["--seed", "-1"], [-1, 0]),
        (["--trials", "0"], [0, 1]),
        (["--trials", str(10**30)], [10**30, 10**6]),
        (["--epochs", "0"], [0, 1]),
        (["--epochs", str(10**30)], [10**30, 10**9]),
        (["--eval-every", "0"], [0, 1]),
        (["--eval-every", str(10**30)], [10**30, 10**9]),
        (["--grace", "-1"], [-1, 1]),
        (["--eta", str(10**400)], [10**400, 1000]),
        (["--top-k", "0"], [0, 1]),
        (["--winner-images", "19"], [19, 20]),
        (["--winner-images", str(10**9)], [10**9, 10**5]),
        (["--image-size", "0"], [0, 32, 256]),
        (["--hold-back", "nan"], ["nan"]),
        (["--hold-back", "inf"], ["inf"]),
        (["--hold-back", "0.5001"], [0.5001, 0.5]),
        (["--gpus-per-trial", "nan"], ["nan"]),
        (["--gpus-per-trial", "inf"], ["inf"]),
        (["--gpus-per-trial=-inf"], ["-inf"]),
        (["--cpus-per-trial", str(10**30)], [10**30]),
        (["--max-concurrent", "0"], [0, 1]),
        (["--time-budget", "0s"], ["0.0 s", 0]),
        (["--time-budget", ""], ["''", "90s"]),
        (["--time-budget", "9" * 400 + "d"], ["10000d"]),
        (["--max-trial-time", "0s"], ["0.0 s", 0]),
        (["--train-time", "9" * 400 + "s", "--resource", "seconds"], ["10000d"]),
        (["--report-timeout", "0s"], ["0s", "1s"]),
        (["--sampler", "grid"], ["'grid'", "tpe"]),
        (["--objective", "beauty"], ["'beauty'", "fid"]),
        (["--resume", ""], ["''"]),
    ],
)
def test_a_dry_run_refuses_numbers_beyond_their_bounds(flags, parts, tmp_path, capsys, monkeypatch):
    """And reads no image for that."""
    monkeypatch.setattr("trainable.data.sources._phantom", lambda *a: pytest.fail("images read"))
    assert main(["--dry-run", "--output", str(tmp_path / "runs"), *flags]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    flag = flags[0].partition("=")[0]
    assert tells(error, "size" if flag == "--image-size" else flag, *parts)


def test_every_number_among_the_flags_has_a_bound():
    """A flag of a number that the list above does not have needs a line there."""
    usual = vars(parser().parse_args([]))
    defaults = {name: flag.default for name, flag in FLAGS.items()}
    numbers = {k for k, v in {**usual, **defaults}.items() if type(v) in (int, float)}
    tried = {"seed", "trials", "eta", "top_k", "winner_images", "image_size", "cpus_per_trial"}
    assert numbers == tried


def test_paths_that_are_not_utf8_are_refused(tmp_path, capsys):
    bad = str(tmp_path / "caf\udce9")
    Path(bad).mkdir()
    for flags in (["--output", bad], ["--output", str(tmp_path / "o"), "--data", bad]):
        assert main(["--dry-run", *flags]) == 2
        assert tells(capsys.readouterr().err, "caf\\xe9", "UTF-8")


@pytest.mark.parametrize(
    ("content", "part"),
    [("[" * 10**5, "JSON"), ('{"a": 1, "a": 2}', "'a'"), ("{", "JSON")],
)
def test_json_of_users_is_refused_in_a_line(tmp_path, content, part):
    path = tmp_path / "best.json"
    path.write_text(content)
    with refused("--enqueue", path, part):
        read_json("--enqueue", path)


def test_json_with_a_byte_order_mark_is_read(tmp_path):
    path = tmp_path / "best.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json("--enqueue", path) == {"a": 1}


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_weights_that_never_end_are_not_read(tmp_path, kind):
    path = tmp_path / "pipe" if kind == "pipe" else Path("/dev/zero")
    if kind == "pipe":
        os.mkfifo(path)
    with refused("--model", path, "pipe"):
        checksum(path, "--model")


@pytest.mark.parametrize("value", ["nan", "inf", "-1"])
def test_the_reports_size_is_checked_before_anything_is_read(value, capsys):
    assert report.main(["--study", "s", "--megabytes", value]) == 2
    assert "--megabytes is" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["größe", "a\x85b", "it's\n", "x\udce4"])
def test_a_word_is_pasted_byte_for_byte_from_a_terminal_that_lacks_its_letters(monkeypatch, name):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    line = command("printf", "%s", name)
    assert line.isascii()
    # Only a shell says what it reads.
    read = subprocess.run(["bash", "-c", line], capture_output=True, check=True).stdout
    assert read == os.fsencode(name)
