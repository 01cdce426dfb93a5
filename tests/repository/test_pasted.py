"""Printed commands: pasted into a shell, in any folder, each finds what it was printed for."""

from __future__ import annotations

import argparse
import io
import subprocess
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from analysis.command import figure_parser
from search import publish, session, ui
from search.display.screen import Screen
from search.ending import Ending
from search.plan import Outlook
from search.run import main
from search.study.config import StudyConfig
from search.study.flags import parser, resume_parser
from search.study.folder import SETTINGS, StudyFolder, default_tracking
from search.tracking.projection import Projection
from search.tracking.text import description
from search.tracking.tracker import Tracker
from search.tune.run_trials import Outcome
from spaces.errors import InputError
from tests.helpers.fake_tune import YARDSTICK, config
from tests.helpers.toys import make_data, write_pictures
from trainable.basics.addresses import sqlite_file
from trainable.basics.terminal import make_console, say, say_error
from trainable.data import __main__ as data_command

WORST = [
    "plain", "runs[old]", "[/x]", "[bold]x", "a b", "o'brien", 'say "hi"', "Röntgen", "$a$b `id`",
    "#1 ;&|<>", "-n", "~", "a\\b", "new\nline", ":skull:", "50% off",
]  # fmt: skip


def words_of(line: str) -> list[str]:
    """A printed command as bash reads it."""
    script = f"printf '%s\\0' {line.strip()}"
    said = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout
    return said.decode().split("\0")[:-1]


def commands(text: str) -> list[list[str]]:
    """What a user would paste of a text: the indented lines, of which comments do nothing."""
    indented = [line for line in text.splitlines() if line.startswith("  ")]
    return [words_of(line) for line in indented if not line.lstrip().startswith("#")]


@pytest.fixture(params=WORST)
def output(request, tmp_path, monkeypatch) -> Path:
    """A folder of studies of the worst name, given as from the folder that it lies in."""
    (tmp_path / request.param).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return Path(request.param)


def said(show: Any, *args: Any) -> str:
    """What `show` prints on a terminal, which it is told of last."""
    screen = io.StringIO()
    show(*args, make_console(file=screen, force_terminal=True, width=60))
    assert "\x1b" not in screen.getvalue()
    return screen.getvalue()


def same(path: str | Path | None, there: Path) -> bool:
    return path is not None and Path(path).is_absolute() and Path(path) == there.absolute()


def test_the_end_of_a_search_says_where_its_figures_are(output, monkeypatch):
    folder = StudyFolder(output / "s", default_tracking(output))
    figures, pages = commands(said(session._say_next, folder, "3"))
    assert (figures[:2], pages[:2]) == (["cgan-search", "report"], ["cgan-search", "ui"])
    args = figure_parser("report", None).parse_args(figures[2:])
    for uri in (ui.parser().parse_args(pages[2:]).tracking_uri, args.tracking_uri):
        assert same(sqlite_file(uri), output / "mlflow.db")
    assert args.study == "s"
    assert same(args.out, output / "s" / "figures")


def flags_of(output: Path) -> argparse.Namespace:
    weights = str(output / "w.pth")
    store = f"sqlite:///{output}/other.db"
    flags = [f"--output={output}", f"--tracking-uri={store}", f"--database=sqlite:///{output}/x.db"]
    flags += [f"--features-weights={weights}", "--unverified-weights", "--devices", "cpu"]
    return parser().parse_args(flags)


def stopped(args: argparse.Namespace, study: StudyConfig, outcome: Outcome, console: Any) -> None:
    """As a search whose study has begun ends by itself."""
    (args.output / study.name).mkdir(exist_ok=True)
    (args.output / study.name / SETTINGS).touch()
    tracker: Any = SimpleNamespace(close=lambda **known: True)
    session._stopped(Ending(args, study, console), outcome, tracker)


def test_a_stopped_search_says_how_to_resume_it(output):
    args = flags_of(output)
    text = said(stopped, args, config(name="s"), Outcome(False, "[/x] no"))
    assert text.splitlines()[0].endswith(": [/x] no")
    (again,) = commands(text)
    assert again[:2] == ["cgan-search", "resume"]
    found = resume_parser().parse_args(again[2:])
    assert found.resume == "s"
    assert same(found.output, output)
    assert same(found.features_weights, output / "w.pth")
    assert same(sqlite_file(found.tracking_uri), output / "other.db")
    assert same(sqlite_file(str(found.database)), output / "x.db")
    assert (found.unverified_weights, found.devices) == (True, "cpu")


def test_what_publishes_a_study_is_found_too(output, monkeypatch):
    line = StudyFolder.of(flags_of(output), "s").command("publish")
    heard: list[StudyFolder] = []
    monkeypatch.setattr(StudyFolder, "check_there", lambda folder: None)
    monkeypatch.setattr(
        "search.winners.publish.publish", lambda folder, console: heard.append(folder) or 0
    )
    assert publish.main(words_of(line)[2:]) == 0
    (found,) = heard
    assert found.name == "s"
    assert same(found.path.parent, output)
    assert same(sqlite_file(str(found.database)), output / "x.db")


def test_a_smaller_search_reads_the_same_images_and_writes_to_the_same_place(output):
    study = config(length=10**6, eval_every=1000, data=str(output.absolute() / "x"), held_out="y")
    text = said(session._say_duration, flags_of(output), Outlook(study, "cpu", 1, 10**6))
    (smaller,) = commands(text)
    assert smaller[:2] == ["cgan-search", "run"]
    found = parser().parse_args(smaller[2:])
    assert same(found.data, output / "x")
    assert same(found.output, output)
    assert (found.held_out, found.image_size, found.time_budget) == ("y", 32, "15m")


def test_what_mlflow_keeps_is_a_command_too(output):
    folder, uri = output / "s", default_tracking(output)
    records: list[Any] = []
    note = description(config(name="s"), YARDSTICK, records, folder, uri, "else", ["--devices cpu"])
    lines = [line for line in note.splitlines() if "`cgan-search " in line]
    figures, again = (words_of(line.partition(": ")[2].strip("`")) for line in lines)
    assert same(figure_parser("report", None).parse_args(figures[2:]).out, folder / "figures")
    assert same(resume_parser().parse_args(again[2:]).output, output)


def test_a_look_at_a_folder_says_how_to_search_it(output, capsys):
    write_pictures(output / "films", make_data(n=24))
    flags = ["show", f"--out={output}/grid.png", "--image-size", "32", "--", f"{output}/films"]
    assert data_command.main(flags) == 0
    *_, line = capsys.readouterr().out.splitlines()
    words = words_of(line)
    assert words[:2] == ["cgan-search", "run"]
    found = parser().parse_args(words[2:])
    assert same(found.data, output / "films")
    assert found.dry_run


CLASSES = ["normal [ap]", "[x]", "[red]x[", "COVID+", "$a$b", ":x:", "o'brien"]


def test_classes_of_any_name_are_shown_as_they_are(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name in CLASSES:
        (tmp_path / "set [1]" / name).mkdir(parents=True)
        for i in range(12):
            picture = Image.fromarray(rng.integers(0, 255, (40, 40), dtype=np.uint8))
            picture.save(tmp_path / "set [1]" / name / f"{i}.png")
    flags = ["--data", str(tmp_path / "set [1]"), "--image-size", "32", "--backbone", "none"]
    flags += ["--features", "efficientnet-lite0", "--output", str(tmp_path / "runs[old]")]
    assert main([*flags, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert f"data: set [1]: {', '.join(f'12 {name}' for name in sorted(CLASSES))} (" in said
    assert f'"data": "{tmp_path}/set [1]"' in said
    assert '"name": "full-set-1-32-1"' in said


def test_the_trackers_thread_survives_any_name(tmp_path):
    """Rich took `[/x]` for the end of a style, and raised in the thread that writes MLflow."""
    screen = io.StringIO()
    console = make_console(file=screen, force_terminal=True)
    uri = f"http://me:sec/ret@[/x]:{tmp_path}"
    tracker = Tracker(Projection(tmp_path / "[/x]", "", uri), partial(say, console))
    tracker.start()
    assert not tracker.close(timeout=20)
    assert tracker.problem is not None
    assert screen.getvalue().startswith("MLflow at http://[/x]:")
    assert "sec" not in screen.getvalue()


def test_the_screen_reads_no_markup_in_what_it_shows(tmp_path):
    best: Any = SimpleNamespace(
        number=1, params={"loss": "[/x]", "note": "\x1b[31m[bold]b"},
        report={"epoch": 2, "fid": 50.0, "objective": 50.0},
    )  # fmt: skip
    standings: Any = SimpleNamespace(config=config())
    text = Screen(standings, 30.0, {}, tmp_path / "runs[old]" / "[x]")._best(best)
    screen = io.StringIO()
    make_console(file=screen, width=200).print(text)
    assert "loss=[/x], note=\\x1b[31m[bold]b" in screen.getvalue()
    assert "runs[old]/[x]" in screen.getvalue()


@pytest.mark.parametrize("password", ["secret", "sec@ret", "sec/ret", "sec:ret"])
def test_no_line_of_a_search_shows_a_password(tmp_path, password, capsys):
    uri, base = f"http://me:{password}@h:5000", f"postgresql://me:{password}@h/db?password=secret"
    args = parser().parse_args([f"--tracking-uri={uri}", f"--database={base}"])
    study = config(length=10**6, eval_every=1000)
    args.output = tmp_path
    text = said(stopped, args, study, Outcome(False, f"no route to {base}"))
    text += said(session._say_next, StudyFolder(tmp_path / "s", uri), None)
    text += said(session._say_duration, args, Outlook(study, "cpu", 1, 10**6))
    text += description(study, YARDSTICK, [], tmp_path / "s", uri, base, [])
    text += StudyFolder.of(args, "s").command("publish")
    say_error(InputError(f"no word from {uri}"))
    text += capsys.readouterr().err
    for part in ("sec", "ret", "me:"):
        assert part not in text.replace("seconds", "").replace("resume:", "")
    assert text.count("--tracking-uri URI") == 7
    assert text.count("--database URL") == 4
