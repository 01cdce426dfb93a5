"""The curves that `make bench-pays` replays searches on, their space, and the worlds of them."""

import random

import numpy as np
import pytest

from benchmarks import replay
from benchmarks.curves import Curves, Landscape, load, write
from benchmarks.curves_space import TASK, tabulated
from benchmarks.replay import Tune, ours, stock
from benchmarks.worlds import SEED_NOISE, WORLDS, Noise, build
from spaces.recorder import Recorder
from trainable.gan.config import TrialConfig


@pytest.fixture(scope="module")
def curves() -> Curves:
    return load()


@pytest.fixture(scope="module")
def landscape(curves) -> Landscape:
    return Landscape(curves)


def test_the_table_is_of_152_rows_the_default_first_and_written_as_it_is_read(curves, tmp_path):
    assert len(curves) == 152
    assert curves.numbers[0] == 0
    assert curves.evaluations == tuple(range(12, 109, 12))
    assert curves.fid.shape == (152, 9)
    write(curves, tmp_path / "again.csv.gz")
    again = load(tmp_path / "again.csv.gz")
    assert again.searched == curves.searched
    np.testing.assert_array_equal(again.fid, curves.fid)


def test_every_row_is_a_draw_from_the_tabulated_space(curves):
    for values in curves.searched:
        asked = Recorder(lambda name, _, values=values: values[name])
        tabulated(asked, TASK)  # pyright: ignore[reportArgumentType]
        assert asked.params == values  # no name more or less, so conditions hold too
        for name, distribution in asked.distributions.items():
            assert distribution.contains(values[name]), name


def test_what_the_space_returns_is_valid_today():
    rng = random.Random(0)
    asked = Recorder(lambda _, distribution: distribution.draw(rng))
    params = tabulated(asked, TASK)  # pyright: ignore[reportArgumentType]
    TrialConfig.from_params(params).check_task(TASK)


@pytest.mark.parametrize("way", [ours, stock])
def test_a_replay_tries_the_default_first(curves, landscape, monkeypatch, way):
    drawn = []
    begin = Tune.begin

    def watched(tune):
        trial, values = begin(tune)
        drawn.append(values)
        return trial, values

    monkeypatch.setattr(Tune, "begin", watched)
    world, noise = build("table", landscape, 0)
    found = replay.search(way(curves, 0), world, noise, curves.evaluations, (3, 5))
    assert drawn[0] == curves.searched[0]
    assert drawn[1] != drawn[0]
    assert found.begun == len(drawn) > found.completed >= 1
    assert found.true[1] <= found.true[0] <= curves.fid[0, -1]
    np.testing.assert_allclose(found.true, found.seen)  # without noise


@pytest.mark.parametrize("name", WORLDS)
def test_in_every_world_the_default_has_its_own_curve_and_seeds_make_others(
    curves, landscape, name
):
    default, other = curves.searched[0], curves.searched[7]
    one, two = (build(name, landscape, seed)[0] for seed in (0, 1))
    for world in (one, two):
        np.testing.assert_allclose(world.truth(default), np.log(curves.fid[0]), atol=1e-6)
        np.testing.assert_array_equal(world.truth(other), world.truth(other))
    assert (one.truth(other) == two.truth(other)).all() == (name == "table")


def test_noise_has_the_spread_that_it_says(landscape):
    noise = Noise(0)
    drawn = np.array([noise.draw(9) for _ in range(4000)])
    expected = (SEED_NOISE**2 * (0.8**2 + 0.6**2) + 0.02**2) ** 0.5
    assert drawn[:, -1].std() == pytest.approx(expected, rel=0.05)
    assert drawn[:, 0].std() < drawn[:, -1].std()
    assert not build("table", landscape, 0)[1].draw(9).any()
