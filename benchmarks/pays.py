"""Does the search pay? What ways of searching find with equal epochs: `make bench-pays`.

    python -m benchmarks.pays [--seeds 50] [--budget 4320] [--plain] [--variants]

A search of minutes is replayed in a second on tabulated curves (see `benchmarks.curves`): two
workers that never wait, time in epochs, and the real classes. "This search" is `Ledger`,
`build_sampler`, `StudySearcher` and `StudyASHA`; "stock" is Tune's OptunaSearch as it comes, with
Tune's ASHAScheduler at the same rungs. Both are driven as Tune's controller does it: the result at
which a trial stops is told with its end alone, and a stock trial whose FID is NaN trains on. Stock
is asked for a trial when a worker is free; without `max_concurrent_trials` Tune would ask it ahead.
Both search the space that the table was made with (`benchmarks.curves_space`), and the default is
that of then: row 0.

A proposal's curve is that of the most similar row, so curves have the jumps and crossings of real
ones. Similar is what falls into the same leaves of a forest of trees fitted on FID. One row, not a
draw among several, which would add more noise than training twice does. As they stand (`--plain`)
rows have a best one, the hand-made default of all, and whoever proposes near that is done. So the
row is shifted by what a linear model says of the difference between proposal and row, and there is
better than the best row where single choices were better in the table.

What this can say: whether proposals, rungs, and what the sampler is told of stopped trials work
together; and what the default at the start is worth. What it cannot: how good the best possible
FID is (that is the model's word, and the model is weak: its validation is printed above the
results), gains by interactions that the table does not show, other data, lengths and spaces, what
NaN costs (no row broke down), and anything in seconds, as an epoch costs every configuration the
same here. Standard errors are over seeds; that of the table itself, one draw of rows, is larger.
"""

from __future__ import annotations

import argparse
import logging
import math
import statistics
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from scipy.stats import spearmanr

from benchmarks.curves import FILE, Curves, Landscape, load
from benchmarks.replay import (
    ETA,
    GRACE,
    MARKS,
    WORKERS,
    Contender,
    Found,
    ours,
    search,
    stock,
)
from search.proposals import ledger as ledger_module
from search.proposals.samplers import build_sampler
from trainable.trial.report import Status


def contenders(length: int) -> dict[str, Contender]:
    """The table's rows, with the default tried first and without."""
    random = partial(ours, sampler="random")
    ways = {
        "this search": ours,
        "stock Tune: OptunaSearch, ASHA": stock,
        "random, ASHA": random,
        "random, none stopped": partial(random, grace=length),
    }
    return {
        f"{name}{', default first' if first else ''}": Contender(partial(way, first=first))
        for first in (True, False)
        for name, way in ways.items()
    }


def _tpe(first: bool, **changes: Any) -> Contender:
    """This search with TPE's constructor arguments changed; the seeds stay."""

    def build(name: str, seed: int, number: int) -> Any:
        found: Any = build_sampler(name, seed, number)
        for key, value in changes.items():
            assert hasattr(found, f"_{key}")
            setattr(found, f"_{key}", value)
        return found

    return Contender(partial(ours, first=first), {"build_sampler": build})


_END = ledger_module.tell_end


def _told_complete(study: Any, trial: Any, status: Status, reason: str) -> None:
    """Tell a stopped trial as stock does: as complete, with its early FID."""
    _END(study, trial, Status.COMPLETE if status is Status.PRUNED else status, reason)


def variants(first: bool) -> dict[str, Contender]:
    """This search with one thing changed, or two."""
    this = partial(ours, first=first)
    told = {"tell_end": _told_complete}
    alone = _tpe(first, group=False)
    return {
        "as it is": Contender(this),
        "stopped told as complete": Contender(this, told),
        "conditional values by themselves": alone,
        "both, as in stock": Contender(this, told | alone.patches),
        "all values by themselves": _tpe(first, multivariate=False, group=False),
        "5 trials before TPE": _tpe(first, n_startup_trials=5),
        "20 trials before TPE": _tpe(first, n_startup_trials=20),
        "best fifth is good": _tpe(first, gamma=lambda n: min(math.ceil(0.2 * n), 25)),
        "best √n are good": _tpe(first, gamma=lambda n: min(math.ceil(math.sqrt(n)), 25)),
        "8 candidates": _tpe(first, n_ei_candidates=8),
        "96 candidates": _tpe(first, n_ei_candidates=96),
        "no constant liar": _tpe(first, constant_liar=False),
        "eta 2": Contender(partial(this, eta=2)),
        "eta 4": Contender(partial(this, eta=4)),
        "grace 24": Contender(partial(this, grace=24)),
        "grace 36": Contender(partial(this, grace=36)),
        "none stopped": Contender(partial(this, grace=108)),
    }


def groups(curves: Curves) -> dict[str, dict[str, Contender]]:
    """All tables' rows, by what precedes the table."""
    return {
        "ways": contenders(curves.evaluations[-1]),
        "This search with changes, the default tried first": variants(first=True),
        "This search with changes, the default not tried first": variants(first=False),
    }


_held: list[Any] = []


def _prepare(path: Path, plain: bool) -> None:
    """In each process, once."""
    warnings.simplefilter("ignore")
    logging.getLogger("ray.tune").setLevel(logging.ERROR)  # of every NaN that is told
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    curves = load(path)
    _held[:] = [curves, plain, Landscape(curves, plain)]


def _run(group: str, name: str, seed: int, budget: int) -> Found:
    curves, _, landscape = _held
    return search(groups(curves)[group][name], landscape, seed, budget)


def _left_out(row: int) -> tuple[float, float]:
    """FID at the end that the landscape and its model alone give row `row`, without having it."""
    curves, plain, _ = _held
    landscape = Landscape(curves.without(row), plain)
    values = curves.searched[row]
    return float(landscape.curve(values)[1][-1]), landscape.predicted(values)


def describe_table(curves: Curves, left_out: Sequence[tuple[float, float]]) -> None:
    """How much the table knows."""
    final = curves.fid[:, -1]
    broken = int(np.isnan(final).sum())
    whole = final[~np.isnan(final)]
    order = np.sort(whole)
    place = int((whole < final[0]).sum()) + 1
    print(
        f"{len(curves)} rows, {broken} broken down; FID at the end: lowest {order[0]:.1f}, "
        f"{order[1]:.1f}, {order[2]:.1f}, median {np.median(whole):.0f}, highest {order[-1]:.0f}; "
        f"the default, {final[0]:.1f}, is number {place}."
    )
    early = [
        f"{_rank(curves.fid[:, place], final):.2f} at {epoch}"
        for place, epoch in enumerate(curves.evaluations)
        if epoch in (GRACE, GRACE * ETA)
    ]
    looked, modelled = np.array(left_out).T
    print(
        f"Rank correlation with FID at the end: of FID at the rungs {', '.join(early)}; of what "
        f"the landscape gives for a row left out {_rank(looked, final):.2f}, of its model alone "
        f"{_rank(modelled, final):.2f}."
    )


def _rank(left: np.ndarray, right: np.ndarray) -> float:
    whole = ~np.isnan(left + right)
    return float(spearmanr(left[whole], right[whole])[0])  # pyright: ignore[reportArgumentType]


def table(runs: dict[str, list[Found]], default: float) -> None:
    """Markdown: means and standard errors over the seeds; differences are paired by seed."""
    base = next(iter(runs.values()))
    places = range(len(MARKS))
    shares = " | ".join(f"{100 * mark:.0f} %" for mark in MARKS)
    print(
        f"| Search | {shares} | minus the first | any, 100 % | better than the default | trials, "
        "complete | one row, the default's |"
    )
    print("|---" * (len(MARKS) + 6) + "|")
    for name, found in runs.items():
        cells = [_mean([f.complete[i] for f in found]) for i in places]
        gaps = [f.complete[-1] - b.complete[-1] for f, b in zip(found, base, strict=True)]
        cells.append("" if found is base else _mean(gaps, "+"))
        cells.append(_mean([f.any[-1] for f in found]))
        better = (100 * statistics.mean(f.complete[i] < default for f in found) for i in places)
        cells.append(", ".join(f"{share:.0f}" for share in better) + " %")
        begun, completed = (
            statistics.mean(getattr(f, what) for f in found) for what in ("begun", "completed")
        )
        cells.append(f"{begun:.0f}, {completed:.0f}")
        one = statistics.mean(max(f.rows.values()) / f.begun for f in found)
        zero = statistics.mean(f.rows[0] / f.begun for f in found)
        cells.append(f"{100 * one:.0f} %, {100 * zero:.0f} %")
        print(f"| {name} | {' | '.join(cells)} |")


def _mean(values: list[float], sign: str = "") -> str:
    mean = statistics.mean(values)
    if not math.isfinite(mean):
        return f"none in {sum(not math.isfinite(v) for v in values)} of {len(values)}"
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{mean:{sign}.1f} ± {error:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=50, help="searches of each (default: 50)")
    parser.add_argument("--budget", type=int, default=4320, help="epochs of one (default: 4320)")
    parser.add_argument("--plain", action="store_true", help="rows as they are, not shifted")
    parser.add_argument("--variants", action="store_true", help="this search with changes instead")
    parser.add_argument(
        "--table", type=Path, default=FILE, help=f"the curves (default: {FILE.name})"
    )
    args = parser.parse_args()
    curves = load(args.table)
    ways, *changes = groups(curves)
    with ProcessPoolExecutor(
        WORKERS, initializer=_prepare, initargs=(args.table, args.plain)
    ) as pool:
        describe_table(curves, list(pool.map(_left_out, range(len(curves)))))
        print(
            f"The default alone: {curves.fid[0, -1]:.1f} after {curves.evaluations[-1]} epochs.\n"
            f"Below, the best FID of a complete trial after shares of {args.budget} epochs; "
            f"{args.seeds} seeds, mean ± standard error."
        )
        for group in changes if args.variants else [ways]:
            print(f"\n{group}:\n" if args.variants else "", flush=True)
            runs = {
                name: list(
                    pool.map(partial(_run, group, name, budget=args.budget), range(args.seeds))
                )
                for name in groups(curves)[group]
            }
            table(runs, float(curves.fid[0, -1]))


if __name__ == "__main__":
    main()
