"""What one GPU does with this project, in parts; Ray need not be there.

    benchmarks/gpu.sh [--data FOLDER] [--out gpu.jsonl] [--within MINUTES]

Each part is a line of `--out` once it is done, and is not run again there. None begins that may not
end `--within` so many minutes: on a machine that is lent for ten at a time, the same command does
them all in two goes, in three with a search. One that fails is said, and does not keep the others
from running. At the end the tables of all parts are printed, and which are left.

- ``step``: images a second of the training step, against a plain DCGAN loop (`benchmarks.train`);
- ``packing``: so many trials at once, images a second together, with CUDA's multi-process service
  (MPS) and without;
- ``array``: so many plain DCGANs trained as one, against one by itself (`benchmarks.arrays`);
- ``evaluation``: where an evaluation's time goes, and the share that evaluations and checkpoints
  have of a trial of the default's length;
- ``memory``: what a trial holds; whether a process that runs out of memory disturbs its neighbour;
- ``quality``: FID after so many minutes of training;
- ``search``: where Ray is installed, a whole search of `--trials` trials within
  `--search-minutes`, and how its best and the default score on fresh images.

``--device cpu`` runs the same parts on a CPU, to try the script.
"""

from __future__ import annotations

import argparse
import csv
import functools
import gc
import importlib.util
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.arrays import contest as contest_of_arrays
from benchmarks.train import BACKBONE, contest, ratio
from spaces.presets import default
from trainable.basics.wording import format_duration
from trainable.data.sheets import draw_grid
from trainable.data.sources import load
from trainable.gan.config import TrialConfig
from trainable.gan.gpu_memory import limit_memory
from trainable.gan.run import Run
from trainable.pretrained.backbones import backed_task, load_backbone
from trainable.pretrained.extractors import load_extractor
from trainable.trial.checkpoints import Attempt
from trainable.trial.evaluation import Evaluator, real_set, witness_of

Row = dict[str, Any]
WARM_UP = 50  # steps, in which each kind of step is recorded
STEPS = 16  # between two looks at the clock
TIMES = 3  # that what is short is timed, after a first one
IMAGES, EVALUATIONS = 180_000, 18  # of a complete trial
TIGHT_MB = 256.0  # too little for a step of ten times the width


def a_run(options: argparse.Namespace, size: int, **changes: Any) -> Run:
    """The default configuration with its backbone, ready to train."""
    data, backbone = load(options.data, size), load_backbone(BACKBONE)
    params = default(backed_task(data.task, backbone)) | changes
    config = TrialConfig.from_params(params)
    return Run(config, data, seed=0, device=options.device, backbone=backbone)


def warmed(options: argparse.Namespace, size: int, **changes: Any) -> Run:
    """The same, once each kind of step is recorded."""
    run = a_run(options, size, **changes)
    for _ in range(WARM_UP):
        run.train_step()
    return run


def train_for(run: Run, seconds: float) -> float:
    """Train for so long; images a second."""
    seen, began = run.images_seen, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        for _ in range(STEPS - 1):
            run.train_step()
        run.train_step().tolist()  # waits for the device
    return (run.images_seen - seen) / spent


def step(options: argparse.Namespace, size: int) -> list[Row]:
    """See above."""
    data = load(options.data, size)
    found = contest(data, 3, options.seconds / 3, options.device)
    rows = []
    for each in found:
        times, *_ = ratio(each.rates, found[0].rates)
        rate = statistics.median(each.rates)
        rows.append({"": each.name, "pixels": size, "images / s": rate, "x the DCGAN loop": times})
    return rows


def packed(options: argparse.Namespace, size: int, ready: Any) -> float:
    """One of several processes that train at once; its images a second."""
    torch.set_num_threads(1)
    run = warmed(options, size)
    ready.wait(120)
    return train_for(run, options.seconds)


def packing(options: argparse.Namespace, size: int) -> list[Row]:
    """See above."""
    rows, spawn = [], multiprocessing.get_context("spawn")
    for service in (False, True):
        with multi_process_service(service and options.device == "cuda") as runs:
            for trials in options.packing if runs or not service else ():
                # A pool says so when a process dies, where a queue would be waited for.
                with ProcessPoolExecutor(trials, spawn) as pool, spawn.Manager() as manager:
                    ready = manager.Barrier(trials)
                    given = [(options, size, ready)] * trials
                    rates = list(pool.map(packed, *zip(*given, strict=True)))
                rows.append(
                    {"trials": trials, "MPS": runs, "pixels": size, "images / s": sum(rates)}
                )
    return [row | {"a trial": row["images / s"] / row["trials"]} for row in rows]


def array(options: argparse.Namespace, size: int) -> list[Row]:
    """See above."""
    data = load(options.data, size)
    rows = contest_of_arrays(data, options.packing, options.seconds / 3, 3, options.device)
    return [{"pixels": size, **row} for row in rows]


@contextmanager
def multi_process_service(wanted: bool) -> Iterator[bool]:
    """CUDA's service for the processes that are started in the block; whether it runs."""
    control = "nvidia-cuda-mps-control"
    with tempfile.TemporaryDirectory() as folder:
        places = {f"CUDA_MPS_{kind}_DIRECTORY": folder for kind in ("PIPE", "LOG")}
        there = wanted and shutil.which(control) is not None
        if not there or subprocess.run([control, "-d"], env=os.environ | places).returncode:
            yield False
            return
        os.environ.update(places)
        try:
            yield True
        finally:
            subprocess.run([control], input=b"quit\n", check=False)
            for name in places:
                del os.environ[name]


def evaluation(options: argparse.Namespace, size: int) -> list[Row]:
    """See above."""
    evaluator, run = evaluator_of(options.data, options.device, size), warmed(options, size)
    rate = train_for(run, options.seconds)
    labels, extractor = evaluator.labels, evaluator.extractor
    with tempfile.TemporaryDirectory() as folder:
        attempt = Attempt(Path(folder))
        images = run.sample(labels, seed=0)
        parts: dict[str, Callable[[], object]] = {
            "200 images": lambda: run.sample(labels, seed=0).cpu(),
            "their features": lambda: extractor(images).cpu(),
            "all of its scores": lambda: evaluator.scores(run, seed=0),
            "a grid": lambda: draw_grid(run.sample(labels[:16], seed=0).cpu().numpy(), 8).save(
                Path(folder, "grid.png")
            ),
            "a checkpoint": lambda: attempt.save(run.images_seen, {}, run.state()),
        }
        took = {name: seconds_of(part) for name, part in parts.items()}
    beside = EVALUATIONS * sum(took[name] for name in list(took)[2:])
    rows = [{"": name, "pixels": size, "ms": 1000 * spent} for name, spent in took.items()]
    share = beside / (beside + IMAGES / rate)
    return [*rows, {"": "share of a complete trial, %", "pixels": size, "ms": 100 * share}]


def seconds_of(part: Callable[[], object]) -> float:
    """The median time of a part."""
    took = []
    for _ in range(1 + TIMES):
        began = time.perf_counter()
        part()
        took.append(time.perf_counter() - began)
    return statistics.median(took[1:])


@functools.cache
def evaluator_of(images: str, device: str, size: int) -> Evaluator:
    """What scores runs on those images at that size."""
    data = load(images, size)
    extractor = load_extractor("efficientnet-lite0")[0].to(device)
    return Evaluator(data, extractor, real_set(data, extractor), witness_of(data, None, seed=0))


def neighbour(options: argparse.Namespace, size: int, told: Any) -> None:
    """A process that runs out of its memory again and again, until it is ended."""
    while True:
        limit_memory(options.device, TIGHT_MB)
        try:
            warmed(options, size, g_width=240, d_width=160, batch_size=128)
            told.put("one that has enough memory")
        except Exception as error:  # CUDA has many ways to say so
            told.put(f"one that fails ({str(error).splitlines()[0][:60]})")


def memory(options: argparse.Namespace, size: int) -> list[Row]:
    """See above."""
    gc.collect()  # of the parts before
    limit_memory(options.device, None)
    run = warmed(options, size)
    alone = train_for(run, options.seconds)
    gpu = options.device == "cuda"
    held = torch.cuda.max_memory_reserved() / 2**20 if gpu else float("nan")
    rows = [{"": "alone", "pixels": size, "images / s": alone, "MB held": held}]
    if not gpu:  # nothing limits a process there
        return rows
    spawn = multiprocessing.get_context("spawn")
    told = spawn.Queue()
    other = spawn.Process(target=neighbour, args=(options, size, told), daemon=True)
    other.start()
    try:
        said = told.get(timeout=120)
        beside = train_for(run, options.seconds)
    finally:
        other.kill()
    finite = all(value.isfinite().all() for value in run.G.state_dict().values())
    state = f"beside {said}; weights {'finite' if finite else 'not finite'}"
    return [*rows, {"": state, "pixels": size, "images / s": beside, "MB held": held}]


def quality(options: argparse.Namespace, size: int) -> list[Row]:
    """See above."""
    evaluator, run = evaluator_of(options.data, options.device, size), a_run(options, size)
    rows, spent = [], 0.0
    for minutes in sorted(options.minutes):
        rate = train_for(run, 60 * minutes - spent)
        spent = 60 * minutes
        scores = evaluator.scores(run, seed=0)
        rows.append({
            "pixels": size, "minutes": minutes, "thousand images": run.images_seen / 1000,
            "images / s": rate, "FID": scores["fid"], "diversity": scores["diversity"],
            "copies": scores["copy_rate"], "real images": evaluator.data.n,
        })  # fmt: skip
    return rows


def search(options: argparse.Namespace, size: int) -> list[Row]:
    """See above."""
    with tempfile.TemporaryDirectory() as output:
        command = [
            sys.executable, "-m", "search.run", "--space", "full", "--data", options.data,
            "--image-size", str(size), "--trials", str(options.trials),
            "--time-budget", f"{options.search_minutes:g}m", "--study", "gpu",
            "--output", output, "--address", "local", "--progress", "plain",
        ]  # fmt: skip
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
        spent = time.perf_counter() - began
        with Path(output, "gpu", "leaderboard.csv").open() as file:
            found = list(csv.DictReader(file))
    best, usual = found[0], next(row for row in found if row["trial"] == "0")
    return [{
        "trials": len(found), "pixels": size, "seconds": spent, "best": best["trial"],
        "its fresh FID": best["fresh_fid_mean"], "the default's": usual["fresh_fid_mean"] or "-",
        "the default is": usual["status"],
    }]  # fmt: skip


PARTS: dict[str, tuple[Callable[[argparse.Namespace, int], list[Row]], float]] = {
    "step": (step, 30), "packing": (packing, 20), "array": (array, 5),
    "evaluation": (evaluation, 25), "memory": (memory, 40), "quality": (quality, 30),
    "search": (search, 60),
}  # fmt: skip
"""Each part, and seconds that it takes beside what the flags say: each number of packing's and
array's does."""


def wanted(options: argparse.Namespace) -> list[tuple[str, int, float]]:
    """All parts: name, image size, and seconds that it may take."""
    numbers = len(options.packing)
    rounds = {"packing": (2 if options.device == "cuda" else 1) * numbers, "array": numbers}
    more = {"quality": 60 * max(options.minutes), "search": 60 * options.search_minutes}
    more |= {name: times * options.seconds for name, times in rounds.items()}
    small, *_ = options.image_sizes
    parts = [
        (name, size, seconds * rounds.get(name, 1) + more.get(name, 0.0))
        for name, (_, seconds) in PARTS.items()
        for size in ([small] if name in ("packing", "search") else options.image_sizes)
    ]
    if importlib.util.find_spec("ray") is None:
        parts = [part for part in parts if part[0] != "search"]
    return parts


def show(kept: dict[str, list[Row]], console: Console) -> None:
    """Print a table for each kind of part."""
    for name in PARTS:
        rows = [row for key, found in kept.items() if key.split()[0] == name for row in found]
        if rows:
            table = Table(*rows[0], title=name, box=None, title_justify="left")
            for row in rows:
                cells = (f"{x:.4g}" if isinstance(x, float) else str(x) for x in row.values())
                table.add_row(*cells)
            console.print(table)


def main() -> None:
    """The command line."""
    sizes, packing, minutes = [64, 128], [1, 2, 4, 8, 16], [1.0, 3.0]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", default="phantom", help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("gpu.jsonl"), help="(default: gpu.jsonl)")
    parser.add_argument("--within", type=float, default=9.0, help="minutes (default: 9)")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--image-sizes", type=int, nargs="+", default=sizes, help="(64 128)")
    parser.add_argument("--packing", type=int, nargs="+", default=packing, help="trials at once")
    parser.add_argument("--minutes", type=float, nargs="+", default=minutes, help="of training")
    parser.add_argument("--seconds", type=float, default=6.0, help="of one measurement")
    parser.add_argument("--trials", type=int, default=100, help="of the search (default: 100)")
    parser.add_argument("--search-minutes", type=float, default=5.0, help="(default: 5)")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU that torch can use; --device cpu only tries the script")
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    console = Console(width=110, highlight=False)
    lines = options.out.read_text().splitlines() if options.out.exists() else []
    kept = {line["part"]: line["rows"] for line in map(json.loads, lines)}
    began, left = time.monotonic(), []
    for name, size, seconds in wanted(options):
        part = f"{name} {size}"
        if part in kept:
            continue
        if time.monotonic() - began + seconds > 60 * options.within:
            left.append(f"{part} ({format_duration(seconds)})")
            continue
        console.print(f"{part}, about {format_duration(seconds)}")
        try:
            kept[part] = PARTS[name][0](options, size)
        except Exception as error:
            traceback.print_exc()
            left.append(f"{part} ({type(error).__name__})")
            continue
        with options.out.open("a") as file:
            file.write(json.dumps({"part": part, "rows": kept[part]}) + "\n")
    where = torch.cuda.get_device_name() if options.device == "cuda" else "one CPU thread"
    console.print(f"\n{load(options.data, options.image_sizes[0]).name}, {where}")
    show(kept, console)
    if left:
        console.print(f"left: {', '.join(left)}; run the same command again")


if __name__ == "__main__":
    main()
