"""What Optuna is told of a trial: of its evaluations and of its end."""

from __future__ import annotations

import optuna
from optuna.trial import FrozenTrial, TrialState

from search.study.records import WrittenReport, goals, read_record
from trainable.trial.report import ScoredReport, Status

GOALS = "goals"
"""The attribute of a trial that holds its two goals."""


def told_of(report: ScoredReport) -> tuple[dict[str, list[float]], dict[int, float]]:
    """By which attributes and intermediate values Optuna knows of an evaluation."""
    found = goals(report)
    if len(found) == 1:
        return {}, {report["resource"]: found[0]}
    return {GOALS: list(found)}, {}  # Optuna takes no intermediate values of two


def tell_report(trial: optuna.Trial, report: ScoredReport) -> None:
    """Tell Optuna of an evaluation."""
    attributes, steps = told_of(report)
    for name, value in attributes.items():
        trial.set_user_attr(name, value)
    for step, value in steps.items():
        trial.report(value, step)


def untold_reports(trial: FrozenTrial) -> list[WrittenReport]:
    """Those of a trial's reports that Optuna was not told of, as a kill between both left it."""
    record = read_record(trial)
    if len(record.goals) == 1:
        return [r for r in record.reports if r["resource"] not in trial.intermediate_values]
    if record.last is None or list(record.goals) == trial.user_attrs.get(GOALS):
        return []
    return [record.last]


def tell_end(study: optuna.Study, trial: optuna.Trial, status: Status, reason: str) -> None:
    """Tell Optuna of an end.

    Complete trials count with their objective, pruned ones with their intermediate values. A
    diverged or out-of-memory trial is told as pruned and as violating a constraint, so that the
    sampler ranks it below every other. Failed ones do not count. Of two goals pruned trials have no
    values, and rank below the complete ones and among themselves by chance.
    """
    for name, value in ending(status, reason).items():
        trial.set_user_attr(name, value)
    if status.infeasible:
        trial.set_constraint("trains", 1.0)
    if status is Status.COMPLETE:
        found = study._storage.get_trial(trial._trial_id)
        steps = found.intermediate_values
        study.tell(trial, steps[max(steps)] if steps else found.user_attrs[GOALS])
    elif status is Status.PRUNED or status.infeasible:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, state=TrialState.FAIL)


def ending(status: Status, reason: str) -> dict[str, str]:
    """A trial's attributes at its end."""
    return {"status": status.value} | ({"reason": reason} if reason else {})
