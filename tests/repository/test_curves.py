"""The table that `make bench-pays` replays searches on, and the space that is kept beside it."""

import random

import numpy as np
import pytest

from benchmarks import replay
from benchmarks.curves import Curves, Landscape, load, write
from benchmarks.curves_space import TASK, tabulated
from benchmarks.replay import Contender, Tune, ours, stock
from spaces.recorder import Recorder
from trainable.gan.config import TrialConfig

BUDGET = 480


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
    contender = Contender(lambda curves, seed: way(curves, seed, first=True))
    found = replay.search(contender, landscape, seed=0, budget=BUDGET)
    assert drawn[0] == curves.searched[0]
    assert drawn[1] != drawn[0]
    assert found.begun == len(drawn) > 10  # the sampler's own proposals among them
    assert found.any[-1] <= found.complete[-1] <= curves.fid[0, -1]
    assert found.rows[0] >= 1
