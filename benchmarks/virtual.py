"""A cluster in virtual time, for `benchmarks.scaling`: the driver is real, Ray and time are not."""

from __future__ import annotations

import heapq
import math
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks import free_trials as free
from search.proposals.samplers import build_sampler

PICTURED = 6  # from this report of a trial on, MLflow gets its grids
START, PAUSE = 3.0, 1.0  # seconds until a worker has torch, and between the tracker's rounds
MANY = (0, 10, 100, 1000, 4000, 10_000)  # trials that have ended, for which proposals are timed,
RUNNING = (0, 64, 512)  # and trials under way
Costs = dict[str, Any]  # CPU seconds of a thread; pairs are offset and slope


def interval(number: Any, at: Any, usual: float) -> float:
    """Seconds that a trial takes for its report `at`: configurations differ in speed."""
    speed = random.Random(int(number)).lognormvariate(0, 0.3)
    return usual * speed * random.Random(1000 * int(number) + int(at)).uniform(0.9, 1.1)


class Thread:
    """Jobs, one after another; `left` is what the first one still takes."""

    def __init__(self) -> None:
        self.jobs: deque[tuple[float, Callable[[], None]]] = deque()
        self.left = self.spent = 0.0

    def put(self, cost: float, done: Callable[[], None] = lambda: None) -> None:
        self.left = self.left if self.jobs else cost
        self.jobs.append((cost, done))

    def work(self, cpu: float) -> None:
        self.spent += cpu
        self.left -= cpu
        if self.left <= 1e-9:
            _, done = self.jobs.popleft()
            self.left = self.jobs[0][0] if self.jobs else 0.0
            done()


class Answer:
    """A worker's; what Ray has an ObjectRef for."""

    value: Any = None


class Actor:
    """A worker; `told` holds trial, report and time of each order to train."""

    def __init__(self, submit: Any, made: Any):
        self.made, self._submit = made, submit
        self.told: list[tuple[Any, Any, Any]] = []
        self._actor_id = SimpleNamespace(hex=lambda: "")

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace(remote=lambda *a, **k: self._submit(self, name, *a, **k))


class World:
    """Virtual time, the driver's two threads and the tracker's process, and what Tune gets for
    Ray."""

    actor, ObjectRef = SimpleNamespace(ActorClass=object), Answer

    def __init__(self, costs: Costs, workers: int, usual: float, past: int):
        self.costs, self.workers, self.usual, self.past = costs, workers, usual, past
        self.threads = [Thread(), Thread(), Thread()]
        self.driver, self.writer, self.tracker = self.threads
        self.now = self.rest = 0.0  # the tracker rests until then
        self.woken, self.running, self.mark = False, 0, time.thread_time()
        self.news: Counter[str] = Counter()
        self.heard: set[int] = set()  # trials whose reports are news
        self.coming: list[tuple[float, int, Answer]] = []
        self.there: set[Answer] = set()
        self.actors: list[Actor] = []
        self.batches: deque[int] = deque()  # the transaction of each act of the writer
        self.samples: list[list[float]] = []  # when, and the threads' CPU seconds

    @contextmanager
    def outside(self) -> Iterator[None]:
        """The driver has worked until now; what is done in here costs nothing."""
        self.go(cpu=time.thread_time() - self.mark)
        yield
        self.mark = time.thread_time()

    def go(self, cpu: float = 0.0, until: float = 0.0) -> None:
        """The driver works so long, or waits until then."""
        if cpu:
            self.driver.put(cpu)
        while self.driver.jobs or self.now < until:
            if self.woken and not self.tracker.jobs and self.now >= self.rest:
                self.woken = False
                self.tracker.put(self.a_round(), self.after_round)
            busy = [thread for thread in (self.driver, self.writer) if thread.jobs]
            beside = [self.tracker] if self.tracker.jobs else []
            end = math.inf if self.driver.jobs else until
            end = min(end, self.rest) if self.woken and self.rest > self.now else end
            left = [thread.left * len(busy) for thread in busy] + [t.left for t in beside]
            spent = min([end - self.now, *left])
            self.now += spent
            for thread in busy:
                thread.work(spent / len(busy))
            for thread in beside:
                thread.work(spent)

    def a_round(self) -> float:
        """What it costs the tracker to write all that the database has by now."""
        self.news.update(round=1, heard=len(self.heard), running=self.running + self.news["end"])
        cost = sum(self.costs.get(f"tracker {kind}", 0.0) * n for kind, n in self.news.items())
        self.news.clear()
        self.heard.clear()
        return cost

    def after_round(self) -> None:
        self.rest = self.now + PAUSE

    def wake(self) -> None:
        self.woken = True
        self.samples.append([self.now, *(thread.spent for thread in self.threads)])

    def write(self, kind: str, number: int, at: int = 0) -> None:
        """The writer gets an act; the tracker sees it once it is done."""

        # What comes while one is written is another transaction, together.
        batches = self.batches
        opens = not batches or batches[-1] == batches[0]
        batches.append((batches[-1] if batches else 0) + opens)

        def done() -> None:
            batches.popleft()
            self.running += {"create": 1, "end": -1}.get(kind, 0)
            self.news[kind] += 1
            if kind == "report":
                self.heard.add(number)
                self.news["grid"] += PICTURED if at == PICTURED else at > PICTURED

        commit = opens * self.costs["writer commit"]
        self.writer.put(self.costs[f"writer {kind}"] + commit, done)

    def study_writer(self, *_: Any) -> Any:
        at = free.EVERY
        writer = SimpleNamespace(
            create=lambda number, trial: self.write("create", number),
            report=lambda number, report: self.write("report", number, report["resource"] // at),
            end=lambda number, status, reason, ended: self.write("end", number),
            put=lambda act: act(writer), flush=lambda: None, close=lambda: None,
        )  # fmt: skip
        return writer

    def sampler(self, name: str, seed: int, number: int, *_: Any) -> Any:
        with self.outside():
            running = min(number, self.workers)
            ended = self.past + number - running
            beside = [np.interp(ended, MANY, costs) for costs in self.costs["propose"]]
            self.go(cpu=float(np.interp(running, RUNNING, beside)))
            return build_sampler("random", seed, number)

    def hire(self, made: type) -> Any:
        def remote(**kwargs: Any) -> Actor:
            self.actors.append(Actor(self.submit, made(**kwargs)))
            return self.actors[-1]

        return SimpleNamespace(remote=remote)

    def submit(self, actor: Actor, name: str, *args: Any, **kwargs: Any) -> Answer:
        with self.outside():
            answer, took = Answer(), START if name == "__ray_ready__" else 0.0
            if name in ("train", "reset"):
                answer.value = getattr(actor.made, name)(*args, **kwargs)
            if name == "train":
                what = actor.made._number, actor.made._at
                actor.told.append((*what, self.now + self.costs["latency"] / 2))
                took = interval(*what, self.usual)
            when = self.now + self.costs["latency"] + took
            heapq.heappush(self.coming, (when, id(answer), answer))
        return answer

    def wait(self, futures: list[Answer], num_returns: int = 1, timeout: float = 0.0) -> Any:
        with self.outside():
            end = self.now + timeout
            while True:
                while self.coming and self.coming[0][0] <= self.now:
                    self.there.add(heapq.heappop(self.coming)[2])
                found = [f for f in futures if f in self.there][:num_returns] if self.there else []
                if found or self.now >= end:
                    break
                self.go(until=min(end, self.coming[0][0] if self.coming else end))
            (event, slope), (look, _) = self.costs["ray event"], self.costs["ray look"]
            self.go(cpu=look + len(found) * (event - look) + slope * len(futures))
        return found, futures

    def get(self, answer: Answer) -> Any:
        self.there.discard(answer)
        return answer.value

    def stand_ins(self) -> dict[str, Any]:
        """What is replaced by what."""
        pool = SimpleNamespace(
            get_resource_futures=list, request_resources=lambda resource_request: None,
            has_resources_ready=lambda request: True, free_resources=lambda acquired_resource: None,
            acquire_resources=lambda request: SimpleNamespace(
                annotate_remote_entities=lambda made: made, resource_request=request
            ), cancel_resource_request=lambda resource_request: None, clear=lambda: None,
        )  # fmt: skip
        clock = SimpleNamespace(monotonic=lambda: self.now, time=lambda: self.now)
        ray_tune, manager = "ray.tune.execution", "ray.air.execution._internal"
        return {
            f"{manager}.actor_manager.ray": self,
            f"{manager}.event_manager.ray": self,
            "search.tune.controller.ray": self,
            f"{ray_tune}.class_cache.ray": SimpleNamespace(remote=lambda **_: self.hire),
            f"{ray_tune}.tune_controller.PlacementGroupResourceManager": lambda: pool,
            "search.proposals.ledger.StudyWriter": self.study_writer,
            "search.tune.watchdog.time": clock,
            "search.tune.reporting.time": clock,
        } | (
            {"search.proposals.ledger.build_sampler": self.sampler}
            if "propose" in self.costs
            else {}
        )
