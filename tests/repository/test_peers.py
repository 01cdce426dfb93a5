"""Other packages in the replay of `make bench-pays`: tried where they are installed."""

import math
import random
import sys

import numpy as np
import pytest

from benchmarks import pays, peers, replay
from benchmarks.curves import load
from benchmarks.curves_space import TASK, tabulated
from benchmarks.replay import Found
from benchmarks.worlds import Noise
from spaces.recorder import Recorder


def drawn(seed: int) -> dict:
    rng = random.Random(seed)
    asked = Recorder(lambda _, distribution: distribution.draw(rng))
    tabulated(asked, TASK)  # pyright: ignore[reportArgumentType]
    return asked.params


def test_values_come_back_from_plain_numbers_without_those_that_are_not_asked_for():
    for values in [load().searched[0], *map(drawn, range(50))]:
        codes = peers.coded(values)
        assert set(codes) == set(peers.SPACE)
        assert peers.decoded(codes) == pytest.approx(values)


def test_the_conditions_are_those_of_the_space():
    for values in map(drawn, range(100)):
        for name in peers.SPACE:
            other, options = peers.CONDITIONS.get(name, ("depth", (2, 3, 4)))
            assert (name in values) == (values[other] in options), name


def test_a_missing_peer_ends_with_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(pays, "missing", lambda: ["smac"])
    monkeypatch.setattr(sys, "argv", ["pays", "--ways", "auto,smac"])
    with pytest.raises(SystemExit) as ended:
        pays.main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "smac is not installed" in said
    assert "-r benchmarks/peers.txt" in said
    assert set(pays.chosen("")) >= {*pays.USUAL, "neps"}
    assert "smac" not in pays.chosen("")


def test_a_trial_that_is_asked_for_again_goes_on_where_it_stopped():
    curves = load()
    asked = iter(
        [("a", 12), ("b", 12), ("c", 12), ("b", 108), *((number, 12) for number in range(99))]
    )
    told = []

    def ask():
        key, epoch = next(asked)
        return key, {"of": key}, epoch, key

    class World:
        def truth(self, values):
            return {"b": 1.0}.get(values["of"], 2.0) - 0.1 * np.arange(9)

    way = peers.AskTell(ask, lambda key, fid: told.append((key, fid)), curves)
    found = replay.search(way, World(), Noise(0, 0.0), curves.evaluations, (2,))
    assert [key for key, _ in told[:2]] == ["a", "b"]
    of_b = [math.log(fid) for key, fid in told if key == "b"]
    assert of_b == pytest.approx([1.0, 0.2])  # at 12 epochs and at 108
    assert found.true == pytest.approx([math.exp(0.2)])
    assert found.completed == 1


def test_before_a_trial_is_complete_the_default_counts():
    ours, theirs = Found([90.0], [90.0], 1, 1), Found([float("inf")], [float("inf")], 1, 0)
    assert pays.row([theirs], [ours], 118.4).startswith("118.4 (0 %), +28.4")


@pytest.mark.parametrize("name", peers.PEERS)
def test_a_peer_tries_the_default_early_and_then_others(name):
    if name in peers.missing():
        pytest.skip(f"{name} is not installed")
    curves = load()
    way, tried = peers.PEERS[name](curves, 0), []
    for number in range(12):
        trial, values = way.begin()
        tried.append(values)
        asked = Recorder(lambda key, _, values=values: values[key])
        tabulated(asked, TASK)  # pyright: ignore[reportArgumentType]
        assert asked.params == values
        for place in range(9):
            if not way.goes_on(trial, place, 150.0 - place + number, place == 8):
                break
    assert any(values == pytest.approx(curves.searched[0]) for values in tried[:9])
    assert len({repr(values) for values in tried}) > 6
