"""Searches under fire: drivers and workers killed at random moments, MLflow away, and what is left.

`make test-chaos` runs this in small, as `tests/searches/test_session.py` and `test_stores.py` do
at set moments. At length, on images of your own:

    # 10 drivers and 10 workers killed, 30 trials
    python -m tests.searches.chaos kill --data FOLDER
    # a server that is well, away, dies, and hangs
    python -m tests.searches.chaos mlflow --data FOLDER

Both print what they saw and end with an AssertionError if a promise is broken.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.helpers.searches import Place, free_port, wait_for_reports

HOW = ("well", "away", "dies", "hangs")
"""What becomes of MLflow's server in the middle of a search."""


def kill_and_resume(
    place: Place, trials: int, driver_kills: int, worker_kills: int, rng: random.Random
) -> None:
    """Let a search go through its kills, spread over its work, and then to its end.

    Every third driver is killed at a random moment of its first seconds; the others, and workers,
    at a random moment after the study had so many reports, every third driver by Ctrl-C. Drivers
    are resumed at once, with the workers of those that were killed still alive. After each life all
    that was reported before must be there, unchanged.
    """
    known: dict[tuple[int, int], float] = {}
    drivers = workers = 0
    while True:
        process = place.search()
        began = time.monotonic()
        driver_due = worker_due = None
        if drivers < driver_kills and drivers % 3 == 2:
            driver_due = began + rng.uniform(0.5, 15.0)
        while process.poll() is None and (driver_due is None or time.monotonic() < driver_due):
            time.sleep(0.3)
            place.watch()
            done = len(place.reports()) / trials  # a trial has a report at least
            if worker_due and time.monotonic() > worker_due and place.kill_a_worker(rng):
                workers, worker_due = workers + 1, None
            if worker_due is None and workers < min(worker_kills, 1 + done * worker_kills):
                worker_due = time.monotonic() + rng.uniform(0.0, 4.0)
            if driver_due is None and drivers < min(driver_kills, 0.5 + done * driver_kills):
                driver_due = time.monotonic() + rng.uniform(0.0, 6.0)
        if process.poll() is None:
            process.send_signal(signal.SIGINT if drivers % 3 == 1 else signal.SIGKILL)
            process.wait()
            drivers += 1
        now = place.reports()
        lost = {k: v for k, v in known.items() if now.get(k) != v}
        assert not lost, f"reports lost or changed: {lost}"
        known = now
        print(
            f"  {drivers} drivers and {workers} workers killed, {len(now)} reports kept",
            flush=True,
        )
        if process.returncode == 0:
            break
        assert process.returncode in (130, -signal.SIGKILL), place.log.read_text()[-3000:]
    assert drivers >= driver_kills, "the search was over before its last kill: give it more"
    assert workers >= worker_kills, "the search was over before its last kill: give it more"


@contextmanager
def server(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """An MLflow server on an SQLite store, answering.

    Without its queues of jobs, which nothing here asks for: eight processes that import MLflow.
    """
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'server.db'}"]
    command += ["--artifacts-destination", str(folder / "served")]
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 240
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).read()
                break
            except OSError:
                assert process.poll() is None, (folder / "server.log").read_text()[-2000:]
                assert time.monotonic() < deadline, "the server does not start"
                time.sleep(0.5)
        yield process
    finally:
        for what in (signal.SIGCONT, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, what)
        process.wait()


def search_without_mlflow(place: Place, how: str, folder: Path, trials: int) -> tuple[float, float]:
    """A search whose server is "well", "away", "dies" or "hangs" in the middle, then published.

    Returns the search's seconds up to its leaderboard, and those until it ended.
    """
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    began = time.monotonic()
    if how == "away":
        process = place.search("--tracking-uri", uri)
        standings = _until_leaderboard(place, process, began)
    else:
        with server(folder, port) as served:
            began = time.monotonic()
            process = place.search("--tracking-uri", uri)
            if how != "well":
                wait_for_reports(place, 3, process)
                stop = signal.SIGSTOP if how == "hangs" else signal.SIGKILL
                os.killpg(served.pid, stop)
            standings = _until_leaderboard(place, process, began)
            assert process.wait() == 0, place.log.read_text()[-3000:]
    assert process.wait() == 0, place.log.read_text()[-3000:]
    whole = time.monotonic() - began
    said = place.log.read_text()
    assert how == "well" or f"cgan-search publish {place.study}" in said, said[-3000:]
    with server(folder, port):
        publishing = place.start("search.publish", place.study, "--tracking-uri", uri)
        assert publishing.wait() == 0, place.log.read_text()[-3000:]
        place.check(trials, uri)
    return standings, whole


def _until_leaderboard(place: Place, process: subprocess.Popen[bytes], began: float) -> float:
    path = place.folder / "runs" / place.study / "best.json"
    while not path.exists():
        assert process.poll() is None, place.log.read_text()[-3000:]
        time.sleep(0.2)
    return time.monotonic() - began


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("kill", "mlflow"))
    parser.add_argument("--data", default="phantom")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=18)
    parser.add_argument("--how", choices=HOW, nargs="+", default=HOW, help="of mlflow")
    parser.add_argument("--driver-kills", type=int, default=10)
    parser.add_argument("--worker-kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    data = str(Path(args.data).resolve()) if Path(args.data).exists() else args.data
    flags: list[Any] = ["--trials", args.trials, "--epochs", args.epochs]
    flags += ["--eval-every", 3, "--grace", 3, "--top-k", 1, "--winner-images", 200]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if args.what == "kill":
            place = Place(folder, data, *map(str, flags))
            rng = random.Random(args.seed)
            began = time.monotonic()
            kill_and_resume(place, args.trials, args.driver_kills, args.worker_kills, rng)
            place.no_orphans()
            place.check(args.trials, place.store)
            print(f"all held, {time.monotonic() - began:.0f} s, {len(place.reports())} reports")
            return
        for how in args.how:
            place = Place(folder, data, *map(str, flags), study=how)
            standings, whole = search_without_mlflow(place, how, folder, args.trials)
            print(f"MLflow {how:<5} leaderboard after {standings:.0f} s, end after {whole:.0f} s")
            place.no_orphans()


if __name__ == "__main__":
    _main()
