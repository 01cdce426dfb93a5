"""ASHA (Li et al. 2020): which trials go on from a rung, and how the past is replayed at resume.

With one goal a trial goes on unless it is below the 1 - 1 / eta quantile of those that came before,
interpolated as Ray Tune's ASHA does. With two goals it goes on if it is among the best 1 / eta by
Pareto fronts, as in R. Schmucker et al., "Multi-objective asynchronous successive halving", 2021,
or the best in either. Elsewhere the first goal leads: the search announces the bests in it alone,
and the champion, first of the first front, is the best in it on fresh images.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from search.study.config import StudyConfig
from search.study.records import TrialRecord, goals
from trainable.trial.pareto import order
from trainable.trial.report import Status


class Rungs:
    """What trials scored where they were compared.

    Attributes:
        scores: the goals of each trial, by its number, at each rung, by its resource.
    """

    def __init__(self, config: StudyConfig):
        self._eta = config.eta
        # The sampler `auto` measures all others against the first, the default: it is seen whole.
        self._spared = 0 if config.sampler == "auto" else None
        self.scores: dict[int, dict[int, tuple[float, ...]]] = {rung: {} for rung in config.rungs}

    def goes_on(self, number: int, resource: float, reached: tuple[float, ...]) -> bool:
        """Whether a trial goes on that has come to `resource` and `reached` these goals.

        It is compared once at each rung; of several that one epoch leapt over, at the last.
        """
        for rung, scores in reversed(self.scores.items()):
            if resource >= rung and number not in scores:
                before = list(scores.values())
                scores[number] = reached
                passes = not before or _passes(reached, before, self._eta)
                return passes or number == self._spared
        return True


def _passes(reached: tuple[float, ...], before: list[tuple[float, ...]], eta: int) -> bool:
    """Whether goals pass a rung to which others came `before`.

    Of two goals nothing lies between fronts, so there places count: of n who came before, fewer
    than n / eta may rank before it. The order is that which begins with the goal that it is better
    at. With one goal that would be as strict or stricter: of two before, the second best goes on
    where it is close to the best.
    """
    if len(reached) == 1:
        cutoff = np.percentile([-score for (score,) in before], (1 - 1 / eta) * 100)
        return bool(-reached[0] >= cutoff)
    values = np.array([reached, *before])
    # A front's order begins with the first goal's best: neither goal is to profit by that.
    place = min(order(v).tolist().index(0) for v in (values, values[:, ::-1]))
    return place == 0 or place * eta < len(before)


def replayed(config: StudyConfig, records: Iterable[TrialRecord]) -> tuple[Rungs, set[int]]:
    """The rungs as they were when the last of the study's reports came in, and who was stopped.

    All reports are heard again in their order, so the next one is decided on as if the search had
    never been away. A trial that was stopped, by its number, and still counts as under way was
    stopped in the moment in which the search died.
    """
    rungs = Rungs(config)
    reports = [
        (report["order"], record.number, report)
        for record in records for report in record.reports
        if report["status"] == Status.RUNNING  # one that ends by itself is not compared
    ]  # fmt: skip
    stopped = {
        number
        for _, number, report in sorted(reports, key=lambda entry: entry[0])
        if not rungs.goes_on(number, report["resource"], goals(report))
    }
    return rungs, stopped


def left_as(record: TrialRecord, stopped: set[int]) -> Status:
    """How a trial stood whose end the study does not know: running, unless the search died between
    its end and that being told."""
    if record.number in stopped:
        return Status.PRUNED
    return Status(record.last["status"]) if record.last else Status.RUNNING
