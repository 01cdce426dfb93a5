"""How a search stands and what its screen says, told by hand."""

from __future__ import annotations

import io
import json
import random
import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from search import run
from search.display.screen import WORKERS, Screen
from search.display.standings import Rung, Standings
from search.study.flags import parser
from search.study.records import TrialRecord, read_records
from search.tune import reporting
from search.tune.reporting import Audience, TuneReporter
from tests.helpers.fake_tune import STOP, Search, config, drive, made_report, space
from tests.helpers.refusals import refused, tells
from trainable.trial.report import Status, trial_folder
from trainable.trial.signs import Sign

LEFT = {"length": 12, "grace": 2, "eta": 3}  # rungs 2 and 6


def report(resource: int, fid: float | None = None, seconds: float = 0.0, **more: Any) -> Any:
    """A report whose training took `seconds` in all."""
    scores = {} if fid is None else {"objective": fid, "fid": fid}
    return made_report(resource, **{"train_seconds": seconds, **scores, **more})


def test_rungs_count_who_came_and_who_went_on():
    standings = Standings(config(**LEFT))
    assert standings.rungs == [Rung(2, 0, 0), Rung(6, 0, 0)]
    for number in range(4):
        standings.begin(number, {}, 0.0)
        standings.report(number, report(1), 0.0)
    standings.report(0, report(2), 0.0)
    standings.report(0, report(4), 0.0)
    standings.end(1, Status.PRUNED, report(2), "", 0.0)
    standings.end(2, Status.PRUNED, report(2), "too slow", 0.0)  # not the rung's decision
    standings.end(3, Status.DIVERGED, report(2), "g_loss is nan", 0.0)
    assert standings.rungs == [Rung(2, 4, 2), Rung(6, 0, 0)]
    standings.report(0, report(6), 0.0)
    standings.end(0, Status.COMPLETE, report(12), "", 0.0)
    assert standings.rungs == [Rung(2, 4, 2), Rung(6, 1, 1)]
    assert standings.ended == {Status.PRUNED: 2, Status.DIVERGED: 1, Status.COMPLETE: 1}


def test_reports_told_again_by_a_fresh_worker_count_once():
    standings = Standings(config(**LEFT))
    standings.begin(0, {}, 0.0)
    for at in (1, 2, 3):
        standings.report(0, report(at, 50.0, at), at)
    standings.begin(0, {}, 4.0)
    for at in (1, 2, 3):
        assert not standings.report(0, report(at, 10.0, at), 4.0 + at)
    assert standings.rungs[0] == Rung(2, 1, 1)
    assert standings.best is not None
    assert standings.best.report["fid"] == 50.0
    assert standings.seats[0].since == 7.0


@pytest.mark.parametrize("workers", [1, 3])
def test_a_resumed_board_is_the_one_that_was(tmp_path, workers):
    """Every trial of a search heard as it runs, and the same read from the database."""
    search = Search(tmp_path / "s", trials=20, length=12, grace=2)
    standings = Standings(search.config)

    def curve(params: dict[str, Any], number: int, resource: int) -> float:
        return 100 * params["g_lr"] * 100 + 10 / resource + number

    search, said = drive(search, curve, random.Random(0), workers)
    for number, resource, decision in said:
        if number not in standings.seats:
            standings.begin(number, {}, 0.0)
        fid = read_fid(search, number, resource)
        told = report(resource, fid, float(resource))
        if decision == STOP:
            status = Status.COMPLETE if resource == 12 else Status.PRUNED
            standings.end(number, status, told, "", 0.0)
        else:
            standings.report(number, told, 0.0)
    again = Standings(search.config, read_records(search.study))
    assert again.rungs == standings.rungs
    assert again.rungs[0].reached == 20 > again.rungs[0].passed > 0
    assert again.ended == standings.ended
    assert again.ended.total() == 20
    assert again.best is not None
    assert standings.best is not None
    assert again.best.number == standings.best.number
    assert again.owed == 0


def read_fid(search: Search, number: int, resource: int) -> float:
    return search.trials[number].intermediate_values[resource]


def test_an_unfinished_trial_is_owed_until_it_is_taken_up_again():
    unfinished = TrialRecord(0, Status.INTERRUPTED, "", {}, {}, (report(2, 9.0, 4.0),), 1.0, None)
    standings = Standings(config(trials=3, **LEFT), [unfinished])
    assert standings.owed == 3
    assert standings.rungs[0] == Rung(2, 1, 1)
    standings.begin(0, {}, 10.0)
    assert standings.owed == 2
    assert standings.seats[0].report == unfinished.last


def test_work_left_follows_who_passed_the_rungs():
    standings = Standings(config(**LEFT))
    # Nobody has come to a rung: a third is expected to pass each.
    assert standings.work_left(0) == pytest.approx(2 + 4 / 3 + 6 / 9)
    assert standings.work_left(3) == pytest.approx(3 + 6 / 3)
    assert standings.work_left(7) == 5
    assert standings.work_left(12) == 0
    for number in range(3):
        standings.begin(number, {}, 0.0)
        standings.end(number, Status.PRUNED, report(2), "", 0.0)
    # None of three passed the first: one in six is expected now.
    assert standings.work_left(0) == pytest.approx(2 + 4 / 6 + 6 / 18)


def test_time_left_is_the_work_at_the_pace_so_far_shared_by_the_workers():
    standings = Standings(config(trials=4, **LEFT))
    assert standings.seconds_left(0.0) is None
    standings.begin(0, {}, 0.0)
    standings.begin(1, {}, 0.0)
    assert standings.seconds_left(5.0) is None
    standings.report(0, report(1, seconds=10.0), 10.0)
    standings.report(1, report(1, seconds=30.0), 30.0)
    # Under way: at 10 and 30 s an epoch, heard 30 and 10 s ago; two more at 20 s.
    whole, rest = standings.work_left(0), standings.work_left(1)
    under_way = [10 * rest - 30, 30 * rest - 10]
    assert standings.seconds_left(40.0) == pytest.approx((sum(under_way) + 2 * 20 * whole) / 2)
    # The last trial alone decides once there is nothing to share.
    standings.end(0, Status.PRUNED, report(2, seconds=20.0), "", 50.0)
    standings.begin(2, {}, 50.0)
    standings.end(2, Status.FAILED, None, "", 50.0)
    standings.begin(3, {}, 50.0)
    standings.end(3, Status.FAILED, None, "", 50.0)
    assert standings.owed == 0
    assert standings.seconds_left(50.0) == pytest.approx(30 * standings.work_left(1) - 20)


def shown(screen: Screen, now: float = 0.0, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(screen.draw(now, 840.0, 2760.0))
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_the_screen_says_what_a_user_wants_to_know():
    standings = Standings(config(name="hour", trials=64, **LEFT))
    base = {"g_lr": 0.002, "loss": "hinge", "batch_size": 16}
    screen = Screen(standings, 30.0, base, Path("runs/hour/trials"))
    text = shown(screen)
    assert tells(text, "0 of 64")
    assert "best" not in text
    standings.begin(0, base, 0.0)
    standings.begin(3, {**base, "g_lr": 0.00123456, "loss": "minimax"}, 0.0)
    standings.begin(4, base, 0.0)
    standings.report(0, report(2, 66.0, 3.0), 5.0)
    assert tells(shown(screen), "default")
    standings.report(3, report(3, 60.0, 6.0), 8.0)
    standings.end(0, Status.PRUNED, report(6, 90.0, 9.0), "", 9.0)
    text = shown(screen, now=20.0)
    assert tells(text, "1 of 64", "1 pruned", "14 min", "46 min")
    assert re.search(r"passed +2 of 2 \w+ epoch 2, 0 of 1 \w+ 6, 0 .* 12\b", text)
    assert tells(text, "FID 60.0", "2.0 x", "trial 3", "epoch 3")
    assert "g_lr=0.00123, loss=minimax" in text
    assert "runs/hour/trials/00003/samples_000003.png" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["3", "3", "20", "60.0", "12", "s", "ago"] in rows  # images/s until the report
    assert ["4", "0", "begun"] in rows
    assert max(map(len, text.splitlines())) <= 80
    assert "GPU" not in text
    standings.report(4, report(1, 99.0, 1.0, gpu_memory_mb=2048), 20.0)
    assert "2048" in shown(screen)


def test_of_two_goals_the_best_is_by_the_first_and_both_are_said():
    standings = Standings(config(objective="classifier,fid", hold_back=0.25, **LEFT))
    screen = Screen(standings, 30.0, {}, Path("t"))
    standings.begin(0, {}, 0.0)
    assert standings.report(0, report(1, 66.0, objective=0.2, objective_2=66.0), 1.0)
    assert not standings.report(0, report(2, 33.0, objective=0.21, objective_2=33.0), 2.0)
    assert standings.report(0, report(3, 60.0, objective=0.125, objective_2=60.0), 3.0)
    assert standings.best is not None
    said = screen.score(standings.best)
    assert said.startswith("classifier's error 12.5%, FID 60.0 (")
    assert tells(said, "2.0 x", "trial 0", "epoch 3")
    assert f"best {said}" in screen.line(60.0, None)


def test_the_screen_stays_small_with_many_workers_and_many_changes():
    standings = Standings(config(trials=500, **LEFT))
    for number in range(100):
        standings.begin(number, {f"field_{i}": i for i in range(30)}, 0.0)
    standings.report(50, report(1, 66.0, 1.0), 1.0)
    lines = shown(Screen(standings, 30.0, {}, Path("t"))).splitlines()
    assert len(lines) < 24
    assert tells(lines[-2], f"{100 - WORKERS} more")
    assert "22 more" in "".join(lines)


def test_between_reports_the_screen_says_where_trials_are(tmp_path):
    standings = Standings(config(**LEFT))
    screen = Screen(standings, 30.0, {}, tmp_path)
    for number, sign in ((0, Sign(5, 1000, 181.4, False)), (1, Sign(7, 1400, 0.0, True))):
        standings.begin(number, {}, 0.0)
        folder = trial_folder(tmp_path, number)
        folder.mkdir()
        (folder / "sign.json").write_text(json.dumps(asdict(sign)))
    standings.begin(2, {}, 0.0)
    standings.report(0, report(3, 66.0, 6.0), 1.0)
    rows = [line.split() for line in shown(screen, now=2.0).splitlines()]
    assert ["0", "5", "181", "66.0", "1", "s", "ago"] in rows
    assert ["1", "7", "scoring", "begun"] in rows
    assert ["2", "0", "begun"] in rows
    assert tells(
        screen.under_way(), "trial 0 at epoch 5 (181 images/s), trial 1 at epoch 7 scoring"
    )
    assert "trial 2" not in screen.under_way()


def test_a_search_that_is_not_on_a_terminal_is_never_silent_for_long(tmp_path, monkeypatch):
    monkeypatch.setattr(reporting, "SILENCE", 0.0)
    monkeypatch.setattr(reporting, "_LOOK", 0.01)
    s = Search(tmp_path / "s", trials=2)
    out, standings = io.StringIO(), Standings(s.config)
    screen = Screen(standings, 30.0, {}, tmp_path)
    progress = TuneReporter(Audience(Console(file=out, width=200)), standings, screen, s.searcher)
    with progress:
        s.start("0")
        progress.on_trial_start(0, [], s.tune_trial("0"))
        time.sleep(0.1)
        assert out.getvalue() == ""  # as no trial says where it is
        folder = trial_folder(tmp_path, 0)
        folder.mkdir()
        (folder / "sign.json").write_text(json.dumps(asdict(Sign(5, 1000, 181.4, False))))
        while "trial 0 at epoch 5 (181 images/s)" not in out.getvalue():
            time.sleep(0.01)
    assert "1 running of 2" in out.getvalue()


def test_a_trial_that_ends_as_it_is_drawn_is_told(tmp_path):
    """Tune never sees it; a space that fails in a corner used up trials in silence."""

    def exits(trial: Any, task: Any) -> dict[str, Any]:
        if trial.suggest_int("corner", 0, 1) or trial.number < 2:
            raise SystemExit(3)
        return space(trial, task)

    s = Search(tmp_path / "s", trials=3, space=exits)
    out, standings, woken = io.StringIO(), Standings(s.config), []
    audience = Audience(Console(file=out, width=200), "plain", lambda: woken.append(1))
    TuneReporter(audience, standings, Screen(standings, 30.0, {}, tmp_path), s.searcher)
    s.suggest("0")
    assert standings.ended[Status.FAILED] == s.searcher.finished >= 2
    assert standings.owed == s.searcher.owed + s.searcher.under_way
    assert tells(out.getvalue(), "trial    1", "failed", "SystemExit(3)")
    assert woken


@pytest.mark.parametrize("mode", ["live", "plain", "none"])
def test_progress_shows_a_screen_a_line_an_event_or_nothing(tmp_path, mode):
    s = Search(tmp_path / "s", trials=4)
    out, woken = io.StringIO(), []
    standings = Standings(s.config)
    screen = Screen(standings, 30.0, {}, tmp_path)
    console = Console(file=out, force_terminal=mode == "live", width=200)
    audience = Audience(console, mode, lambda: woken.append(1))
    progress = TuneReporter(audience, standings, screen, s.searcher)

    def tell(number: int, epoch: int, status: str, done: bool, **scores: Any) -> None:
        result = {"report": report(epoch, status=status, **scores), "done": done}
        progress.on_trial_result(0, [], s.tune_trial(str(number)), result)

    with progress:
        for number in range(4):
            s.start(str(number))
            progress.on_trial_start(0, [], s.tune_trial(str(number)))
        tell(0, 2, "running", False, fid=90.0, objective=90.0)
        tell(0, 12, "complete", True, fid=60.0, objective=60.0)
        tell(1, 2, "running", True, fid=120.0, objective=120.0)
        tell(2, 1, "diverged", True, reason="g_loss is nan")
        progress.say("trial 3 is troubled")
    assert standings.ended == {Status.COMPLETE: 1, Status.PRUNED: 1, Status.DIVERGED: 1}
    assert len(woken) == 4
    text = out.getvalue()
    assert "trial 3 is troubled" in text
    last = " ".join(text.splitlines()[-2:])
    summary = "3 of 4 trials ended: 1 complete, 1 diverged, 1 pruned"
    assert (summary in last and "passed 1 of 2 at epoch 2" in last) is (mode != "none")
    said = [line.split("  [")[0] for line in text.splitlines() if "  [" in line]
    expected = [
        "trial    0  best      epoch 2  FID 90.0",
        "trial    0  complete  epoch 12  FID 60.0",
        "trial    1  pruned    epoch 2  FID 120.0",
        "trial    2  diverged  epoch 1  g_loss is nan",
    ]
    assert said == (expected if mode == "plain" else [])
    if mode == "plain":
        assert tells(text, "1 complete, 1 diverged, 1 pruned, 1 running of 4", "best FID 60.0")
        assert "\x1b" not in text


def test_time_left_never_exceeds_the_deadline(tmp_path):
    s = Search(tmp_path / "s", trials=400)
    standings = Standings(s.config)
    screen = Screen(standings, 30.0, {}, tmp_path)
    out = io.StringIO()
    progress = TuneReporter(
        Audience(Console(file=out, width=200)), standings, screen, s.searcher, time.time() + 600.0
    )
    s.start("0")
    progress.on_trial_start(0, [], s.tune_trial("0"))
    told = {"report": report(1, fid=9.0, objective=9.0, seconds=1000.0), "done": False}
    progress.on_trial_result(0, [], s.tune_trial("0"), told)
    assert tells(out.getvalue(), "10 min left")


@pytest.mark.parametrize(
    ("flags", "mode"),
    [([], "plain"), (["--progress", "none"], "none"), (["--progress", "live"], "")],
)
def test_progress_defaults_to_what_the_output_can_show(flags, mode):
    """Under pytest the output is no terminal."""
    args = parser().parse_args(flags)
    if mode:
        assert not run._console(args).is_terminal
        assert args.progress == mode
    else:
        with refused("--progress", "live", "terminal"):
            run._console(args)
