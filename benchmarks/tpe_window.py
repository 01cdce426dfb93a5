"""What TPE finds when it sees a part of a long study, against all of it.

    python -m benchmarks.tpe_window [--trials 800] [--seen 50 150] [--seeds 8]

Simulated trials of the space `full`, one at a time, whose FID depends on four parameters. Each is
stopped at a tenth of its length unless it is among the best third so far, and the others complete.
`--seen` is the best complete ones, and the newest others, that TPE sees. Printed for both: the
least FID without noise of a complete trial, the median of the last hundred proposals', and the CPU
ms of these proposals. Mean and standard error over seeds, and of the paired differences.
"""

from __future__ import annotations

import argparse
import bisect
import time
from dataclasses import replace
from unittest import mock

import numpy as np

from benchmarks import free_trials as free
from search.proposals import tpe_window
from search.proposals.ledger import Ledger
from spaces.catalog import full
from trainable.trial.report import Status

REPORTS = 20
LAST = 100


def search(trials: int, seed: int, best: int, newest: int) -> list[float]:
    """The three figures of one search."""
    plain = free.study_config("tpe_window", trials, REPORTS, prune=True)
    config = replace(plain, seed=seed, sampler="tpe")
    ledger = Ledger(config, None, None)
    rung: list[float] = []
    complete: list[float] = []
    proposed, took = [], []
    with (
        mock.patch.object(tpe_window, "BEST", best),
        mock.patch.object(tpe_window, "NEWEST", newest),
    ):
        for number in range(trials):
            began = time.thread_time()
            entry = ledger.draw(full, free.TASK)
            took.append(time.thread_time() - began)
            if entry is None:
                continue
            noisy = 10**6 * (seed + 1) + number
            early, late = (free.free_report(noisy, entry.params, k, REPORTS) for k in (2, REPORTS))
            true = free.free_fid(entry.params, 1.0)
            proposed.append(true)
            ledger.report(entry, early)
            bisect.insort(rung, early["objective"])
            if rung.index(early["objective"]) > len(rung) / 3:
                ledger.end(entry, Status.PRUNED)
                continue
            ledger.report(entry, late)
            ledger.end(entry, Status.COMPLETE)
            complete.append(true)
    return [min(complete), float(np.median(proposed[-LAST:])), 1000 * float(np.mean(took[-LAST:]))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=800)
    parser.add_argument("--seen", type=int, nargs=2, default=[50, 150])
    parser.add_argument("--seeds", type=int, default=8)
    args = parser.parse_args()
    found: dict[str, list[list[float]]] = {"all": [], "a part": []}
    for seed in range(args.seeds):
        found["all"].append(search(args.trials, seed, args.trials, args.trials))
        found["a part"].append(search(args.trials, seed, *args.seen))
        print(f"seed {seed}: {found['all'][-1]} {found['a part'][-1]}", flush=True)
    rows = {name: np.array(rows) for name, rows in found.items()}
    rows["difference"] = rows["a part"] - rows["all"]
    print("\n| TPE sees | best FID | FID proposed at the end | ms a proposal |\n|---|---|---|---|")
    for name, row in rows.items():
        errors = row.std(axis=0, ddof=1) / np.sqrt(len(row))
        cells = (f"{m:.2f} ± {e:.2f}" for m, e in zip(row.mean(axis=0), errors, strict=True))
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
