"""A search from a file: the words of the command line, in TOML, in JSON, or of an earlier study."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pytest

from search.doctor import __main__ as doctor
from search.resolve import prepare
from search.run import main
from search.study.asked import check_flags, new_settings
from search.study.config import StudyConfig
from search.study.flags import parser, resume_parser
from search.study.settings_file import read_flags, write_settings
from tests.helpers.fake_tune import config
from tests.helpers.refusals import refused, tells
from tests.helpers.toys import make_data, write_pictures
from trainable.basics.terminal import make_console

QUICK = """
image-size = 32
trials = 5
epochs = 6
features = "efficientnet-lite0"
backbone = "none"
"""


def write(path: Path, content: str | dict) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def read(path: Path, *more: str) -> argparse.Namespace:
    return read_flags(parser(), ["--config", str(path), *more])


@pytest.mark.parametrize("ending", ["toml", "json"])
def test_a_file_says_what_the_command_line_would(tmp_path, ending):
    values = {"image-size": 32, "trials": 5, "time_budget": "1h", "hold-back": 0.25}
    values |= {"unverified-weights": True, "dry-run": False, "eval-every": "auto"}
    text = "\n".join(f"{k} = {json.dumps(v)}" for k, v in values.items())
    path = write(tmp_path / f"a (1).{ending}", values if ending == "json" else text)
    wanted = ["--image-size", "32", "--trials", "5", "--time-budget", "1h", "--hold-back", "0.25"]
    wanted += ["--unverified-weights", "--eval-every", "auto"]
    found, same = vars(read(path)), vars(parser().parse_args(wanted))
    assert found | {"config": None} == same


def test_the_doctor_and_a_resume_take_a_file_too(tmp_path):
    path = write(tmp_path / "a.toml", "max-concurrent = 2")
    for p, more in ((doctor.parser(), []), (resume_parser(), ["mine"])):
        assert read_flags(p, [*more, "--config", str(path)]).max_concurrent == 2


def test_the_command_line_wins(tmp_path):
    args = read(write(tmp_path / "a.toml", QUICK), "--trials", "7")
    assert (args.trials, args.image_size, args.epochs) == (7, 32, 6)


def test_a_windows_editors_file_is_read(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xef\xbb\xbf" + QUICK.replace("\n", "\r\n").encode())
    assert read(path).trials == 5


@pytest.mark.parametrize(
    ("content", "more", "parts"),
    [
        ("trails = 3", [], ["a.toml", "trails", "trials"]),
        ("trials = 3\ntrials = 4", [], ["a.toml", "TOML"]),
        ("image-size = 32\nimage_size = 32", [], ["a.toml", "image-size"]),
        ("trials = [3]", [], ["a.toml", "trials", "[3]"]),
        ("[search]\ntrials = 3", [], ["a.toml", "search"]),
        ("trials = 'many'", [], ["a.toml", "--trials", "'many'"]),
        ("trials = true", [], ["a.toml", "trials", "True"]),
        ("config = 'b.toml'", [], ["a.toml", "config"]),
        ("trials: 3", [], ["a.toml", "TOML"]),
        ("trials = 0", [], ["--trials", "0", "1"]),
        ("epochs = 6", ["--resource", "seconds", "--train-time", "2m"], ["--epochs"]),
        ("seed = 3", ["--resume", "nowhere"], ["--resume", "--seed"]),
    ],
)
def test_what_is_wrong_is_told_before_any_work(tmp_path, capsys, content, more, parts):
    path = write(tmp_path / "a.toml", content)
    assert main(["--config", str(path), "--output", str(tmp_path / "runs"), *more]) == 2
    said = capsys.readouterr().err
    assert tells(said, *parts)
    assert said.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("a.yaml", "trials: 3", [".toml", ".json"]),
        ("a.json", "[3]", ["list"]),
        ("a.json", '{"trials": 3, "trials": 4}', ["'trials'"]),
        ("a.json", '{"data_digest": "1", "space": "full"}', ["image_size", "another version"]),
        ("a.json", {**config().to_json(), "frogs": 3}, ["frogs"]),
        ("a.json", {**config().to_json(), "trials": 0}, ["--trials", "0"]),
    ],
)
def test_other_files_are_refused(tmp_path, name, content, parts):
    with refused(name, *parts):
        read(write(tmp_path / name, content))
    with refused("gone.toml"):
        read(tmp_path / "gone.toml")


def test_a_mistyped_flag_is_not_the_files_fault(tmp_path):
    with refused("--trails", "--trials") as error:
        read(write(tmp_path / "a.toml", QUICK), "--trails", "3")
    assert "a.toml" not in str(error.value)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"resource": "seconds", "length": 90, "eval_every": 30, "grace": 30},
        {"time_budget": 5400.0, "max_trial_time": 90.5, "hold_back": 0.25, "objective": "fid,kid"},
        {"init_from": "models:/x@champion", "sampler": "gp", "replicates": 3, "space": "a.b:c"},
    ],
)
def test_a_studys_settings_ask_for_the_same_again(tmp_path, monkeypatch, changes):
    monkeypatch.setattr("search.study.asked.get_space", lambda name: None)
    study = replace(config(), protocol="inception/clean-299+shared-with-backbone", **changes)
    args = read(write(tmp_path / "study.json", study.to_json()))
    asked = new_settings(args)
    length = (asked.pop("epochs"), asked.pop("train_time"))
    assert length == ((None, 90) if "resource" in changes else (study.length, None))
    assert asked == {k: getattr(study, k) for k in asked} | {"protocol": "clean"}
    assert (args.study, args.allow_shared_features, args.repeats) == (None, True, study.identity)


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    """A small search of 24 pictures."""
    folder = tmp_path_factory.mktemp("pictures (1)")
    write_pictures(folder / "images", make_data(n=24))
    return write(folder / "a.toml", f"data = {json.dumps(str(folder / 'images'))}\n{QUICK}")


def resolved(args: argparse.Namespace) -> StudyConfig:
    check_flags(args)
    return prepare(args, make_console()).config


def test_a_study_is_repeated_from_its_own_settings_and_from_an_older_versions(tmp_path, file):
    flags = ["--output", str(tmp_path)]
    first = resolved(read(file, "--study", "first", *flags))
    older = {k: v for k, v in first.to_json().items() if k not in ("levels", "replicates")}
    again = prepare(read(write(tmp_path / "b.json", older), *flags), make_console())
    assert again.config.name != "first"
    assert replace(again.config, name="first") == first
    assert not any("--config" in line for line in again.said)
    other = prepare(read(tmp_path / "b.json", "--seed", "3", *flags), make_console())
    assert tells(other.said[-1], "seed", 0, 3)


@pytest.mark.parametrize("ending", ["toml", "json"])
def test_the_resolved_study_is_written_and_read_again(tmp_path, capsys, ending, monkeypatch, file):
    monkeypatch.chdir(tmp_path)
    written = tmp_path / f"out.{ending}"
    more = ["--max-concurrent", "2", "--output", "my runs", "--study", "mine", "--progress", "none"]
    more += ["--storage", "checkpoints", "--database", "postgresql://me:secret@host/db"]
    more += ["--dry-run"]
    assert main(["--config", str(file), *more, "--write-config", str(written)]) == 0
    assert tells(capsys.readouterr().out, written, "--database")
    assert "secret" not in written.read_text()
    args = read(written)
    assert (args.max_concurrent, args.output, args.study) == (2, tmp_path / "my runs", "mine")
    assert args.storage == str(tmp_path / "checkpoints")
    assert (args.progress, args.dry_run, args.replicates) == (None, False, None)  # auto stays auto
    monkeypatch.chdir("/")
    first = resolved(read(file, "--output", str(tmp_path / "my runs"), "--study", "mine"))
    assert resolved(read(written)) == first


@pytest.mark.parametrize("given", ["first", "first/", "old/first"])
def test_an_earlier_study_is_named_or_its_path_written_whole(tmp_path, file, given, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config, written = resolved(read(file, "--output", str(tmp_path))), tmp_path / "out.json"
    assert write_settings(written, config, read(file, "--warm-start", given), ()) == []
    found = read(written).warm_start
    assert found == (str(tmp_path / given) if given == "old/first" else given)


def test_a_place_to_write_to_is_looked_at_first(tmp_path, capsys):
    for flags, parts in (
        (["--write-config", "a.toml"], ["--dry-run", "study.json"]),
        (["--write-config", "a.yaml", "--dry-run"], [".toml"]),
        (["--write-config", str(tmp_path / "no" / "a.toml"), "--dry-run"], [tmp_path / "no"]),
    ):
        assert main([*flags, "--output", str(tmp_path / "runs")]) == 2
        assert tells(capsys.readouterr().err, "--write-config", *parts)
