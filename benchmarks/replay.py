"""A search replayed on tabulated curves in a second: the real classes, without Ray and training.

What is searched is the table's own space (`benchmarks.curves_space`), whatever became of it since.
Two workers never wait, and time is epochs: an epoch costs every configuration the same.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from benchmarks.curves import Curves
from benchmarks.curves_space import TASK, tabulated
from benchmarks.free_trials import study_config
from benchmarks.worlds import Noise, World
from search.proposals.ledger import Ledger
from search.tune.rungs import Rungs
from search.tune.scheduler import StudyASHA
from search.tune.searcher import StudySearcher
from trainable.trial.report import Status

MARKS = (5, 10, 20, 40)
"""Complete trials' worth of training after which is reported what was found."""

WORKERS = 2
GRACE, ETA = 12, 3
Values = dict[str, Any]


@dataclass
class Tune:
    """Tune's controller: what it asks of a searcher and a scheduler, and tells them, in its order.

    Attributes:
        searched: the searched values behind a config that the searcher suggested.
        result: what a trial reports, from the evaluation's place, its FID, and whether it is the
            last.
    """

    searcher: Searcher
    scheduler: Any
    searched: Callable[[Values], Values]
    result: Callable[[int, float, bool], dict[str, Any]]
    begun: int = 0

    def begin(self) -> tuple[Any, Values]:
        """The next trial, and its searched values."""
        key = f"{self.begun:05d}"
        self.begun += 1
        config = self.searcher.suggest(key)
        assert isinstance(config, dict)
        trial = SimpleNamespace(trial_id=key, config=config)
        self.scheduler.on_trial_add(None, trial)
        return trial, self.searched(config)

    def goes_on(self, trial: Any, place: int, fid: float, last: bool) -> bool:
        """Hand over a result; whether the trial goes on."""
        result = self.result(place, fid, last)
        stop = result["done"]
        stop = stop or self.scheduler.on_trial_result(None, trial, result) == TrialScheduler.STOP
        if not stop:
            self.searcher.on_trial_result(trial.trial_id, result)
            return True
        self.scheduler.on_trial_complete(None, trial, result)
        self.searcher.on_trial_complete(trial.trial_id, result=result)
        return False


def ours(
    curves: Curves, seed: int, *, sampler: str = "auto", grace: int = GRACE, eta: int = ETA
) -> Tune:
    """This project's search, which tries the default, row 0, first."""
    config = replace(
        study_config("pays", 10**6, 1, prune=False),
        space="tabulated", image_size=TASK.image_size, length=curves.evaluations[-1],
        eval_every=curves.evaluations[0], grace=grace, eta=eta, sampler=sampler, seed=seed,
    )  # fmt: skip
    drawn: Values = {}

    def space(trial: Any, task: Any) -> Values:
        params = tabulated(trial, task)
        drawn.clear()
        drawn.update(trial.params)
        return params

    def result(place: int, fid: float, last: bool) -> dict[str, Any]:
        report: dict[str, Any] = {"resource": curves.evaluations[place]}
        if math.isnan(fid):
            report["status"] = Status.DIVERGED.value
        else:
            report["objective"] = fid
            report["status"] = (Status.COMPLETE if last else Status.RUNNING).value
        done = report["status"] != Status.RUNNING
        seen = {k: report[k] for k in ("resource", "objective") if k in report}
        return {**seen, **{f"report/{k}": v for k, v in report.items()}, "done": done}

    ledger = Ledger(config, None, None)
    ledger._queue = [curves.searched[0]]
    searcher = StudySearcher(ledger, config, space, TASK, [], set())
    return Tune(searcher, StudyASHA(Rungs(config)), lambda _: dict(drawn), result)


def stock_space(trial: Any) -> None:
    """The same space, as OptunaSearch takes one."""
    tabulated(trial, TASK)


def stock(curves: Curves, seed: int) -> Tune:
    """What a user of Tune gets without this project."""
    searcher = OptunaSearch(
        stock_space, metric="fid", mode="min", seed=seed + 1,
        points_to_evaluate=[curves.searched[0]],
    )  # fmt: skip
    scheduler = ASHAScheduler(
        metric="fid", mode="min", max_t=len(curves.evaluations), grace_period=1,
        reduction_factor=ETA,
    )  # fmt: skip

    def result(place: int, fid: float, last: bool) -> dict[str, Any]:
        return {"training_iteration": place + 1, "fid": fid, "done": False}

    return Tune(searcher, scheduler, lambda config: config, result)


class Way(Protocol):
    """A way to search. A trial that it stopped and begins again goes on where it was."""

    def begin(self) -> tuple[Any, Values]:
        """The next trial, and its searched values."""
        ...

    def goes_on(self, trial: Any, place: int, fid: float, last: bool) -> bool:
        """Hand over an evaluation; whether the trial goes on."""
        ...


@dataclass
class Found:
    """What one search found.

    Attributes:
        seen: at each of the marks, the lowest FID of a trial trained to the end; infinite if none.
        true: that trial's FID without noise.
        begun, completed: trials.
        seconds: of CPU that the way took, not what it searches.
    """

    seen: list[float]
    true: list[float]
    begun: int = 0
    completed: int = 0
    seconds: float = 0.0


def search(
    way: Way,
    world: World,
    noise: Noise,
    evaluations: Sequence[int],
    marks: Sequence[int] = MARKS,
) -> Found:
    """Let two workers train until the last of `marks`."""
    gaps = np.diff([0, *evaluations]).tolist()
    found = Found([], [])
    events: list[Any] = []  # (when, tie-break, trial, place of the evaluation, true and seen FID)
    stopped: dict[int, Any] = {}  # what an event holds from the trial on, by the trial's id
    spent, best = 0, (math.inf, math.inf)

    def begin(now: int) -> None:
        began = time.process_time()
        trial, values = way.begin()
        found.seconds += time.process_time() - began
        if id(trial) in stopped:
            number, trial, place, true, seen = stopped.pop(id(trial))
            heapq.heappush(events, (now + gaps[place + 1], number, trial, place + 1, true, seen))
            return
        truth = world.truth(values)
        seen = np.exp(truth + noise.draw(len(gaps)))
        found.begun += 1
        heapq.heappush(events, (now + gaps[0], found.begun, trial, 0, np.exp(truth), seen))

    for _ in range(WORKERS):
        begin(0)
    while True:
        now, number, trial, place, true, seen = heapq.heappop(events)
        spent += gaps[place]
        while spent > marks[len(found.seen)] * evaluations[-1]:
            found.seen.append(best[0])
            found.true.append(best[1])
            if len(found.seen) == len(marks):
                return found
        last = place == len(gaps) - 1
        if last:
            best = min(best, (float(seen[-1]), float(true[-1])))
            found.completed += 1
        began = time.process_time()
        goes_on = way.goes_on(trial, place, float(seen[place]), last)
        found.seconds += time.process_time() - began
        if goes_on:
            event = (now + gaps[place + 1], number, trial, place + 1, true, seen)
            heapq.heappush(events, event)
        else:
            if not last:
                stopped[id(trial)] = number, trial, place, true, seen
            begin(now)
