"""A study's learning curves as a small table, which a search can be tried on in seconds.

    python -m benchmarks.curves STUDY [--output runs] [--out benchmarks/curves.csv.gz]

A row is a trial that was trained to the end or broke down: its number, its status, the values that
were searched for it (empty where the space did not ask), and FID at each evaluation (empty once it
had broken down). The study should propose at random and never stop a trial early; the default
configuration is its trial 0. `benchmarks/curves.csv.gz` is such a study of the full space:

    python -m search.run --study curves --space full --data small --image-size 32 \\
        --sampler random --seed 11 --trials 170 --epochs 108 --eval-every 12 --grace 108

where ``small`` are the 100 + 100 chest X-rays of the README, and FID is by efficientnet-lite0.
Space and default were those of its day, before there were backbones. `benchmarks.curves_space`
keeps that space, and row 0 that default's searched values, so the table serves on, whatever became
of the space.

For a table of today's space run the same with ``--backbone none``, and put that space, on that
task, into `benchmarks.curves_space`. That takes hours.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import RidgeCV

from benchmarks.curves_space import TASK, tabulated
from search.study.database import open_study
from search.study.folder import StudyFolder
from search.study.records import REPORT, read_record
from spaces.describe import describe
from spaces.recorder import Choice
from trainable.trial.report import Status

FILE = Path(__file__).with_name("curves.csv.gz")

TREES = 200
_FID = "fid_"


@dataclass(frozen=True)
class Curves:
    """A table of learning curves.

    Attributes:
        evaluations: the epochs at which trials were scored, ascending; the last one ends a trial.
        numbers: each row's number in its study.
        statuses: each row's status.
        searched: each row's searched values.
        fid: FID by row and evaluation; NaN once the trial had broken down.
    """

    evaluations: tuple[int, ...]
    numbers: tuple[int, ...]
    statuses: tuple[Status, ...]
    searched: tuple[dict[str, Any], ...]
    fid: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    def without(self, row: int) -> Curves:
        """The table less one row."""
        kept = [i for i in range(len(self)) if i != row]
        return Curves(
            self.evaluations,
            tuple(self.numbers[i] for i in kept),
            tuple(self.statuses[i] for i in kept),
            tuple(self.searched[i] for i in kept),
            self.fid[kept],
        )


class Landscape:
    """A learning curve for any configuration of the tabulated space, from a table of some.

    It is the curve of the most similar row: similar by a forest of extremely randomised trees
    (Geurts et al. 2006) fitted on log FID, in which each tree's vote for a row is divided by the
    size of the leaf they share (Lin and Jeon 2006), so that ties hardly occur. The curve
    is multiplied by what a linear model of log FID (ridge regression, its strength by
    leave-one-out) says of the difference between the configuration and the row. A row that broke
    down counts in both as the worst from there on.
    """

    def __init__(self, curves: Curves):
        self.curves = curves
        self._known = [(p.name, p.distribution) for p in describe(tabulated, TASK)]
        self._x = np.array([self.encode(values) for values in curves.searched])
        fid = np.where(np.isnan(curves.fid), np.nanmax(curves.fid, axis=0), curves.fid)
        y = np.log(fid)
        last = y.shape[1] - 1
        self._forest = ExtraTreesRegressor(
            TREES, max_features=0.6, min_samples_leaf=5, random_state=0
        ).fit(self._x, y[:, [0, min(2, last), last]])
        self._leaves = self._forest.apply(self._x)
        same = self._leaves[:, None] == self._leaves[None]
        self._sizes = same.sum(0)
        # For each evaluation its own, as some choices matter early and not late, or the reverse.
        strengths = np.logspace(-1, 3, 30)
        self._models = [RidgeCV(strengths).fit(self._x, column) for column in y.T]

    def encode(self, values: dict[str, Any]) -> list[float]:
        """Numbers from -1 to 1 and whether they are absent; of other choices, one for each."""
        found: list[float] = []
        for name, distribution in self._known:
            value = values.get(name)
            if isinstance(distribution, Choice):
                options = distribution.options
                if any(isinstance(option, bool | str) for option in options):
                    found += [float(value == option) for option in options]
                    continue
                share = options.index(value) / (len(options) - 1) if name in values else None
            elif value is None:
                share = None
            else:
                scale = math.log if distribution.log else float
                low, high = scale(distribution.low), scale(distribution.high)
                share = (scale(value) - low) / (high - low)
            found += [1.0, 0.0] if share is None else [0.0, 2 * share - 1]
        return found

    def curve(self, values: dict[str, Any]) -> tuple[int, np.ndarray]:
        """The row, and FID at each evaluation."""
        x = np.array(self.encode(values))
        single = x.astype(np.float32)[None]
        leaves = np.array([tree.tree_.apply(single)[0] for tree in self._forest.estimators_])
        row = int(((self._leaves == leaves) / self._sizes).sum(1).argmax())
        fid = self.curves.fid[row]
        change = x - self._x[row]
        return row, fid * np.exp([model.coef_ @ change for model in self._models])

    def predicted(self, values: dict[str, Any]) -> float:
        """FID at the end by the linear model alone."""
        return math.exp(self._models[-1].predict(np.array([self.encode(values)]))[0])


def read_study(output: Path, name: str) -> Curves:
    """The curves in the database of a study of the folder `output`.

    Raises:
        InputError: there is no such study.
    """
    study, _ = open_study(StudyFolder(output / name))
    rows = []
    evaluations: set[int] = set()
    for trial in study.get_trials(deepcopy=False):
        record = read_record(trial)
        if record.status is not Status.COMPLETE and not record.status.infeasible:
            continue
        found = {
            int(key.removeprefix(REPORT)): report["fid"]
            for key, report in trial.user_attrs.items()
            if key.startswith(REPORT) and "fid" in report
        }
        evaluations |= found.keys()
        rows.append((record, found))
    order = tuple(sorted(evaluations))
    fid = np.array([[found.get(e, np.nan) for e in order] for _, found in rows])
    return Curves(
        order,
        tuple(record.number for record, _ in rows),
        tuple(record.status for record, _ in rows),
        tuple(record.searched for record, _ in rows),
        fid.reshape(len(rows), len(order)),
    )


def write(curves: Curves, path: Path) -> None:
    """Write a table; equal tables make equal files."""
    names = sorted({name for values in curves.searched for name in values})
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["trial", "status", *names, *(f"{_FID}{e}" for e in curves.evaluations)])
    for number, status, searched, fid in zip(
        curves.numbers, curves.statuses, curves.searched, curves.fid, strict=True
    ):
        values = [_cell(searched[name]) if name in searched else "" for name in names]
        scores = ["" if np.isnan(score) else f"{score:.3f}" for score in fid]
        table.writerow([number, status.value, *values, *scores])
    path.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))


def load(path: Path = FILE) -> Curves:
    """Read a table that `write` wrote."""
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    scores = [name for name in rows[0] if name.startswith(_FID)]
    names = [name for name in rows[0] if name not in {"trial", "status", *scores}]
    return Curves(
        tuple(int(name.removeprefix(_FID)) for name in scores),
        tuple(int(row["trial"]) for row in rows),
        tuple(Status(row["status"]) for row in rows),
        tuple({name: _value(row[name]) for name in names if row[name]} for row in rows),
        np.array([[float(row[name] or "nan") for name in scores] for row in rows]),
    )


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(float(f"{value:.6g}") if isinstance(value, float) else value)


def _value(cell: str) -> Any:
    try:
        return json.loads(cell)
    except ValueError:
        return cell  # text is written as it is


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("study")
    parser.add_argument("--output", type=Path, default=Path("runs"), help="default: runs")
    parser.add_argument("--out", type=Path, default=FILE, help="default: benchmarks/curves.csv.gz")
    args = parser.parse_args()
    curves = read_study(args.output, args.study)
    write(curves, args.out)
    broken = sum(status.infeasible for status in curves.statuses)
    print(
        f"{len(curves)} curves of {len(curves.evaluations)} evaluations, {broken} of them broken "
        f"down: {args.out}, {args.out.stat().st_size / 1000:.0f} kB"
    )


if __name__ == "__main__":
    main()
