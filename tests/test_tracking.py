"""MLflow as the study's projection: complete, idempotent, and never in the way."""

import logging
import socket
import time

import pytest

from search.projection import EXPERIMENT, Projection, connect, study_key
from search.settings import StudyConfig
from search.study import create_study, load_study, mark_interrupted, record_end, record_report
from search.study import unfinished as take_up
from search.tracking import Tracker, check, publish
from trainable.trial import Status

YARDSTICK = {"protocol": "tiny/1", "n_real": 40, "floor": 2.5, "untrained": {"fid": 90.0}}
STATUSES = ["FINISHED", "FINISHED", "FAILED", "FAILED", "RUNNING"]


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    """One store for all, as its tables take seconds; studies are kept apart by their names."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('store') / 'new' / 'mlflow.db'}"
    assert check(uri) is None
    return uri


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")


def report(epoch, fid):
    return {
        "epoch": epoch, "status": "running", "objective": fid, "fid": fid, "kid": {"a b": fid},
        "g_loss": 1.0 / epoch,
        "images_seen": 40 * epoch, "train_seconds": float(epoch), "eval_seconds": 0.5 * epoch,
        "device": "cpu", "odd": float("nan"), "flag": True,
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path, request):
    """A study with a trial of each kind: complete, pruned, diverged, failed, running."""
    name = request.node.name.replace("[", "-").replace("]", "")
    folder = tmp_path / name
    folder.mkdir()
    config = StudyConfig(
        name=name, space="s", data="d",
        data_digest="0", image_size=32, fit="crop", trials=5, time_budget=None, epochs=4,
        eval_every=1, grace=1, eta=2, sampler="random", seed=0, objective="fid", features="tiny",
        protocol="tiny/1", weights_sha256="0", top_k=1, winner_images=20,
    )  # fmt: skip
    study = create_study(folder, config, YARDSTICK)
    ends = [Status.COMPLETE, Status.PRUNED, Status.DIVERGED, Status.FAILED, None]
    for number, end in enumerate(ends):
        trial = study.ask()
        trial.set_user_attr("params", {"g_lr": 0.1 * (number + 1), "augment": "none"})
        for epoch in range(1, 5 - number):
            record_report(trial, report(epoch, 50.0 - epoch))
        if end:
            record_end(study, trial, end, value=46.0, reason="it broke" if number > 1 else "")
    (folder / "study.json").write_text("{}")
    return folder


def runs(uri, folder):
    """The study's parents, and its children by number."""
    client = connect(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    key = study_key(load_study(folder))
    found = client.search_runs([experiment.experiment_id], f"tags.`cgan.study` = '{key}'")
    parents = [r for r in found if "cgan.trial" not in r.data.tags]
    children = [r for r in found if "cgan.trial" in r.data.tags]
    return client, parents, sorted(children, key=lambda r: int(r.data.tags["cgan.trial"]))


def test_everything_is_there(uri, folder):
    publish(folder, uri)
    client, [parent], children = runs(uri, folder)
    assert parent.info.status == "FINISHED"
    assert parent.data.params["epochs"] == "4"
    assert "time_budget" not in parent.data.params
    assert parent.data.metrics == {"n_real": 40, "floor": 2.5, "untrained/fid": 90, "best_fid": 46}
    assert parent.data.tags["protocol"] == "tiny/1"
    assert [f.path for f in client.list_artifacts(parent.info.run_id)] == ["study.json"]
    assert (parent.info.artifact_uri or "").startswith("file:///")
    assert [c.info.status for c in children] == STATUSES
    assert [c.info.run_name for c in children][:2] == ["trial-00000", "trial-00001"]
    assert {c.data.tags["mlflow.parentRunId"] for c in children} == {parent.info.run_id}
    assert children[2].data.tags["status"] == "diverged"
    assert children[2].data.tags["reason"] == "it broke"
    assert children[0].data.tags["device"] == "cpu"
    assert children[0].data.params == {"g_lr": "0.1", "augment": "none"}
    started, ended = children[0].info.start_time, children[0].info.end_time
    assert started is not None
    assert ended is not None
    assert 0 <= ended - started < 60_000
    fids = client.get_metric_history(children[0].info.run_id, "fid")
    assert [(m.step, m.value) for m in fids] == [(1, 49), (2, 48), (3, 47), (4, 46)]
    assert fids[1].timestamp - fids[0].timestamp == 1500  # as they were reported, not written
    assert set(children[0].data.metrics) == {
        "fid", "objective", "g_loss", "kid/a b", "images_seen", "train_seconds", "eval_seconds"
    }  # fmt: skip


def test_once_and_only_once_however_often(uri, folder, monkeypatch):
    projection = Projection(folder, uri)
    for again in (projection, projection, Projection(folder, uri)):
        again.sync()
    study = load_study(folder)
    record_report(take_up(study)[0], report(1, 30.0))
    mark_interrupted(study)
    projection.sync()
    client, [parent], children = runs(uri, folder)
    assert parent.info.status == "RUNNING"
    assert projection.run_id() == parent.info.run_id
    assert [projection.run_id(n) for n in range(5)] == [c.info.run_id for c in children]
    assert children[4].info.status == "KILLED"
    for child, points in zip(children, [4, 3, 2, 1, 1], strict=True):
        assert len(client.get_metric_history(child.info.run_id, "fid")) == points

    # A write whose mark was lost is repeated, and is the same write.
    client.set_tag(children[0].info.run_id, "cgan.epoch", "1")
    record_end(study, take_up(study)[0], Status.COMPLETE, value=30.0)
    projection = Projection(folder, uri)
    projection.sync("FINISHED")
    client, [parent], children = runs(uri, folder)
    assert len(client.get_metric_history(children[0].info.run_id, "fid")) == 4
    assert children[4].info.status == parent.info.status == "FINISHED"
    assert parent.data.metrics["best_fid"] == 30

    # With nothing new, nothing is written.
    written = []
    monkeypatch.setattr(type(client), "log_batch", lambda *a, **k: written.append(a))
    projection.sync("FINISHED")
    assert written == []


def test_an_interrupted_trial_runs_again(uri, folder):
    mark_interrupted(load_study(folder))
    Projection(folder, uri).sync("KILLED")
    _, [parent], children = runs(uri, folder)
    assert (parent.info.status, children[4].info.status) == ("KILLED", "KILLED")
    take_up(load_study(folder))
    Projection(folder, uri).sync()
    _, [parent], children = runs(uri, folder)
    assert (parent.info.status, children[4].info.status) == ("RUNNING", "RUNNING")


def test_a_tracker_follows_the_study(uri, folder):
    tracker = Tracker(folder, uri, pause=0.01)
    tracker.start()
    assert tracker.flush(30)
    record_report(take_up(load_study(folder))[0], report(1, 30.0))
    tracker.wake()
    assert tracker.close(30)
    assert tracker.problem is None
    _, [parent], children = runs(uri, folder)
    assert parent.info.status == "FINISHED"
    assert children[4].data.metrics["fid"] == 30
    assert tracker.close(0)  # again, at no cost


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("http://127.0.0.1:9", "refused"),
        ("foo://x", "unsupported URI"),
        ("sqlite:////proc/none/x.db", "No such file"),
    ],
)
def test_check_says_why_not(bad, reason):
    started = time.monotonic()
    assert reason in (check(bad) or "")
    assert time.monotonic() - started < 8


def test_an_outage_is_said_once_and_made_good_later(uri, folder):
    said = []
    tracker = Tracker(folder, "http://user:secret@127.0.0.1:9", said.append, pause=0.01)
    tracker.start()
    for _ in range(20):
        tracker.wake()
        time.sleep(0.01)
    assert not tracker.flush(10)
    assert not tracker.close(10)
    assert "refused" in (tracker.problem or "")
    assert len(said) == 1
    assert "\n" not in said[0]
    assert "secret" not in said[0]
    publish(folder, uri)
    _, [_], children = runs(uri, folder)
    assert [c.info.status for c in children] == STATUSES


def test_a_store_that_comes_back_gets_everything(uri, folder, monkeypatch):
    said = []
    tracker = Tracker(folder, uri, said.append, pause=0.01)
    with monkeypatch.context() as patch:
        patch.setattr("search.projection._write", lambda *a: 1 / 0)
        tracker.start()
        assert not tracker.flush(30)
    deadline = time.monotonic() + 20
    while tracker.problem and time.monotonic() < deadline:  # by itself, without a call
        time.sleep(0.01)
    assert len(said) == 1
    assert tracker.close(30)
    _, [_], children = runs(uri, folder)
    assert [len(c.data.params) for c in children] == [2] * 5


def test_a_store_that_hangs_stops_nobody(folder, caplog):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        assert check(address, limit=0.5) == "no answer within 0.5 s"
        tracker = Tracker(folder, address, pause=0.01)
        tracker.start()
        time.sleep(0.2)
        called = time.perf_counter()
        for _ in range(1000):
            tracker.wake()
        assert time.perf_counter() - called < 0.1
        with caplog.at_level(logging.WARNING, "search.tracking"):
            assert not tracker.close(0.5)
            assert time.monotonic() - started < 5
            assert not tracker.close(20)  # its last attempt fails, and it ends
    assert len([r for r in caplog.records if r.name == "search.tracking"]) == 1
