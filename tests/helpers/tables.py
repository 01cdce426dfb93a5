"""Tables of studies whose truth is planted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from analysis.study.rows import FRESH
from analysis.study.table import StudyTable
from trainable.tracking.names import IMPROVEMENT

GRACE = 10
ETA = 3
LENGTH = 90
NUMBERS = ("rank", *FRESH, *IMPROVEMENT, "copy_rate", "coverage")
"""Columns that are empty where nothing was assessed."""


def study(trials: dict[int, Any], **settings: str) -> StudyTable:
    """A table of trials: status, parameters, and (epoch, FID) of each evaluation; an epoch takes a
    second."""
    names = sorted({name for _, params, _ in trials.values() for name in params})
    rows, points = [], []
    for number, (status, params, curve) in trials.items():
        epoch, fid = curve[-1] if curve else (math.nan, math.nan)
        row = {"number": number, "status": status, "winner": math.nan, "fid": fid, "epoch": epoch}
        row |= {"train_seconds": epoch, "eval_seconds": 1.0, "failed": None, "reason": ""}
        row |= dict.fromkeys(NUMBERS, math.nan) | {"tie": False, "afresh": ()}
        rows.append(row | {f"params.{name}": params.get(name) for name in names})
        points += [
            {"number": number, "epoch": e, "fid": f, "train_seconds": float(e)} for e, f in curve
        ]
    known = {"grace": str(GRACE), "eta": str(ETA), "length": str(LENGTH), "resource": "epoch"}
    columns = ["number", "epoch", "fid", "train_seconds"]
    curves = pd.DataFrame(points, columns=columns)
    frame = pd.DataFrame(rows)
    frame["device"] = "cpu"
    return StudyTable("planted", "tiny/1", 200, 20.0, 300.0, frame, curves,
                      {**known, **settings})  # fmt: skip


def planted(n: int = 160, seed: int = 0) -> StudyTable:
    """A search with ASHA in which ``rate`` decides most, ``width`` less, and ``idle`` nothing.

    What is called ``patience`` decides how long a trial is trained and nothing else: three in ten
    trials are interrupted, at the second rung, by their patience.
    """
    rng = np.random.default_rng(seed)
    trials, at = {}, {GRACE: [], ETA * GRACE: []}
    for number in range(n):
        rate, width = 10 ** rng.uniform(-4, -2), int(rng.choice([8, 16, 32]))
        params = {"rate": rate, "width": width, "idle": rng.uniform(), "patience": rng.uniform()}
        params["mode"] = str(rng.choice(["a", "b", "c"]))
        if params["mode"] == "a":
            params["depth"] = int(rng.integers(1, 5))
        level = 200 * (math.log10(rate) + 3) ** 2 + 70 * (width == 8) + 3 * rng.standard_normal()
        curve, status = [], "complete"
        if rate > 10**-2.1:
            trials[number] = ("diverged", params, [])
            continue
        for epoch in (GRACE, ETA * GRACE, LENGTH):
            fid = 100 + level + 100 * math.exp(-epoch / 30)
            curve.append((epoch, fid))
            if epoch == ETA * GRACE and params["patience"] < 0.3:
                status = "interrupted"
                break
            if epoch in at:
                at[epoch].append(fid)
                if fid > np.quantile(at[epoch], 1 / ETA):
                    status = "pruned"
                    break
        trials[number] = (status, params, curve)
    return study(trials)
