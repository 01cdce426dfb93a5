"""The leaderboard: what a search found, best first, with what each score is held against."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table

from search.study.config import StudyConfig
from search.study.gates import Gate, failed_gates, gates_of, shortfall
from search.study.records import TrialRecord, short
from spaces.task import Params
from trainable.basics.terminal import printable
from trainable.metrics.independent import agreement
from trainable.metrics.intervals import Interval
from trainable.metrics.seed_noise import FID_NOISE, told_apart
from trainable.tracking.names import FRESH_IMAGES, fresh_score
from trainable.trial.evaluation import Assessment
from trainable.trial.objective import Objective
from trainable.trial.pareto import order
from trainable.trial.report import CAS
from trainable.trial.yardstick import Yardstick

SHOWN = 10
"""Rows on the terminal; the file has them all."""


@dataclass(frozen=True)
class Row:
    """A trial's place.

    Attributes:
        rank: from 1: assessed trials that pass the gates, by their fresh objective, then assessed
            ones that do not, then the rest by the search's objective; of two goals by
            `trainable.trial.pareto.order`. Ties by FID stand by KID, which unlike FID does not
            improve where images vary less.
        record: the trial.
        assessment: its scores on fresh latents, for the best trials.
        gates: the study's.
        failed: those of them that it does not pass, in words.
        tie: whether its configuration cannot be told from that which scores best; not of the
            first row. FID tells it where they differ by more than two trainings of one
            configuration may; how far those lie apart in another objective is not known, so that
            nothing is told by one.
        over_floor: FID, fresh where there is one, over the floor.
    """

    rank: int
    record: TrialRecord
    assessment: Assessment | None
    gates: tuple[Gate, ...]
    failed: tuple[str, ...]
    tie: bool
    over_floor: float

    @property
    def wins(self) -> bool:
        """Whether the trial is a winner: assessed, and through the gates."""
        return self.assessment is not None and not self.failed


def candidates(records: list[TrialRecord]) -> list[TrialRecord]:
    """Trials that may win, by their last objective: those that pass the gates at their last
    evaluation first, and complete ones before those stopped on the way.

    A trial that ASHA or the clock stopped had shown less training; it is taken only where too few
    trials ran to the end.
    """
    scored = [r for r in records if r.goals and not r.status.infeasible]
    complete = [r for r in scored if r.status == "complete"]
    stopped = [r for r in scored if r.status != "complete"]
    gates = gates_of(records)
    passing = [r for r in complete if may_pass(r, gates)]
    failing = [r for r in complete if not may_pass(r, gates)]
    return _best_first(passing) + _best_first(failing) + _best_first(stopped)


def may_pass(record: TrialRecord, gates: Sequence[Gate]) -> bool:
    """Whether a trial ran to the end, and passed there the gates that an evaluation tells of."""
    return record.status == "complete" and not shortfall(record.last or {}, gates)


def _best_first(records: list[TrialRecord]) -> list[TrialRecord]:
    """Trials with scores, by their last objective."""
    places = order(np.array([r.goals for r in records])) if records else []
    return [records[i] for i in places]


def rank(
    records: list[TrialRecord],
    assessed: Mapping[int, Assessment],
    objective: Objective,
    yardstick: Yardstick,
) -> list[Row]:
    """All trials, best first; those without a score come last, by number."""
    gates = gates_of(records)
    faults = {number: failed_gates(found.scores, gates) for number, found in assessed.items()}
    known = [record for record in records if record.number in assessed]
    failing = [record for record in known if faults[record.number]]
    passing = [record for record in known if record not in failing]
    rest = [record for record in records if record not in known]
    untrained = yardstick["untrained"]
    parts = [_by_fresh(part, assessed, objective, untrained) for part in (passing, failing) if part]
    ranked = [record for part, _ in parts for record in part]
    ranked += _best_first([r for r in rest if r.goals]) + [r for r in rest if not r.goals]
    ties = {record.number for _, tied in parts[:1] for record in tied if record != ranked[0]}
    rows: list[Row] = []
    for record in ranked:
        found = assessed.get(record.number)
        fid = found.fid.mean if found else record.fid
        rows.append(
            Row(
                rank=len(rows) + 1,
                record=record,
                assessment=found,
                gates=gates,
                failed=faults.get(record.number, ()),
                tie=record.number in ties,
                over_floor=fid / yardstick["floor"],
            )
        )
    return rows


def _by_fresh(
    part: list[TrialRecord],
    assessed: Mapping[int, Assessment],
    objective: Objective,
    untrained: Mapping[str, float],
) -> tuple[list[TrialRecord], list[TrialRecord]]:
    """Assessed trials, best first, and those of them that cannot be told from the best."""
    found = [assessed[record.number] for record in part]
    means = [{**f.scores, **{name: i.mean for name, i in f.intervals.items()}} for f in found]
    places = order(np.array([objective.values(of, untrained) for of in means])).tolist()
    goals, best = [goal.text for goal in objective.goals], found[places[0]].fid
    tied = [i for i in places if "fid" not in goals or not told_apart([best], [found[i].fid])]
    if goals == ["fid"]:
        tied.sort(key=lambda i: found[i].kid.mean)
        places = tied + [i for i in places if i not in tied]
    return [part[i] for i in places], [part[i] for i in tied]


def differing(rows: list[Row]) -> list[str]:
    """The parameters that do not have one and the same value in every trial."""
    names = sorted({name for row in rows for name in row.record.params})
    return [n for n in names if len({str(row.record.params.get(n)) for row in rows}) > 1]


def write_csv(path: Path, rows: list[Row]) -> None:
    """Write every trial, a column for each score and for each parameter that differs.

    Columns ``fresh/…`` are of the assessment, on ``fresh_images`` images, of which the set as a
    whole is judged by as many as have the real classes' proportions; ``fresh_fid_mean``,
    ``_low`` and ``_high`` are what one evaluation would give of it and the ends of the 95 %
    interval, and likewise of ``kid``, and of ``cas`` where images are held back.
    """
    params = differing(rows)
    records = [_flat(row, params) for row in rows]
    names = list(dict.fromkeys(name for record in records for name in record))
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, names, restval="")
        out.writeheader()
        out.writerows(records)


def _flat(row: Row, params: list[str]) -> dict[str, object]:
    record, found = row.record, row.assessment
    out: dict[str, object] = {
        "rank": row.rank,
        "trial": record.number,
        "status": record.status.value,
        "objective": record.objective,
        "fid": record.fid,
        "fid_over_floor": row.over_floor,
        "tie": "yes" if row.tie else "",
        "failed_gates": "; ".join(row.failed),
        **{k: v for k, v in (record.last or {}).items() if k not in ("status", "objective", "fid")},
        **{name: record.params.get(name, "") for name in params},
        "reason": record.reason,
    }
    if found:
        out |= found.ends
        out |= {FRESH_IMAGES: found.generated}
        out |= {fresh_score(k): v for k, v in found.scores.items()}
    return {k: _number(v) for k, v in out.items()}


def _number(value: object) -> object:
    """A figure to six digits; nothing for what is no finite number."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else ""
    return value


def table(rows: list[Row], config: StudyConfig, yardstick: Yardstick) -> Table:
    """The best rows, within the 80 columns of a plain terminal; the file has every score."""
    objective = Objective.parse(config.objective)
    goals = " and ".join(goal.name for goal in objective.goals)
    title = (
        f"{config.name}, ranked by {goals}. FID: {yardstick['protocol']}, "
        f"{yardstick['n_generated']} generated"
    )
    held = yardstick.get("cas")
    caption = (
        f"floor {yardstick['floor']:.1f} (real against real), untrained generator "
        f"{yardstick['untrained']['fid']:.1f}. fresh: new latents, 95 % interval of this "
        f"generator. {_ties(objective)} KID x 1000, fresh where "
        "there is one. "
    )
    if held is None:
        caption += (
            "class: share of images that a small classifier, trained on "
            f"{'held-out' if config.held_out_digest else 'the same'} real images, assigns to the "
            f"right class; for real ones {yardstick['witness']:.0%}. "
        )
    else:
        caption += (
            "CAS, in %: what classifiers of the generated images get right of the real ones that "
            f"are held back; those of the real training images {100 * held:.0f}. "
        )
    out = Table(
        title=title, caption=f"{caption}* fails a gate", title_justify="left",
        caption_justify="left", box=None, padding=(0, 1, 0, 0), pad_edge=False,
    )  # fmt: skip
    by_class = ("class",) if held is None else ("CAS", "fresh\nCAS")
    for name in (
        "", "trial", "FID", "fresh\nFID", "over\nfloor", "KID", "copy\nrate", *by_class, "epochs",
        "train\ns",
    ):  # fmt: skip
        out.add_column(name, justify="right", no_wrap=True)
    out.add_column("status", no_wrap=True)
    lasts = [row.record.last for row in rows[:SHOWN]]
    devices = [last.get("device", "") if last else "" for last in lasts]
    mixed = len(set(devices) - {""}) > 1  # seconds of one are not seconds of another
    if mixed:
        out.add_column("device")
    for row, device in zip(rows, devices, strict=False):
        out.add_row(*_cells(row, len(by_class) > 1), *[device] * mixed)
    return out


def differences(rows: list[Row], base: Params) -> Table:
    """In what the configurations of the rows differ from `base`: a line for each hyperparameter."""
    out = Table(
        title="Differences from the default", title_justify="left", box=None,
        padding=(0, 2, 0, 0), pad_edge=False,
    )  # fmt: skip
    out.add_column("", no_wrap=True)  # long values break rather than take the names' room
    for head in ("default", *(f"trial {row.record.number}" for row in rows)):
        out.add_column(head, justify="right", overflow="fold")
    every = [row.record.params for row in rows]
    names = dict.fromkeys(k for p in every for k, v in p.items() if base.get(k) != v)
    for name in names:
        values = ["" if p.get(name) == base.get(name) else short(p.get(name, "-")) for p in every]
        out.add_row(*map(printable, (name, short(base.get(name, "-")), *values)))
    return out


def _ties(objective: Objective) -> str:
    """What ``=`` means in the table."""
    known = [goal.text for goal in objective.goals if goal.text == "fid"]
    unknown = [goal.name for goal in objective.goals if goal.text not in known]
    said = "= not distinguishable from the best"
    if known:
        said += f" by FID, which another training moves by some {FID_NOISE.sd:.1%}"
    if unknown:
        mover = "one" if known else "another training"
        said += f"; how far {mover} moves {' and '.join(unknown)} is not known"
    return f"{said}{'' if unknown else '; these rank by KID'}."


def _cells(row: Row, held_back: bool) -> list[str]:
    record, last = row.record, row.record.last
    place = f"{row.rank}{'=' if row.tie else ' '}"
    if last is None:
        return [place, str(record.number), *[""] * (8 + held_back), record.status.value]
    found = row.assessment.intervals if row.assessment else {}
    kid = found["kid"].mean if found else last["kid"]
    by_class = [f"{agreement(last):.0%}"]
    if held_back:
        by_class = [f"{100 * last.get(CAS, math.nan):.0f}", _ends(found.get(CAS), 100)]
    return [
        place,
        str(record.number),
        f"{record.fid:.1f}",
        _ends(found.get("fid"), 1),
        f"{row.over_floor:.2f}",
        f"{1000 * kid:.1f}",
        f"{last['copy_rate']:.0%}",
        *by_class,
        str(last["epoch"]),
        f"{last['train_seconds']:.0f}",
        record.status.value + ("*" if row.failed else ""),
    ]


def _ends(known: Interval | None, scale: float) -> str:
    return f"{scale * known.low:.0f}-{scale * known.high:.0f}" if known else ""
