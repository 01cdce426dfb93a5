"""What a terminal shows of long work, and what a log; and who tells what."""

from __future__ import annotations

import io
import queue
import re
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from search.winners import assess as assessing
from search.winners.assess import assess_on_ray
from tests.helpers.refusals import tells
from tests.helpers.searches import shared_ray
from tests.helpers.toys import TinyExtractor, Told, make_data
from trainable.basics import bars
from trainable.basics import progress as progress_module
from trainable.basics.progress import silent, stage
from trainable.distributed.resources import Resources
from trainable.gan.run import DivergedError
from trainable.trial.evaluation import real_set


@pytest.fixture(autouse=True)
def _terminal(monkeypatch):
    """Whatever the tests themselves run in."""
    for name in ("TTY_INTERACTIVE", "TTY_COMPATIBLE", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def terminal(width: int = 80) -> tuple[Console, io.StringIO]:
    screen = io.StringIO()
    return Console(file=screen, force_terminal=True, width=width, color_system=None), screen


def frames(screen: io.StringIO) -> list[str]:
    """The lines that were drawn, one over the other."""
    return [line for line in re.split(r"\x1b\[\??\d+[A-Za-z]|[\r\n]", screen.getvalue()) if line]


def test_a_terminal_sees_how_far_it_is_and_for_how_long_it_goes_on(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(bars, "Display", timed(now))
    console, screen = terminal()
    with stage(console, "scoring [a] of", 4) as progress:
        now[0] += 90
        progress(1, 4)
    seen = frames(screen)
    assert re.search(r"^scoring \[a\] of .* 0/4 0 s [^\d]*$", seen[0])
    assert re.search(r"^scoring \[a\] of .* 1/4 90 s .* 4 min [^\d]*$", seen[-1])


def test_what_was_done_before_says_nothing_of_the_speed(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(bars, "Display", timed(now))
    console, screen = terminal()
    with stage(console, "training", 100, 80) as progress:
        now[0] += 50
        progress(90, 100)
    assert re.search(r" 80/100 0 s [^\d]*$", frames(screen)[0])
    assert re.search(r" 90/100 50 s .* 50 s [^\d]*$", frames(screen)[-1])


def timed(now: list[float]) -> Any:
    """rich's display, by a clock that stands still."""
    real = bars.Display

    def display(*columns, **options):
        return real(*columns, **options, get_time=lambda: now[0], auto_refresh=False)

    return display


def test_a_total_may_come_late():
    console, screen = terminal()
    with stage(console, "reading") as progress:
        progress(7, 7)
    assert "/" not in frames(screen)[0]
    assert "7/7" in frames(screen)[-1]


def test_it_is_gone_at_the_end_and_lines_stay_above():
    console, screen = terminal()
    with suppress(KeyboardInterrupt), stage(console, "training", 2) as progress:
        console.print("FID 90")
        progress(1, 2)
        raise KeyboardInterrupt
    assert "\r\x1b[2KFID 90\ntraining" in screen.getvalue()
    assert screen.getvalue().endswith("\x1b[?25h\r\x1b[1A\x1b[2K")  # cursor on, a line up, clear
    console.print("after")
    assert screen.getvalue().endswith("\x1b[2Kafter\n")


def test_the_bar_gives_way_on_a_short_line():
    said = "a label that leaves the bar no room on its line,"
    console, screen = terminal()
    with stage(console, said, 3) as progress:
        progress(1, 3)
    last = frames(screen)[-1]
    assert last.startswith(said)
    assert re.search(r" 1/3 \d+ s .* \d+ s [^\d]*$", last)


@pytest.mark.parametrize("options", [{}, {"force_terminal": False}, {"force_terminal": True}])
def test_elsewhere_short_work_writes_nothing(options, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    screen = io.StringIO()
    console = Console(file=screen, **options)
    with stage(console, "reading", 3) as progress:
        progress(1, 3)
        time.sleep(0.2)  # rich draws ten times a second
    assert screen.getvalue() == ""


def test_elsewhere_long_work_says_how_far_it_is_now_and_then_until_it_ends(monkeypatch):
    monkeypatch.setattr(progress_module, "SILENCE", 0.01)
    told: queue.Queue[str] = queue.Queue()
    monkeypatch.setattr(progress_module, "say", lambda console, text: told.put(text))
    console = Console(file=io.StringIO())
    for total, far, said in (
        (None, None, r"reading: \d+ s elapsed"),
        (4, None, r"reading: 1 of 4, \d+ s elapsed"),
        (4, 3, r"reading: 3 of 4, \d+ s elapsed, about \d+ s left"),
    ):
        with suppress(KeyboardInterrupt), stage(console, "reading", total, 1) as progress:
            if far:
                progress(far, 4)
            while not re.fullmatch(said, told.get(timeout=30)):
                pass
            raise KeyboardInterrupt
        while not told.empty():
            told.get()
    assert not any(thread.name == "progress" for thread in threading.enumerate())


@pytest.mark.parametrize("fault", [SystemExit(1), OSError("disk full")])
def test_a_reader_that_has_gone_ends_the_command_and_a_full_disk_does_not(fault, monkeypatch):
    monkeypatch.setattr(progress_module, "SILENCE", 0.01)
    met, went_on = threading.Event(), False

    def say(*_: object) -> None:
        met.set()
        raise fault

    monkeypatch.setattr(progress_module, "say", say)
    with ExitStack() as ending:
        if isinstance(fault, SystemExit):
            ending.enter_context(pytest.raises(SystemExit))
        with stage(Console(file=io.StringIO()), "reading"):
            assert met.wait(30)
        went_on = True
    assert went_on == isinstance(fault, OSError)


def test_nobody_need_watch():
    with silent("reading") as progress:
        progress(1, 3)


def test_the_real_set_says_which_images_are_done_unless_they_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("CGAN_SEARCH_CACHE", str(tmp_path))
    data, told = make_data(n=40), Told()
    extractor: Any = TinyExtractor()
    for name in ("first", "kept"):
        with told(name) as progress:
            real_set(data, extractor, progress=progress)
    assert told == {"first": [(40, 40)], "kept": []}


@pytest.fixture
def cluster():
    """Ray with places for three tasks, however many cores there are."""
    with shared_ray():
        yield


def test_winners_count_as_they_end_and_lost_ones_too(cluster, tmp_path: Path, monkeypatch):
    """The first waits until another one is counted: taken in order, they would never end."""

    def scored(workload, number, params, per_class):
        if number == 4:
            raise FileNotFoundError
        if number == 5:
            raise DivergedError("features are not finite")
        while number == 1 and not params["counted"].exists():
            assert time.time() < params["deadline"], "it waited for its turn"
            time.sleep(0.05)
        return number * per_class

    monkeypatch.setattr(assessing, "assess", scored)
    counted, told = tmp_path / "counted", []
    params = {"counted": counted, "deadline": time.time() + 120}
    records: Any = [SimpleNamespace(number=n, params=params) for n in (1, 4, 5, 7)]

    def progress(done: int, total: int) -> None:
        told.append((done, total))
        counted.touch()

    resources = Resources("local", 1, 0.0, None, 60.0)
    found = assess_on_ray("a job", records, 100, resources, progress)  # pyright: ignore
    assert {n: found[n] for n in (1, 7)} == {1: 100, 7: 700}
    assert tells(str(found[4]), "checkpoint")
    assert tells(str(found[5]), "features are not finite")
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
