"""What a trial gets of a GPU, by hand and by measurement, and what memory cannot hold."""

from dataclasses import replace

import pytest
import ray

from search.capacity import gpu_share as sharing
from search.capacity.gpu_probe import Packing
from search.capacity.gpu_share import Capacity, Shares, share
from search.proposals.ledger import Ledger, Refused
from tests.helpers.fake_tune import config
from tests.helpers.faults import narrow
from tests.helpers.refusals import tells
from tests.helpers.toys import make_data, make_workload, small_config
from trainable.distributed.resources import Resources
from trainable.gan.footprint import footprint
from trainable.gan.gpu_memory import Memory
from trainable.trial.report import Status

GPU = Resources("x", 1, 1.0, None)


@pytest.fixture
def workload(tmp_path):
    return replace(make_workload(make_data(), tmp_path), device="cuda")


@pytest.fixture
def probed(monkeypatch):
    """A probe that says: four a GPU, each half as fast as alone; and a node of two GPUs."""
    asked = []

    def probe(workload, narrow, where, say) -> Packing:
        asked.append(where)
        say("4 trials a GPU")
        return Packing(0.25, 5000.0, Memory(1000.0, 2.0), "", gain=2.0)

    node = {"Alive": True, "Resources": {"CPU": 16.0, "GPU": 2.0}}
    monkeypatch.setattr(sharing, "probe_gpu", probe)
    monkeypatch.setattr(ray, "nodes", lambda: [node])
    return asked


def settled(workload, where, gpus_mb=(16000,), auto=True, budget=None) -> tuple[Shares, list[str]]:
    said: list[str] = []
    found = share(
        workload, narrow, Capacity(where, 2), gpus_mb, auto=auto, budget=budget, say=said.append
    )
    return found, said


def test_measured_where_it_is_left_to_us(workload, probed):
    shares, said = settled(workload, GPU)
    assert shares.capacity.resources.gpus_per_trial == 0.25
    assert shares.capacity.workers == 8
    assert shares.workload.gpu_memory_mb == 5000.0
    assert shares.slowdown == 0.5  # four together train twice as many images as one
    assert said == ["4 trials a GPU"]
    limited, _ = settled(workload, replace(GPU, max_concurrent=3))
    assert limited.capacity.workers == 3


@pytest.mark.parametrize(
    ("where", "auto", "budget"),
    [
        (replace(GPU, gpus_per_trial=0.0), True, None),
        (GPU, False, None),
        (replace(GPU, gpus_per_trial=0.5), False, None),
        (GPU, True, 60.0),
    ],
)
def test_not_measured_without_need(workload, probed, where, auto, budget):
    shares, _ = settled(workload, where, auto=auto, budget=budget)
    assert probed == []
    assert (shares.capacity, shares.slowdown) == (Capacity(where, 2), 1.0)
    assert shares.refusal(small_config(workload.data)) is None


def test_a_fraction_by_hand_is_held_to_its_part_of_the_smallest_gpu(workload, probed):
    shares, said = settled(workload, replace(GPU, gpus_per_trial=0.25), (48000, 16000), auto=False)
    limit = shares.workload.gpu_memory_mb
    assert limit is not None
    assert 3000 < limit < 4000
    (line,) = said
    assert tells(line, f"{limit / 1024:.1f} GB")
    whole, _ = settled(workload, GPU, auto=False)
    assert whole.workload.gpu_memory_mb is None


def test_what_cannot_fit_is_refused_and_what_may_is_not(workload):
    small = small_config(workload.data)
    memory = Memory(1000.0, 1.0)
    needs = 1000.0 + footprint(small, workload.task).total_bytes / 2**20
    for limit, refused in ((needs / 1.3, True), (needs / 1.2, False)):
        held = Shares(Capacity(GPU, 1), replace(workload, gpu_memory_mb=limit), memory=memory)
        assert (held.refusal(small) is not None) == refused


def test_a_refused_trial_is_out_of_memory_before_it_begins(workload):
    ledger = Ledger(config(trials=2), None, None, refuse=lambda config: "needs 9 GB, of 5 GB")
    refused = ledger.draw(narrow, workload.task)
    assert isinstance(refused, Refused)
    assert (refused.status, refused.reason) == (Status.OUT_OF_MEMORY, "needs 9 GB, of 5 GB")
    assert ledger.ended == 1
    (trial,) = ledger._sampled.trials
    assert trial.user_attrs["status"] == Status.OUT_OF_MEMORY
    assert trial.user_attrs["reason"] == "needs 9 GB, of 5 GB"
    assert trial.user_attrs["params"]["g_width"] == 4
