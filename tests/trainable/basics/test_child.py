"""A process beside this one: what is called there, what comes back, and when it ends.

Each test starts one, half a second's work: there is nothing to test without.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from spaces.errors import InputError
from tests.helpers.refusals import refused
from trainable.basics.child import Child, ChildError, ClosedError


class Desk:
    """What is called in the other process."""

    def __init__(self, start: int):
        self.total = start

    def add(self, more: int) -> int:
        self.total += more
        return self.total

    def where(self) -> tuple[int, str, str]:
        return os.getpid(), str(Path.cwd()), sys.path[0]

    def fail(self, error: Exception) -> None:
        raise error

    def unspeakable(self) -> None:
        raise UnpicklableError(lambda: 0)

    def sleep(self) -> None:
        time.sleep(600)

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def hold(self, path: Path) -> None:
        """Keep a file until it is told to end."""
        path.touch()
        try:
            time.sleep(600)
        finally:
            path.unlink()


class UnpicklableError(Exception):
    pass


def why(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:20]}"


@pytest.fixture
def child():
    with closing(Child(Desk, 40, say_why=why)) as made:
        yield made


def test_it_keeps_its_object_and_its_place(tmp_path, monkeypatch):
    """In the user's folder, but a ``spaces.py`` there is not taken for ours."""
    (tmp_path / "spaces.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    with closing(Child(Desk, 40, say_why=why)) as child:
        assert (child.call("add", 1), child.call("add", 1)) == (41, 42)
        process, folder, first = child.call("where")
    assert process != os.getpid()
    assert folder == str(tmp_path)
    assert Path(first, "trainable").is_dir()


def test_what_is_raised_there_is_raised_here_in_words(child):
    with refused("--x is 1"):
        child.call("fail", InputError("--x is 1"))
    with pytest.raises(ChildError, match=r"^ValueError: no$"):
        child.call("fail", ValueError("no"))
    with pytest.raises(ChildError, match="Unpicklable"):
        child.call("unspeakable")
    with pytest.raises(ChildError, match="AttributeError"):
        child.call("nothing")
    assert child.call("add", 1) == 41


def test_what_cannot_be_had_there_is_an_answer_too(tmp_path, monkeypatch):
    """Our modules are looked for where they were found here; then this one is gone."""
    (tmp_path / "passing.py").write_text("class Desk:\n    def here(self):\n        return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    made = __import__("passing").Desk
    with closing(Child(made, say_why=why)) as child:
        assert child.call("here") == 1
    (tmp_path / "passing.py").unlink()
    with closing(Child(made, say_why=why)) as child, pytest.raises(ChildError, match="passing"):
        child.call("here")


def test_one_that_was_lost_is_started_again_in_the_same_folder(child, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConnectionError, match="lost"):
        child.call("die")
    assert child.call("add", 1) == 41
    assert child.call("where")[1] != str(tmp_path)


@pytest.mark.parametrize("busy", [False, True])
def test_a_closed_one_cleans_up_and_stays_closed(child, tmp_path, busy):
    file = tmp_path / "held"
    found = []

    def hold() -> None:
        try:
            child.call("hold", file)
        except ClosedError as error:
            found.append(error)

    child.call("add", 1)
    process = child._process
    holding = threading.Thread(target=hold if busy else child.close)
    holding.start()
    while busy and not file.exists():
        time.sleep(0.01)
    child.close()
    holding.join(10)
    assert process.poll() is not None
    assert len(found) == busy
    assert not file.exists()
    with pytest.raises(ClosedError):
        child.call("add", 1)
    assert child._process is None


def test_it_hears_no_ctrl_c_and_dies_with_us(tmp_path):
    code = (
        "from tests.trainable.basics.test_child import *\n"
        "child = Child(Desk, 0, say_why=why)\n"
        "print(child.call('where')[0], flush=True)\n"
        "child.call('sleep')\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert parent.stdout is not None
    with parent, ended(parent):
        child = int(parent.stdout.readline())
        assert os.getpgid(child) != os.getpgid(parent.pid)
        os.kill(child, signal.SIGINT)
        time.sleep(0.2)
        assert lives(child)
        parent.kill()
    deadline = time.monotonic() + 10
    while lives(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()


def lives(process: int) -> bool:
    # An orphan that init has not reaped stays a zombie; count it as dead.
    asked = ["ps", "-o", "stat=", "-p", str(process)]
    state = subprocess.run(asked, capture_output=True, text=True)
    return state.stdout.strip() not in ("", "Z", "Zs")
