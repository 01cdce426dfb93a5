"""`Search` and `Result`: the command's words and checks from Python, without a search."""

from __future__ import annotations

import inspect
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from search import Result, Search, api
from search.study.folder import NO_WINNERS, StudyFolder
from tests.helpers.refusals import refused
from trainable.generators.export import CONFIG


@pytest.fixture
def started(monkeypatch) -> list[Any]:
    """What is started, which ends at once, and well."""
    seen: list[Any] = [0]
    monkeypatch.setattr(api, "start", lambda args, began: seen.append(args) or seen[0])
    return seen


def test_words_are_the_flags(started, tmp_path):
    config = tmp_path / "a.toml"
    config.write_text("trials = 5\nseed = 3\n")
    found = Search(
        image_size=32, trials=7, time_budget="15m", output=tmp_path, enqueue=None, config=config,
        unverified_weights=True,
    ).run()  # fmt: skip
    args = started[1]
    assert (args.image_size, args.trials, args.seed, args.time_budget) == (32, 7, 3, "15m")
    assert (args.output, args.enqueue, args.unverified_weights) == (tmp_path, None, True)
    assert found.folder == StudyFolder(tmp_path / args.study)
    assert args.study == "full-phantom-32-1"


def test_a_search_may_be_run_again_under_a_new_name(started, tmp_path):
    search = Search(output=tmp_path)
    for number in (1, 2):
        name = search.run().name
        assert name.endswith(f"-{number}")
        (tmp_path / name).mkdir()


def test_an_editor_is_told_the_words():
    words = inspect.signature(Search).parameters
    assert {"data", "image_size", "time_budget", "config", "devices", "output"} <= words.keys()
    assert not {"resume", "dry_run", "repeats"} & words.keys()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ({"trails": 3}, ["Search()", "trails", "trials"]),
        ({"trials": [3]}, ["trials", "[3]"]),
        ({"trials": "many"}, ["--trials", "many"]),
        ({"resume": "a"}, ["Search.resume"]),
        ({"dry_run": True}, ["Search(...).dry_run"]),
        ({"config": "gone.toml"}, ["gone.toml"]),
    ],
)
def test_wrong_words_are_refused_at_once(words, parts):
    with refused(*parts):
        Search(**words)


def test_what_the_command_refuses_is_refused(tmp_path):
    for words, parts in (
        ({"trials": 0}, ["--trials", "0"]),
        ({"data": "phantmo"}, ["phantmo", "phantom"]),
        ({"resource": "seconds", "epochs": 3}, ["--resource seconds", "--train-time"]),
    ):
        with refused(*parts):
            Search(**words, output=tmp_path / "runs").run()
    with refused("nowhere"):
        Search.resume("nowhere", output=tmp_path).run()
    with refused("nowhere"):
        Result.load("nowhere", tmp_path)


def test_a_search_that_did_not_end_is_no_result(started, tmp_path):
    search = Search(study="mine", output=tmp_path)
    again = f"Search.resume({str(tmp_path / 'mine')!r})"
    for code, kind in ((130, KeyboardInterrupt), (143, KeyboardInterrupt), (1, RuntimeError)):
        started[0] = code
        with pytest.raises(kind, match=re.escape(again)):
            search.run()
        with pytest.raises(kind, match=re.escape("Search.resume('mine')")):
            Search(study="mine").run()


def test_who_stops_it_before_it_begins_is_not_told_to_resume_it(monkeypatch, tmp_path):
    monkeypatch.setattr(api, "start", lambda args, began: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt) as stopped:
        Search(output=tmp_path).run()
    assert "resume" not in str(stopped.value)
    assert str(stopped.value)


def test_a_dry_run_starts_nothing_else(started, tmp_path):
    Search(trials=3).dry_run(write_config=tmp_path / "a.toml")
    args = started[1]
    assert (args.dry_run, args.write_config, args.trials) == (True, tmp_path / "a.toml", 3)


def study(output: Path, *kept: str) -> Result:
    """One that has ended, with what was kept under these names; trials count from 5."""
    folder = output / "ended"
    folder.mkdir()
    (folder / "study.json").write_text("{}")
    (folder / "leaderboard.csv").write_text("rank,trial,activation,fid\n1,5,none,40\n2,6,,\n")
    (folder / "winners").mkdir()
    for trial, name in enumerate(kept, start=5):
        place = folder / "winners" / name
        place.mkdir(parents=True)
        record = {"trial": trial, "params": {"g_lr": trial / 1000}, "scores": {"fid": 40.0}}
        (place / CONFIG).write_text(json.dumps(record))
    return Result.load("ended", output)


def test_the_best_is_the_champion(tmp_path):
    found = study(tmp_path, "1", f"{NO_WINNERS}/2", "10", "3")
    assert [(kept.trial, kept.wins) for kept in found.kept] == [
        (5, True), (8, True), (7, True), (6, False),
    ]  # fmt: skip
    assert found.best_params == {"g_lr": 0.005}
    assert found.leaderboard["activation"].tolist()[0] == "none"
    assert found.leaderboard["fid"].isna().tolist() == [False, True]
    assert Result.load(tmp_path / "ended").best.trial == 5


def test_without_a_winner_only_who_asks_for_it_gets_the_best(tmp_path):
    found = study(tmp_path, f"{NO_WINNERS}/1")
    assert (found.best.trial, found.best.wins) == (5, False)
    with refused("5", "best.generator"):
        _ = found.generator
    with refused("generator.safetensors"):
        _ = found.best.generator


def test_a_study_that_has_not_ended_says_how_it_would(tmp_path):
    (tmp_path / "ended").mkdir()
    (tmp_path / "ended" / "study.json").write_text("{}")
    found = Result.load("ended", tmp_path)
    for ask in (lambda: found.leaderboard, lambda: found.best):
        with refused("ended", "Search.resume"):
            ask()
