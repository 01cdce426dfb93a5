"""What trials may hold on a GPU, and what of it they are said to need."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.helpers.refusals import tells
from tests.helpers.toys import make_workload
from trainable.gan.footprint import Footprint
from trainable.gan.gpu_memory import Memory, cap_mb, limit_memory, room
from trainable.trial.trial import Trial, assess

MB = 2**20


def needing(mb: float) -> Footprint:
    return Footprint(round(mb * MB), 0, 0)


def test_two_configurations_give_a_line_through_both():
    fit = Memory.fit([(needing(100), 900.0), (needing(300), 1300.0)])
    assert fit == Memory(700.0, 2.0)
    assert fit.estimate(needing(200)) == pytest.approx(1100.0)
    assert fit.estimate(Footprint(50 * MB, 150 * MB, 10**9)) == pytest.approx(1100.0)


@pytest.mark.parametrize(
    ("measured", "slope"),
    [
        ([(100, 900.0), (110, 400.0)], 2.0),  # too much alike: noise, whatever it says
        ([(100, 900.0), (100, 900.0)], 2.0),
        ([(100, 900.0)], 2.0),
        ([(100, 900.0), (300, 600.0)], 1.0),  # the larger one held less
        ([(300, 600.0), (100, 900.0)], 1.0),
        ([(100, 500.0), (200, 1500.0)], 4.0),
        ([(100, 50.0), (400, 110.0)], 1.0),  # held less than it needs: the base is not negative
    ],
)
def test_no_fit_falls_or_lies_below_what_was_measured(measured, slope):
    points = [(needing(mb), peak) for mb, peak in measured]
    fit = Memory.fit(points)
    assert fit.slope == slope
    assert fit.base_mb >= 0
    for needs, peak in points:
        assert fit.estimate(needs) >= peak - 1e-6


def test_configurations_beyond_the_limit_by_more_than_a_quarter_are_refused():
    fit = Memory(1000.0, 2.0)
    assert fit.refusal(needing(500), 2000.0) is None
    assert fit.refusal(needing(749), 2000.0) is None  # 2,498 MB: the limit itself may end it
    assert fit.refusal(needing(750), 2000.0) is None
    said = fit.refusal(needing(4000), 5800.0)
    assert said is not None
    assert tells(said, "8.8 GB", "5.7 GB", "batch_size", "--gpus-per-trial")
    assert fit.refusal(needing(751), 2000.0) is not None


def test_trials_share_a_gpu_but_for_their_contexts_and_what_others_hold():
    assert cap_mb(16000, 4, 500) == pytest.approx(0.95 * 4000 - 500)
    assert cap_mb(16000, 1, 500) == pytest.approx(0.95 * 16000 - 500)
    assert room(16000, 500) == (500, 16000)
    # Of 5,000 MB beside torch's, 3,976 are another program's.
    assert room(16000, 5000) == (1024, 12024)
    assert cap_mb(16000, 4, 5000) == pytest.approx(0.95 * 12024 / 4 - 1024)
    assert cap_mb(2000, 8, 1000) == 0.0


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What a GPU of 10,000 MB is told; its index is 3."""
    calls: list[tuple[Any, ...]] = []

    def limit(share: float, device: int) -> None:
        assert isinstance(share, float)  # as torch does
        assert isinstance(device, int)
        calls.append(("limit", share, device))

    gpu = SimpleNamespace(total_memory=10_000 * MB)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: gpu)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", limit)
    monkeypatch.setattr(
        torch.cuda, "reset_peak_memory_stats", lambda device: calls.append(("anew", device))
    )
    return calls


@pytest.mark.parametrize(
    ("device", "mb", "expected"),
    [
        ("cuda", 2500.0, [("anew", "cuda"), ("limit", 0.25, 3)]),
        ("cuda", None, [("anew", "cuda"), ("limit", 1.0, 3)]),
        ("cuda", 20_000.0, [("anew", "cuda"), ("limit", 1.0, 3)]),
        ("cuda", 0.0, [("anew", "cuda"), ("limit", 0.0, 3)]),
        ("cuda:1", 1000.0, [("anew", "cuda:1"), ("limit", 0.1, 1)]),
        ("cpu", 1000.0, []),
    ],
)
def test_a_process_is_held_to_its_share_of_its_gpu(told, device, mb, expected):
    limit_memory(device, mb)
    assert told == expected


def test_a_worker_takes_each_job_s_limit_and_drops_the_last_one_s(
    told, data, params, tmp_path, monkeypatch
):
    class Stop(Exception):  # noqa: N818
        """Past what is looked at: there is no GPU to build a run on."""

    def stop(*_: Any) -> None:
        raise Stop

    workload = replace(make_workload(data, tmp_path), device="cuda")
    monkeypatch.setattr(type(workload), "build_run", stop)
    for start in (lambda j: Trial(j, 0, params), lambda j: assess(j, 0, params, 5)):
        for mb in (4000.0, None):
            with pytest.raises(Stop):
                start(replace(workload, gpu_memory_mb=mb))
    assert [call[1] for call in told if call[0] == "limit"] == [0.4, 1.0, 0.4, 1.0]
