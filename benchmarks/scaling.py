"""How many workers one driver serves: searches with 8, 64 and 512 of them, in virtual time.

The driver is real: `search.tune.run_trials.run_trials` with Tune's loop, ASHA, the ledger, plain
progress. Ray is not: what Tune would send to a worker an object in this process gets, and answers
after so many virtual seconds. The clock goes on by the CPU time that the driver's thread takes,
and by what Ray's calls and the sampler's proposals were measured to cost with so many trials under
way and ended; trials are drawn at random. The thread that writes the database and the process that
writes MLflow take what was measured of their acts; the thread shares the driver's interpreter, and
while both are at work each has half of it. Disk, network and cores are free.

    python -m benchmarks.scaling [--workers 8 64 512] [--minutes 10 1] [--each 8] [--most 1536]
                                 [--past 8000] [--check 2 16] [--sampler auto] [--seen 250 750]

Prints what was measured; real searches, of `--check` processes that sleep instead of training,
beside their simulation; and the simulations: complete trials of `--minutes`, `--each` a worker,
`--most` in all, each also as it is after `--past` trials. Of the past TPE sees the best and the
newest trials (`search.proposals.tpe_window`), by default as in a search; `--seen 99999 0` is all.
What is measured of a proposal, after 0 to 10,000 ended trials, is what it costs beyond a random
draw. `full at` is the number of workers at which a thread or the process would want the whole of an
interpreter, or both threads the one that they share. `hired` are all workers that there ever were:
a warm one that Tune stops is replaced, which takes seconds of a core that here costs nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import math
import random
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack, chdir
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import mean, median
from typing import Any
from unittest import mock

import numpy as np
import ray
from rich.console import Console

from benchmarks import free_trials as free
from benchmarks.publish import Study, new_store
from benchmarks.virtual import MANY, PICTURED, RUNNING, Costs, World, interval
from search.capacity.gpu_share import Capacity
from search.proposals import tpe_window
from search.proposals.anchored import CROWD
from search.proposals.ledger import Ledger
from search.proposals.samplers import build_sampler
from search.proposals.writer import StudyWriter
from search.study.transaction import transact
from search.tracking.projection import Projection
from search.tracking.tracker import RemoteProjection, Tracker
from search.tune.reporting import Audience
from search.tune.run_trials import run_trials
from spaces.catalog import full
from trainable.distributed import cluster
from trainable.distributed.resources import Resources
from trainable.trial.report import Status

REPORTS = 18
"""Of a complete trial."""
THREADS = {"driver": "MainThread", "writer": "study-writer"}
KINDS = (*THREADS, "tracker")
RESOURCES = Resources("local", 1, 0.0, None, 1e9)


class Sleeper(free.Free):
    """A real worker: notes each order, and sleeps."""

    def step(self) -> dict[str, Any]:
        result = super().step()
        time.sleep(interval(self._number, self._at, self._workload.usual))
        return result


@ray.remote(max_concurrency=1000, num_cpus=0)
class Echo:
    def __init__(self, result: Any):
        self.result = result

    async def train(self, pause: float) -> Any:
        await asyncio.sleep(pause)
        return self.result


def cpu_of(work: Callable[[], Any]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def measure_ray(params: dict[str, Any]) -> Costs:
    report = free.free_report(0, params, 1, REPORTS)
    echo = Echo.remote({"report": report, "config": params, **dict.fromkeys("abcdefghijkl", 1.0)})
    many, spent = (1, 64, 512), defaultdict(list)
    for n in many:
        refs = [echo.train.remote(random.uniform(0, n / 30)) for _ in range(n)]
        while len(spent[n, 1]) < 200 or not spent[n, 0]:
            pause = random.uniform(0, n / 15) + 0.2 * (len(spent[n, 1]) == 199)
            random.shuffle(refs)
            began = time.thread_time()
            ready, rest = ray.wait(refs, num_returns=1, timeout=0.1)
            if ready:
                ray.get(ready[0])
                rest.append(echo.train.remote(pause))
            spent[n, len(ready)].append(time.thread_time() - began)
            refs = rest
        ray.wait(refs, num_returns=n)
    trips = []
    for _ in range(200):
        began = time.perf_counter()
        ray.get(echo.train.remote(0))
        trips.append(time.perf_counter() - began)
    event, look = (free.line(many, [median(spent[n, k]) for n in many]) for k in (1, 0))
    return {"ray event": event, "ray look": look, "latency": median(trips)}


def measure_proposals(sampler: str) -> tuple[Costs, dict[str, Any]]:
    """What the sampler costs beyond a random draw; and some parameters."""
    config = free.study_config("proposals", 10**6, REPORTS, prune=True)
    config = replace(config, sampler=sampler)
    drawn = Ledger(replace(config, sampler="random"), None, None)
    plain, params = [], {}
    for number in range(400):
        began = time.thread_time()
        entry = drawn.draw(full, free.TASK)
        plain.append(time.thread_time() - began)
        assert entry is not None
        params = entry.params
        for at in (1, 2):
            drawn.report(entry, free.free_report(number, params, at, REPORTS))
        drawn.end(entry, Status.PRUNED if number % 4 else Status.COMPLETE)
    learnt, took = drawn._sampled.get_trials(), np.empty((len(RUNNING), len(MANY)))
    for at, (running, ended) in enumerate(product(RUNNING, MANY)):
        ledger = Ledger(config, None, None, (learnt * 25)[:ended])
        with mock.patch(
            "search.proposals.ledger.build_sampler", lambda _, *a: build_sampler("random", *a)
        ):
            for _ in range(running):
                ledger.draw(full, free.TASK)
        draws = max(5, 2 * (running // CROWD))  # one thinks for several
        took.flat[at] = mean(cpu_of(lambda: ledger.draw(full, free.TASK)) for _ in range(draws))  # noqa: B023
    return {"propose": took - median(plain)}, params


def measure_store(folder: Path) -> Costs:
    """The writer's acts and the news for MLflow, from trials that a benchmark makes up."""
    acts: dict[str, list[float]] = defaultdict(list)

    def timed(kind: str, act: Any) -> Any:
        return lambda *args: acts[kind].append(cpu_of(lambda: act(*args)))

    def transaction(*args: Any) -> None:
        there = sum(map(sum, acts.values()))
        took = cpu_of(lambda: transact(*args))
        acts["commit"].append(took + there - sum(map(sum, acts.values())))

    with ExitStack() as stack:
        for kind in ("create", "report", "end"):
            act = timed(kind, getattr(StudyWriter, kind))
            stack.enter_context(mock.patch.object(StudyWriter, kind, act))
        stack.enter_context(mock.patch("search.proposals.writer.transact", transaction))
        study = Study(folder / "store", 100, REPORTS)
        projection = Projection(study.folder, study.storage.url, new_store(folder))

        def a_round(trials: list[Any] = (), at: int = 0) -> float:
            for entry in trials:
                study.evaluate(entry, at)
            study.ledger.flush()
            return cpu_of(projection.sync)

        idle, made, live = {}, {}, []
        for n in (8, 40):
            new = [study.draw() for _ in range(n - len(live))]
            live += new
            made[n] = a_round() / len(new)
            for at in (1, 2, 3, 4):
                a_round(new, at)
            idle[n] = median(a_round() for _ in range(5))
        base, running = free.line(list(idle), list(idle.values()))
        n = len(live)
        heard, _, grid = ((a_round(live, at) - idle[n]) / n for at in (5, PICTURED, 7))
        for entry in live:
            study.ledger.end(entry, Status.PRUNED)
        news = {"round": base, "running": running, "heard": heard, "grid": grid - heard}
        news["create"] = made[n] - idle[8] / 32 - running
        news["end"] = (a_round() - idle[n]) / n
        study.close()
    costs = {f"tracker {kind}": cost for kind, cost in news.items()}
    return costs | {f"writer {kind}": mean(took) for kind, took in acts.items()}


def search(root: Path, costs: Costs | None, workers: int, trials: int, usual: float, past: int = 0):
    """A search's figures; a real one's without `costs`."""
    folder = Path(tempfile.mkdtemp(dir=root))
    config = free.study_config(folder.name, trials, REPORTS, prune=True)
    opened = free.new_study(folder, config)
    workload = free.free_workload(folder, REPORTS, 1 if costs else workers)
    workload.usual = usual
    world = World(costs or {}, workers, usual, past)
    store = "" if costs else new_store(folder)
    projection = RemoteProjection(folder, opened.storage.url, store)
    tracker = Tracker(projection)

    def wake() -> None:
        tracker.wake()
        ids = {thread.name: thread.ident for thread in threading.enumerate()}
        if all(name in ids for name in THREADS.values()):  # the writer ends before the last call
            clocks = [time.pthread_getcpuclockid(ids[name]) for name in THREADS.values()]
            spent = [*map(time.clock_gettime, clocks), free.seconds_of(projection)]
            world.samples.append([time.time(), *spent])

    with ExitStack() as stack:
        stack.enter_context(chdir("."))  # a trainable in this process goes to its trial's folder
        for name, stand_in in world.stand_ins().items() if costs else ():
            stack.enter_context(mock.patch(name, stand_in))
        if not costs:
            assert tracker.ask().result() is None
            tracker.start()
        audience = Audience(Console(file=io.StringIO()), wake=world.wake if costs else wake)
        outcome = run_trials(
            opened, full, workload, Capacity(RESOURCES, workers), audience,
            free.Free if costs else Sleeper,
        )  # fmt: skip
    assert outcome.done, outcome
    ended = world.now if costs else time.time()
    while world.writer.jobs or world.tracker.jobs or world.woken:
        world.go(until=world.now + 0.1)
    assert costs or tracker.close(3600), tracker.problem
    behind = (world.now if costs else time.time()) - ended
    told = [actor.told for actor in world.actors] or [
        [line.split() for line in file.read_text().splitlines()]
        for file in Path(workload.marks).iterdir()
    ]
    return figures(workers, usual, told, np.array(world.samples)) | {"MLflow behind, s": behind}


def figures(workers: int, usual: float, told: list[Any], samples: Any) -> dict[str, float]:
    """Of the time from when all workers have begun until the last trial begins."""
    orders = []  # when, for which report, after which wait, and how long that takes
    for orders_of_one in told:
        done = math.nan
        for number, at, when in orders_of_one:
            took = interval(number, at, usual)
            orders.append((float(when), int(at), float(when) - done, took))
            done = float(when) + took
    firsts = sorted(when for when, at, *_ in orders if at == 1)
    since, until = firsts[workers - 1], firsts[-1]
    chosen = [order for order in orders if since < order[0] <= until]
    span, spent = until - since, sum(took for *_, took in chosen)
    next_, new = ([1000 * w for _, at, w, _ in chosen if (at == 1) == k and w == w] for k in (0, 1))
    lost = sum(next_ + new) / 1000
    row = {"reports/s": len(chosen) / span, "new trials/s": len(new) / span}
    for name, cpu in zip(KINDS, samples.T[1:], strict=True):
        took = float(np.diff(np.interp([since, until], samples[:, 0], cpu))[0])
        row |= {f"{name} %": 100 * took / span, f"{name} ms a report": 1000 * took / len(chosen)}
    # Workers that wait ask for less: what they would ask for if they did not.
    wanted = {name: row[f"{name} %"] / 100 * (1 + lost / spent) for name in KINDS}
    wanted["driver and writer"] = sum(wanted[name] for name in THREADS)
    row |= {f"{name} full at": workers / share for name, share in wanted.items()}
    for said, waits in (("next report", next_), ("next trial", new)):
        row |= {f"{said} waits, ms": mean(waits), f"{said} 95 %": np.quantile(waits, 0.95)}
    return row | {"hired": len(told), "lost %": 100 * lost / (lost + spent)}


def table(rows: list[dict[str, Any]], without: str = "-") -> None:
    rows = [{k: v for k, v in row.items() if without not in k} for row in rows]
    print(f"\n| {' | '.join(rows[0])} |\n{'|---' * len(rows[0])}|")
    for row in rows:
        cells = [x if isinstance(x, str) else f"{x:.3g}" for x in row.values()]
        print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--workers", type=int, nargs="+", default=[8, 64, 512])
    parser.add_argument("--minutes", type=float, nargs="+", default=[10, 1])
    parser.add_argument("--each", type=int, default=8, help="trials of a worker (default: 8)")
    parser.add_argument("--most", type=int, default=1536, help="trials (default: 1536)")
    parser.add_argument("--past", type=int, default=8000, help="trials ended (default: 8000)")
    parser.add_argument("--check", type=int, nargs="*", default=[2, 16], help="real workers")
    seen = [tpe_window.BEST, tpe_window.NEWEST]
    parser.add_argument(
        "--sampler", default="auto", help="whose proposals are measured (default: auto)"
    )
    parser.add_argument("--seen", type=int, nargs=2, default=seen, help="by TPE: best, newest")
    args = parser.parse_args()
    tpe_window.BEST, tpe_window.NEWEST = args.seen
    cores = mock.patch.object(cluster, "local_cores", return_value=max([1, *args.check]))
    with tempfile.TemporaryDirectory() as name, cores, cluster.connected(RESOURCES):
        root = Path(name)
        costs, params = measure_proposals(args.sampler)
        costs |= measure_ray(params) | measure_store(root)
        proposals = zip(RUNNING, costs["propose"], strict=True)
        listed = {f"propose, {n} trials under way": took for n, took in proposals}
        listed |= {k: np.atleast_1d(cost) for k, cost in costs.items() if k != "propose"}
        ms = {k: ", ".join(f"{1000 * x:.3g}" for x in cost) for k, cost in listed.items()}
        table([{"measured": k, "CPU ms": text} for k, text in ms.items()])
        # Those who sleep have no grids, and here the sampler is not replaced either.
        known = {k: v for k, v in costs.items() if k != "propose"} | {"tracker grid": 0.0}
        for workers in args.check:
            plan = workers, 10 * workers + 40, 0.05 * workers
            real, simulated = (search(root, c, *plan) for c in (None, known))
            rows = {"real": real, "simulated": simulated}
            rows["ratio"] = {k: simulated[k] / real[k] for k in real}
            table([{f"{workers} workers": k, **row} for k, row in rows.items()], "full at")
        rows = []
        for minutes in args.minutes:
            for workers in args.workers:
                for past in sorted({0, args.past}):
                    trials = max(2 * workers, min(args.each * workers, args.most))
                    made = search(root, costs, workers, trials, 60 * minutes / REPORTS, past)
                    plan = {"minutes": minutes, "workers": workers, "past": past, "trials": trials}
                    rows.append(plan | made)
        table(rows, "a report")


if __name__ == "__main__":
    main()
