"""What a search costs around its trials, here and with stock parts: `make bench-search`.

Trials that cost nothing (`benchmarks.free_trials`) run through two engines, in turn:

    ours    search.tune.run_trials.run_trials: warm workers, StudySearcher with its ledger on
            SQLite, ASHA, and the tracker's process on MLflow
    stock   a function trainable that imports torch, as any that trains a GAN does; Tune's
            OptunaSearch with the same space, the same TPE, and a study on SQLite; ASHA; Ray's
            MLflowLoggerCallback; Tune's own defaults for the rest

Both have the same Ray session, and a new copy of an MLflow store on SQLite whose tables are there:
neither Ray's start, MLflow's import nor its tables are counted. Workers note when they get to a
report, so the costs are read off without the noise of a process's start:

    a trial     of n trials with one report each, all complete: seconds from the w-th trial's report
                to the last one's, over n - w, for w trials at a time; the first w trials wait for
                one another, so that all workers are up by then
    a report    of w trials with R reports each: seconds from a trial's first report to its last,
                over R - 1; a trial that trains would be kept waiting for so long

Ours writes to the study's database in a thread and to MLflow in a process, where stock has its
trials wait, so free trials get ahead of what is written. "Until all is written" therefore gives the
same figures up to the moment at which both databases are complete: what a search could not be
faster than.

    python -m benchmarks.search [--trials 12] [--reports 20] [--pairs 2] [--workers 1 2]

With `--real DATA` it runs a real search instead, and computes from its database how much of the
workers' time is training and evaluation: see `busy_share`.

    python -m benchmarks.search --real FOLDER [--trials 10] [--epochs 90]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import optuna
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch
from rich.console import Console

from benchmarks.free_trials import (
    EVERY,
    TASK,
    FreeTorch,
    free_report,
    free_workload,
    mark,
    new_study,
    read_marks,
    seconds_of,
    study_config,
)
from search.capacity.gpu_share import Capacity
from search.proposals.samplers import STARTUP
from search.study.database import load_study, open_storage
from search.study.folder import StudyFolder
from search.study.records import TrialRecord, read_records
from search.tracking.projection import check
from search.tracking.tracker import RemoteProjection, Tracker
from search.tune.reporting import Audience
from search.tune.run_trials import run_trials
from spaces.catalog import full
from trainable.distributed.cluster import connected
from trainable.distributed.resources import Resources
from trainable.trial.report import Status

RESOURCES = Resources("local", 1, 0.0, None, 1800.0)


@dataclass
class Turn:
    """One search with free trials.

    Attributes:
        began, ended: seconds since 1970 at which the engine was called, and returned.
        late: seconds after which MLflow had everything.
        cpu: CPU seconds of the driver, all its threads, and of the process that writes MLflow.
        marks: when each trial got to each of its reports.
    """

    began: float
    ended: float
    late: float
    cpu: float
    marks: list[tuple[str, int, float]]

    def firsts(self) -> list[float]:
        return [when for _, at, when in self.marks if at == 1]

    def a_trial(self, workers: int) -> float:
        firsts = self.firsts()
        return (firsts[-1] - firsts[workers - 1]) / (len(firsts) - workers)

    def a_trial_written(self, workers: int) -> float:
        """The same until all is written, which ours does behind the trials' back."""
        firsts = self.firsts()
        return (self.ended + self.late - firsts[workers - 1]) / (len(firsts) - workers)

    def a_report(self) -> float:
        trials: dict[str, list[float]] = {}
        for number, _, when in self.marks:
            trials.setdefault(number, []).append(when)
        return statistics.mean((t[-1] - t[0]) / (len(t) - 1) for t in trials.values())

    def a_report_written(self) -> float:
        """The same until all is written; the search's end is in it."""
        return (self.ended + self.late - self.firsts()[0]) / (max(m[1] for m in self.marks) - 1)


def ours(folder: Path, store: str, trials: int, reports: int, workers: int) -> Turn:
    config = replace(study_config(folder.name, trials, reports, prune=False), sampler="tpe")
    study, storage = opened = new_study(folder, config)
    workload = free_workload(folder, reports, workers)
    projection = RemoteProjection(folder, storage.url, store)
    tracker = Tracker(projection)
    assert tracker.ask().result() is None
    cpu, began = time.process_time() + seconds_of(projection), time.time()
    tracker.start()
    audience = Audience(Console(file=io.StringIO()), wake=tracker.wake)
    outcome = run_trials(opened, full, workload, Capacity(RESOURCES, workers), audience, FreeTorch)
    ended = time.time()
    assert tracker.close(timeout=600), tracker.problem
    late = time.time() - ended
    assert outcome.done, outcome
    assert all(len(r.reports) == reports for r in read_records(study))
    spent = time.process_time() + seconds_of(projection) - cpu
    projection.close()
    return Turn(began, ended, late, spent, read_marks(workload.marks))


def stock_space(trial: optuna.Trial) -> dict[str, Any]:
    return full(trial, TASK)


def stock_trainable(config: dict[str, Any], workload: Any = None) -> None:
    import torch

    torch.set_num_threads(1)
    trial_id = tune.get_context().get_trial_id()
    for at in range(1, workload.reports + 1):
        mark(workload.marks, trial_id, at, workload.together)
        tune.report(free_report(0, config, at, workload.reports))


def stock(folder: Path, store: str, trials: int, reports: int, workers: int) -> Turn:
    workload = free_workload(folder, reports, workers)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    sampler = optuna.samplers.TPESampler(
        seed=0, multivariate=True, group=True, n_startup_trials=STARTUP
    )
    storage = optuna.storages.RDBStorage(StudyFolder(folder).database_url)
    search = OptunaSearch(
        stock_space, metric="objective", mode="min", sampler=sampler, storage=storage,
        study_name=folder.name,
    )  # fmt: skip
    length = reports * EVERY
    cpu, began = time.process_time(), time.time()
    with mock.patch.dict(os.environ), contextlib.redirect_stdout(io.StringIO()):
        for name in [n for n in os.environ if n.startswith(("TUNE_", "RAY_AIR_"))]:
            del os.environ[name]  # our settings of Tune
        results = tune.Tuner(
            tune.with_resources(tune.with_parameters(stock_trainable, workload=workload), {"cpu":
            1}), tune_config=tune.TuneConfig(
                search_alg=search,
                scheduler=ASHAScheduler(
                    time_attr="resource", metric="objective", mode="min", max_t=length,
                    grace_period=length, reduction_factor=3,
                ),
                num_samples=trials,
                max_concurrent_trials=workers,
            ),
            run_config=tune.RunConfig(
                name="stock",
                storage_path=str(folder),
                callbacks=[MLflowLoggerCallback(tracking_uri=store, experiment_name="stock")],
                verbose=0,
            ),
        ).fit()  # fmt: skip
    ended = time.time()
    assert len(results) == trials, results.errors
    assert not results.errors, results.errors
    return Turn(began, ended, 0.0, time.process_time() - cpu, read_marks(workload.marks))


def compare(root: Path, template: Path, args: argparse.Namespace, workers: int) -> None:
    """Run the pairs for so many trials at a time, and print their table."""
    n, r = args.trials, args.reports
    plans = {"trials": (n, 1), "reports": (workers, r)}
    found: dict[tuple[str, str], list[Turn]] = {}

    def turn(engine: Any, plan: str, trials: int, reports: int) -> None:
        folder = root / f"{engine.__name__}-{plan}-{len(list(root.iterdir()))}"
        folder.mkdir()
        store = folder / "mlflow.db"
        shutil.copy(template, store)
        made = engine(folder, f"sqlite:///{store}", trials, reports, workers)
        found.setdefault((engine.__name__, plan), []).append(made)

    for pair in range(args.pairs):
        for plan, (trials, reports) in plans.items():
            for engine in (ours, stock) if pair % 2 else (stock, ours):
                turn(engine, plan, trials, reports)
        turn(ours, "many", workers, 10 * r)

    def row(said: str, figure: Any, plan: str, theirs: str | None = None) -> None:
        mine = [figure(t) for t in found["ours", plan]]
        others = [figure(t) for t in found.get(("stock", theirs or plan), [])]
        cells = [f"{statistics.median(v):.3g}" if v else "–" for v in (others, mine)]
        ratios = [a / b for a, b in zip(others, mine, strict=False)]
        cells.append(f"{statistics.median(ratios):.3g}" if any(ratios) else "")
        print(f"| {said} | {' | '.join(cells)} |")

    print(f"\n{workers} at a time, {args.pairs} turns each: medians\n")
    print("| | stock | ours | stock / ours |")
    print("|---|---|---|---|")
    row("**s a trial**, after the first", lambda t: t.a_trial(workers), "trials")
    row("s a trial, until all is written", lambda t: t.a_trial_written(workers), "trials")
    row("s until the first trial's report", lambda t: t.firsts()[0] - t.began, "trials")
    row("s from the last report to the end", lambda t: t.ended - t.firsts()[-1], "trials")
    row("s until MLflow is complete, after the end", lambda t: t.late, "trials")
    row(f"s a trial, all that for {n} trials", lambda t: (t.ended + t.late - t.began) / n, "trials")
    row(f"driver's and MLflow's CPU s a trial, all that for {n}", lambda t: t.cpu / n, "trials")
    row(f"**ms a report**, {r} reports", lambda t: 1000 * t.a_report(), "reports")
    row(f"ms a report, ours of {10 * r}", lambda t: 1000 * t.a_report(), "many", "reports")
    written = f"ms a report, ours of {10 * r}, until all is written"
    row(written, lambda t: 1000 * t.a_report_written(), "many", "reports")
    row("s until MLflow is complete, after those", lambda t: t.late, "many")


def free(args: argparse.Namespace) -> None:
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    print(f"{os.cpu_count()} cores, load {load}; trials that cost nothing")
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder, "template.db")
        problem = check(f"sqlite:///{template}")
        assert problem is None, problem
        root = Path(folder, "turns")
        root.mkdir()
        with connected(RESOURCES):
            for workers in args.workers:
                compare(root, template, args, workers)


@dataclass(frozen=True)
class Share:
    """How workers spent a search; all in seconds of workers.

    Attributes:
        busy: training and evaluation of all trials but the workers' first ones.
        elapsed: what that is a share of.
        broken: trials among those whose last seconds no report holds, so that `busy` lacks them.
        first: from the draw of the workers' first trials to their ends.
        first_busy: training and evaluation of those.
        tail: from each worker's last end to the search's last end.
    """

    busy: float
    elapsed: float
    broken: int
    first: float
    first_busy: float
    tail: float


def busy_share(records: list[TrialRecord], workers: int) -> Share:
    """The share of a search's time that its workers train and evaluate, once they are warm.

    For each worker, from the moment at which its first trial ended until its last trial ended:
    seconds of training and evaluation, by the last report of each trial, over seconds elapsed. A
    worker's first trial pays for its process and for torch's import, which a long search does not
    notice; and the tail, in which fewer trials are left than workers, says more about the number of
    trials than about the engine. Both are given apart.

    The study does not say which worker ran a trial. It need not: the first trials drawn are the
    workers' first ones, and each later one takes the place of one that had ended when it was drawn,
    the earliest such. An end is dated when the ledger's thread writes it, some milliseconds after
    the fact; what a diverged trial trained after its last score is in no report, nor is it here.
    """
    times = [(r.started, r.ended, r) for r in records if r.started and r.ended]
    done = sorted(times, key=lambda t: t[0])
    firsts, rest = [r for *_, r in done[:workers]], [r for *_, r in done[workers:]]
    free = [ended for _, ended, _ in done[:workers]]
    began = sum(free)
    for _, ended, _ in done[workers:]:
        free.remove(min(free))
        free.append(ended)

    def spent(chosen: list[TrialRecord]) -> float:
        lasts = [r.last for r in chosen if r.last]
        return sum(last["train_seconds"] + last["eval_seconds"] for last in lasts)

    return Share(
        busy=spent(rest),
        elapsed=sum(free) - began,
        broken=sum(r.status in (Status.DIVERGED, Status.FAILED) for r in rest),
        first=sum(ended - started for started, ended, _ in done[:workers]),
        first_busy=spent(firsts),
        tail=sum(max(free) - end for end in free),
    )


def real(args: argparse.Namespace) -> None:
    workers = min(args.workers[-1], os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "search.run", "--space", "full", "--data", args.real,
            "--image-size", "32", "--trials", str(args.trials), "--epochs", str(args.epochs),
            "--top-k", "1", "--winner-images", "200", "--study", "bench", "--output", folder,
            "--address", "local", "--max-concurrent", str(workers),
        ]  # fmt: skip
        began = time.time()
        subprocess.run(command, check=True)
        wall = time.time() - began
        storage = open_storage(StudyFolder(Path(folder, "bench")).database_url)
        records = read_records(load_study("bench", storage))
    share = busy_share(records, workers)
    statuses = [r.status.value for r in records]
    counts = ", ".join(f"{statuses.count(s)} {s}" for s in sorted(set(statuses)))
    evaluating = sum(r.last["eval_seconds"] for r in records if r.last)
    busy = share.busy + share.first_busy
    print(f"\n{len(records)} trials ({counts}), {workers} workers, {wall:.0f} s in all\n")
    print("| Workers' time | |\n|---|---|")
    print(f"| training and evaluation, of warm workers' time | {share.busy / share.elapsed:.1%} |")
    print(f"| … in seconds | {share.busy:.1f} of {share.elapsed:.1f} |")
    print(f"| trials that broke down, whose last seconds that lacks | {share.broken} |")
    print(f"| the same of the first trials | {share.first_busy:.1f} s of {share.first:.1f} |")
    print(f"| idle at the tail | {share.tail:.1f} s |")
    print(f"| evaluations, of training and evaluation | {evaluating / busy:.0%} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, help="(default: 12; with --real, 10)")
    parser.add_argument("--reports", type=int, default=20, help="of a trial (default: 20)")
    parser.add_argument("--pairs", type=int, default=2, help="turns of each (default: 2)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="trials at a time")
    parser.add_argument("--real", metavar="DATA", help="a real search, of this folder or phantom")
    parser.add_argument("--epochs", type=int, default=90, help="of --real (default: 90)")
    args = parser.parse_args()
    args.trials = args.trials or (10 if args.real else 12)
    real(args) if args.real else free(args)


if __name__ == "__main__":
    main()
