"""Whether the best configuration is better than the default, from trainings that chose nothing.

A search picks what scored best, and what scored best was lucky as well: its score says more of it
than another training would. So both are trained again from other seeds, as often as the study has
`replicates`, and only these trainings are compared (`trainable.metrics.seed_noise`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import optuna
import ray
from ray.exceptions import RayError

from search.capacity.gpu_share import Capacity
from search.study.records import TrialRecord
from search.study.versions import settings_of
from search.tune.placement import away_from
from spaces.presets import default
from spaces.task import Params
from trainable.basics.progress import Progress
from trainable.basics.wording import counted, format_duration
from trainable.distributed.cluster import cause_of
from trainable.metrics.intervals import Interval
from trainable.metrics.seed_noise import FID_NOISE, p_value, ratio
from trainable.tracking.client import reason
from trainable.tracking.names import IMPROVEMENT
from trainable.trial.evaluation import Assessment
from trainable.trial.objective import Objective
from trainable.trial.trial import train_afresh
from trainable.trial.workload import Workload

AFRESH = "afresh"
"""The study's attribute that keeps what came of it."""
_FIRST = 10**6  # trials have lower numbers; a number seeds its training and names its folder
_DEFAULT = _FIRST - 1  # in place of a trial's number, whether or not the study tried the default


@dataclass(frozen=True)
class Improvement:
    """Of a trial's configuration over the default, in FID.

    Attributes:
        trial: the trial's number.
        best, usual: FID of the fresh trainings of its configuration, and of the default; none where
            all broke down.
        broken: how many of either broke down.
    """

    trial: int
    best: tuple[Interval, ...]
    usual: tuple[Interval, ...]
    broken: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, study: optuna.Study) -> Improvement | None:
        """What the study has of it; None where not both have been trained."""
        kept = study.user_attrs.get(AFRESH, {"trial": -1, "scores": {}})
        sides: tuple[list[Interval], list[Interval]] = [], []
        broken = [0, 0]
        for number, values in kept["scores"].items():
            if values is None:
                broken[is_usual(number)] += 1
            else:
                sides[is_usual(number)].append(Assessment.from_json(values).fid)
        found = cls(kept["trial"], tuple(sides[0]), tuple(sides[1]), (broken[0], broken[1]))
        return found if all(side or n for side, n in zip(sides, broken, strict=True)) else None

    @property
    def scores(self) -> dict[str, float]:
        """The same as numbers by name: shares of the default's FID, positive for better; none where
        all of one side broke down."""
        if not (self.best and self.usual):
            return {}
        found = ratio(self.usual, self.best)
        shares = 1 - found.mean, 1 - found.high, 1 - found.low
        return dict(zip(IMPROVEMENT, (*shares, p_value(self.usual, self.best)), strict=True))

    def __str__(self) -> str:
        named = f"trial {self.trial}", "the default"
        broke = [
            f"{counted(number, 'fresh training')} of {name} broke down"
            for number, name in zip(self.broken, named, strict=True)
            if number
        ]
        if not (self.best and self.usual):
            return (
                f"whether trial {self.trial} is better than the default cannot be told: "
                f"{' and '.join(broke)}, and no other of it ended"
            )
        share, low, high, p = self.scores.values()
        trained = f"{len(self.best)} + {len(self.usual)} trainings that chose nothing"
        return (
            f"improvement of trial {self.trial} over the default: {share:.1%} in FID "
            f"(95 % {low:.1%} to {high:.1%}, p {p:.2g}; {'; '.join([trained, *broke])})"
        )


def is_usual(number: str) -> bool:
    """Whether the fresh training of that number is one of the default."""
    return int(number) % _FIRST == _DEFAULT


def compare_afresh(
    study: optuna.Study,
    best: TrialRecord,
    tried: Iterable[TrialRecord],
    workload: Workload,
    capacity: Capacity,
    progress: Progress,
    until: float | None = None,
    avoided: frozenset[str] = frozenset(),
) -> str | None:
    """Train both side by side on Ray, and keep each score in the study as it comes; returns why no
    more could be trained, or None.

    What the study has of the same trial and the same default is not trained again. No training
    begins that would end after `until`, in seconds since 1970, as far as the trainings of both that
    are among the `tried` tell.
    """
    config, where = settings_of(study), capacity.resources
    usual = default(workload.task)
    sides = {"trial": best.number, "default": usual}
    kept = study.user_attrs.get(AFRESH, {})
    scores = dict(kept["scores"]) if sides.items() <= kept.items() else {}
    # A checkpoint at each score: a few of them, so that an interrupted one does not begin anew.
    few = workload.evaluations[::-1][::6][::-1]
    # At full length each, whatever a trial of the search may take: else a slow one never counts.
    shared = ray.put(replace(workload, evaluations=few, max_seconds=None))
    task = ray.remote(num_cpus=where.cpus_per_trial, num_gpus=where.gpus_per_trial or 0)
    train = task(train_afresh).options(label_selector=away_from(avoided))
    owed = _owed(best, config.replicates, usual, scores)
    same = [best, *(r for r in tried if r.params == usual)]
    takes = max(_whole_seconds(record, config.length) for record in same)
    running: dict[ray.ObjectRef, int] = {}
    while True:
        if until is None or time.time() + takes < until:
            for number, params in islice(owed, capacity.workers - len(running)):
                running[train.remote(shared, number, params, config.winner_images)] = number
        if not running:
            return None
        [done], _ = ray.wait(list(running))
        try:
            found: Assessment | None = ray.get(done)
        except RayError as error:
            return reason(cause_of(error))
        scores[str(running.pop(done))] = None if found is None else found.to_json()
        study.set_user_attr(AFRESH, {**sides, "scores": scores})
        progress(len(scores), 2 * config.replicates)


def _whole_seconds(record: TrialRecord, length: int) -> float:
    """What a whole training of a trial takes, as far as the trial came; 0 without a report."""
    last = record.last
    if last is None:
        return 0.0
    return (last["train_seconds"] + last["eval_seconds"]) * length / last["resource"]


def _owed(
    best: TrialRecord, replicates: int, usual: Params, there: Mapping[str, object]
) -> Iterator[tuple[int, Params]]:
    """Numbers and configurations of the trainings that are lacking, in turn."""
    for replicate in range(1, replicates + 1):
        for number, params in ((best.number, best.params), (_DEFAULT, usual)):
            fresh = replicate * _FIRST + number
            if str(fresh) not in there:
                yield fresh, params


def say_of(
    study: optuna.Study, best: TrialRecord, tried: Iterable[TrialRecord], usual: Params, again: str
) -> str:
    """What can be said of the best trial and the default, which may be among those that were tried;
    `again` is the command that resumes."""
    if best.params == usual:
        return "the best configuration is the default itself"
    done = (r for r in tried if r.params == usual and r.status == best.status == "complete")
    record = next(done, None)
    price = ""
    if record is not None and settings_of(study).resource != "seconds":  # else they trained alike
        price = _price(best, record)
    found = Improvement.of(study)
    if found is not None and found.trial == best.number:
        return f"{found}{price}"
    told = "it"
    if record is not None:
        theirs, ours = ([Interval(fid, fid, fid)] for fid in (record.fid, best.fid))
        found = ratio(theirs, ours)
        if math.isfinite(found.high):
            told = (
                f"its last FID is {found.mean:.2f} times the default's ({found.low:.2f} to "
                f"{found.high:.2f} for other trainings), but it"
            )
    enough = max(2, settings_of(study).replicates)
    goals = Objective.parse(settings_of(study).objective).goals
    by_fid = [goal.text for goal in goals] == ["fid"]
    luck = (
        f"two trainings differ by some {FID_NOISE.sd:.0%} of FID"
        if by_fid
        else "how far another training moves that is not known"
    )
    return (
        f"whether trial {best.number} is better than the default is not known: {told} was chosen "
        f"for its {' and '.join(goal.name for goal in goals)}, and {luck}{price}. To train both "
        f"afresh{'' if by_fid else ' and compare their FID'}:\n  {again} --replicates {enough}"
    )


def _price(ours: TrialRecord, theirs: TrialRecord) -> str:
    """How long the best trial trained, for as many images as the default, and where both stood
    after equal time: in the search, where other trials shared the machine with both."""
    if not (ours.reports and theirs.reports):
        return ""
    told = f"; for as many images it trained {ours.pace / theirs.pace:.1f} times as long"
    end = min(r.reports[-1]["train_seconds"] for r in (ours, theirs))
    if end < max(r.reports[0]["train_seconds"] for r in (ours, theirs)):
        return f"{told} as the default"
    return (
        f"{told}, and after {format_duration(end)} of training each it had FID "
        f"{_fid_after(ours, end):.1f}, the default {_fid_after(theirs, end):.1f}"
    )


def _fid_after(trial: TrialRecord, seconds: float) -> float:
    """FID after so many seconds of training: between two evaluations a line in both logs."""
    curve = [(r["train_seconds"], r["fid"]) for r in trial.reports]
    return float(np.exp(np.interp(math.log(seconds), *np.log(curve).T)))
