"""What writing a study to MLflow costs, and what training loses meanwhile: `make bench-publish`.

First, trials that were never trained, with reports and sample grids as real ones have them (64
pixels, a row of 8 for each of 2 classes), are written to a new SQLite store at one go, as
`search.publish` does.

Then as in a search: a process for each worker trains the default configuration on one thread (32
pixels, artificial films, and its backbone), while this process takes their evaluations' reports,
writes the study's database, and has MLflow written by a process beside it: an evaluation of each
worker every `--pace` seconds. Blocks with that and without take turns, so that what else the
machine does falls on both alike. Training is measured in images a second of wall clock, all workers
together; the CPU time of both processes says what was there to lose, with less noise.

    python -m benchmarks.publish [--trials 100] [--evaluations 20]
                                 [--blocks 6] [--seconds 60] [--pace 30] [--workers 2]

`--trials 0` leaves the first part out, `--blocks 0` the second.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.free_trials import TASK, free_report, new_study, seconds_of, study_config
from search.proposals.ledger import Entry, Ledger
from search.tracking.projection import Projection, check
from search.tracking.tracker import RemoteProjection, Tracker
from spaces.catalog import full
from trainable.data.sheets import draw_grid, grid_file
from trainable.trial.report import Status, trial_folder
from trainable.trial.trial import GRID_COLUMNS

PIXELS, TRAINED_PIXELS = 64, 32
STARTED = 600
"""Seconds that the workers may take for their first step."""


class Study:
    """A study whose evaluations are made up; its grids show images of the training set."""

    def __init__(self, folder: Path, trials: int, evaluations: int):
        from trainable.data.sources import load

        folder.mkdir()
        self.folder, self.evaluations = folder, evaluations
        config = study_config(folder.name, trials, evaluations, prune=True)
        config = replace(config, sampler="random")
        study, self.storage = new_study(folder, config)
        self.ledger = Ledger(config, study, self.storage)
        self.rng = np.random.default_rng(0)
        data = load("phantom", PIXELS)
        self.images = [data.images[data.labels == label] for label in range(len(data.classes))]

    def draw(self) -> Entry:
        """The next trial."""
        entry = self.ledger.draw(full, TASK)
        assert entry is not None
        return entry

    def evaluate(self, entry: Entry, at: int) -> None:
        """Evaluation `at` (from 1) of a trial: its grid, its report, and with the last its end."""
        report = free_report(entry.number, entry.params, at, self.evaluations)
        file = grid_file(trial_folder(self.folder / "trials", entry.number), report["epoch"])
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = [images[self.rng.integers(len(images), size=GRID_COLUMNS)] for images in self.images]
        draw_grid(np.concatenate(rows), GRID_COLUMNS).save(file)
        self.ledger.report(entry, report)
        if at == self.evaluations:
            self.ledger.end(entry, Status.COMPLETE)

    def close(self) -> None:
        """Write what is not yet written."""
        self.ledger.close()
        assert self.ledger.problem is None, self.ledger.problem


def new_store(folder: Path) -> str:
    """An MLflow store with its tables, which are not what is measured."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    problem = check(uri)
    assert problem is None, problem
    return uri


def at_one_go(folder: Path, args: argparse.Namespace) -> None:
    """Write a whole study, and print what that took."""
    study = Study(folder / "whole", args.trials, args.evaluations)
    for _ in range(args.trials):
        entry = study.draw()
        for at in range(1, args.evaluations + 1):
            study.evaluate(entry, at)
    study.close()
    uri = new_store(folder)
    began, worked = time.perf_counter(), time.process_time()
    Projection(study.folder, study.storage.url, uri).sync("FINISHED")
    seconds, cpu = time.perf_counter() - began, time.process_time() - worked
    files = [path for path in (folder / "mlartifacts").rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    print(
        f"{args.trials} trials of {args.evaluations} evaluations with grids: {seconds:.1f} s "
        f"({cpu:.1f} s CPU), {1000 * seconds / args.trials:.0f} ms a trial; {len(files)} files of "
        f"{size / 1e6:.1f} MB, database {(folder / 'mlflow.db').stat().st_size / 1e6:.1f} MB"
    )


def train(counts: Any, place: int) -> None:
    """A worker: train until it is killed, and keep count of the images."""
    import torch

    from spaces.presets import BACKBONE, default
    from trainable.data.sources import load
    from trainable.gan.config import TrialConfig
    from trainable.gan.run import Run
    from trainable.pretrained.backbones import backed_task, load_backbone

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    data, backbone = load("phantom", TRAINED_PIXELS), load_backbone(BACKBONE)
    config = TrialConfig.from_params(default(backed_task(data.task, backbone)))
    run = Run(config, data, seed=place, backbone=backbone)
    while True:
        run.train_step()
        counts[place] = run.images_seen


@contextmanager
def training(workers: int) -> Iterator[Callable[[], int]]:
    """Worker processes at work; gives how many images they have trained on in all."""
    context = multiprocessing.get_context("spawn")
    counts = context.Array("q", workers, lock=False)  # each place has one writer
    processes = [
        context.Process(target=train, args=(counts, place), daemon=True) for place in range(workers)
    ]
    for process in processes:
        process.start()
    try:
        deadline = time.monotonic() + STARTED
        while not all(counts):
            assert all(process.is_alive() for process in processes), "a worker died"
            assert time.monotonic() < deadline, "the workers do not start"
            time.sleep(0.1)
        yield lambda: sum(counts)
    finally:
        for process in processes:
            process.kill()
            process.join()


class Evaluations:
    """The workers' evaluations, as they come in at a search's pace."""

    def __init__(self, study: Study, tracker: Tracker, args: argparse.Namespace):
        self.study, self.tracker = study, tracker
        self.between = args.pace / args.workers
        self.live = [(study.draw(), 0) for _ in range(args.workers)]
        self.heard = 0

    def come_in(self, seconds: float) -> None:
        """For so long; the thread of the tracker has written them at the end."""
        until = time.monotonic() + seconds
        due = time.monotonic() + self.between / 2
        while due < until:
            time.sleep(max(0.0, due - time.monotonic()))
            entry, at = self.live.pop(0)
            self.study.evaluate(entry, at + 1)
            self.tracker.wake()
            self.heard += 1
            over = at + 1 == self.study.evaluations
            self.live.append((self.study.draw(), 0) if over else (entry, at + 1))
            due += self.between
        time.sleep(max(0.0, until - time.monotonic()))
        assert self.tracker.flush(), self.tracker.problem


def meanwhile(folder: Path, args: argparse.Namespace) -> None:
    """Train with and without the publishing, and print both rates and their ratio."""
    study = Study(folder / "paced", 10**6, args.evaluations)
    projection = RemoteProjection(study.folder, study.storage.url, new_store(folder))
    tracker = Tracker(projection)
    tracker.start()
    evaluations = Evaluations(study, tracker, args)
    assert tracker.flush(), tracker.problem
    kinds: dict[str, Callable[[float], object]] = {
        "without": time.sleep, "with": evaluations.come_in
    }  # fmt: skip
    rates: dict[str, list[float]] = {kind: [] for kind in kinds}
    cpu = spent = 0.0

    def cpu_so_far() -> float:
        return time.process_time() + seconds_of(projection)

    with training(args.workers) as images:
        for block in range(2 * args.blocks):
            # ABBA: what drifts steadily falls on both alike.
            kind = "with" if block % 4 in (1, 2) else "without"
            before, began, worked = images(), time.perf_counter(), cpu_so_far()
            kinds[kind](args.seconds)
            seconds = time.perf_counter() - began
            rates[kind].append((images() - before) / seconds)
            if kind == "with":
                cpu += cpu_so_far() - worked
                spent += seconds
    study.close()
    assert tracker.close(), tracker.problem
    ratios = sorted(a / b for a, b in zip(rates["with"], rates["without"], strict=True))
    print(
        f"{args.workers} workers, an evaluation of each every {args.pace:g} s: training goes at "
        f"{statistics.median(rates['with']):.0f} images/s, without publishing at "
        f"{statistics.median(rates['without']):.0f}; ratio {statistics.median(ratios):.3f} "
        f"({ratios[0]:.3f} to {ratios[-1]:.3f}, {args.blocks} pairs of {args.seconds:g} s)"
    )
    print(
        f"driver and MLflow's process: {1000 * cpu / max(1, evaluations.heard):.0f} ms CPU an "
        "evaluation, "
        f"{cpu / spent / (os.cpu_count() or 1):.2%} of {os.cpu_count()} cores"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=100, help="to write (default: 100)")
    parser.add_argument("--evaluations", type=int, default=20, help="of a trial (default: 20)")
    parser.add_argument("--blocks", type=int, default=6, help="with, and without (default: 6)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of a block (default: 60)")
    parser.add_argument("--pace", type=float, default=30.0, help="of a worker (default: 30)")
    parser.add_argument("--workers", type=int, default=2, help="(default: 2)")
    args = parser.parse_args()
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    print(f"{os.cpu_count()} cores, load {load}")
    for part, wanted in ((at_one_go, args.trials), (meanwhile, args.blocks)):
        if wanted:
            with tempfile.TemporaryDirectory() as folder:
                part(Path(folder), args)


if __name__ == "__main__":
    main()
