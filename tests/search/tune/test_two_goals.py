"""A search for two goals: ASHA by Pareto fronts, what Optuna is told, and resume."""

from __future__ import annotations

import numpy as np
import optuna
import pytest

from search.proposals.warm_start import learn_from
from search.study.config import SAMPLERS
from search.study.database import read_learnt
from search.tune.rungs import Rungs
from tests.helpers.fake_tune import CONTINUE, STOP, Search, config, warm
from trainable.trial.report import GOALS

TWO = {"objective": "fid,classifier", "hold_back": 0.25, "sampler": "tpe"}


def tell(search: Search, name: str, resource: int, goals: tuple[float, float], status="running"):
    said = dict(zip(GOALS, goals, strict=True))
    return search.report(name, resource, said["objective"], status, objective_2=goals[1])


@pytest.fixture
def search(tmp_path):
    return Search(tmp_path / "s", **TWO)


def at_the_rung(search: Search, *goals: tuple[float, float]) -> list[str]:
    """What becomes of trials that come to the first rung one after the other."""
    said = []
    for number, pair in enumerate(goals):
        search.start(f"t{number}")
        said.append(tell(search, f"t{number}", 2, pair))
    return said


def test_the_first_goes_on_and_one_that_it_dominates_does_not(search):
    assert at_the_rung(search, (90.0, 0.4), (95.0, 0.5), (80.0, 0.3)) == [CONTINUE, STOP, CONTINUE]


def test_neither_goal_is_traded_for_the_other(search):
    """The best in one goal alone goes on, whichever it is; the middle of the front must rank."""
    said = at_the_rung(search, (60.0, 0.40), (90.0, 0.10), (75.0, 0.25), (50.0, 0.50))
    assert said == [CONTINUE, CONTINUE, STOP, CONTINUE]


@pytest.mark.parametrize("steps", [4, 1000])  # with many equal scores, and with hardly any
def test_with_the_goals_exchanged_the_same_trials_go_on(steps):
    def decisions(pairs: np.ndarray) -> list[bool]:
        rungs = Rungs(config(**TWO))
        return [rungs.goes_on(number, 2, tuple(pair)) for number, pair in enumerate(pairs)]

    for seed in range(20):
        pairs = np.random.default_rng(seed).integers(0, steps, (30, 2)).astype(float)
        said = decisions(pairs)
        assert said == decisions(pairs[:, ::-1])
        for i, pair in enumerate(pairs):
            if (pair < pairs[:i].min(axis=0, initial=np.inf)).any():  # better in one than any
                assert said[i]


def test_of_many_the_best_third_goes_on(search):
    at_the_rung(search, *[(100.0 - i, 0.5 - 0.01 * i) for i in range(6)])
    for goals, decision in (
        ((97.5, 0.475), STOP),  # 3 of 6 before it
        ((96.5, 0.465), CONTINUE),  # 2 of 7
        ((97.0, 0.440), CONTINUE),  # none: as good in one as any
    ):
        search.start(str(goals))
        assert tell(search, str(goals), 2, goals) == decision


def test_optuna_is_told_both_of_complete_trials_and_none_of_pruned_ones(search):
    for name, goals in (("a", (60.0, 0.3)), ("b", (80.0, 0.2)), ("c", (90.0, 0.4))):
        search.start(name)
        tell(search, name, 12, goals, "complete")
    search.start("d")
    search.searcher.on_trial_complete("d", {"report/resource": 2, "report/epoch": 2,
        "report/status": "pruned", "report/objective": 99.0, "report/objective_2": 0.5,
        "report/fid": 99.0, "report/train_seconds": 1.0})  # fmt: skip
    study = search.study
    trials = search.trials
    assert [trial.values for trial in trials] == [[60.0, 0.3], [80.0, 0.2], [90.0, 0.4], None]
    assert trials[3].state == optuna.trial.TrialState.PRUNED
    assert sorted(trial.number for trial in study.best_trials) == [0, 1]
    assert [record.goals for record in search.records()][3] == (99.0, 0.5)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_resumed_search_decides_and_proposes_as_if_it_had_never_stopped(tmp_path, sampler):
    def life(search: Search, names: range) -> list[object]:
        said: list[object] = []
        for i in names:
            number = search.start(f"n{i}")
            said.append(search.live[f"n{i}"]["params"]["g_lr"])
            goals = (50.0 + (37 * number) % 11, 0.2 + 0.01 * ((13 * number) % 7))
            if tell(search, f"n{i}", 2, goals) == CONTINUE:
                said += [CONTINUE, tell(search, f"n{i}", 12, goals, "complete")]
        return said

    settings = {**TWO, "sampler": sampler, "trials": 16}
    whole = life(Search(tmp_path / "whole", **settings), range(16))
    first = Search(tmp_path / "parts", **settings)
    parts = life(first, range(12))
    first.ledger.close()
    parts += life(Search(tmp_path / "parts", **settings), range(12, 16))
    assert parts == whole


def test_a_warm_start_from_a_study_of_two_goals_proposes_the_same_resumed_or_not(tmp_path):
    """The earlier one's trials come back with both goals, and none counts as the study's."""
    earlier = Search(tmp_path / "earlier", **{**TWO, "trials": 14})
    for i in range(14):
        earlier.start(f"n{i}")
        goals = (50.0 + (37 * i) % 11, 0.2 + 0.01 * ((13 * i) % 7))
        if tell(earlier, f"n{i}", 2, goals) == CONTINUE:
            tell(earlier, f"n{i}", 12, goals, "complete")
    earlier.ledger.close()
    learnt = learn_from(earlier.study, config(**TWO), {})
    assert {trial.state.name for trial in learnt} == {"COMPLETE", "PRUNED"}

    def life(search: Search, names: str) -> list[float]:
        for name in names:
            search.start(name)
            tell(search, name, 12, (60.0, 0.3), "complete")
        search.ledger.close()
        return [record.params["g_lr"] for record in search.records()]

    whole = life(warm(tmp_path / "whole", learnt, **TWO), "abc")
    life(warm(tmp_path / "parts", learnt, **TWO), "a")
    again = Search(tmp_path / "parts", **TWO)
    values = [trial.values for trial in read_learnt(again.study, again.storage)]
    assert values == [trial.values for trial in learnt]
    assert life(again, "bc") == whole
    assert life(Search(tmp_path / "cold", **TWO), "abc") != whole
    assert [record.goals for record in again.records()] == [(60.0, 0.3)] * 3
