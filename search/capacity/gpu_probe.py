"""How many trials share a GPU: two configurations of the space measured on one, then decided."""

from __future__ import annotations

import gc
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import ray
import torch
from ray.exceptions import GetTimeoutError, OutOfMemoryError, RayActorError
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from spaces.catalog import Space
from spaces.errors import InputError
from spaces.recorder import Recorder
from spaces.task import Params, Task
from trainable.distributed.resources import Resources
from trainable.gan.config import TrialConfig
from trainable.gan.cuda_graphs import WARM_UP
from trainable.gan.footprint import Footprint, footprint
from trainable.gan.gpu_memory import Memory, cap_mb, limit_memory, room
from trainable.trial.evaluation import GENERATED
from trainable.trial.workload import Workload

TRIALS = (1, 2, 4, 8)
"""Trials a GPU that are tried."""
_GAIN = 1.05  # times the images a second of fewer trials that more must train together
_FILLED = 0.9  # share of a GPU's memory that the largest configuration's trials may come to
_PATIENCE = 180.0  # seconds for processes to start, build a run and warm it up


@dataclass(frozen=True)
class Measured:
    """What one trial's process says.

    Attributes:
        rate: images a second.
        peak_mb: most that torch held on the GPU, an evaluation included.
        gpu, total_mb: the GPU's name and memory.
        outside_mb: in use there beside what torch held: the process's context, and all others'.
    """

    rate: float
    peak_mb: float = 0.0
    gpu: str = "no GPU"
    total_mb: float = 0.0
    outside_mb: float = 0.0


@dataclass(frozen=True)
class Probe:
    """What measuring one configuration said.

    Attributes:
        needs: its footprint.
        alone: one trial by itself on the GPU, or None if it did not fit.
        together: images a second of so many trials; lacks what was not measured.
    """

    needs: Footprint
    alone: Measured | None
    together: Mapping[int, float]


@dataclass(frozen=True)
class Packing:
    """What a trial is given of a GPU.

    Attributes:
        gpus_per_trial: 1, 1/2, 1/4 or 1/8.
        cap_mb, memory: what torch may hold there for it, and what a configuration is estimated to
            need; None if nothing could be measured.
        reason: for the user, in a line.
        gain: images a second of so many trials together, over those of one alone.
    """

    gpus_per_trial: float
    cap_mb: float | None
    memory: Memory | None
    reason: str
    gain: float = 1.0


def fitting(largest: Probe, most: int) -> tuple[int, ...]:
    """The numbers of trials a GPU, `most` at most, for which memory suffices; one in any case."""
    if largest.alone is None:
        return (1,)
    context, whole = room(largest.alone.total_mb, largest.alone.outside_mb)
    each = largest.alone.peak_mb + context
    return tuple(k for k in TRIALS if k == 1 or (k <= most and k * each <= _FILLED * whole))


def pack(middling: Probe, largest: Probe, most: int) -> Packing:
    """The fewest trials a GPU within 5 % of the most images a second of the middling configuration.

    As many are feasible as fit with the largest configuration, and as CPUs allow (`most`). Fewer
    are better where more gain nothing, as without CUDA's multi-process service on a GPU that one
    trial keeps busy: each comes sooner to the rungs at which ASHA decides.
    """
    rates = {k: middling.together[k] for k in fitting(largest, most) if k in middling.together}
    known = largest.alone or middling.alone
    if known is None or 1 not in rates:
        return Packing(1.0, None, None, "1 trial per GPU: none could be measured on it")
    trials = min(k for k in rates if _GAIN * rates[k] >= max(rates.values()))
    more = next((k for k in TRIALS if k > trials), None)
    gain = {k: f"{rate / rates[1]:.1f} times" for k, rate in rates.items()}
    said = f"together {gain[trials]} the images a second of one, " * (trials > 1)
    if more in rates and trials > 1:
        said += f"{more} would come to {gain[more]}"
    elif more in rates:
        said += f"2 would train {gain[2]} its images a second (try nvidia-cuda-mps-control -d)"
    elif more is not None:
        said += f"{'CPUs, or --max-concurrent, allow' if more > most else 'memory allows'} no more"
    big = f"needs {known.peak_mb / 1024:.1f} GB" if largest.alone else "could not be trained there"
    reason = (
        f"{trials} trial{'s' * (trials > 1)} a GPU ({known.gpu}, {known.total_mb / 1024:.0f} GB): "
        f"{said.removesuffix(', ')}; the largest configuration {big}"
    )
    measured = [(p.needs, p.alone.peak_mb) for p in (middling, largest) if p.alone]
    cap = cap_mb(known.total_mb, trials, known.outside_mb)
    return Packing(1 / trials, cap, Memory.fit(measured), reason, rates[trials] / rates[1])


def probes(space: Space, task: Task, seed: int, draws: int = 64) -> tuple[Params, Params]:
    """A middling and the largest of some configurations drawn from a space: the median by
    multiply-adds of a step, and the one with the most bytes. The same for the same seed.

    Raises:
        InputError: no draw is a valid configuration.
    """
    rng = random.Random(seed)
    found: list[tuple[Footprint, Params]] = []
    for number in range(draws):
        recorder = Recorder(lambda _, distribution: distribution.draw(rng), number)
        try:
            params = space(cast("Any", recorder), task)
            config = TrialConfig.from_params(params)
            config.check_task(task)
        except Exception:  # a user's space may fail in any way; such trials fail, and say why
            continue
        found.append((footprint(config, task), params))
    if not found:
        raise InputError(f"none of {draws} draws from the space is a valid configuration")
    found.sort(key=lambda pair: pair[0].multiply_adds)
    return found[len(found) // 2][1], max(found, key=lambda pair: pair[0].total_bytes)[1]


class Worker:
    """A trial that is only to be measured, in a process of its own."""

    def __init__(self, workload: Workload):
        self._workload = replace(workload, start=None)  # which need not fit every configuration
        self._begun: tuple[Params, Any] | None = None

    def begin(self, params: Params) -> bool:
        """Train until all kinds of steps are recorded, and generate and look at an evaluation's
        images, unless this was begun already; whether memory sufficed."""
        if self._begun and self._begun[0] == params:
            return True
        workload, self._begun = self._workload, None
        gc.collect()
        torch.set_num_threads(workload.threads)
        torch.set_flush_denormal(True)
        config, steps = TrialConfig.from_params(params), 1
        try:
            if torch.device(workload.device).type == "cuda":
                torch.cuda.empty_cache()
                limit_memory(workload.device, None)
                period = math.lcm(config.penalty_interval or 1, config.backbone_interval or 1)
                steps = min((WARM_UP + 1) * period, 1024)
            run = workload.build_run(config, workload.seed)
            for _ in range(steps):
                run.train_step()
            labels = torch.arange(GENERATED) % len(workload.data.classes)
            workload.extractor.to(workload.device)(run.sample(labels, seed=0)).cpu()
        except Exception as error:
            return _no_room(error)
        self._begun = params, run
        return True

    def train(self, seconds: float) -> Measured | None:
        """Train what was begun for so long; None if memory did not suffice."""
        assert self._begun
        run, device = self._begun[1], self._workload.device
        looks = run.task.images // (run.config.batch_size * run.config.d_steps)
        seen, began = run.images_seen, time.perf_counter()
        try:
            while (spent := time.perf_counter() - began) < seconds:
                for _ in range(max(1, min(looks, 32)) - 1):
                    run.train_step()
                run.train_step().tolist()  # waits for the device
        except Exception as error:
            return _no_room(error) or None
        rate = (run.images_seen - seen) / spent
        if torch.device(device).type != "cuda":
            return Measured(rate)
        free, total = torch.cuda.mem_get_info(device)
        beside = max(0, total - free - torch.cuda.memory_reserved(device))
        mb = [n / 2**20 for n in (torch.cuda.max_memory_reserved(device), total, beside)]
        return Measured(rate, mb[0], torch.cuda.get_device_name(device), *mb[1:])


def _no_room(error: Exception) -> Literal[False]:
    """False if a GPU's memory is full, as torch or a library below it says; else raises `error`."""
    words = "out of memory", "ALLOC_FAILED"
    if not isinstance(error, torch.OutOfMemoryError) and not any(w in str(error) for w in words):
        raise error
    return False


class Crew:
    """Processes on one GPU of one node, which begin together and train together."""

    def __init__(self, workload: Workload, cpus_per_trial: int, most: int, worker: type = Worker):
        self.group = placement_group([{"CPU": cpus_per_trial * most, "GPU": 1}])
        self._hired = ray.remote(worker).options(
            num_cpus=cpus_per_trial, num_gpus=1 / most, max_restarts=0,
            scheduling_strategy=PlacementGroupSchedulingStrategy(self.group, 0),
        )  # fmt: skip
        self._workload = ray.put(workload)
        self._members: list[Any] = []

    def together(self, params: Params, trials: int, seconds: float) -> list[Measured] | None:
        """So many trials of a configuration trained together for so many seconds; None if one did
        not fit, died or hung. After that, the next call starts with fresh processes."""
        while len(self._members) < trials:
            self._members.append(self._hired.remote(self._workload))
        members = self._members[:trials]
        found: list[Any] = [None]
        with suppress(RayActorError, OutOfMemoryError, GetTimeoutError):
            if all(ray.get([m.begin.remote(params) for m in members], timeout=_PATIENCE)):
                asked = [m.train.remote(seconds) for m in members]
                found = ray.get(asked, timeout=seconds + _PATIENCE)
        if None not in found:
            return found
        self.dismiss()
        return None

    def dismiss(self) -> None:
        """End all processes."""
        for member in self._members:
            ray.kill(member)
        self._members = []


def measure(
    together: Callable[[Params, int, float], list[Measured] | None],
    params: tuple[Params, Params], task: Task, most: int, seconds: float,
) -> tuple[Probe, Probe]:  # fmt: skip
    """A middling and the largest configuration measured by `Crew.together`, the middling one with
    more and more trials, while they fit and train 5 % more images a second than fewer."""
    middling, largest = (footprint(TrialConfig.from_params(p), task) for p in params)
    found = together(params[1], 1, 0.5)
    big = Probe(largest, found[0] if found else None, {})
    alone, rates = None, {}
    for trials in fitting(big, most):
        found = together(params[0], trials, seconds)
        if not found:
            break
        alone = alone or found[0]
        fewer = max(rates.values(), default=0.0)
        rates[trials] = sum(one.rate for one in found)
        if rates[trials] < _GAIN * fewer:
            break
    return Probe(middling, alone, rates), big


def most_trials(nodes: Sequence[Mapping[str, Any]], resources: Resources) -> int:
    """Trials a GPU that the CPUs of all nodes with GPUs, as `ray.nodes` lists them, and the limit
    on trials at a time allow; one of `TRIALS`."""
    has = [node["Resources"] for node in nodes if node["Alive"]]
    shares = [n.get("CPU", 0) / resources.cpus_per_trial / n["GPU"] for n in has if n.get("GPU")]
    allowed = min([resources.max_concurrent or TRIALS[-1], *shares])
    return max(k for k in TRIALS if k <= max(allowed, 1))


def probe_gpu(
    workload: Workload, space: Space, resources: Resources, say: Callable[[str], None],
    *, seconds: float = 3.0, worker: type = Worker,
) -> Packing:  # fmt: skip
    """Measure on one GPU of the cluster that this process is connected to, decide, and `say` why.

    It takes up to a minute, during which nothing else should run there.

    Raises:
        InputError: the space gives no valid configuration.
    """
    params, most = probes(space, workload.task, workload.seed), most_trials(ray.nodes(), resources)
    crew = Crew(workload, resources.cpus_per_trial, most, worker)
    try:
        packing = pack(*measure(crew.together, params, workload.task, most, seconds), most)
    finally:
        crew.dismiss()
        remove_placement_group(crew.group)
    say(packing.reason)
    return packing
