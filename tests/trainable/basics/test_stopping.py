"""Ctrl-C, SIGTERM, a lost terminal, a reader that has enough: a line, a code, no traceback."""

from __future__ import annotations

import argparse
import errno
import io
import os
import re
import signal
import socket
import sys
import threading
import time
from contextlib import suppress

import pytest

from search.ending import EndedError, Ending, watched
from search.study.flags import parser
from spaces.errors import InputError
from tests.helpers.fake_tune import Search, config
from tests.helpers.refusals import tells
from trainable.basics.command import command_line
from trainable.basics.files import whole_folder
from trainable.basics.stopping import Stopped, stopped_by_signals, stopped_gently
from trainable.basics.terminal import make_console, say
from trainable.trial.report import Status

CODES = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


def raise_it(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    time.sleep(5)  # the handler ends it


@pytest.mark.parametrize(("number", "code"), CODES)
def test_a_command_that_is_stopped_cleans_up_and_says_so_in_a_line(tmp_path, capsys, number, code):
    before = signal.getsignal(number)

    def main() -> int:
        with whole_folder(tmp_path / "out"):
            raise_it(number)
        return 0

    assert command_line()(main)() == code
    said = capsys.readouterr()
    assert re.fullmatch(r"\nstopped; .*\n", said.err)
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(number) == before


def test_a_signal_that_falls_into_a_finaliser_is_not_lost():
    class Slow:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)

    def main() -> int:
        Slow()
        time.sleep(30)
        return 0

    before = sys.unraisablehook
    assert command_line()(main)() == 143
    assert sys.unraisablehook is before


def test_the_code_is_the_signals_also_where_ray_raises_in_its_place(capsys):
    def main() -> int:
        with suppress(Stopped):
            raise_it(signal.SIGTERM)
        raise KeyboardInterrupt

    assert command_line()(main)() == 143


def test_a_signal_of_earlier_work_in_the_process_is_forgotten():
    """As in a notebook, where one cell was ended by SIGTERM and the next by Ctrl-C."""
    with suppress(Stopped), stopped_by_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)

    @command_line()
    def main() -> int:
        raise KeyboardInterrupt

    assert main() == 130


def test_a_command_returns_its_code_and_its_errors_are_seen():
    assert command_line()(lambda: 2)() == 2

    def fail() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command_line()(fail)()


def test_a_reader_that_has_enough_ends_a_command_quietly(tmp_path, monkeypatch, capfd):
    """As `| head` does, whose end of the pipe is closed."""
    reading, writing = os.pipe()
    os.close(reading)

    def main() -> int:
        print("x" * 100_000)
        return 0

    with os.fdopen(writing, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert command_line()(main)() == 1
        pipe.write("more, at the interpreter's end")
    assert capfd.readouterr().err == ""


def test_a_full_disk_at_any_write_is_a_line(capsys):
    def main() -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert command_line()(main)() == 1
    assert tells(capsys.readouterr().err, "error: No space left on device")


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENAMETOOLONG])
def test_a_path_that_the_system_refuses_is_a_line_wherever_it_is_looked_at(capsys, number):
    """Such as a colleague's folder, where `Path.exists` raises."""

    def main() -> int:
        raise OSError(number, os.strerror(number), "/theirs/in/x")

    assert command_line()(main)() == 2
    err = capsys.readouterr().err
    assert tells(err, f"error: {os.strerror(number)}: /theirs/in/x; choose ")
    assert err.count("\n") == 1


def test_what_is_refused_and_is_no_path_is_not_called_one():
    def main() -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))  # a port below 1024

    with pytest.raises(PermissionError):
        command_line()(main)()


def test_letters_that_the_terminal_lacks_are_escaped(monkeypatch):
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="ascii"))

    def main() -> int:
        say(make_console(), "class größe")
        return 0

    assert command_line()(main)() == 0
    assert out.getvalue() == rb"class gr\xf6\xdfe" + b"\n"


def test_a_closed_standard_output_is_no_fault(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert command_line()(lambda: 0)() == 0


def test_what_nohup_has_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopped_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("number", "code"), CODES[:2])
def test_the_first_signal_asks_at_once_and_the_second_ends(number, code):
    asked: list[str] = []
    told = threading.Event()
    before = signal.getsignal(number)
    with stopped_gently(lambda: asked.append("asked"), told.set) as stop:
        assert not stop
        os.kill(os.getpid(), number)
        assert told.wait(5)
        assert (asked, stop.code) == (["asked"], code)
        with pytest.raises(Stopped):
            raise_it(signal.SIGTERM)
    assert signal.getsignal(number) == before


def test_a_terminal_that_is_gone_takes_nothing_down():
    def tell() -> None:
        raise OSError(errno.EIO, "terminal")

    with stopped_gently(lambda: None, tell) as stop:
        os.kill(os.getpid(), signal.SIGINT)
    assert stop.code == 130


@pytest.fixture
def broken(tmp_path) -> argparse.Namespace:
    """The flags of a search of nine trials, of which one ended and two were under way."""
    search = Search(tmp_path / "s")
    for name in "abc":
        search.start(name)
    search.report("a", 12, 50.0, Status.COMPLETE.value)
    search.ledger.close()
    return parser().parse_args(["--output", str(tmp_path), "--report-timeout", "20m"])


@pytest.mark.parametrize(
    ("error", "code", "why"),
    [
        (Stopped(signal.SIGTERM), 143, ""),
        (KeyboardInterrupt(), 130, ""),
        (OSError(errno.ENOSPC, "No space", "a.pt"), 1, ": No space: a.pt\n"),
        (ConnectionError("refused"), 1, "(refused)\n"),
        (ZeroDivisionError("by accident"), 1, ": by accident\n"),
    ],
)
def test_whatever_ends_a_search_it_says_how_many_trials_ran_and_how_to_go_on(
    broken, tmp_path, capsys, error, code, why
):
    screen = io.StringIO()
    with (
        pytest.raises(EndedError) as ended,
        Ending(broken, config(), make_console(file=screen)).said_at_once(),
    ):
        raise error
    assert ended.value.code == code
    err = capsys.readouterr().err
    text = screen.getvalue() + err
    again = f"cgan-search resume s --output {tmp_path} --report-timeout 20m"
    assert tells(text, f"{why}stopped; ", "1 of 9", f"\n  {again}\n")
    assert re.search(r"^stopped; .*\b2 \w", text, re.M)  # those that were under way
    assert ("Traceback" in err) == isinstance(error, ZeroDivisionError)


def test_before_a_study_has_begun_there_is_nothing_to_go_on_with(tmp_path):
    args = parser().parse_args(["--output", str(tmp_path)])
    (tmp_path / "s").mkdir()
    ending = Ending(args, config(), make_console())
    for error in (KeyboardInterrupt(), OSError("x"), InputError("x")):
        with pytest.raises(type(error)), ending.said_at_once():
            raise error


def test_a_head_that_no_longer_listens_is_lost_and_one_that_does_is_not():
    lost = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        with watched(address, lost.set, patience=0.2, pause=0.05):
            assert not lost.wait(0.6)
            head.close()
            assert lost.wait(5)


def test_a_block_that_has_ended_watches_no_more():
    lost = threading.Event()
    with watched("127.0.0.1:1", lost.set, patience=0.2, pause=0.05):
        pass
    assert not lost.wait(0.5)
