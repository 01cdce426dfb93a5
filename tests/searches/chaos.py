"""Searches under fire: drivers and workers killed at random moments, MLflow away, and what is left.

`tests/searches/test_chaos.py` runs this in small. At length, on images of your own:

    python -m tests.searches.chaos kill --data FOLDER      # 10 drivers and 10 workers killed, 30
    trials python -m tests.searches.chaos mlflow --data FOLDER    # a server that is away, dies,
    and hangs

Both print what they saw and end with an AssertionError if a promise is broken.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from search.study import folder as study_folder
from search.study.config import StudyConfig
from search.study.database import database_url, load_study, open_storage, read_records
from search.tracking.projection import EXPERIMENT, connect, study_key
from search.tune.rungs import replayed
from tests.helpers import ROOT
from trainable.trial.report import Status

SPACE = """
from spaces.presets import default

def tiny(trial, task):
    lr = trial.suggest_float("g_lr", 1e-4, 1e-2, log=True)
    width = trial.suggest_categorical("g_width", [4, 8])
    narrow = {"g_width": width, "d_width": 4, "latent_size": 8}
    return {**default(task), **narrow, "g_lr": lr}
"""


def _processes() -> dict[int, tuple[int, int, str]]:
    """Parent, start and title of each living process; zombies are dead."""
    found = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with suppress(OSError):
                facts = (path / "stat").read_text().rpartition(")")[2].split()
                if facts[0] != "Z":
                    title = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found[int(path.name)] = int(facts[1]), int(facts[19]), title
    return found


class Place:
    """A folder with a space of its own, in which searches are started and watched."""

    def __init__(self, folder: Path, data: str, *flags: str, study: str = "chaos"):
        self.folder, self.study = folder, study
        self.flags = ["--space", "chaos_space:tiny", "--data", data, "--image-size", "32"]
        self.flags += [
            "--features",
            "efficientnet-lite0",
            "--backbone",
            "none",
            "--study",
            study,
            *flags,
        ]
        self._seen: dict[int, int] = {}  # pid: when it began, as pids are used again
        (folder / "chaos_space.py").write_text(SPACE)
        self.log = folder / f"{study}.log"

    def start(self, module: str, *flags: str) -> subprocess.Popen[bytes]:
        """Start one of our commands; its output goes to the log."""
        path = f"{ROOT}{os.pathsep}{self.folder}"
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *flags],
                cwd=self.folder, env={**os.environ, "PYTHONPATH": path},
                stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self._seen[process.pid] = _processes()[process.pid][1]
        return process

    def search(self, *flags: str) -> subprocess.Popen[bytes]:
        """Begin the study, or go on with it, as a user would who reads what is there."""
        if study_folder.began(self.folder / "runs" / self.study):
            return self.start("search.run", "--resume", self.study, *flags)
        return self.start("search.run", *self.flags, *flags)

    def watch(self) -> None:
        """Take note of all that descends from what we started; an orphan has no parent to tell."""
        table = _processes()
        for pid, (parent, began, _) in sorted(table.items(), key=lambda item: item[1][1]):
            if parent in self._seen and parent in table:
                self._seen[pid] = began

    def alive(self) -> dict[int, str]:
        """Titles of the living processes that descend from ours, whoever their parent is now."""
        self.watch()
        table = _processes()
        return {
            pid: title for pid, (_, began, title) in table.items() if self._seen.get(pid) == began
        }

    def workers(self) -> list[int]:
        """Processes that train trials."""
        return [
            pid
            for pid, title in self.alive().items()
            if title.startswith("ray::") and "Trainable" in title
        ]

    def kill_a_worker(self, rng: random.Random) -> bool:
        """Kill a training process, if there is one."""
        workers = self.workers()
        if workers:
            with suppress(ProcessLookupError):
                os.kill(rng.choice(workers), signal.SIGKILL)
        return bool(workers)

    def reports(self) -> dict[tuple[int, int], float]:
        """The objective of each report in the database, by trial and resource."""
        path = self.folder / "runs" / self.study
        if not study_folder.began(path):
            return {}
        study = load_study(self.study, open_storage(database_url(path)))
        records = read_records(study)
        return {(x.number, r["resource"]): r["objective"] for x in records for r in x.reports}

    def check(self, trials: int, uri: str) -> None:
        """Every promise about a finished study, held against the database and MLflow."""
        path = self.folder / "runs" / self.study
        study = load_study(self.study, open_storage(database_url(path)))
        config = StudyConfig.from_json(study.user_attrs["config"])
        records = read_records(study)
        ended = {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL}
        assert {t.state for t in study.trials} <= ended, "a trial is left open"
        assert len(records) == trials, f"{len(records)} trials, not {trials}"
        assert [r.number for r in records] == list(range(trials))
        orders = [r["order"] for record in records for r in record.reports]
        assert len(orders) == len(set(orders))
        # What ASHA decided over all lives is what it decides on the whole history in one.
        _, stopped = replayed(config, records)
        pruned = {r.number for r in records if r.status is Status.PRUNED}
        assert stopped == pruned, f"ASHA stops {stopped} on the history, but {pruned} were"
        for record in records:
            planned = [e for e in config.evaluations if e <= record.last.get("resource", 0)]
            assert [r["resource"] for r in record.reports] == planned, record.number
        self.check_mlflow(trials, uri)

    def check_mlflow(self, trials: int, uri: str) -> None:
        """MLflow has one run a trial, with every report once and no other value."""
        client = connect(uri)
        path = self.folder / "runs" / self.study
        study = load_study(self.study, open_storage(database_url(path)))
        experiment = client.get_experiment_by_name(EXPERIMENT)
        assert experiment is not None
        mine = f"tags.`cgan.study` = '{study_key(study)}'"
        runs = list(client.search_runs([experiment.experiment_id], mine, max_results=5000))
        children = [r for r in runs if "cgan.trial" in r.data.tags]
        assert len(runs) == 1 + len(children)
        numbers = sorted(int(r.data.tags["cgan.trial"]) for r in children)
        assert numbers == list(range(trials)), f"MLflow has {len(numbers)} runs: {numbers}"
        reports = self.reports()
        epochs = {
            (record.number, r["epoch"]): r["objective"]
            for record in read_records(study) for r in record.reports
        }  # fmt: skip
        assert len(epochs) == len(reports)
        for run in children:
            number = int(run.data.tags["cgan.trial"])
            points = client.get_metric_history(run.info.run_id, "objective")
            assert len(points) == len({p.step for p in points}), f"a point twice: {number}"
            there = {(number, p.step): p.value for p in points}
            assert there == {k: v for k, v in epochs.items() if k[0] == number}, number

    def no_orphans(self, within: float = 30.0) -> None:
        """Nothing that descends from us is alive."""
        deadline = time.monotonic() + within
        while (alive := self.alive()) and time.monotonic() < deadline:
            time.sleep(0.5)
        assert not alive, f"orphans: {alive}"


def kill_and_resume(
    place: Place, trials: int, driver_kills: int, worker_kills: int, rng: random.Random
) -> None:
    """Let a search go through its kills, spread over its work, and then to its end.

    Every third driver is killed at a random moment of its first seconds, the others, and workers,
    at a random moment after the study had so many reports; drivers are resumed at once, with their
    workers still alive. After each life all that was reported before must be there, unchanged.
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
            process.send_signal(signal.SIGKILL)
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
        assert process.returncode == -signal.SIGKILL, place.log.read_text()[-3000:]
    assert drivers >= driver_kills, "the search was over before its last kill: give it more"
    assert workers >= worker_kills, "the search was over before its last kill: give it more"


@contextmanager
def server(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """An MLflow server on an SQLite store, answering."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'server.db'}"]
    command += ["--artifacts-destination", str(folder / "served")]
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
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


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def wait_for_reports(place: Place, count: int, process: subprocess.Popen[bytes]) -> None:
    """Until the study has `count` reports."""
    while len(place.reports()) < count:
        assert process.poll() is None, place.log.read_text()[-3000:]
        time.sleep(0.3)


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
    assert how == "well" or f"search.publish {place.study}" in said, said[-3000:]
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
    parser.add_argument("--driver-kills", type=int, default=10)
    parser.add_argument("--worker-kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    data = str(Path(args.data).resolve()) if Path(args.data).exists() else args.data
    flags: list[Any] = ["--trials", args.trials, "--epochs", 18, "--eval-every", 3, "--grace", 3]
    flags += ["--top-k", 1, "--winner-images", 20]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if args.what == "kill":
            place = Place(folder, data, *map(str, flags))
            rng = random.Random(args.seed)
            began = time.monotonic()
            kill_and_resume(place, args.trials, args.driver_kills, args.worker_kills, rng)
            place.no_orphans()
            place.check(args.trials, f"sqlite:///{folder / 'runs' / 'mlflow.db'}")
            print(f"all held, {time.monotonic() - began:.0f} s, {len(place.reports())} reports")
            return
        for how in ("well", "away", "dies", "hangs"):
            place = Place(folder, data, *map(str, flags), study=how)
            standings, whole = search_without_mlflow(place, how, folder, args.trials)
            print(f"MLflow {how:<5} leaderboard after {standings:.0f} s, end after {whole:.0f} s")
            place.no_orphans()


if __name__ == "__main__":
    _main()
