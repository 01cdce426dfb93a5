"""A table of learning curves on today's `full` space, near the default and far from it.

    python -m benchmarks.collect --data DATA [--hours 2] [--jobs 2] [--out benchmarks/table.jsonl]

Rows come in a fixed order that makes any beginning of the table a useful one: of every 23, eleven
vary the default in some values, eight are drawn from the whole space, two change one value, one
trains the default with another seed, and one repeats an earlier row with another seed. What the
file has is not trained again, so that a table can be collected over several evenings; a line is
written as a row ends. A row is trained as a search trains a trial, on one thread, and seconds are
its process's own CPU time, so other work on the machine disturbs neither.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import multiprocessing
import random
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from spaces.catalog import full
from spaces.describe import starting_point
from spaces.presets import BACKBONE, default
from spaces.recorder import Choice, Distribution, Interval, Recorder
from spaces.task import Params, Task
from trainable.data.sources import load
from trainable.gan.config import TrialConfig
from trainable.gan.run import DivergedError, Run
from trainable.pretrained.backbones import backed_task, load_backbone
from trainable.pretrained.extractors import load_extractor
from trainable.trial.evaluation import Evaluator, real_set, witness_of
from trainable.trial.report import Status

FILE = Path(__file__).with_name("table.jsonl")
EPOCHS = tuple(range(16, 145, 16))
"""When a row is scored: nine times in 144 epochs of 200 images, 28.8 thousand."""
SIZE = 32
SPREAD = 0.25
"""Standard deviation of a number that is varied, in shares of its range."""
KEPT = ("fid", "kid", "diversity", "coverage", "copy_rate")
"""Scores that a row has of each evaluation."""
ORDER = (
    "default", "near", "wide", "near", "wide", "near", "single", "near", "wide", "near", "wide",
    "near", "wide", "near", "repeat", "near", "wide", "near", "wide", "near", "single", "near",
    "wide",
)  # fmt: skip
"""Kinds of rows, over and over."""


@dataclass
class Row:
    """A configuration, and how it trained.

    Attributes:
        number: its place in the order.
        kind: one of `ORDER`.
        repeats: of a repeat, the row that it repeats.
        searched: the values that the space asked for.
        params: the whole configuration.
        status: how the training ended.
        seconds: core-seconds of training and evaluation up to each evaluation.
        scores: of each evaluation, by name; shorter if the training broke down.
    """

    number: int
    kind: str
    searched: Params
    params: Params = field(repr=False)
    repeats: int | None = None
    status: str = ""
    seconds: list[float] = field(default_factory=list)
    scores: dict[str, list[float]] = field(default_factory=dict)


def planned(number: int, task: Task) -> Row:
    """Row `number` before it is trained."""
    rng = random.Random(number)
    kind = ORDER[number % len(ORDER)]
    if kind == "repeat":
        earlier = [n for n in range(number) if ORDER[n % len(ORDER)] in ("near", "wide")]
        repeated = planned(rng.choice(earlier), task)
        return Row(number, kind, repeated.searched, repeated.params, repeated.number)
    usual = default(task)
    changed = rng.choice(list(starting_point(full, task, usual) or ()))

    def answer(name: str, distribution: Distribution) -> Any:
        value = usual.get(name)
        if kind == "wide" or value is None:
            return distribution.draw(rng)
        if kind == "near" or (kind == "single" and name == changed):
            return varied(distribution, value, rng, keep=0.7 if kind == "near" else 0.0)
        return value

    return Row(number, kind, *drawn(task, answer))


def drawn(task: Task, answer: Callable[[str, Distribution], Any]) -> tuple[Params, Params]:
    """Searched values and configuration of a draw from `full`."""
    recorder: Any = Recorder(answer)
    params = full(recorder, task)
    return dict(recorder.params), params


def varied(distribution: Distribution, value: Any, rng: random.Random, keep: float) -> Any:
    """Another value around `value`; with probability `keep` a choice stays."""
    if isinstance(distribution, Choice):
        if rng.random() < keep:
            return value
        return rng.choice([option for option in distribution.options if option != value])
    scale, back = (math.log, math.exp) if distribution.log else (float, float)
    low, high = scale(distribution.low), scale(distribution.high)
    while True:
        at = scale(value) + rng.gauss(0, SPREAD) * (high - low)
        if low <= at <= high:
            break
    return on_grid(distribution, back(at))


def on_grid(distribution: Interval, value: float) -> float:
    """The value that Optuna could draw nearest to this one."""
    value = min(max(value, distribution.low), distribution.high)
    step = distribution.step or (1.0 if distribution.whole else None)
    if step is not None:
        value = distribution.low + step * round((value - distribution.low) / step)
    return round(value) if distribution.whole else value


_held: list[Any] = []


def prepare(source: str) -> None:
    """In each process, once."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    data = load(source, SIZE)
    extractor, _ = load_extractor("efficientnet-lite0")
    backbone = load_backbone(BACKBONE)
    evaluator = Evaluator(
        data, extractor, real_set(data, extractor), witness_of(data, None, seed=0)
    )
    _held[:] = [data, backbone, evaluator]


def train(number: int) -> Row:
    """Train row `number` from the start."""
    data, backbone, evaluator = _held
    found = planned(number, backed_task(data.task, backbone))
    run = Run(TrialConfig.from_params(found.params), data, seed=number, backbone=backbone)
    began = time.process_time()
    found.status = Status.COMPLETE.value
    for epoch in EPOCHS:
        try:
            while run.epoch < epoch:
                run.train_epoch()
            scores = evaluator.scores(run, seed=0)
        except DivergedError:
            found.status = Status.DIVERGED.value
            break
        found.seconds.append(round(time.process_time() - began, 1))
        for name in KEPT:
            found.scores.setdefault(name, []).append(float(f"{scores[name]:.5g}"))
    return found


def read(path: Path) -> dict[int, Row]:
    """The rows of a table, by number."""
    if not path.exists():
        return {}
    rows = [Row(**{"params": {}, **json.loads(line)}) for line in path.read_text().splitlines()]
    return {row.number: row for row in rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", required=True, help="200 images")
    parser.add_argument("--rows", type=int, default=460, help="rows in all (default: 460)")
    parser.add_argument("--hours", type=float, default=math.inf, help="begin none after so long")
    parser.add_argument("--jobs", type=int, default=2, help="rows side by side (default: 2)")
    parser.add_argument("--out", type=Path, default=FILE, help=f"(default: {FILE.name})")
    options = parser.parse_args()
    there = read(options.out)
    wanted = iter([n for n in range(options.rows) if n not in there])
    began = time.monotonic()
    with ProcessPoolExecutor(
        options.jobs,
        multiprocessing.get_context("spawn"),
        initializer=prepare,
        initargs=(options.data,),
    ) as pool:
        running = {pool.submit(train, number) for number in itertools.islice(wanted, options.jobs)}
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                row = future.result()
                line = {k: v for k, v in asdict(row).items() if k != "params" and v is not None}
                with options.out.open("a") as file:
                    file.write(json.dumps(line, separators=(",", ":")) + "\n")
                print(row.number, row.kind, row.status, row.seconds[-1:], row.scores.get("fid"))
                if time.monotonic() - began < 3600 * options.hours:
                    running |= {pool.submit(train, n) for n in itertools.islice(wanted, 1)}


if __name__ == "__main__":
    main()
