"""Configurations made of others."""

import random
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution as Choice
from optuna.distributions import FloatDistribution as Float
from optuna.distributions import IntDistribution as Int

from search.proposals.moves import Conditions, Distributions, anywhere, around, moved, mutated
from spaces.catalog import full
from spaces.recorder import Recorder
from spaces.task import Task

KNOWN: Distributions = {
    "rate": Float(1e-4, 1e-2, log=True),
    "depth": Int(2, 4),
    "width": Int(8, 32, step=8),
    "loss": Choice(("hinge", "wgan", "minimax")),
}
PARENT: dict[str, Any] = {"rate": 1e-3, "depth": 3, "width": 8, "loss": "wgan"}


def drawn(make, times: int = 500) -> list[dict[str, Any]]:
    rng = random.Random(0)
    found = [make(rng) for _ in range(times)]
    for values in found:
        for name, value in values.items():
            distribution = KNOWN[name]
            assert distribution._contains(distribution.to_internal_repr(value)), (name, value)
    return found


def changed(found: list[dict[str, Any]]) -> list[set[str]]:
    return [{name for name in PARENT if values[name] != PARENT[name]} for values in found]


def test_a_mutation_moves_one_value_and_at_times_more():
    sizes = [len(names) for names in changed(drawn(lambda rng: mutated(PARENT, KNOWN, rng)))]
    assert min(sizes) == 1
    assert max(sizes) > 1
    assert sizes.count(1) > 0.7 * len(sizes)


def test_what_the_parent_has_not_is_drawn():
    part = {"depth": 3}
    found = drawn(lambda rng: mutated(part, KNOWN, rng))
    assert {values["loss"] for values in found} == {"hinge", "wgan", "minimax"}


def test_a_draw_around_a_configuration_keeps_most_choices_and_moves_numbers():
    found = drawn(lambda rng: around(PARENT, KNOWN, rng))
    kept = sum(values["loss"] == "wgan" for values in found) / len(found)
    assert kept == pytest.approx(0.7 + 0.3 / 3, abs=0.05)
    assert sum(values["rate"] != PARENT["rate"] for values in found) == len(found)
    assert sum(1e-3 / 3 < values["rate"] < 3e-3 for values in found) > 0.6 * len(found)


def test_anywhere_is_everywhere():
    found = drawn(lambda rng: {name: anywhere(d, rng) for name, d in KNOWN.items()})
    assert {values["width"] for values in found} == {8, 16, 24, 32}
    assert {values["depth"] for values in found} == {2, 3, 4}
    assert min(values["rate"] for values in found) < 2e-4
    assert max(values["rate"] for values in found) > 5e-3


def test_a_choice_moves_to_any_other_and_one_without_another_stays():
    rng = random.Random(0)
    assert {moved(KNOWN["loss"], "wgan", 0.2, rng) for _ in range(50)} == {"hinge", "minimax"}
    assert moved(Choice(("only",)), "only", 0.2, rng) == "only"


def test_what_depends_on_a_choice_is_learnt_from_what_was_asked():
    """All conditions of `full` are known after thirty draws, those within others as well."""
    task = Task(image_size=32, channels=1, classes=2, images=200)
    rng = random.Random(0)

    def draw(answer) -> Recorder:
        asked: Any = Recorder(answer)
        full(asked, task)
        return asked

    seen = [draw(lambda _, d: d.draw(rng)) for _ in range(40)]
    names = {name: None for asked in seen for name in asked.params}
    known: Any = {
        name: Choice(("a", "b")) if hasattr(asked.distributions[name], "options") else Float(0, 1)
        for asked in seen for name in names if name in asked.params
    }  # fmt: skip
    conditions = Conditions([asked.params for asked in seen], known)
    for _ in range(40):
        asked = draw(lambda _, d: d.draw(rng))
        everything = {name: asked.params.get(name, 0.5) for name in known}
        assert conditions.asked(everything).keys() == asked.params.keys()
