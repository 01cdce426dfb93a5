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
from search.study.flags import STUDY_DEFAULTS, parser
from search.study.names import LONGEST, check_name, free_name
from spaces.errors import InputError
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
    ("a/b", "--study is 'a/b', but must be letters a to z"),
    ("", "--study is ''"),
    (".", "--study is '.'"),
    ("..", "--study is '..'"),
    (".x", "--study is '.x'"),
    ("-x", "--study is '-x'"),
    ("a b", "--study is 'a b'"),
    ("ö", "--study is 'ö'"),
    ("x\n", r"--study is 'x\\n'"),
    ("x" * (LONGEST + 1), f"--study has {LONGEST + 1} characters, but may have at most {LONGEST}"),
    ("x" * 300, "--study has 300 characters"),
    ("figures", "--study is 'figures', which is the folder of python -m analysis.compare"),
    ("Single", "--study is 'Single', which is the folder of python -m trainable"),
    ("augmentation", "which is the folder of python -m analysis.augmentation"),
    ("mlartifacts", "which is the folder of MLflow"),
    ("mlflow.db-journal", "which is the folder of MLflow"),
]


@pytest.mark.parametrize(("name", "said"), BAD)
def test_a_bad_name_is_refused_before_images_are_read(name, said, tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "load", lambda *a, **k: pytest.fail("images were read"))
    args = parser().parse_args([f"--study={name}", "--output", str(tmp_path)])
    with pytest.raises(InputError, match=said):
        prepare.prepare(args, None)  # pyright: ignore[reportArgumentType]


def test_the_longest_name_is_taken():
    check_name("x" * LONGEST)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--seed", str(2**64)], f"--seed is {2**64}, but must be at most {2**63 - 1}"),
        (["--seed", str(2**63)], f"--seed is {2**63}, but must be at most"),
        (["--seed", "-1"], "--seed is -1, but must be at least 0"),
        (["--trials", "0"], "--trials is 0"),
        (["--trials", str(10**30)], "but must be at most 1000000"),
        (["--epochs", "0"], "--epochs is 0, but must be at least 1"),
        (["--epochs", str(10**30)], "--epochs is 1"),
        (["--eval-every", "0"], "--eval-every is 0"),
        (["--eval-every", str(10**30)], "--eval-every is 1"),
        (["--grace", "-1"], "--grace is -1"),
        (["--eta", str(10**400)], "--eta is 1"),
        (["--top-k", "0"], "--top-k is 0"),
        (["--winner-images", "19"], "--winner-images is 19, but must be at least 20"),
        (["--winner-images", str(10**9)], "--winner-images is 1000000000, but must be at most"),
        (["--image-size", "0"], "image size 0 is not supported"),
        (["--hold-back", "nan"], "--hold-back is nan"),
        (["--hold-back", "inf"], "--hold-back is inf"),
        (["--hold-back", "0.5001"], "--hold-back is 0.5001"),
        (["--gpus-per-trial", "nan"], "--gpus-per-trial is nan"),
        (["--gpus-per-trial", "inf"], "--gpus-per-trial is inf"),
        (["--gpus-per-trial=-inf"], "--gpus-per-trial is -inf"),
        (["--cpus-per-trial", str(10**30)], "--cpus-per-trial is 1"),
        (["--max-concurrent", "0"], "--max-concurrent is 0"),
        (["--time-budget", "0s"], "--time-budget is 0.0 s, but must be above 0"),
        (["--time-budget", ""], "--time-budget is ''"),
        (["--time-budget", "9" * 400 + "d"], "but must be at most 10000d"),
        (["--max-trial-time", "0s"], "--max-trial-time is 0.0 s, but must be above 0"),
        (["--resource", "seconds", "--train-time", "9" * 400 + "s"], "must be at most 10000d"),
        (["--report-timeout", "0s"], "--report-timeout is 0s, but must be at least 1s"),
        (["--sampler", "grid"], "--sampler is 'grid'"),
        (["--objective", "beauty"], "--objective is 'beauty'"),
        (["--resume", ""], "--resume is ''"),
    ],
)
def test_a_dry_run_refuses_numbers_beyond_their_bounds(flags, said, tmp_path, capsys, monkeypatch):
    """And reads no image for that."""
    monkeypatch.setattr("trainable.data.sources._phantom", lambda *a: pytest.fail("images read"))
    assert main(["--dry-run", "--output", str(tmp_path / "runs"), *flags]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error


def test_every_number_among_the_flags_has_a_bound():
    """A flag of a number that the list above does not have needs a line there."""
    usual = vars(parser().parse_args([]))
    numbers = {k for k, v in {**usual, **STUDY_DEFAULTS}.items() if type(v) in (int, float)}
    tried = {"seed", "trials", "eta", "top_k", "winner_images", "image_size", "cpus_per_trial"}
    assert numbers == tried


def test_paths_that_are_not_utf8_are_refused(tmp_path, capsys):
    bad = str(tmp_path / "caf\udce9")
    Path(bad).mkdir()
    for flags in (["--output", bad], ["--output", str(tmp_path / "o"), "--data", bad]):
        assert main(["--dry-run", *flags]) == 2
        assert "caf\\xe9, whose name is not UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "said"),
    [("[" * 10**5, "not valid JSON"), ('{"a": 1, "a": 2}', "gives 'a' twice"), ("{", "not valid")],
)
def test_json_of_users_is_refused_in_a_line(tmp_path, content, said):
    path = tmp_path / "best.json"
    path.write_text(content)
    with pytest.raises(InputError, match=said):
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
    with pytest.raises(InputError, match="a pipe or a device"):
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
