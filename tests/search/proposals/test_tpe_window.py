"""What a sampler sees of a long study: all that its model of good configurations is made of."""

import random

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers._tpe.sampler import _split_trials, default_gamma
from optuna.trial import TrialState, create_trial

from search.proposals import tpe_window as module
from search.proposals.ledger import Ledger
from search.proposals.samplers import STARTUP
from search.proposals.tpe_window import LEARNT, in_window
from search.study.database import directions
from tests.helpers.fake_tune import check_resumed_proposals, config, drawn, made_report, space
from trainable.trial.report import GOALS, Status


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(module, "BEST", 30)
    monkeypatch.setattr(module, "NEWEST", 40)


def study(trials: int, complete: float = 4) -> optuna.Study:
    """Complete, pruned, failed and running trials in any order, of random scores."""
    dice = random.Random(0)
    made = optuna.create_study()
    states = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING]
    for _ in range(trials):
        state = dice.choices(states, [complete, 4, 1, 1])[0]
        made.add_trial(create_trial(
            state=state, value=dice.random() if state is TrialState.COMPLETE else None,
            params={"x": dice.random()}, distributions={"x": FloatDistribution(0, 1)},
            constraints={"broken": float(state is TrialState.PRUNED and dice.random() < 0.3)},
            intermediate_values=dict.fromkeys(range(dice.randrange(4)), dice.random()),
        ))  # fmt: skip
    return made


def test_a_short_study_is_seen_whole(short):
    trials = study(70).trials
    assert in_window(trials) == trials


@pytest.mark.parametrize("complete", [4, 0.1])  # almost all, and almost none
def test_of_a_long_one_tpe_finds_the_same_good_trials_and_the_newest_others(short, complete):
    made = study(600, complete)
    trials = made.trials
    seen = in_window(trials)
    learnt, left = ([t for t in found if t.state in LEARNT] for found in (trials, seen))
    assert len(left) == 70
    assert [t.number for t in seen] == sorted(t.number for t in seen)
    assert (sum(t.state is TrialState.COMPLETE for t in learnt) < 15) == (complete < 1)
    good = default_gamma(len(learnt))
    assert good == 25
    assert _split_trials(made, learnt, good)[0] == _split_trials(made, left, good)[0]
    gone = {t.number for t in trials} - {t.number for t in seen}
    assert gone <= {t.number for t in learnt}  # those that failed or run are seen
    pruned = [t.number for t in trials if t.state is TrialState.PRUNED]
    assert max(gone) < pruned[-15]  # some half of the 40 newest are pruned ones


@pytest.mark.parametrize(("changes", "whole"), [
    ({"sampler": "tpe"}, False),
    ({"sampler": "random"}, True),
    ({"sampler": "nsgaii"}, True),  # its generations are of any age
    ({"sampler": "tpe", "objective": "fid,kid"}, True),  # the best of two goals are no fixed number
])  # fmt: skip
def test_whose_memory_is_long(short, changes, whole):
    ledger = Ledger(config(**changes), None, None)
    for at in range(90):
        entry = drawn(ledger, space)
        assert entry.number == at
        goals = dict.fromkeys(GOALS[: len(directions(changes.get("objective", "fid")))], at)
        ledger.report(entry, made_report(12, fid=at, **goals))
        ledger.end(entry, Status.COMPLETE)
    assert len(ledger._sampled.trials) == (90 if whole else 70)


def test_a_long_search_proposes_the_same_resumed_or_not(tmp_path, monkeypatch):
    whole = check_resumed_proposals(tmp_path / "all", "tpe", 20)
    monkeypatch.setattr(module, "BEST", 5)
    monkeypatch.setattr(module, "NEWEST", STARTUP - 3)
    part = check_resumed_proposals(tmp_path / "part", "tpe", 20)
    assert part[: STARTUP + 2] == whole[: STARTUP + 2]
    assert part != whole  # so what TPE sees does count


def test_an_end_is_seen_at_once(short):
    """What is kept is remembered between looks, but not beyond a change."""
    ledger = Ledger(config(sampler="tpe"), None, None)
    entries = [drawn(ledger, space) for _ in range(100)]
    for place, entry in enumerate(entries, start=1):
        ledger.report(entry, made_report(12, objective=float(place)))
        ledger.end(entry, Status.COMPLETE if place % 2 else Status.PRUNED)
        ended = [t for t in ledger._sampled.trials if t.state.is_finished()]
        assert len(ended) == min(place, 70)
        assert ended[-1].number == place - 1
