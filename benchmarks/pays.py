"""Does the search pay? What ways of searching find for equal training: `make bench-pays`.

    python -m benchmarks.pays [--seeds 50] [--worlds table,model,ablation] [--ways NAME,...]
        [--marks 5,10,20,40]

A search of hours is replayed in a second on curves that cost nothing: two workers that never wait,
time in epochs, and the real classes. "auto" is what ``python -m search.run`` does, the next its
other samplers: `Ledger`, `build_sampler`, `StudySearcher` and `StudyASHA`; "stock" is Tune's
OptunaSearch as it comes, with Tune's ASHAScheduler at the same rungs. Both are driven as Tune's
controller does it: the result at which a trial stops is told with its end alone. All try the
default first, and search the space of the tabulated curves (`benchmarks.curves_space`). SMAC, NePS
and Syne Tune take part where they are installed (`benchmarks.peers`).

What is compared is the true FID, without noise, of the trial that looks best among those that were
trained to the end, or of the default before there is one: that is what a user takes home. In which
worlds: `benchmarks.worlds`. What this cannot say: how large gains are on real images, which real
training alone tells; what a search of seconds costs; and anything of spaces and lengths other than
the table's. Standard errors are over seeds, of differences paired by seed.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import math
import statistics
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from scipy.stats import spearmanr

from benchmarks.curves import FILE, Curves, Landscape, load
from benchmarks.peers import INSTALL, PEERS, missing
from benchmarks.replay import ETA, GRACE, MARKS, WORKERS, Found, Way, ours, search, stock
from benchmarks.worlds import WORLDS, build

WAYS: dict[str, Callable[[Curves, int], Way]] = {
    "auto": ours,
    "tpe": partial(ours, sampler="tpe"),
    "stock": stock,
    "random": partial(ours, sampler="random"),
    "gp": partial(ours, sampler="gp"),
    "auto without ASHA": partial(ours, grace=108),
    **PEERS,
}
HINT = f"to install it: {INSTALL}, then set PYTHONPATH=build/peers"
USUAL = ("auto", "tpe", "stock", "random")
SLOW = ("syne-tune cqr",)
"""Taken when named: over a second of CPU a trial, hours in all."""

_held: list[Any] = []


def _prepare(path: Path) -> None:
    """In each process, once."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)  # of every NaN that is told, of every start of a bracket
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    curves = load(path)
    _held[:] = [curves, Landscape(curves)]


def _run(world: str, way: str, marks: Sequence[int], seed: int) -> Found:
    curves, landscape = _held
    searching = WAYS[way](curves, seed)
    return search(searching, *build(world, landscape, seed), curves.evaluations, marks)


def _left_out(row: int) -> tuple[float, float]:
    """FID at the end that the landscape and its model alone give row `row`, without having it."""
    curves, _ = _held
    landscape = Landscape(curves.without(row))
    values = curves.searched[row]
    return float(landscape.curve(values)[1][-1]), landscape.predicted(values)


def describe_table(curves: Curves, left_out: list[tuple[float, float]]) -> None:
    """How much the table knows."""
    final = curves.fid[:, -1]
    early = [
        f"{_rank(curves.fid[:, place], final):.2f} at {epoch}"
        for place, epoch in enumerate(curves.evaluations)
        if epoch in (GRACE, GRACE * ETA)
    ]
    looked, modelled = np.array(left_out).T
    print(
        f"{len(curves)} rows; the default, {final[0]:.1f}, is number "
        f"{int((final < final[0]).sum()) + 1}. Rank correlation with FID at the end: of FID at the "
        f"rungs {', '.join(early)}; of what the landscape gives for a row left out "
        f"{_rank(looked, final):.2f}, of its model alone {_rank(modelled, final):.2f}."
    )


def _rank(left: np.ndarray, right: np.ndarray) -> float:
    whole = ~np.isnan(left + right)
    return float(spearmanr(left[whole], right[whole])[0])  # pyright: ignore[reportArgumentType]


def row(found: list[Found], base: list[Found], default: float) -> str:
    """Markdown: means of the true FID, and what is paired with the first way's.

    Where no trial is complete, as in the beginning of Hyperband, a user has the default.
    """
    cells = []
    for place in range(len(found[0].true)):
        true, first = (
            [default if math.isinf(f.true[place]) else f.true[place] for f in of]
            for of in (found, base)
        )
        better = 100 * statistics.mean(value < default - 0.01 for value in true)
        cell = f"{statistics.mean(true):.1f} ({better:.0f} %)"
        if found is not base:
            gaps = [t - b for t, b in zip(true, first, strict=True)]
            error = statistics.stdev(gaps) / math.sqrt(len(gaps)) if len(gaps) > 1 else math.nan
            cell += f", {statistics.mean(gaps):+.1f} ± {error:.1f}"
        cells.append(cell)
    begun, completed = (
        statistics.mean(getattr(f, n) for f in found) for n in ("begun", "completed")
    )
    each = statistics.mean(f.seconds / f.begun for f in found)
    return f"{' | '.join(cells)} | {begun:.0f}, {completed:.0f} | {each:.3f}"


def chosen(named: str) -> list[str]:
    """The ways of a flag's text; of an empty one the usual ones and the peers that are installed.

    Raises:
        ValueError: there is no such way, or its package is not installed.
    """
    absent = missing()
    ways = named.split(",") if named else [w for w in (*USUAL, *PEERS) if w not in (*absent, *SLOW)]
    for way in ways:
        if way not in WAYS:
            raise ValueError(f"no way {way}; there are {', '.join(WAYS)}")
        if way in absent:
            raise ValueError(f"{way} is not installed; {HINT}")
    return ways


def ascending(named: str) -> list[int]:
    """The numbers of a flag's text.

    Raises:
        ValueError: they are not whole numbers from 1 on, each larger than the one before.
    """
    try:
        marks = [int(mark) for mark in named.split(",")]
    except ValueError:
        marks = []
    if not marks or any(b <= a for a, b in itertools.pairwise([0, *marks])):
        raise ValueError(f"--marks is {named}, but takes whole numbers, each larger: 5,10")
    return marks


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=50, help="searches of each (default: 50)")
    parser.add_argument("--worlds", default=",".join(WORLDS), help="(default: %(default)s)")
    parser.add_argument(
        "--ways",
        default="",
        help=f"of {', '.join(WAYS)} (default: {','.join(USUAL)}, and the peers that are installed, "
        f"but for {', '.join(SLOW)})",
    )
    parser.add_argument(
        "--marks",
        default=",".join(map(str, MARKS)),
        help="complete trials' worth after which to look (default: %(default)s)",
    )
    parser.add_argument("--table", type=Path, default=FILE, help=f"(default: {FILE.name})")
    args = parser.parse_args()
    try:
        ways = chosen(args.ways)
        marks = ascending(args.marks)
    except ValueError as error:
        parser.error(str(error))
    curves = load(args.table)
    default = float(curves.fid[0, -1])
    with ProcessPoolExecutor(WORKERS, initializer=_prepare, initargs=(args.table,)) as pool:
        describe_table(curves, list(pool.map(_left_out, range(len(curves)))))
        print(
            f"True FID of the best-looking complete trial after so many complete trials' worth; in "
            f"brackets how often it is truly better than the default, {default:.1f}; then the "
            f"difference from the first row. {args.seeds} seeds."
        )
        if not args.ways and missing():
            print(f"Left out, as not installed: {', '.join(missing())}; {HINT}")
        for world in args.worlds.split(","):
            print(
                f"\n| {world} | {' | '.join(map(str, marks))} | trials, complete | CPU s a trial |",
                "|---" * (len(marks) + 3) + "|",
                sep="\n",
            )
            base: list[Found] = []
            for way in ways:
                found = list(pool.map(partial(_run, world, way, marks), range(args.seeds)))
                base = base or found
                print(f"| {way} | {row(found, base, default)} |", flush=True)


if __name__ == "__main__":
    main()
