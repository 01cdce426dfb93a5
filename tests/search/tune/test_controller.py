"""Tune's loop as ours: what is taken in one round, and which trial is next."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.experiment import Trial

from search.tune.controller import A_ROUND, ActorManager
from search.tune.rungs import Rungs
from search.tune.scheduler import StudyASHA
from tests.helpers.fake_tune import config

MANAGER = "ray.air.execution._internal"


class Workers:
    """Stands in for Ray: answers are there, or are not."""

    def __init__(self) -> None:
        self.there: list[str] = []

    def wait(self, asked: list[str], num_returns: int, timeout: float | None) -> Any:
        ready = [one for one in asked if one in self.there][:num_returns]
        return ready, [one for one in asked if one not in ready]

    def get(self, one: str) -> str:
        return one


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Workers:
    made = Workers()
    for place in (f"{MANAGER}.actor_manager", f"{MANAGER}.event_manager", "search.tune.controller"):
        monkeypatch.setattr(f"{place}.ray", made)
    return made


def manager(free: Callable[[], bool] = lambda: False) -> ActorManager:
    pool: Any = SimpleNamespace(get_resource_futures=list, clear=lambda: None)
    made = ActorManager(pool)
    made.free = free
    made.cleanup()  # as Tune does at the end, and it stays what it is
    return made


def test_all_answers_that_are_there_are_taken_in_one_round(workers: Workers) -> None:
    made, taken = manager(), []
    for name in "abcde":
        made._actor_task_events.track_future(name, on_result=taken.append)  # pyright: ignore
    assert not made.next(0)
    workers.there += "bde"
    assert made.next(0)
    assert sorted(taken) == ["b", "d", "e"]
    assert not made.next(0)
    workers.there += "ac"
    assert made.next(0)
    assert sorted(taken) == list("abcde")
    assert not made.next(0)


def test_of_very_many_the_first_asked_are_taken(workers: Workers) -> None:
    made, taken = manager(), []
    for name in (names := [f"{n:03}" for n in range(3 * A_ROUND)]):
        made._actor_task_events.track_future(name, on_result=taken.append)  # pyright: ignore
    workers.there += names
    assert made.next(0)
    assert len(taken) == A_ROUND
    # Tune draws the first of them.
    assert set(taken[1:]) <= set(names[:A_ROUND])


def test_a_worker_that_is_free_ends_the_round(workers: Workers) -> None:
    """Tune would stop the second one that is free, and start a new one for the next trial."""
    taken: list[str] = []
    made = manager(lambda: len(taken) >= 2)
    for name in "abcd":
        made._actor_task_events.track_future(name, on_result=taken.append)  # pyright: ignore
    workers.there += "abcd"
    assert made.next(0)
    assert len(taken) == 2
    assert made.next(0)
    assert len(taken) == 3


def test_what_a_dead_worker_was_asked_is_not_taken(workers: Workers) -> None:
    made, taken = manager(), []
    events = made._actor_task_events

    def dies(answer: str) -> None:
        taken.append(answer)
        for other in "abc":
            events.discard_future(other)  # pyright: ignore

    for name in "abc":
        events.track_future(name, on_result=dies)  # pyright: ignore
    workers.there += "abc"
    assert made.next(0)
    assert len(taken) == 1


def test_the_oldest_that_waits_is_next() -> None:
    scheduler = StudyASHA(Rungs(config()))
    assert scheduler.choose_trial_to_run(None) is None
    made = [Trial("nothing", stub=True) for _ in range(4)]
    for trial in made:
        scheduler.on_trial_add(None, trial)
    for trial, status in zip(made, ("TERMINATED", "RUNNING", "PENDING", "PENDING"), strict=True):
        trial.set_status(status)
    assert scheduler.choose_trial_to_run(None) is made[2]
    made[1].set_status(Trial.PENDING)  # its worker died, and it begins again
    scheduler.on_trial_add(None, made[1])
    assert scheduler.choose_trial_to_run(None) is made[1]
    for trial in made[1:]:
        trial.set_status(Trial.ERROR)
    assert scheduler.choose_trial_to_run(None) is None
