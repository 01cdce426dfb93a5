"""Bad input to `python -m search.run`: a clear line, exit code 2, no traceback, nothing begun."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from search.resolve import prepare
from search.run import main
from search.study.database import create_study, open_storage
from search.study.flags import parser, resume_flags, run_flags
from search.study.folder import StudyFolder
from tests.helpers.fake_tune import YARDSTICK, config
from tests.helpers.refusals import refused, tells
from trainable.basics.wording import format_duration, parse_duration


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two classes of twelve little pictures."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (root / name).mkdir()
        for i in range(12):
            pixels = rng.integers(0, 255, (40, 40), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


def run(folder: Path, output: Path, *flags: str) -> int:
    given = ["--data", str(folder), "--image-size", "32", "--features", "efficientnet-lite0"]
    return main([*given, "--output", str(output), *flags])


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (["--data", "nowhere"], ["nowhere"]),
        (["--labels", "absent.csv"], ["--labels", "absent.csv"]),
        (["--label-columns", "file=x"], ["--label-columns", "--labels"]),
        (["--classes", "cats"], ["--classes", "'cats'", "two"]),
        (["--classes", "cat,dogs"], ["--classes", "'cat'", "'cats'", "'dogs'"]),
        (["--image-size", "48"], ["48"]),
        (["--space", "ful"], ["'ful'", "full"]),
        (["--space", "no.such.module:space"], ["no.such.module"]),
        (["--trials", "0"], ["--trials", "0", "1"]),
        (["--epochs", "10", "--grace", "11"], ["--grace", "11", "1", "--epochs", "10"]),
        (["--epochs", "10", "--eval-every", "11"], ["--eval-every", "11", "1", "--epochs", "10"]),
        (["--gpus-per-trial", "99"], ["--gpus-per-trial", "99", "machine"]),
        (["--gpus-per-trial", "-1"], ["--gpus-per-trial", "-1", "fraction", "0"]),
        (["--gpus-per-trial", "0"], ["--gpus-per-trial", "--devices cpu"]),
        (["--gpus-per-trial", "1.5"], ["--gpus-per-trial", "1.5", "fraction"]),
        (
            ["--gpus-per-trial", "1", "--devices", "cpu"],
            ["--gpus-per-trial", "--devices cpu", "contradicts"],
        ),
        (["--wait-for-nodes", "soon"], ["--wait-for-nodes", "'soon'", "90s"]),
        (["--cpus-per-trial", "9999"], ["--cpus-per-trial", "9999", os.cpu_count()]),
        (["--cpus-per-trial", "0"], ["--cpus-per-trial", "0", "1"]),
        (["--max-concurrent", "0"], ["--max-concurrent", "0", "1"]),
        (["--time-budget", "2 hours"], ["--time-budget", "'2 hours'", "90s"]),
        (["--study", "a/b"], ["--study", "'a/b'"]),
        (["--features", "vgg"], ["--features", "'vgg'", "efficientnet-lite0"]),
        (["--features-weights", "absent.pth"], ["absent.pth"]),
        (["--sampler", "grid"], ["--sampler", "'grid'", "tpe", "random"]),
        (["--objective", "beauty"], ["--objective", "'beauty'", "fid", "kid", "is"]),
        (
            ["--objective", "classifier", "--hold-back", "0"],
            ["--objective classifier", "--hold-back", "0", "0.25"],
        ),
        (["--objective", "fid,classifier", "--hold-back", "0.01"], ["--hold-back 0.01"]),
        (["--hold-back", "0.7"], ["--hold-back", "0.7", "0.5"]),
        (["--resource", "steps"], ["--resource", "'steps'", "epoch", "seconds"]),
        (["--resource", "seconds"], ["--resource seconds", "--train-time", "2m"]),
        (
            ["--resource", "seconds", "--train-time", "2m", "--epochs", "9"],
            ["--resource seconds", "--train-time", "--epochs"],
        ),
        (["--resource", "seconds", "--epochs", "9"], ["--resource seconds", "--train-time"]),
        (["--train-time", "2m"], ["--train-time", "--resource seconds", "--epochs"]),
        (["--resource", "seconds", "--train-time", "soon"], ["--train-time", "'soon'", "90s"]),
        (
            ["--resource", "seconds", "--train-time", "60s", "--grace", "61"],
            ["--grace", "61", "1", "--train-time", "60"],
        ),
        (
            ["--resource", "seconds", "--train-time", "60s", "--eval-every", "61"],
            ["--eval-every", "61", "1", "--train-time", "60"],
        ),
        (["--max-trial-time", "0s"], ["--max-trial-time", "0.0 s", "0"]),
        (["--max-trial-time", "fast"], ["--max-trial-time", "'fast'", "90s"]),
        (["--report-timeout", "never"], ["--report-timeout", "'never'", "90s"]),
        (["--enqueue", "absent.json"], ["--enqueue", "absent.json"]),
        (["--warm-start", "absent"], ["absent", "runs"]),
    ],
)
def test_refused_before_any_work(folder, tmp_path, capsys, flags, parts):
    assert run(folder, tmp_path / "runs", *flags) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert tells(said, *parts)
    assert "Traceback" not in said
    assert not any((tmp_path / "runs").glob("*"))


def test_a_space_with_unknown_or_missing_parameters_is_refused(
    folder, tmp_path, capsys, monkeypatch
):
    (tmp_path / "mine.py").write_text(
        "from spaces.presets import default\n"
        "def unknown(trial, task):\n"
        "    return {**default(task), 'momentun': trial.suggest_float('momentun', 0, 1)}\n"
        "def missing(trial, task):\n"
        "    params = {**default(task), 'g_lr': trial.suggest_float('g_lr', 0.001, 0.01)}\n"
        "    del params['loss']\n"
        "    return params\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name, parts in (
        ("unknown", ("momentun", "hyperparameter")),
        ("missing", ("loss", "missing")),
    ):
        assert run(folder, tmp_path / "runs", "--space", f"mine:{name}") == 2
        assert tells(capsys.readouterr().err, *parts)


@pytest.mark.parametrize("left", ["study.json", "holiday.jpg"])
def test_a_name_that_exists_says_how_to_go_on(folder, tmp_path, capsys, left):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / left).touch()
    assert run(folder, tmp_path, "--study", "old") == 2
    assert tells(capsys.readouterr().err, "--resume old", "another name")
    assert [p.name for p in tmp_path.rglob("*.*")] == [left]


def test_a_study_killed_while_it_began_may_be_begun_anew(folder, tmp_path):
    """What it left is no study yet."""
    (tmp_path / "old").mkdir()
    for name in ("lock", "images.csv", "study.db"):
        (tmp_path / "old" / name).touch()
    assert run(folder, tmp_path, "--study", "old", "--dry-run") == 0


def test_a_study_whose_settings_file_is_gone_is_not_begun_anew(folder, tmp_path, capsys):
    """Its database holds all that was trained."""
    place = tmp_path / "old"
    place.mkdir()
    create_study(
        open_storage(StudyFolder(place).database_url), config(name="old"), YARDSTICK, {}, []
    )
    before = (place / "study.db").read_bytes()
    assert run(folder, tmp_path, "--study", "old") == 2
    assert tells(capsys.readouterr().err, "--resume old")
    assert [p.name for p in place.iterdir()] == ["study.db"]
    assert (place / "study.db").read_bytes() == before


def test_trials_that_are_left_without_their_study_are_not_mixed_with_new_ones(
    folder, tmp_path, capsys
):
    (tmp_path / "old" / "trials" / "00000").mkdir(parents=True)
    assert run(folder, tmp_path, "--study", "old") == 2
    assert tells(capsys.readouterr().err, "old", "another name")
    assert (tmp_path / "old" / "trials" / "00000").is_dir()


def test_resume_of_nothing_lists_what_there_is(tmp_path, capsys):
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "study.json").touch()
    assert main(["--resume", "second", "--output", str(tmp_path)]) == 2
    assert tells(capsys.readouterr().err, "second", "first")
    assert main(["--resume", "first", "--eta", "4", "--output", str(tmp_path)]) == 2
    assert tells(capsys.readouterr().err, "--eta")


def test_an_output_that_cannot_be_written_to(folder, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert run(folder, tmp_path / "file" / "runs") == 2
    assert tells(capsys.readouterr().err, "--output", tmp_path / "file" / "runs")


def test_a_file_of_text_under_images_is_named(tmp_path, capsys, folder):
    for name in ("cats", "dogs"):
        (tmp_path / "d" / name).mkdir(parents=True)
        for path in (folder / name).iterdir():
            (tmp_path / "d" / name / path.name).write_bytes(path.read_bytes())
    for i in (3, 4):
        (tmp_path / "d" / "cats" / f"{i}.png").write_text("no picture")
    assert run(tmp_path / "d", tmp_path / "runs") == 2
    assert "cats/3.png" in capsys.readouterr().err


def test_dry_run_prints_numbers_and_starts_nothing(folder, tmp_path, capsys):
    assert run(folder, tmp_path / "runs", "--dry-run", "--trials", "5") == 0
    said = capsys.readouterr().out
    assert '"trials": 5' in said
    assert '"length": 7506' in said  # 180,000 images are 7,500 passes over 24; 18 x 417
    assert tells(said, "at a time on cpu", "about", "for this search")
    assert not any((tmp_path / "runs").glob("*"))


def test_a_search_in_seconds_says_so(folder, tmp_path, capsys):
    flags = ["--resource", "seconds", "--train-time", "1m", "--max-trial-time", "150s"]
    assert run(folder, tmp_path / "runs", "--dry-run", *flags) == 0
    said = capsys.readouterr().out
    assert tells(said, "60 seconds", "2 min", "every 4", "ASHA", "8, 24", "1/3")
    assert '"resource": "seconds"' in said
    assert '"length": 60' in said


@pytest.mark.parametrize("embedded", [True, False])
def test_a_terminal_sees_the_images_being_read(folder, tmp_path, embedded):
    data = "phantom" if embedded else str(folder)
    flags = ["--data", data, "--image-size", "32", "--features", "efficientnet-lite0"]
    args = parser().parse_args([*flags, "--output", str(tmp_path)])
    screen = io.StringIO()
    prepared = prepare(args, Console(file=screen, force_terminal=True))
    assert prepared.inputs.data.n == (200 if embedded else 24)
    assert "reading images" in screen.getvalue()


def test_help_is_quick_because_it_imports_nothing_heavy():
    code = (
        "import sys, search.run; from search import Result, Search; "
        "print([m for m in ('torch', 'ray', 'mlflow', 'pandas') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), ("1h30m", 5400), ("1.5h", 5400)]
)
def test_durations(text, seconds):
    assert parse_duration(text, "--within") == seconds


@pytest.mark.parametrize("text", ["", "90", "1h 30m", "h", "-5m", "2h!"])
def test_texts_that_are_no_durations(text):
    with refused("--within", repr(text)):
        parse_duration(text, "--within")


def test_durations_to_read():
    shown = [format_duration(s) for s in (5, 99, 100, 720, 11100)]
    assert shown == ["5 s", "99 s", "2 min", "12 min", "3 h 05 min"]


def test_the_command_that_goes_on_says_where_trials_run_once_more():
    here = Path.cwd()
    flags = [
        "--output",
        "my runs",
        "--address",
        "head:6379",
        "--gpus-per-trial",
        "0.25",
        "--devices",
        "gpu",
    ]
    flags += ["--report-timeout", "1h", "--features-weights", "my weights.pth"]
    args = parser().parse_args([*flags, "--cpus-per-trial", "1", "--unverified-weights"])
    again = StudyFolder.of(args, "s").command("resume", run_flags(args))
    assert again == (
        f"cgan-search resume s --output '{here}/my runs' --devices gpu --gpus-per-trial "
        f"0.25 --address head:6379 --report-timeout 1h --features-weights '{here}/my weights.pth' "
        "--unverified-weights"
    )
    assert resume_flags(config(time_budget=5400.0), ["--devices gpu"]) == [
        "--devices gpu", "--time-budget 1h30m",
    ]  # fmt: skip
    assert resume_flags(config(), []) == []
    usual = parser().parse_args(["--space", "full", "--trials", "7", "--progress", "none"])
    assert run_flags(usual) == []
    assert StudyFolder.of(args, "s").command("publish") == (
        f"cgan-search publish s --output '{here}/my runs'"
    )
