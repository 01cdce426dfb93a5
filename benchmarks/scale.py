"""Whether a search of thousands of trials slows down, and where: `make bench-scale`.

The driver without Ray: StudySearcher, its ledger with the thread that writes SQLite, and ASHA get
the calls that Tune would make, for simulated trials in random order, so many at a time, as fast as
they go. ASHA is asked at each report, but its stops are obeyed only with `--prune`: else every
trial reports to its end, the most that there can be to do. For each hundred trials:

    suggest    the driver's CPU ms a trial to propose it; with TPE, it looks at all past trials
    results    the driver's CPU ms a trial to hear its reports and its end
    waited     ms a trial that the driver's wall clock had besides: the other threads' share of the
               interpreter, and waiting for a full queue
    behind     writes that wait for the database when the hundredth trial ends
    written    ms a trial until the database has them: what its thread takes, at most

    python -m benchmarks.scale [--trials 2000] [--reports 20] [--at-a-time 32] [--prune]
                               [--sampler auto] [--no-database] [--tracker] [--profile]

`--no-database` has nothing written, for the driver's own cost alone. `--tracker` adds the tracker's
thread and an MLflow store. `--profile` says what the last tenth of the driver's work, and then of
the writer's, is made of. `--ray` runs the same through Ray Tune, with as many processes as trials
at a time (some 100 MB each, without torch):

    python -m benchmarks.scale --ray [--trials 2000] [--reports 20] [--at-a-time 32] [--prune]
"""

from __future__ import annotations

import argparse
import cProfile
import io
import os
import pstats
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

from ray.tune.schedulers import TrialScheduler
from rich.console import Console

from benchmarks.free_trials import (
    TASK,
    Free,
    free_report,
    free_workload,
    line,
    new_study,
    read_marks,
    rss,
    study_config,
)
from search.capacity.gpu_share import Capacity
from search.proposals.ledger import Ledger
from search.study.records import read_records
from search.tracking.projection import check
from search.tracking.tracker import RemoteProjection, Tracker
from search.tune.reporting import Audience
from search.tune.run_trials import run_trials
from search.tune.rungs import Rungs
from search.tune.scheduler import StudyASHA
from search.tune.searcher import StudySearcher
from spaces.catalog import full
from trainable.distributed import cluster
from trainable.distributed.resources import Resources

WINDOW = 100
SHOWN = (200, 500, 1000, 1500, 2000)
Row = dict[str, float]


@dataclass
class Simulated:
    """A trial under way, as Tune and the scheduler know it."""

    trial_id: str
    config: dict[str, Any]
    at: int = 0


class Driver:
    """Makes Tune's calls, and keeps count of what they cost."""

    def __init__(self, folder: Path, args: argparse.Namespace):
        config = study_config(folder.name, args.trials, args.reports, prune=True)
        self.config = replace(config, sampler=args.sampler)
        self.study, self.storage = new_study(folder, self.config)
        self.database = folder / "study.db"
        self.scheduler = StudyASHA(Rungs(self.config))
        kept = () if args.no_database else (self.study, self.storage)
        self.ledger = Ledger(self.config, *(kept or (None, None)))
        self.searcher = StudySearcher(self.ledger, self.config, full, TASK, [], set())
        self.prune, self.reports = args.prune, args.reports
        self.live: list[Simulated] = []
        self.asked = self.ended = 0
        self.suggesting = self.hearing = 0.0  # CPU seconds of this thread
        self.rng = random.Random(0)

    def ask(self) -> None:
        """Start the next trial, if there is one."""
        trial_id = str(self.asked)
        self.asked += 1
        began = time.thread_time()
        config = self.searcher.suggest(trial_id)
        self.suggesting += time.thread_time() - began
        if isinstance(config, dict):
            trial = Simulated(trial_id, config)
            self.live.append(trial)
            self.scheduler.on_trial_add(None, trial)

    def hear(self) -> None:
        """One trial, any of them, reports."""
        place = self.rng.randrange(len(self.live))
        trial = self.live[place]
        trial.at += 1
        report = free_report(trial.config["number"], trial.config["params"], trial.at, self.reports)
        done = report["status"] != "running"
        result = {"resource": report["resource"], "objective": report["objective"], "done": done}
        result |= {f"report/{k}": v for k, v in report.items()}
        began = time.thread_time()
        if not done:
            stop = self.scheduler.on_trial_result(None, trial, result) == TrialScheduler.STOP
            done = stop and self.prune
        if done:
            self.searcher.on_trial_complete(trial.trial_id, result)
            self.live.pop(place)
            self.ended += 1
        else:
            self.searcher.on_trial_result(trial.trial_id, result)
        self.hearing += time.thread_time() - began

    def behind(self) -> int:
        writer = self.ledger._writer
        return writer._acts.qsize() if writer else 0

    def written(self) -> None:
        """Wait until the database has everything."""
        self.ledger.flush()
        assert self.ledger.problem is None, self.ledger.problem


def windows(driver: Driver, args: argparse.Namespace, wake: Callable[[], None]) -> list[Row]:
    """Run all trials; a row of figures for each `WINDOW` of them."""
    rows: list[Row] = []
    began, suggesting, hearing = time.perf_counter(), 0.0, 0.0
    for _ in range(args.at_a_time):
        driver.ask()
    while driver.live:
        before = driver.ended
        driver.hear()
        wake()
        if driver.ended > before:
            driver.ask()
        if driver.ended == before or driver.ended % WINDOW:
            continue
        driven = time.perf_counter()
        behind = driver.behind()
        driver.written()
        written = time.perf_counter()
        cpu = driver.suggesting + driver.hearing - suggesting - hearing
        rows.append({
            "trials": driver.ended,
            "suggest ms": 1000 * (driver.suggesting - suggesting) / WINDOW,
            "results ms": 1000 * (driver.hearing - hearing) / WINDOW,
            "waited ms": 1000 * (driven - began - cpu) / WINDOW,
            "behind": behind,
            "written ms": 1000 * (written - began) / WINDOW,
            "RSS MB": rss(),
            "database MB": driver.database.stat().st_size / 1e6,
        })  # fmt: skip
        suggesting, hearing = driver.suggesting, driver.hearing
        began = time.perf_counter()
    return rows


def without_ray(folder: Path, args: argparse.Namespace) -> None:
    study = folder / "scale"
    study.mkdir()
    driver = Driver(study, args)
    tracker = None
    if args.tracker:
        store = f"sqlite:///{folder / 'mlflow.db'}"
        problem = check(store)
        assert problem is None, problem
        tracker = Tracker(RemoteProjection(study, driver.storage.url, store))
        tracker.start()
    rows = windows(driver, args, tracker.wake if tracker else lambda: None)
    driver.ledger.close()
    assert driver.ledger.problem is None, driver.ledger.problem
    statuses = [record.status.value for record in read_records(driver.study)]
    counts = ", ".join(f"{statuses.count(s)} {s}" for s in sorted(set(statuses)))
    print(f"\n{counts or 'nothing kept'}; {args.at_a_time} at a time, {args.sampler}\n")
    table(rows)
    for name in ("suggest ms", "results ms", "written ms"):
        growth(rows, name)
    if tracker:
        began = time.perf_counter()
        assert tracker.close(timeout=3600), tracker.problem
        print(f"\nMLflow was complete {time.perf_counter() - began:.1f} s after the last trial.")


def table(rows: list[Row]) -> None:
    """Markdown: the rows at `SHOWN` trials and the last one, and last over first."""
    shown = [r for r in rows if r["trials"] in SHOWN] or rows[:1]
    if shown[-1] is not rows[-1]:
        shown.append(rows[-1])
    print(f"| {' | '.join(rows[0])} |")
    print("|---" * len(rows[0]) + "|")
    for row in shown:
        print(f"| {' | '.join(f'{value:.4g}' for value in row.values())} |")
    first, last = shown[0], shown[-1]
    ratios = [f"{last[k] / first[k]:.2g}" if first[k] else "–" for k in first if k != "trials"]
    print(f"| {last['trials']:.0f} : {first['trials']:.0f} | {' | '.join(ratios)} |")


def growth(rows: list[Row], name: str) -> None:
    """Print the straight line through a column, and how far from it the figures lie."""
    if len(rows) < 4:
        return
    xs, ys = [r["trials"] - WINDOW / 2 for r in rows], [r[name] for r in rows]
    offset, slope = line(xs, ys)
    mean = statistics.mean(ys)
    off = statistics.mean((y - offset - slope * x) ** 2 for x, y in zip(xs, ys, strict=True))
    spread = statistics.pvariance(ys)
    print(
        f"\n{name}: {offset:.3g} + {1000 * slope:.3g} for each thousand trials "
        f"(mean {mean:.3g}; the line explains {1 - off / spread if spread else 1:.0%} of what "
        "varies)"
    )


def profiled(folder: Path, args: argparse.Namespace) -> None:
    """Profile the driver's last tenth with the writer held up, then the writer on what it owes."""
    study = folder / "profile"
    study.mkdir()
    driver = Driver(study, args)
    for _ in range(args.at_a_time):
        driver.ask()

    def drive(until: int) -> None:
        while driver.ended < until and driver.live:
            before = driver.ended
            driver.hear()
            if driver.ended > before:
                driver.ask()

    # Few enough that what they write fits into the ledger's queue.
    last = min(args.trials // 10, 8000 // (args.reports + 2))
    end = args.trials - args.at_a_time
    drive(end - last)
    driver.written()
    go, over = threading.Event(), threading.Event()
    writing = cProfile.Profile()

    def hold(writer: Any) -> None:
        go.wait()
        writing.enable()

    def stop(writer: Any) -> None:
        writing.disable()
        over.set()

    if not args.no_database:
        driver.ledger._write(hold)
    driving = cProfile.Profile()
    driving.runcall(drive, end)
    profiles = {"driver": driving}
    if not args.no_database:
        driver.ledger._write(stop)
        go.set()
        over.wait()
        profiles["writer"] = writing
    for said, profile in profiles.items():
        out = io.StringIO()
        pstats.Stats(profile, stream=out).sort_stats("tottime").print_stats(14)
        pstats.Stats(profile, stream=out).sort_stats("cumulative").print_stats(45)
        text = out.getvalue().replace(str(Path.cwd()), "").replace("/.venv/lib/python3.11", "")
        print(f"\nThe {said}, on trials {end - last} to {end}:")
        print("\n".join(row for row in text.splitlines() if row.strip()))
    driver.ledger.close()


def with_ray(folder: Path, args: argparse.Namespace) -> None:
    study_folder = folder / "ray"
    study_folder.mkdir()
    config = study_config("ray", args.trials, args.reports, prune=args.prune)
    config = replace(config, sampler=args.sampler)
    opened = new_study(study_folder, config)
    workload = free_workload(study_folder, args.reports)
    resources = Resources("local", 1, 0.0, None, 1800.0)
    memory: list[tuple[float, float, float]] = []  # when, RSS, the thread's CPU seconds

    def wake() -> None:
        if not memory or time.time() - memory[-1][0] > 0.5:
            memory.append((time.time(), rss(), time.thread_time()))

    cores = mock.patch.object(cluster, "local_cores", return_value=args.at_a_time)
    began = time.time()
    with cores, cluster.connected(resources):
        started = time.time()
        outcome = run_trials(
            opened, full, workload, Capacity(resources, args.at_a_time),
            Audience(Console(file=io.StringIO()), wake=wake), Free,
        )  # fmt: skip
        ended = time.time()
    assert outcome.done, outcome
    marks = read_marks(workload.marks)
    lasts = sorted({number: when for number, _, when in marks}.values())
    firsts = sorted(when for _, at, when in marks if at == 1)
    print(
        f"\nRay Tune: {args.trials} trials, {len(marks)} reports, {args.at_a_time} at a time, "
        f"{args.sampler}; Ray's start {started - began:.0f} s, first report after "
        f"{firsts[0] - started:.1f} s, {ended - lasts[-1]:.1f} s from the last one to the end\n"
    )
    rows: list[Row] = []
    for end in range(WINDOW, len(lasts) + 1, WINDOW):
        since = lasts[end - WINDOW - 1] if end > WINDOW else started
        until = lasts[end - 1]
        reports = sum(since < when <= until for _, _, when in marks)
        held = [m for m in memory if m[0] <= until] or memory[:1]
        before = [m for m in memory if m[0] <= since] or memory[:1]
        rows.append({
            "trials": end,
            "wall ms a trial": 1000 * (until - since) / WINDOW,
            "reports": reports,
            "wall ms a report": 1000 * (until - since) / max(reports, 1),
            "driver's CPU ms a trial": 1000 * (held[-1][2] - before[-1][2]) / WINDOW,
            "RSS MB": held[-1][1],
        })  # fmt: skip
    table(rows)
    growth(rows[1:], "wall ms a trial")
    growth(rows[1:], "driver's CPU ms a trial")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=2000, help="(default: 2000)")
    parser.add_argument("--reports", type=int, default=20, help="of a trial (default: 20)")
    parser.add_argument("--at-a-time", type=int, default=32, help="trials (default: 32)")
    parser.add_argument("--sampler", default="auto", help="auto, tpe, random, … (default: auto)")
    parser.add_argument("--prune", action="store_true", help="obey ASHA")
    parser.add_argument("--no-database", action="store_true", help="write nothing")
    parser.add_argument("--tracker", action="store_true", help="keep MLflow up to date meanwhile")
    parser.add_argument("--profile", action="store_true", help="what the last tenth consists of")
    parser.add_argument("--ray", action="store_true", help="through Ray Tune")
    args = parser.parse_args()
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    print(f"{os.cpu_count()} cores, load {load}")
    run = with_ray if args.ray else profiled if args.profile else without_ray
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), args)


if __name__ == "__main__":
    main()
