"""A search driven by hand in Tune's place: a study, its searcher and its scheduler, no Ray."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
from ray.tune.schedulers import TrialScheduler

from search.proposals.ledger import Entry, Ledger
from search.study.config import StudyConfig
from search.study.database import (
    create_study,
    interrupt_running,
    keep_learnt,
    load_study,
    open_storage,
    read_learnt,
)
from search.study.folder import StudyFolder
from search.study.records import TrialRecord, read_records
from search.tune.rungs import replayed
from search.tune.scheduler import StudyASHA
from search.tune.searcher import StudySearcher
from spaces.presets import default
from spaces.task import Task
from trainable.trial.report import GOALS

TASK = Task(32, 1, 2, 40)
YARDSTICK: Any = {"floor": 30.0, "untrained": {"fid": 300.0, "kid": 0.3}}
CONTINUE, STOP = TrialScheduler.CONTINUE, TrialScheduler.STOP


def config(**changes: Any) -> StudyConfig:
    values: dict[str, Any] = {
        "name": "s", "space": "full", "data": "phantom", "data_digest": "d", "image_size": 32,
        "fit": "crop", "background": "black", "levels": None,
        "labels": None, "label_columns": None, "classes": None,
        "trials": 9, "time_budget": None, "resource": "epoch", "length": 12,
        "eval_every": 1, "grace": 2, "eta": 3, "max_trial_time": None, "sampler": "random",
        "prior": "none", "seed": 0, "objective": "fid",
        "features": "x", "protocol": "x", "weights_sha256": "0",
        "backbone": "none", "backbone_sha256": None, "held_out": None,
        "held_out_digest": None, "hold_back": 0.0, "validation_digest": None,
        "init_from": None, "init_sha256": None,
        "top_k": 2, "winner_images": 20, "replicates": 0,
    }  # fmt: skip
    return StudyConfig(**{**values, **changes})


def space(trial: optuna.Trial, task: Task) -> dict[str, Any]:
    return {**default(task), "g_lr": trial.suggest_float("g_lr", 1e-4, 1e-2, log=True)}


def made_report(resource: int, status: str = "running", **more: Any) -> Any:
    """A report that no trial made, with the scores among `more` alone."""
    return {
        "resource": resource, "epoch": resource, "status": status, "images_seen": 40 * resource,
        "train_seconds": 1.0, "eval_seconds": 0.0, **more,
    }  # fmt: skip


def flat(resource: int, status: str, **more: Any) -> dict[str, Any]:
    """A report as Tune hands it over: flattened, among what the scheduler looks at."""
    report = made_report(resource, status, **more)
    seen = {k: v for k, v in report.items() if k in ("resource", *GOALS)}
    return {**seen, "done": status != "running", **{f"report/{k}": v for k, v in report.items()}}


def drawn(ledger: Ledger, space: Any, task: Task = TASK) -> Entry:
    """The next trial, which the space can draw."""
    entry = ledger.draw(space, task)
    assert isinstance(entry, Entry)
    return entry


class Search:
    """A study with its searcher and scheduler; one that exists already is resumed.

    Attributes:
        live: the arguments of each trial under way, by Tune's id.
    """

    def __init__(
        self,
        folder: Path,
        space: Any = space,
        queue: list[dict[str, Any]] | None = None,
        deadline: float | None = None,
        **changes: Any,
    ):
        self.config = config(name=folder.name, **changes)
        self.live: dict[str, dict[str, Any]] = {}
        new = not folder.exists()
        folder.mkdir(exist_ok=True)
        self.storage = open_storage(StudyFolder(folder).database_url)
        if new:
            create_study(self.storage, self.config, YARDSTICK, {}, queue or [])
        self.study = load_study(folder.name, self.storage)
        interrupt_running(self.study, self.storage)
        records = read_records(self.study)
        rungs, stopped = replayed(self.config, records)
        self.scheduler = StudyASHA(rungs)
        learnt = read_learnt(self.study, self.storage)
        self.ledger = Ledger(self.config, self.study, self.storage, learnt)
        self.searcher = StudySearcher(
            self.ledger, self.config, space, TASK, records, stopped, deadline
        )

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """What the searcher says to Tune, which then adds the trial."""
        found = self.searcher.suggest(trial_id)
        if isinstance(found, dict):
            self.live[trial_id] = found
            self.scheduler.on_trial_add(None, self.tune_trial(trial_id))
        return found

    def start(self, trial_id: str) -> int:
        found = self.suggest(trial_id)
        assert isinstance(found, dict)
        return found["number"]

    def tune_trial(self, trial_id: str) -> Any:
        return SimpleNamespace(trial_id=trial_id, config=self.live[trial_id])

    def report(
        self, trial_id: str, resource: int, fid: float, status: str = "running", **more: Any
    ) -> str:
        """Hand over a report with scores; returns whether the trial goes on."""
        return self.hand_over(trial_id, flat(resource, status, objective=fid, fid=fid, **more))

    def hand_over(self, trial_id: str, result: dict[str, Any]) -> str:
        """As Tune does: a result that is done is not put to the scheduler, and of one that ends the
        trial, the searcher hears only the end."""
        trial = self.tune_trial(trial_id)
        decision = STOP
        if not result["done"]:
            decision = self.scheduler.on_trial_result(None, trial, result)
        if decision == STOP:
            self.searcher.on_trial_complete(trial_id, result)
            del self.live[trial_id]
        else:
            self.searcher.on_trial_result(trial_id, result)
        return decision

    def records(self) -> list[TrialRecord]:
        """What the database holds; the search writes no more."""
        self.ledger.close()
        return read_records(self.study)

    @property
    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """The same as Optuna sees it."""
        self.ledger.close()
        return self.study.trials


def warm(folder: Path, learnt: list[Any], **changes: Any) -> Search:
    """A new study that keeps what it has learnt, and is then opened as a search does."""
    Search(folder, **changes).ledger.close()
    storage = open_storage(f"sqlite:///{folder / 'study.db'}")
    keep_learnt(load_study(folder.name, storage), storage, learnt)
    return Search(folder, **changes)


def drive(
    search: Search,
    curve: Callable[[dict[str, Any], int, int], float],
    rng: random.Random,
    workers: int,
    reopen: Callable[[Search], Search | None] = lambda search: None,
) -> tuple[Search, list[tuple[int, int, str]]]:
    """Run a search to its end, `workers` trials at a time, whose reports come in random order.

    `curve` gives the objective of a configuration, trial number and resource. `reopen` may give the
    search's next life before any report. Returns the last life, and each decision with its trial
    and resource.
    """
    said: list[tuple[int, int, str]] = []
    running: dict[int, tuple[str, dict[str, Any], list[int]]] = {}  # by number
    names = map(str, range(10**6))

    def fill() -> None:
        while len(running) < workers:
            name = next(names)
            found = search.suggest(name)
            if isinstance(found, str):
                return
            heard = found["heard"]
            left = [e for e in search.config.evaluations if e > heard]
            running[found["number"]] = name, found["params"], left

    fill()
    while running:
        again = reopen(search)
        if again is not None:
            search = again
            running.clear()
            fill()
        number = rng.choice(sorted(running))
        name, params, left = running[number]
        resource = left.pop(0)
        status = "running" if left else "complete"
        decision = search.report(name, resource, curve(params, number, resource), status)
        said.append((number, resource, decision))
        if decision == STOP:
            del running[number]
            fill()
    return search, said


def kill(search: Search) -> None:
    """The search dies after its last write: no trial is told of, all that ran is left running."""
    search.ledger.close()


def curve(params: dict[str, Any], number: int, resource: int) -> float:
    """An objective that depends on the configuration, falls, and is no other trial's."""
    noise = np.random.default_rng([number, resource]).uniform(0, 30)
    return 100 + 40 * abs(np.log10(params["g_lr"]) + 3) - 3 * resource + noise


def mixed(trial: optuna.Trial, task: Task) -> dict[str, Any]:
    """Numbers, a choice, and a parameter that is not always asked for."""
    params = space(trial, task)
    params["d_norm"] = trial.suggest_categorical("d_norm", ["spectral", "none"])
    if params["d_norm"] == "spectral":
        params["batch_size"] = trial.suggest_int("batch_size", 4, 32)
    return params


def check_resumed_proposals(folder: Path, sampler: str, trials: int) -> list[dict[str, Any]]:
    """One at a time, a search that is killed again and again proposes what a whole one does."""
    folder.mkdir(exist_ok=True)
    settings = {"sampler": sampler, "trials": trials, "space": mixed, "length": 2, "grace": 1}
    dice = random.Random(1)

    def reopen(search: Search) -> Search | None:
        if dice.random() < 0.5:
            return None
        kill(search)
        return Search(folder / "s", **settings)

    whole, decisions = drive(Search(folder / "whole", **settings), curve, random.Random(0), 1)
    broken, again = drive(Search(folder / "s", **settings), curve, random.Random(0), 1, reopen)
    searched = [r.searched for r in whole.records()]
    assert [r.searched for r in broken.records()] == searched
    assert len({str(s) for s in searched}) == trials
    assert again == decisions
    return searched
