"""How many trials share a GPU: decided on planted figures, and measured where there is none."""

from __future__ import annotations

import os
import re
import time
from dataclasses import replace
from typing import Any

import pytest
import ray
import torch
from ray.util.placement_group import remove_placement_group

from search.capacity import gpu_probe as packing
from search.capacity.gpu_probe import Crew, Measured, Packing, Probe, Worker, pack, probes
from spaces.catalog import full
from spaces.presets import default
from spaces.task import Task
from tests.helpers.refusals import refused
from tests.helpers.searches import shared_ray
from tests.helpers.toys import make_data, make_workload, small_params
from trainable.distributed.resources import Resources
from trainable.gan.config import TrialConfig
from trainable.gan.footprint import Footprint, footprint
from trainable.gan.gpu_memory import Memory
from trainable.gan.run import Run
from trainable.trial.workload import Workload

MB = 2**20
L4 = {"gpu": "NVIDIA L4", "total_mb": 24 * 1024.0, "outside_mb": 400.0}
GAINS = {1: 1000.0, 2: 1600.0, 4: 2100.0, 8: 2150.0}


def probe(needs_mb: float, peak_mb: float | None, together: Any = None, **gpu: Any) -> Probe:
    alone = None if peak_mb is None else Measured(1000.0, peak_mb, **{**L4, **gpu})
    return Probe(Footprint(round(needs_mb * MB), 0, 0), alone, together or {})


def packed(together: dict[int, float], peak_mb: float | None = 2000.0, most: int = 8) -> Packing:
    return pack(probe(100, 900.0, together), probe(400, peak_mb), most)


@pytest.mark.parametrize(
    ("peak_mb", "most", "fits"),
    [
        (2000.0, 8, (1, 2, 4, 8)),  # 8 x 2,400 of 22,118
        (2364.0, 8, (1, 2, 4, 8)),  # 8 x 2,764 = 22,112
        (2366.0, 8, (1, 2, 4)),  # 8 x 2,766 = 22,128
        (2000.0, 4, (1, 2, 4)),
        (2000.0, 3, (1, 2)),
        (11000.0, 8, (1,)),
        (24000.0, 8, (1,)),  # it did fit; that it is tight is for its limit to say
        (None, 8, (1,)),
    ],
)
def test_as_many_as_fit_with_the_largest_configuration(peak_mb, most, fits):
    assert packing.fitting(probe(400, peak_mb), most) == fits


def test_what_other_programs_hold_is_not_to_be_shared():
    # 9,000 MB of a driver, and a context of 1,024: 8 x 1,624 of 0.9 x 15,576.
    assert packing.fitting(probe(400, 600.0, outside_mb=10024.0), 8) == (1, 2, 4, 8)
    assert packing.fitting(probe(400, 900.0, outside_mb=10024.0), 8) == (1, 2, 4)


@pytest.mark.parametrize(
    ("together", "trials"),
    [
        (GAINS, 4),  # 8 gains another 2.4 %
        ({**GAINS, 8: 2300.0}, 8),
        ({1: 7169.0, 2: 7250.0, 4: 7287.0}, 1),  # an H200 without the multi-process service
        ({1: 6149.0, 2: 10000.0, 4: 15414.0}, 4),  # the same with it
        ({1: 1000.0, 2: 900.0}, 1),
        ({1: 1000.0, 2: 1049.0}, 1),
        ({1: 1000.0, 2: 1051.0}, 2),
        ({1: 1000.0}, 1),
    ],
)
def test_the_fewest_trials_within_a_twentieth_of_the_best_share_a_gpu(together, trials):
    assert packed(together).gpus_per_trial == 1 / trials


def test_no_more_trials_than_memory_and_cpus_allow_however_fast_they_would_be():
    assert packed(GAINS, peak_mb=7000.0).gpus_per_trial == 1 / 2
    assert packed(GAINS, most=2).gpus_per_trial == 1 / 2
    assert packed({**GAINS, 8: 9000.0}, most=4).gpus_per_trial == 1 / 4
    assert packed(GAINS, peak_mb=None).gpus_per_trial == 1


def test_the_limits_of_all_trials_and_their_contexts_stay_within_the_gpu():
    found = packed(GAINS)
    assert found.cap_mb == pytest.approx(0.95 * 24 * 1024 / 4 - 400)
    needs = Footprint(100 * MB, 0, 0), Footprint(400 * MB, 0, 0)
    assert found.memory == Memory.fit([(needs[0], 900.0), (needs[1], 2000.0)])
    assert packed(GAINS, peak_mb=None).memory == Memory.fit([(needs[0], 900.0)])
    nothing = pack(probe(100, None), probe(400, None), 8)  # and so nothing is made up
    assert (nothing.gpus_per_trial, nothing.cap_mb, nothing.memory) == (1.0, None, None)


@pytest.mark.parametrize(
    ("found", "pattern"),
    [
        (packed(GAINS, 2560.0), r"^4 trials .*NVIDIA L4, 24 GB.* 2\.1 times.* memory .*2\.5 GB"),
        (packed(GAINS), r" 2\.1 times.* 8 .* 2\.1 times"),
        (packed(GAINS, most=2), r"^2 trials .* CPUs.* --max-concurrent"),
        (packed({**GAINS, 8: 3000.0}), r"^8 trials .*NVIDIA L4, 24 GB.* 3\.0 times[^,;]*;"),
        (packed({1: 7169.0, 2: 7250.0}),
         r"^1 trial .*NVIDIA L4, 24 GB.* 2 .* 1\.0 times.*nvidia-cuda-mps-control -d"),
        (packed(GAINS, peak_mb=None), r"largest[^;]* not "),
        (pack(probe(100, None), probe(400, None), 8), r"^1 trial .*none"),
    ],
)  # fmt: skip
def test_the_reason_says_what_is_gained_and_what_stands_in_the_way(found, pattern):
    assert re.search(pattern, found.reason), found.reason


class Planted:
    """In place of a crew: what each number of trials together trains, None if they do not fit."""

    def __init__(self, rates: dict[int, float | None], largest: float | None = 2000.0):
        self.rates, self.largest = rates, largest
        self.asked: list[tuple[str, int]] = []

    def __call__(self, params: dict[str, Any], trials: int, seconds: float):
        self.asked.append((params["activation"], trials))
        if params["activation"] == "silu":
            return None if self.largest is None else [Measured(1.0, self.largest, **L4)]
        rate = self.rates[trials]
        return None if rate is None else [Measured(rate / trials, 900.0, **L4)] * trials


def measured(planted: Planted, most: int = 8) -> tuple[Probe, Probe, list[tuple[str, int]]]:
    task = make_data().task
    middling = small_params(make_data(), activation="relu", leaky_slope=None)
    largest = {**middling, "activation": "silu", "g_width": 32}
    one, two = packing.measure(planted, (middling, largest), task, most, 1.0)
    assert one.needs == footprint(TrialConfig.from_params(middling), task)
    assert two.needs.total_bytes > one.needs.total_bytes
    return one, two, planted.asked


def test_more_trials_are_tried_while_they_gain():
    middling, largest, asked = measured(Planted({**GAINS, 8: 3000.0}))
    assert asked == [("silu", 1), ("relu", 1), ("relu", 2), ("relu", 4), ("relu", 8)]
    assert middling.together == pytest.approx({**GAINS, 8: 3000.0})
    assert middling.alone == Measured(1000.0, 900.0, **L4)
    assert largest.alone == Measured(1.0, 2000.0, **L4)


@pytest.mark.parametrize(
    ("planted", "most", "tried"),
    [
        (Planted({1: 1000.0, 2: 1040.0}), 8, [1, 2]),  # no gain, so no more
        (Planted({1: 1000.0, 2: 1600.0, 4: None}), 8, [1, 2, 4]),  # memory is an answer
        (Planted({**GAINS}), 2, [1, 2]),
        (Planted({**GAINS}, largest=7000.0), 8, [1, 2]),  # more would not fit with the largest
        (Planted({**GAINS}, largest=None), 8, [1]),
        (Planted({1: None}), 8, [1]),
    ],
)
def test_no_more_are_tried_than_gain_and_fit(planted, most, tried):
    middling, largest, asked = measured(planted, most)
    assert [trials for _, trials in asked[1:]] == tried
    kept = {k: rate for k, rate in planted.rates.items() if k in tried and rate is not None}
    assert middling.together == pytest.approx(kept)
    assert (largest.alone is None) == (planted.largest is None)
    assert (middling.alone is None) == (planted.rates[1] is None)


def nodes(*has: dict[str, float], alive: bool = True) -> list[dict[str, Any]]:
    return [{"Alive": alive, "Resources": one} for one in has]


@pytest.mark.parametrize(
    ("there", "cpus", "limit", "most"),
    [
        (nodes({"CPU": 16.0, "GPU": 1.0}), 1, None, 8),
        (nodes({"CPU": 16.0, "GPU": 4.0}), 2, None, 2),
        (nodes({"CPU": 7.0, "GPU": 1.0}), 1, None, 4),
        (nodes({"CPU": 1.0, "GPU": 2.0}), 1, None, 1),
        (nodes({"CPU": 32.0}, {"CPU": 64.0, "GPU": 1.0}, {"CPU": 4.0, "GPU": 2.0}), 1, None, 2),
        (nodes({"CPU": 4.0, "GPU": 1.0}) + nodes({"GPU": 1.0}, alive=False), 1, None, 4),
        (nodes({"CPU": 16.0, "GPU": 1.0}), 1, 3, 2),
        (nodes({"CPU": 2.0}), 1, None, 8),
    ],
)  # fmt: skip
def test_cpus_and_a_limit_on_trials_at_a_time_bound_the_trials_a_gpu(there, cpus, limit, most):
    assert packing.most_trials(there, Resources("local", cpus, None, limit)) == most


TASK = Task(32, 1, 2, 100, "none")


def test_a_space_s_middling_and_largest_configurations():
    middling, largest = probes(full, TASK, seed=0, draws=8)
    assert probes(full, TASK, seed=0, draws=8) == (middling, largest)
    assert probes(full, TASK, seed=1, draws=8) != (middling, largest)


def planted_space(trial: Any, task: Task) -> dict[str, Any]:
    width = trial.suggest_int("g_width", 2, 100)
    if width % 3 == 0:
        raise ZeroDivisionError("a corner that fails")
    return {**default(task), "g_width": width, **({"g_depth": 7} if width % 3 == 1 else {})}


def test_the_median_by_arithmetic_and_the_most_by_memory_of_what_is_valid(monkeypatch):
    seen = []

    def figures(config: TrialConfig, task: Task) -> Footprint:
        seen.append(config.g_width)
        return Footprint(1000 - config.g_width, 0, config.g_width)

    monkeypatch.setattr(packing, "footprint", figures)
    middling, largest = probes(planted_space, TASK, seed=3, draws=60)
    assert seen
    assert {width % 3 for width in seen} == {2}  # the others are too deep, or raise
    assert middling["g_width"] == sorted(seen)[len(seen) // 2]
    assert largest["g_width"] == min(seen)  # which these figures have need the most bytes


def test_a_space_without_a_valid_configuration_is_said_to_have_none():
    with refused("none", 5):
        probes(lambda trial, task: {"g_width": 1}, TASK, seed=0, draws=5)


def test_a_worker_measures_what_it_has_begun(data, params, tmp_path, monkeypatch):
    built: list[Run] = []
    build = Workload.build_run
    monkeypatch.setattr(
        Workload, "build_run", lambda *given: built.append(build(*given)) or built[-1]
    )
    worker = Worker(make_workload(data, tmp_path))
    assert worker.begin(params)
    seen, began = built[0].images_seen, time.perf_counter()
    found = worker.train(0.2)
    spent = time.perf_counter() - began
    assert found is not None
    assert spent >= 0.2
    trained = built[0].images_seen - seen
    assert trained / spent <= found.rate <= trained / 0.2
    assert worker.begin(dict(params))  # stays as it is
    assert len(built) == 1
    assert worker.begin({**params, "g_width": 5})
    assert built[1].config.g_width == 5


@pytest.mark.parametrize(
    "fault",
    [
        torch.OutOfMemoryError("Tried to allocate 2 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
)
def test_full_memory_is_an_answer(data, params, tmp_path, monkeypatch, fault):
    def full(run: Run) -> None:
        raise fault

    worker = Worker(make_workload(data, tmp_path))
    assert worker.begin(params)
    monkeypatch.setattr(Run, "train_step", full)
    assert worker.train(0.05) is None
    assert not worker.begin({**params, "g_width": 5})


def test_any_other_fault_is_one(data, params, tmp_path, monkeypatch):
    worker = Worker(make_workload(data, tmp_path))
    assert worker.begin(params)
    monkeypatch.setattr(Run, "train_step", lambda run: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        worker.train(0.05)
    with pytest.raises(ZeroDivisionError):
        worker.begin({**params, "g_width": 5})


@pytest.fixture
def cluster():
    """Ray on this machine, which says that it has two GPUs."""
    with shared_ray():
        yield


@pytest.fixture
def crew(cluster):
    """Of processes that only tell where and when they were at work."""

    class Told:  # in here, so that it travels by itself and nothing is imported there
        def __init__(self, workload: str):
            self.workload, self.begun = workload, []

        def begin(self, params: dict[str, str]) -> bool:
            self.begun.append(params)
            if params["does"] == "die":
                os._exit(1)
            return params["does"] != "not fit"

        def train(self, seconds: float) -> dict[str, Any] | None:
            began = time.time()
            time.sleep(60 if self.begun[-1]["does"] == "hang" else seconds)
            context = ray.get_runtime_context()
            told = {
                "pid": os.getpid(), "job": self.workload, "begun": len(self.begun), "began": began,
                "ended": time.time(), "gpus": context.get_accelerator_ids()["GPU"],
            }  # fmt: skip
            return None if self.begun[-1]["does"] == "run full" else told

    workload: Any = "what all share"
    made = Crew(workload, 1, 4, Told)
    yield made
    made.dismiss()
    remove_placement_group(made.group)


def told(crew: Crew, does: str, trials: int, seconds: float = 0.0) -> Any:
    return crew.together({"does": does}, trials, seconds)


def test_processes_on_one_gpu_train_at_the_same_time_and_are_used_again(crew):
    (alone,) = told(crew, "work", 1)
    three = told(crew, "work", 3, 0.5)
    assert len({one["pid"] for one in three}) == 3
    assert three[0]["pid"] == alone["pid"]
    assert [one["begun"] for one in three] == [2, 1, 1]
    assert {one["job"] for one in three} == {"what all share"}
    assert {tuple(one["gpus"]) for one in three} == {tuple(alone["gpus"])}
    assert len(alone["gpus"]) == 1
    assert max(one["began"] for one in three) < min(one["ended"] for one in three)


@pytest.mark.parametrize("ill", ["not fit", "run full", "die"])
def test_what_does_not_fit_or_dies_is_an_answer_and_fresh_processes_follow(crew, ill):
    (first,) = told(crew, "work", 1)
    assert told(crew, ill, 1) is None
    (next_one,) = told(crew, "work", 1)
    assert next_one["pid"] != first["pid"]
    assert next_one["begun"] == 1


def test_who_hangs_is_not_waited_for(crew, monkeypatch):
    assert told(crew, "work", 1) is not None
    monkeypatch.setattr(packing, "_PATIENCE", 3.0)
    assert told(crew, "hang", 1) is None


class OnL4(Worker):
    """A worker whose figures are a GPU's: two trials train less than twice as much."""

    def train(self, seconds: float) -> Measured | None:
        found = super().train(0.02)
        assert found is not None
        width = self._begun[0]["g_width"]  # pyright: ignore[reportOptionalSubscript]
        return replace(found, rate=100.0, peak_mb=100.0 * width, **L4)


def small_space(trial: Any, task: Task) -> dict[str, Any]:
    params = {**default(task), "g_width": trial.suggest_int("g_width", 2, 20), "d_width": 2}
    return {**params, "batch_size": 8}


def test_a_gpu_is_measured_decided_on_and_given_back(cluster, data, tmp_path):
    said: list[str] = []
    workload = make_workload(data, tmp_path)
    asked = Resources("local", 1, None, 2)
    found = packing.probe_gpu(workload, small_space, asked, said.append, seconds=0.1, worker=OnL4)
    assert found.gpus_per_trial == 1 / 2
    assert said == [found.reason]
    pattern = r"^2 trials .*NVIDIA L4, 24 GB.* 2\.0 times.* --max-concurrent.* 2\.0 GB"
    assert re.search(pattern, found.reason), found.reason
    until = time.monotonic() + 30
    while ray.available_resources().get("GPU") != 2 and time.monotonic() < until:
        time.sleep(0.1)
    assert ray.available_resources()["GPU"] == 2
    assert ray.available_resources()["CPU"] == 4
