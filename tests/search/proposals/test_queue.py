"""Where a study starts: configurations to try first, an earlier study to learn from, its space."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from search.proposals.history import History
from search.proposals.ledger import Ledger
from search.proposals.queue import read_queue
from search.proposals.warm_start import learn_from, space_differences
from search.study.database import read_learnt
from search.study.records import read_records
from spaces.catalog import full, optimization
from spaces.describe import space_snapshot
from spaces.task import Task
from tests.helpers.fake_tune import TASK, Search, config, drawn, drive, flat, space, warm
from tests.helpers.refusals import refused
from trainable.trial.report import Status


def pair(trial: optuna.Trial, task: Task) -> dict[str, Any]:
    """Two searched values, the second only under one answer of the first."""
    params = space(trial, task)
    params["d_norm"] = trial.suggest_categorical("d_norm", ["spectral", "none"])
    if params["d_norm"] == "spectral":
        params["batch_size"] = trial.suggest_int("batch_size", 4, 32)
    return params


def written(path: Path, content: Any) -> Path:
    file = path / "queue.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("{", ["JSON"]),
        ([{"g_lr": 0.001}, 7], ["entry 2", 7, "object", "cgan-search spaces NAME"]),
        ('"g_lr"', ["entry 1", "'g_lr'", "object"]),
        ({"g_lrr": 0.001}, ["entry 1", "g_lrr", "pair", "g_lr?"]),
        ({"zzz": 1}, ["zzz", "g_lr, d_norm, batch_size"]),
        ({"g_lr": 1.0}, ["g_lr", 1, "0.0001 to 0.01, log"]),
        ({"g_lr": "fast"}, ["g_lr", "fast", "0.0001 to 0.01, log"]),
        ({"batch_size": 8.5}, ["batch_size", 8.5, "4 to 32"]),
        ({"batch_size": True}, ["batch_size", True, "4 to 32"]),
        ({"d_norm": 1}, ["d_norm", 1, "spectral, none"]),
        ({"g_lr": 0.001, "d_norm": "none", "batch_size": 8}, ["batch_size", "combined"]),
    ],
)
def test_a_queue_that_cannot_be_tried_is_refused(tmp_path, content, parts):
    with refused(f"--enqueue {tmp_path / 'queue.json'}", *parts):
        read_queue(written(tmp_path, content), pair, TASK)


def test_a_queue_that_is_not_there_is_refused(tmp_path):
    with refused("--enqueue", tmp_path / "none.json", "No such file"):
        read_queue(tmp_path / "none.json", pair, TASK)


def test_one_configuration_or_many_are_read(tmp_path):
    one = {"g_lr": 0.001}
    assert read_queue(written(tmp_path, one), pair, TASK) == [one]
    many = [one, {}, {"d_norm": "spectral", "batch_size": 4}]
    assert read_queue(written(tmp_path, many), pair, TASK) == many


PORTRAIT = {"searched g_lr": "0.0001 to 0.01, log"}
QUEUE = [
    {"g_lr": 3e-3, "d_norm": "none"},  # as a new study's default configuration
    {"g_lr": 1e-4, "d_norm": "spectral", "batch_size": 5},
    {"g_lr": 5e-4},
    {"batch_size": 7},
]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> list[dict[str, Any]]:
    """What a search with that queue tries if nothing happens to it."""
    folder = tmp_path_factory.mktemp("queue") / "s"
    s = Search(folder, queue=QUEUE, space=pair, trials=7)
    drive(s, lambda params, number, resource: 50.0 + number, random.Random(0), 1)
    return [record.searched for record in s.records()]


@pytest.mark.parametrize("killed_after", range(5))
def test_what_is_queued_is_tried_first_in_its_order_and_once(tmp_path, undisturbed, killed_after):
    """Resumed or not; what an entry leaves out, the sampler draws."""
    s = Search(tmp_path / "s", queue=QUEUE, space=pair, trials=7)
    for count in range(7):
        if count == killed_after:
            s.start("lost")  # under way at the kill, and goes on before anything new
            s.ledger.close()
            s = Search(tmp_path / "s", space=pair, trials=7)
        s.start(str(count))
        s.report(str(count), 12, 50.0 + count, "complete")
    records = s.records()
    searched = [record.searched for record in records]
    assert searched == undisturbed
    assert searched[:2] == QUEUE[:2]
    assert records[1].params["batch_size"] == 5
    assert searched[2]["g_lr"] == 5e-4
    assert searched[3]["g_lr"] not in (5e-4, 3e-3)
    assert searched[3].get("batch_size", 7) == 7
    assert all("d_norm" in found for found in searched)
    assert len({found["g_lr"] for found in searched}) == 7
    assert [t.user_attrs.get("queued") for t in s.trials] == [0, 1, 2, 3, None, None, None]


def test_a_queue_may_grow_at_a_resume(tmp_path):
    """As `--resume NAME --enqueue FILE`: new entries come after those that are left."""
    s = Search(tmp_path / "s", queue=[{"g_lr": 1e-3}, {"g_lr": 2e-3}])
    s.start("a")
    s.report("a", 12, 50.0, "complete")
    s.ledger.close()
    s.study.set_user_attr("queue", [*s.study.user_attrs["queue"], {"g_lr": 4e-3}])
    again = Search(tmp_path / "s")
    for name in "xyz":
        again.start(name)
    rates = [r.searched["g_lr"] for r in again.records()]
    assert rates[:3] == [1e-3, 2e-3, 4e-3]
    assert rates[3] not in rates[:3]


@pytest.fixture(scope="module")
def earlier(tmp_path_factory) -> Search:
    """A study whose FID is best at a learning rate of 1e-3; far from there trials broke down."""
    rates = [{"g_lr": float(rate)} for rate in np.geomspace(1.1e-4, 9e-3, 19)]
    s = Search(tmp_path_factory.mktemp("earlier") / "earlier", trials=20, queue=rates)
    s.study.set_user_attr("space", PORTRAIT)
    for name, rate in enumerate(rates):
        s.start(str(name))
        far = abs(np.log10(rate["g_lr"]) + 3)
        if far > 0.8:
            s.hand_over(str(name), flat(1, "diverged", reason="g_loss is nan"))
        else:
            s.report(str(name), 12, 50 + 100 * far, "complete")
    s.start("under way")
    s.ledger.close()
    return s


@pytest.mark.parametrize(
    ("changes", "space_snapshot", "named"),
    [
        ({"data_digest": "e"}, PORTRAIT, "images (d, now e)"),
        ({"protocol": "y"}, PORTRAIT, "network of FID (x, now y)"),
        ({"weights_sha256": "1"}, PORTRAIT, "weights of that network (0, now 1)"),
        ({"image_size": 64}, PORTRAIT, "image size (32, now 64)"),
        ({"fit": "pad"}, PORTRAIT, "fit (crop, now pad)"),
        ({"objective": "kid"}, PORTRAIT, "objective (fid, now kid)"),
        ({"resource": "seconds"}, PORTRAIT, "resource (epoch, now seconds)"),
        ({"length": 24}, PORTRAIT, "length of a trial (12, now 24)"),
        (
            {},
            {"searched g_lr": "0.1 to 1"},
            "searched g_lr (0.0001 to 0.01, log, now 0.1 to 1)",
        ),
        ({}, {**PORTRAIT, "searched x": "0 to 1"}, "searched x (absent, now 0 to 1)"),
    ],
)
def test_a_study_whose_scores_or_values_do_not_compare_is_not_learnt_from(
    earlier, changes, space_snapshot, named
):
    with refused("--warm-start earlier", named, "--enqueue", "best.json") as caught:
        learn_from(earlier.study, config(**changes), space_snapshot)
    assert str(caught.value).count(", now ") == 1  # and nothing else


def test_ended_trials_are_learnt_whatever_else_differs(earlier):
    other = config(name="new", trials=3, sampler="tpe", seed=5, eta=2, top_k=1, eval_every=3)
    learnt = learn_from(earlier.study, other, PORTRAIT)
    assert len(learnt) == 19  # not the one under way
    assert {t.state.name for t in learnt} == {"COMPLETE", "PRUNED"}


def test_what_a_learnt_trial_misses_of_the_gates_counts_against_it_still(tmp_path):
    """One without variety has the better FID, and could not win."""
    earlier = Search(tmp_path / "earlier", queue=[{"g_lr": 1e-3}, {"g_lr": 5e-3}])
    for name, fid, diversity in (("a", 60.0, 0.9), ("b", 50.0, 0.5)):
        earlier.start(name)
        earlier.report(name, 12, fid, "complete", diversity=diversity)
    earlier.ledger.close()
    learnt = learn_from(earlier.study, config(), {})
    s = warm(tmp_path / "new", learnt)
    sampled = read_learnt(s.study, s.storage)
    z = History.of(sampled, s.study.directions, random.Random(0)).z
    assert z[0] == 0 < z[1]


def test_what_was_learnt_counts_nowhere(tmp_path, earlier):
    """Numbers, trials, reports, rungs and the study's end are the new study's own; resumed too."""
    learnt = learn_from(earlier.study, config(), PORTRAIT)
    s = warm(tmp_path / "new", learnt, trials=3)
    assert s.searcher.finished == 0
    assert s.start("a") == 0
    assert s.report("a", 2, 500.0) == "CONTINUE"  # the first of its rung, however bad
    assert s.scheduler.rungs.scores == {2: {0: (500.0,)}, 6: {}}
    assert [r.number for r in s.records()] == [0]
    again = Search(tmp_path / "new", trials=3)
    assert len(read_learnt(again.study, again.storage)) == 19
    assert [again.start(n) for n in "xyz"] == [0, 1, 2]
    assert isinstance(again.suggest("w"), str)
    for name in "xyz":
        again.report(name, 12, 40.0, "complete")
    records = again.records()
    assert [(r.number, r.status) for r in records] == [(n, Status.COMPLETE) for n in range(3)]
    assert len(again.study.trials) == 3
    assert again.study.best_value == 40.0
    assert read_learnt(earlier.study, earlier.storage) == []
    assert len(earlier.study.trials) == 20


def test_learnt_trials_spare_the_random_start_and_point_to_the_optimum(earlier):
    """First proposals of many seeds, against the same seeds without an earlier study."""
    learnt = learn_from(earlier.study, config(), PORTRAIT)
    far: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(20):
        for knows in (True, False):
            ledger = Ledger(config(sampler="tpe", seed=seed), None, None, learnt if knows else [])
            entry = drawn(ledger, space)
            assert entry.number == 0
            far[knows].append(abs(np.log10(entry.params["g_lr"]) + 3))
    assert max(far[True]) < 0.2  # of 1 either way
    assert max(far[False]) > 0.8
    assert sum(d < 0.2 for d in far[False]) < 10


def test_a_warm_started_search_proposes_the_same_resumed_or_not(tmp_path, earlier):
    learnt = learn_from(earlier.study, config(), PORTRAIT)
    settings = {"sampler": "tpe", "trials": 4, "length": 2, "grace": 1}

    def curve(params: dict[str, Any], number: int, resource: int) -> float:
        return 100 * abs(np.log10(params["g_lr"]) + 2.5) + number / 10

    def reopen(search: Search) -> Search:
        search.ledger.close()
        return Search(tmp_path / "b", **settings)

    whole, _ = drive(warm(tmp_path / "a", learnt, **settings), curve, random.Random(0), 1)
    start = warm(tmp_path / "b", learnt, **settings)
    broken, _ = drive(start, curve, random.Random(0), 1, reopen)
    searched = [[r.searched for r in s.records()] for s in (whole, broken)]
    assert searched[0] == searched[1]
    assert [r.number for r in read_records(broken.study)] == list(range(4))


def varied(low: float = 1e-4, constant: float = 0.0, scale: float = 1.0, sgd: bool = False):
    def made(trial: optuna.Trial, task: Task) -> dict[str, Any]:
        rate = trial.suggest_float("g_lr", low, 1e-2, log=True)
        kind = trial.suggest_categorical("optimizer", ["adam", "sgd"] if sgd else ["adam"])
        return {"g_lr": rate * scale, "optimizer": kind, "l2": constant}

    return made


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"low": 1e-5}, ["searched g_lr (0.0001 to 0.01, log, now 1e-05 to 0.01, log)"]),
        ({"constant": 0.1}, ["l2 (0, now 0.1)"]),
        ({"sgd": True}, ["searched optimizer (adam, now adam, sgd)"]),
        ({"scale": 2.0}, ["g_lr (absent, now computed (*))"]),
        ({}, []),
    ],
)
def test_what_differs_in_a_space_is_named(changes, named):
    differ = space_differences(
        space_snapshot(varied(), TASK), space_snapshot(varied(**changes), TASK)
    )
    # Another range also changes what is made of it; that may be said on top.
    said = [text for text in differ if text.startswith(tuple(n.split(" (")[0] for n in named))]
    shown = [text.partition("computed (")[0] + "computed (*))" if "computed" in text else text
             for text in said]  # fmt: skip
    assert shown == named
    assert bool(differ) == bool(named)


def test_another_scaling_of_a_computed_value_is_seen():
    """Both are computed; only what they come to tells them apart."""
    one, other = (space_snapshot(varied(scale=scale), TASK) for scale in (2.0, 3.0))
    (differ,) = space_differences(one, other)
    assert differ.startswith("g_lr (computed (")
    assert space_differences(other, other) == []


@pytest.mark.parametrize("made", [full, optimization])
def test_a_space_snapshot_is_the_same_every_time_and_survives_json(made: Callable[..., Any]):
    seen = space_snapshot(made, TASK)
    assert space_differences(json.loads(json.dumps(seen)), space_snapshot(made, TASK)) == []
    # Of another task, what is drawn or made is another.
    assert space_differences(seen, space_snapshot(made, Task(64, 1, 2, 8))) != []
