"""The leaderboard: what a search found, best first, with what each score is held against."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from search.settings import StudyConfig
from search.study import TrialRecord

FreshScores = Mapping[int, tuple[float, float]]
"""Mean and standard deviation of FID on fresh latents, by trial number, for the winners."""


@dataclass(frozen=True)
class Row:
    """A trial's place.

    Attributes:
        rank: from 1; winners first, by their fresh score, then the rest by FID.
        record: the trial.
        fresh: mean and standard deviation of FID on fresh latents, for winners.
        over_floor: the fresh mean, or else FID, divided by the floor.
    """

    rank: int
    record: TrialRecord
    fresh: tuple[float, float] | None
    over_floor: float


def pick_winners(records: list[TrialRecord], k: int) -> list[TrialRecord]:
    """The k trials with the lowest last FID, complete ones before those stopped on the way.

    A trial that ASHA or the clock stopped had shown less training; it wins only where too few
    trials ran to the end.
    """
    scored = [r for r in records if math.isfinite(r.fid) and not r.status.infeasible]
    scored.sort(key=lambda r: (r.status != "complete", r.fid, r.number))
    return scored[:k]


def rank(records: list[TrialRecord], fresh: FreshScores, floor: float) -> list[Row]:
    """All trials that have a score, best first; those without one follow, by number."""

    def key(record: TrialRecord) -> tuple[bool, float, int]:
        if record.number in fresh:
            return False, fresh[record.number][0], record.number
        return True, record.fid, record.number

    rows = []
    for place, record in enumerate(sorted(records, key=key), start=1):
        score = fresh.get(record.number)
        fid = score[0] if score else record.fid
        rows.append(Row(place, record, score, fid / floor))
    return rows


def differing(rows: list[Row]) -> list[str]:
    """The parameters that do not have one and the same value in every trial."""
    names = sorted({name for row in rows for name in row.record.params})
    return [n for n in names if len({str(row.record.params.get(n)) for row in rows}) > 1]


def write_csv(path: Path, rows: list[Row]) -> None:
    """Write every trial, a column for each parameter that differs."""
    names = differing(rows)
    head = ["rank", "trial", "status", "fid", "fid_fresh", "fid_fresh_sd", "fid_over_floor"]
    head += ["epochs", "train_seconds", "eval_seconds", *names, "reason"]
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(head)
        for row in rows:
            record, last = row.record, row.record.last
            scores = [record.fid, *(row.fresh or ("", "")), row.over_floor]
            numbers = [_number(s) for s in scores]
            spent = [_number(last.get(k, "")) for k in ("train_seconds", "eval_seconds")]
            place = [row.rank, record.number, record.status.value]
            params = [record.params.get(name, "") for name in names]
            out.writerow([*place, *numbers, last.get("epoch", 0), *spent, *params, record.reason])


def _number(value: Any) -> Any:
    """A figure to four decimals; nothing for what is no finite number."""
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else ""
    return value


def table(rows: list[Row], config: StudyConfig, yardstick: Mapping[str, Any]) -> Table:
    """The best ten for the terminal."""
    title = f"{config.name}: FID ({yardstick['protocol']}, {yardstick['n_generated']} generated)"
    caption = (
        f"floor {yardstick['floor']:.1f} (real halves of {yardstick['floor_n']}), untrained "
        f"generator {yardstick['untrained']:.1f}; fresh: new latents, mean ± sd"
    )
    out = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    for name in ("rank", "trial", "FID", "fresh", "x floor", "epochs", "train s"):
        out.add_column(name, justify="right", no_wrap=True)
    out.add_column("status")
    for row in rows[:10]:
        record, last = row.record, row.record.last
        scored = math.isfinite(record.fid)
        out.add_row(
            str(row.rank),
            str(record.number),
            f"{record.fid:.1f}" if scored else "",
            f"{row.fresh[0]:.1f} ± {row.fresh[1]:.1f}" if row.fresh else "",
            f"{row.over_floor:.2f}" if scored else "",
            str(last.get("epoch", "")),
            f"{last['train_seconds']:.0f}" if last else "",
            record.status.value,
        )
    return out


def differences(row: Row, base: Mapping[str, Any]) -> str:
    """In what a trial differs from the configuration `base`: ``g_lr=0.00121, loss=hinge``."""
    changed = {k: v for k, v in row.record.params.items() if base.get(k) != v}
    shown = (f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in changed.items())
    return ", ".join(shown) or "nothing"
