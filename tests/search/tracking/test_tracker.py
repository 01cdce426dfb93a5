"""MLflow as the study's projection: complete, idempotent, and never in the way."""

import json
import logging
import os
import re
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from functools import cache
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from PIL import Image

from analysis.study.table import load_study as load_table
from search import publish
from search.proposals.telling import tell_end
from search.study.database import create_study, interrupt_running, load_study, open_storage
from search.study.folder import TRIALS, StudyFolder
from search.study.records import REPORT
from search.tracking.projection import Projection, check, connect, study_key
from search.tracking.tracker import RemoteProjection, Tracker
from search.tracking.written_run import WrittenRun
from spaces.presets import default
from tests.helpers.fake_tune import TASK, Search, config
from tests.helpers.refusals import refused, tells
from trainable.basics.child import ChildError
from trainable.tracking.client import create_tracking, reason
from trainable.tracking.names import EXPERIMENT
from trainable.trial.report import Status, trial_folder

YARDSTICK: Any = {"protocol": "tiny/1", "n_real": 40, "floor": 2.5, "untrained": {"fid": 90.0}}
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
        "resource": epoch, "order": epoch, "epoch": epoch, "status": "running", "objective": fid,
        "fid": fid, "kid": {"a b": fid},
        "g_loss": 1.0 / epoch,
        "images_seen": 40 * epoch, "train_seconds": float(epoch), "eval_seconds": 0.5 * epoch,
        "device": "cpu", "odd": float("nan"), "flag": True,
    }  # fmt: skip


@cache
def storage_in(folder):
    return open_storage(StudyFolder(folder).database_url)


def opened(folder):
    """The study in `folder`, read afresh, and its database."""
    return load_study(folder.name, storage_in(folder)), storage_in(folder)


def say(folder, number, *reports):
    """Write reports to the database, as the search does."""
    study, _ = opened(folder)
    trial = optuna.Trial(study, study.trials[number]._trial_id)
    for said in reports:
        trial.set_user_attr(f"{REPORT}{said['resource']:06d}", said)
        trial.report(said["objective"], said["resource"])
    return study, trial


@pytest.fixture
def folder(tmp_path, request):
    """A study with a trial of each kind: complete, pruned, diverged, failed, running."""
    name = request.node.name.replace("[", "-").replace("]", "")
    folder = tmp_path / name
    folder.mkdir()
    settings = config(name=name, trials=5, length=4, grace=1, eta=2, protocol="tiny/1")
    study = create_study(storage_in(folder), settings, YARDSTICK, {}, [])
    ends = [Status.COMPLETE, Status.PRUNED, Status.DIVERGED, Status.FAILED, None]
    for number, end in enumerate(ends):
        trial = study.ask()
        trial.set_user_attr("started", time.time())
        trial.set_user_attr("params", {"g_lr": 0.1 * (number + 1), "augment": "none"})
        said, trial = say(
            folder, number, *(report(epoch, 50.0 - epoch) for epoch in range(1, 5 - number))
        )
        if end:
            tell_end(said, trial, end, "it broke" if number > 1 else "")
    (folder / "study.json").write_text("{}")
    return folder


def projection_of(folder, uri):
    return Projection(folder, StudyFolder(folder).database_url, uri)


def follow(folder, uri, *more):
    """A tracker that hurries, and does it all in this process."""
    return Tracker(projection_of(folder, uri), *more, pause=0.01)


def runs(uri, folder):
    """The study's parents, and its children by number."""
    client = connect(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    key = study_key(opened(folder)[0])
    found = client.search_runs([experiment.experiment_id], f"tags.`cgan.study` = '{key}'")
    parents = [r for r in found if "cgan.trial" not in r.data.tags]
    children = [r for r in found if "cgan.trial" in r.data.tags]
    return client, parents, sorted(children, key=lambda r: int(r.data.tags["cgan.trial"]))


def go_on(folder):
    """The interrupted trial runs again, as a resumed search has it."""
    study, storage = opened(folder)
    trial_id = study.trials[4]._trial_id
    storage.set_trial_user_attr(trial_id, "status", Status.RUNNING.value)
    storage.set_trial_state_values(trial_id, TrialState.RUNNING)


def test_everything_is_there(uri, folder):
    projection_of(folder, uri).sync("FINISHED")
    client, [parent], children = runs(uri, folder)
    assert parent.info.status == "FINISHED"
    assert parent.data.params["length"] == "4"
    assert "time_budget" not in parent.data.params
    stands = dict.fromkeys((f"trials/{status}" for status in Status), 0.0)
    stands |= dict.fromkeys((f"trials/{s}" for s in ("complete", "pruned", "diverged")), 1.0)
    stands |= {"trials/failed": 1.0, "trials/running": 1.0}
    assert parent.data.metrics == {"floor": 2.5, "untrained/fid": 90, "best/fid": 46, **stands}
    assert parent.data.params["n_real"] == "40"
    assert parent.data.tags["protocol"] == "tiny/1"
    assert [f.path for f in client.list_artifacts(parent.info.run_id)] == ["study.json"]
    note = parent.data.tags["mlflow.note.content"]
    counts = "1 complete, 1 diverged, 1 failed, 1 pruned, 1 running |"
    assert tells(note, "4 of 5", counts)
    assert (parent.info.artifact_uri or "").startswith("file:///")
    assert parent.inputs is not None
    (data,) = parent.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("phantom", "d")
    assert json.loads(data.dataset.profile or "")["image_size"] == 32
    assert data.tags[0].value == "training"
    assert [c.info.status for c in children] == STATUSES
    assert [c.info.run_name for c in children][:2] == ["trial-00000", "trial-00001"]
    assert {c.data.tags["mlflow.parentRunId"] for c in children} == {parent.info.run_id}
    assert children[2].data.tags["status"] == "diverged"
    assert children[2].data.tags["reason"] == "it broke"
    assert [c.data.tags.get("pruned_at") for c in children] == [None, "2", None, None, None]
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


WORST = [
    ["COVID+", "COVID-"],  # in the alphabet of what MLflow allows, the other way round
    ["grade (1)", "grade [1]", "grade _1_", "grade _1_ 2"],
    ["$a$b", "</script>", "a/b|`c`", "Röntgen 肺", "x" * 255, "x" * 254 + "y"],
]


@pytest.mark.parametrize("names", WORST)
def test_every_class_has_its_own_key_and_its_true_name(uri, tmp_path, names):
    counts = {name: 40 + place for place, name in enumerate(names)}
    folder = tmp_path / f"classes-{len(names)}"
    folder.mkdir()
    settings = config(
        name=folder.name, data_digest=str(names), trials=1, length=4, grace=1, eta=2,
        protocol="tiny/1",
    )  # fmt: skip
    measured: Any = {**YARDSTICK, "counts": counts}
    study = create_study(storage_in(folder), settings, measured, {}, [])
    study.set_user_attr("of_patients", False)
    trial = study.ask()
    trial.set_user_attr("started", time.time())
    trial.set_user_attr("params", {"g_lr": 0.1})
    say(folder, 0, report(1, 50.0))
    projection_of(folder, uri).sync("FINISHED")
    _, [parent], _ = runs(uri, folder)
    shown = {k: int(v) for k, v in parent.data.params.items() if k.startswith("counts/")}
    assert sorted(shown.values()) == sorted(counts.values())
    assert all(shown.get(f"counts/{n}", counts[n]) == counts[n] for n in names)
    table = load_table(folder.name, uri)
    assert list(table.counts.items()) == list(counts.items())
    assert not table.of_patients
    # The version before wrote no word of patients.
    connect(uri).delete_tag(parent.info.run_id, "cgan.of_patients")
    table = load_table(folder.name, uri)
    assert (list(table.counts), table.of_patients) == (names, True)


def test_pictures_on_a_disk_that_is_not_mounted_are_not_passed_over(uri, folder, capsys):
    (folder / TRIALS).symlink_to(folder.parent / "unmounted")
    flags = [folder.name, "--output", str(folder.parent), "--tracking-uri", uri]
    assert publish.main(flags) == 2
    assert tells(capsys.readouterr().err, folder.parent / "unmounted", "mount it again")


def test_a_deleted_experiment_is_named_with_the_remedy(uri, folder, capsys):
    projection_of(folder, uri).sync()
    client, [parent], _ = runs(uri, folder)
    client.delete_experiment(parent.info.experiment_id)
    restore = f"-m mlflow experiments restore --experiment-id {parent.info.experiment_id}"
    said = []
    try:
        with refused(restore):
            projection_of(folder, uri).sync("FINISHED")
        tracker = follow(folder, uri, said.append)
        tracker.start()
        assert not tracker.close(1)
        flags = [folder.name, "--output", str(folder.parent), "--tracking-uri", uri]
        assert publish.main(flags) == 2
    finally:
        client.restore_experiment(parent.info.experiment_id)
    assert restore in said[0]
    error = capsys.readouterr().err
    assert restore in error
    assert "try again" not in error
    projection_of(folder, uri).sync("FINISHED")
    assert runs(uri, folder)[1][0].info.status == "FINISHED"


def pictures(folder, number, epochs):
    trial = trial_folder(folder / "trials", number)
    trial.mkdir(parents=True, exist_ok=True)
    for epoch in epochs:
        Image.new("L", (8, 8), epoch).save(trial / f"samples_{epoch:06d}.png")


def grids_of(client, run):
    names = [f.path for f in client.list_artifacts(run.info.run_id, "images")]
    return sorted(int(re.findall(r"step.(\d+)", n)[0]) for n in names if n.endswith(".png"))


def test_grids_of_those_that_got_to_the_second_rung(uri, folder):
    """Each once, whoever writes; those of a trial under way as they come."""
    for number in range(5):
        pictures(folder, number, range(1, 5 - number))
    projection = projection_of(folder, uri)
    projection.sync()
    client, _, children = runs(uri, folder)
    assert [grids_of(client, run) for run in children] == [[1, 2, 3, 4], [1, 2, 3], [1, 2], [], []]
    pictures(folder, 4, [0, 1, 2])  # those above are of trials of before
    say(folder, 4, report(1, 9.0), report(2, 8.0))
    projection.sync()
    projection_of(folder, uri).sync("FINISHED")
    assert grids_of(client, runs(uri, folder)[2][4]) == [0, 1, 2]
    assert grids_of(client, children[0]) == [1, 2, 3, 4]


def test_a_study_whose_folder_is_a_link_of_another_name_is_written(uri, folder, tmp_path):
    link = tmp_path / "elsewhere" / folder.name
    link.parent.mkdir()
    folder.rename(tmp_path / "moved")
    link.symlink_to(tmp_path / "moved")
    storage = open_storage(StudyFolder(link).database_url)
    Projection(link, storage.url, uri).sync("FINISHED")
    client, (parent,), children = runs(uri, link)
    assert len(children) == 5
    assert parent.info.run_name == folder.name
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert "study.json" in files


def test_artifacts_of_a_linked_study_lie_beside_the_other_studies(tmp_path):
    """A store of its own, as the place is settled when the experiment is made."""
    (tmp_path / "big" / "x").mkdir(parents=True)
    (tmp_path / "runs").mkdir()
    link = tmp_path / "runs" / "s"
    link.symlink_to(tmp_path / "big" / "x")
    storage = open_storage(StudyFolder(link).database_url)
    create_study(storage, config(name="s"), YARDSTICK, {}, [])
    uri = f"sqlite:///{tmp_path}/runs/mlflow.db"
    Projection(link, storage.url, uri).sync("FINISHED")
    experiment = connect(uri).get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    assert experiment.artifact_location == (tmp_path / "runs" / "mlartifacts").as_uri()


def test_once_and_only_once_however_often(uri, folder, monkeypatch):
    projection = projection_of(folder, uri)
    for again in (projection, projection, projection_of(folder, uri)):
        again.sync()
    say(folder, 4, report(1, 30.0))
    interrupt_running(*opened(folder))
    projection.sync()
    client, [parent], children = runs(uri, folder)
    assert parent.info.status == "RUNNING"
    assert projection.run_id() == parent.info.run_id
    assert [projection.run_id(n) for n in range(5)] == [c.info.run_id for c in children]
    assert children[4].info.status == "SCHEDULED"
    for child, points in zip(children, [4, 3, 2, 1, 1], strict=True):
        assert len(client.get_metric_history(child.info.run_id, "fid")) == points

    # A write whose mark was lost is repeated, and is the same write.
    client.set_tag(children[0].info.run_id, "cgan.epoch", "1")
    go_on(folder)
    tell_end(*say(folder, 4), Status.COMPLETE, "")
    projection = projection_of(folder, uri)
    projection.sync("FINISHED")
    client, [parent], children = runs(uri, folder)
    assert len(client.get_metric_history(children[0].info.run_id, "fid")) == 4
    assert children[4].info.status == parent.info.status == "FINISHED"
    assert parent.data.metrics["best/fid"] == 30

    # With nothing new, nothing is written; also by a process that finds all of it there.
    written = []
    monkeypatch.setattr(type(client), "log_batch", lambda *a, **k: written.append(a))
    projection.sync("FINISHED")
    projection_of(folder, uri).sync("FINISHED")
    assert written == []


def test_an_interrupted_trial_runs_again(uri, folder):
    interrupt_running(*opened(folder))
    projection_of(folder, uri).sync("SCHEDULED")
    _, [parent], children = runs(uri, folder)
    assert (parent.info.status, children[4].info.status) == ("SCHEDULED", "SCHEDULED")
    go_on(folder)
    projection_of(folder, uri).sync()
    _, [parent], children = runs(uri, folder)
    assert (parent.info.status, children[4].info.status) == ("RUNNING", "RUNNING")


def test_a_tracker_follows_the_study(uri, folder):
    tracker = follow(folder, uri)
    tracker.start()
    assert tracker.flush(30)
    say(folder, 4, report(1, 30.0))
    tracker.wake()
    assert tracker.close(30)
    assert tracker.problem is None
    _, [parent], children = runs(uri, folder)
    assert parent.info.status == "FINISHED"
    assert children[4].data.metrics["fid"] == 30
    assert tracker.close(0)  # again, at no cost


def test_its_process_may_be_killed_and_nothing_is_lost(uri, folder, capfd):
    """In a real process: nothing else can be killed."""
    said = []
    with closing(RemoteProjection(folder, StudyFolder(folder).database_url, uri)) as projection:
        tracker = Tracker(projection, said.append, pause=0.01)
        assert tracker.ask().result() is None
        tracker.start()
        assert tracker.flush(60)
        first = projection.run_id(0)
        process = projection._child._process
        assert process is not None
        process.kill()
        process.wait()
        say(folder, 4, report(1, 30.0))
        tracker.wake()
        assert tracker.close(60)
        assert projection.run_id(0) is not None
        assert projection.run_id(0) == first
    _, [parent], children = runs(uri, folder)
    assert parent.info.status == "FINISHED"
    assert children[4].data.metrics["fid"] == 30
    assert tracker.problem is None
    assert said == []  # as nothing was asked meanwhile
    assert capfd.readouterr() == ("", "")


def test_one_that_is_closed_over_a_store_that_hangs_says_no_more(folder):
    """In a real process: it would still hang when the search has ended."""
    said = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        database = StudyFolder(folder).database_url
        with closing(RemoteProjection(folder, database, address)) as projection:
            tracker = Tracker(projection, said.append, pause=0.01)
            tracker.start()
            held, _ = silent.accept()
            assert not tracker.close(0.1)
        held.close()
        tracker._thread.join(10)
        assert not tracker._thread.is_alive()
    assert said == []
    assert tracker.problem is None


def test_a_fault_there_is_said_as_here(folder, uri, tmp_path):
    (tmp_path / "file").touch()
    bad = f"sqlite:///{tmp_path}/file/x.db"
    with closing(RemoteProjection(folder, StudyFolder(folder).database_url, bad)) as projection:
        assert projection.check() == check(bad)
        with pytest.raises(ChildError) as found:
            projection.sync()
    with pytest.raises(OSError, match="File exists") as here:
        projection_of(folder, bad).sync()
    assert str(found.value) == reason(here.value)


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


def test_a_store_is_created_whole_or_not_at_all(tmp_path):
    path = tmp_path / "runs" / "mlflow.db"
    code = f"from search.tracking.projection import check; check('sqlite:///{path}')"
    (tmp_path / "tmp").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    )
    # A migration that creates several tables: killed among them, MLflow could not go on.
    while not any("secrets" in tables(file) for file in tmp_path.rglob("*.db")):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert check(f"sqlite:///{path}") is None
    assert "secrets" in tables(path)
    assert [file.name for file in path.parent.iterdir()] == ["mlflow.db"]


def tables(path):
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return {row[0] for row in database.execute("SELECT name FROM sqlite_master")}


def test_a_store_that_another_created_meanwhile_is_kept(tmp_path, monkeypatch):
    path, migrate = tmp_path / "mlflow.db", "trainable.tracking.client._migrate"
    monkeypatch.setattr(migrate, lambda made: path.write_text("another's"))
    create_tracking(f"sqlite:///{path}")
    assert path.read_text() == "another's"
    assert [file.name for file in tmp_path.iterdir()] == ["mlflow.db"]


def test_an_outage_is_said_once_and_made_good_later(uri, folder):
    said = []
    tracker = follow(folder, "http://user:secret@127.0.0.1:9", said.append)
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
    projection_of(folder, uri).sync("FINISHED")
    _, [_], children = runs(uri, folder)
    assert [c.info.status for c in children] == STATUSES


def test_a_store_that_comes_back_gets_everything(uri, folder, monkeypatch):
    said = []
    tracker = follow(folder, uri, said.append)
    with monkeypatch.context() as patch:
        patch.setattr(WrittenRun, "write", lambda *a: 1 / 0)
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
        assert tells(check(address, limit=0.5) or "", "0.5 s")
        tracker = follow(folder, address)
        tracker.start()
        time.sleep(0.2)
        called = time.perf_counter()
        for _ in range(1000):
            tracker.wake()
        assert time.perf_counter() - called < 0.1
        with caplog.at_level(logging.WARNING, "search.tracking.tracker"):
            assert not tracker.close(0.5)
            assert time.monotonic() - started < 5
            assert not tracker.close(20)  # its last attempt fails, and it ends
    assert len([r for r in caplog.records if r.name == "search.tracking.tracker"]) == 1


def test_a_report_that_comes_for_a_settled_trial_of_another_life_is_not_missed(uri, folder):
    """A trial is settled once its end is written; until then each of its reports is looked for."""
    projection = projection_of(folder, uri)
    projection.sync()
    for epoch in (1, 2, 3):
        say(folder, 4, report(epoch, 30.0 - epoch))
        projection.sync()
    tell_end(*say(folder, 4), Status.PRUNED, "")
    projection.sync()
    client, [parent], children = runs(uri, folder)
    fids = client.get_metric_history(children[4].info.run_id, "fid")
    assert [(m.step, m.value) for m in fids] == [(1, 29), (2, 28), (3, 27)]
    assert children[4].info.status == "FINISHED"
    assert parent.data.metrics["best/fid"] == 46  # of complete trials only
    assert children[4].data.tags["status"] == "pruned"


def test_names_and_code_are_those_of_when_it_was_trained(uri, tmp_path, monkeypatch):
    """Whoever publishes it, and however often."""
    codes = [{"version": f"0.1.0+{c}", "commit": c * 40} for c in "abc"]
    queue = [{"g_lr": default(TASK)["g_lr"]}, {"g_lr": 5e-3}]
    folder = tmp_path / "coded"
    monkeypatch.setattr("search.proposals.ledger.code_version", lambda: codes[0])
    search = Search(folder, queue=queue, trials=4)
    for name in "abc":
        search.start(name)
    search.report("a", 12, 60.0, "complete")
    search.report("b", 2, 50.0)
    search.report("c", 2, 55.0)  # which ASHA stops
    search.ledger.close()
    monkeypatch.setattr("search.proposals.ledger.code_version", lambda: codes[1])
    search = Search(folder, trials=4)
    assert search.start("b") == 1
    search.report("b", 12, 40.0, "complete")
    search.start("d")
    search.report("d", 12, 70.0, "complete")
    search.ledger.close()
    monkeypatch.setattr("search.proposals.ledger.code_version", lambda: codes[2])
    Projection(folder, search.storage.url, uri).sync("FINISHED")
    _, [parent], children = runs(uri, folder)
    names = [c.info.run_name for c in children]
    assert names == ["trial-00000 default", "trial-00001 enqueued", "trial-00002", "trial-00003"]
    assert [c.data.tags.get("pruned_at") for c in children] == [None, None, "2", None]
    for run, code in zip([*children, parent], "ababb", strict=True):
        assert run.data.tags["cgan.version"] == f"0.1.0+{code}"
        assert run.data.tags["mlflow.source.git.commit"] == code * 40
        assert run.data.tags["mlflow.source.name"] == "python -m search.run"
        assert run.data.tags["mlflow.source.type"] == "LOCAL"


def test_who_watches_is_told_of_each_trial_that_is_written(uri, folder):
    told = []
    projection = projection_of(folder, uri)
    for status in (None, "FINISHED"):
        projection.sync(status, lambda done, total: told.append((done, total)))
    assert told == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5), (1, 1)]  # the rest is settled


def test_the_description_keeps_up(uri, folder):
    projection = projection_of(folder, uri)
    projection.sync()
    _, [parent], _ = runs(uri, folder)
    assert "mlflow.note.content" not in parent.data.tags
    projection.sync("SCHEDULED")
    tell_end(*say(folder, 4, report(1, 30.0)), Status.COMPLETE, "")
    projection.sync("FINISHED")
    _, [parent], _ = runs(uri, folder)
    note = parent.data.tags["mlflow.note.content"]
    assert tells(note, "5 of 5", "2 complete, 1 diverged", "best FID", "30.0", "trial 4")


def test_after_a_failure_in_the_middle_the_rest_is_written_and_nothing_twice(
    uri, folder, monkeypatch
):
    projection = projection_of(folder, uri)
    client = connect(uri)
    log_batch, calls = type(client).log_batch, iter(range(100))

    def fails_once(self, *args, **kwargs):
        if next(calls) == 5:
            raise ConnectionError("gone")
        return log_batch(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(type(client), "log_batch", fails_once)
        with pytest.raises(ConnectionError):
            projection.sync()
        assert projection.run_id() is None  # what is there is not known
        projection.sync("FINISHED")
    client, [_], children = runs(uri, folder)
    assert [c.info.status for c in children] == STATUSES
    for child, points in zip(children, [4, 3, 2, 1, 0], strict=True):
        found = client.get_metric_history(child.info.run_id, "fid") if points else []
        assert len(found) == points
