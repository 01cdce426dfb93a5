"""Trials in an object store: over the real protocol, to a server that speaks it."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from moto.server import ThreadedMotoServer

from search.capacity.nodes import survey
from search.study.folder import TRIALS
from search.study.trial_files import attach_storage, fetch, send
from tests.helpers.faults import Faulty, run_search
from tests.helpers.refusals import refused
from tests.helpers.searches import STORE_KEYS, shared_ray
from tests.helpers.toys import fids, make_data, make_workload, run_on, small_params
from trainable.distributed.cluster import connected
from trainable.distributed.resources import Resources
from trainable.trial.checkpoints import mark_hung, newest, times_hung
from trainable.trial.object_store import ObjectStore, scratch
from trainable.trial.report import Status, trial_folder
from trainable.trial.trial import Trial, assess
from trainable.trial.workload import Workload


@pytest.fixture(scope="module")
def store():
    """An S3 server; the query of addresses there."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in STORE_KEYS.items():
            patch.setenv(name, value)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        yield f"endpoint_override={host}:{port}&scheme=http&allow_bucket_creation=true"
        server.stop()


@pytest.fixture(params=["s3", "file"])
def object_store(request, store, tmp_path):
    if request.param == "file":
        return ObjectStore(f"file://{tmp_path / 'store'}")
    bucket = request.node.name.translate(str.maketrans("_[]", "---")).strip("-")[-50:].strip("-")
    made = ObjectStore(f"s3://{bucket}/runs/{TRIALS}?{store}")
    system, base = made._open()
    system.create_dir(base.partition("/")[0])
    return made


def test_what_is_written_is_read_until_it_is_deleted(object_store):
    assert object_store.names("") == set()
    object_store.write("a/b", b"hello")
    object_store.write("a/c/d", b"")
    assert object_store.names("a") == {"a/b", "a/c/d"}
    assert object_store.names("a/c") == {"a/c/d"}
    assert object_store.read("a/b") == b"hello"
    object_store.delete("a/b")
    object_store.delete("a/b")
    assert object_store.names("a") == {"a/c/d"}
    with pytest.raises(FileNotFoundError):
        object_store.read("a/b")


@pytest.fixture
def workload(object_store, tmp_path) -> Workload:
    """Of three evaluations; `node` is the folder of the machine at work."""
    return replace(make_workload(make_data(), tmp_path / "node"), object_store=object_store)


def test_a_trial_goes_on_from_the_store_on_another_node(workload, tmp_path):
    params = small_params(workload.data)
    plain = run_on(Trial(make_workload(workload.data, tmp_path / "plain"), 3, params))
    first = Trial(workload, 3, params)
    reports = [first.advance(), first.advance()]
    shutil.rmtree(tmp_path / "node")  # that machine is gone
    second = Trial(workload, 3, params, heard=reports[-1]["resource"])
    assert second.attempt.number == 2
    assert second.run.epoch == reports[-1]["epoch"]
    reports += run_on(second)
    assert fids(reports) == fids(plain)
    kept = workload.object_store.names("00003")  # pyright: ignore[reportOptionalMemberAccess]
    assert {n.split("/")[1] for n in kept if n.endswith(".pt")} == {"attempt-002"}
    assert len([n for n in kept if n.endswith(".pt")]) == 2
    assert len([n for n in kept if n.endswith(".png")]) == 4  # the untrained generator's, too


def test_an_attempt_that_died_before_its_first_checkpoint_keeps_its_number(workload, tmp_path):
    params = small_params(workload.data)
    for number in (1, 2, 3):
        assert Trial(workload, 0, params).attempt.number == number
        shutil.rmtree(tmp_path / "node")


def test_a_writer_of_a_former_life_touches_nothing_of_the_present_one(workload, tmp_path):
    params = small_params(workload.data)
    old = Trial(workload, 0, params)
    old.advance()
    (tmp_path / "node").rename(tmp_path / "away")
    new = Trial(workload, 0, params)
    assert new.run.epoch == 1
    run_on(new)
    mine = {n for n in workload.object_store.names("00000") if "attempt-002" in n}  # pyright: ignore
    (tmp_path / "node").rename(tmp_path / "other")
    (tmp_path / "away").rename(tmp_path / "node")
    run_on(old)
    assert {n for n in workload.object_store.names("00000") if "attempt-002" in n} == mine  # pyright: ignore
    shutil.rmtree(tmp_path / "node")
    workload.object_store.pull(tmp_path / "node" / "00000")  # pyright: ignore[reportOptionalMemberAccess]
    assert len(newest(tmp_path / "node" / "00000")["reports"]) == 3


def test_a_key_of_the_store_that_leads_out_of_the_trials_folder_is_passed_over(
    tmp_path, monkeypatch
):
    object_store = ObjectStore(f"file://{tmp_path}/store")
    object_store.write("00000/a.pt", b"1")
    names = {"00000/a.pt", "00000/../../stolen.pt"}
    monkeypatch.setattr(object_store, "names", lambda folder: names)
    monkeypatch.setattr(object_store, "read", lambda name: b"1")
    object_store.pull(tmp_path / "node" / "00000")
    assert [p.name for p in (tmp_path / "node").rglob("*.pt")] == ["a.pt"]
    assert not list(tmp_path.glob("stolen*"))


def test_a_winner_is_scored_from_the_store(workload, tmp_path, monkeypatch):
    monkeypatch.setattr("trainable.trial.evaluation.GENERATED", 20)
    params = small_params(workload.data)
    run_on(Trial(workload, 1, params))
    shutil.rmtree(tmp_path / "node")
    shutil.rmtree(scratch(workload.object_store.url))  # pyright: ignore[reportOptionalMemberAccess]
    found = assess(workload, 1, params, 20)
    plain = make_workload(workload.data, tmp_path / "plain")
    run_on(Trial(plain, 1, params))
    assert found.scores == assess(plain, 1, params, 20).scores


def test_a_node_has_nothing_left_of_an_earlier_study_at_the_same_address(workload, tmp_path):
    """Deleted in the store and on the driver, but not on every node that worked on it."""
    old = workload.on_this_node()
    params = small_params(old.data)
    run_on(Trial(old, 0, params))
    mark_hung(trial_folder(old.trials, 0))
    store = old.object_store
    assert store is not None
    for name in store.names(""):
        store.delete(name)
    new = Trial(replace(old, object_store=ObjectStore(store.url)), 0, params)
    assert (new.attempt.number, new.run.epoch, times_hung(new.folder)) == (1, 0, 0)
    run_on(Trial(old, 1, params))
    for name in store.names("00001"):
        store.delete(name)
    with pytest.raises(FileNotFoundError):
        assess(old, 1, params, 20)


class Fire(Faulty):
    befalls: ClassVar = {0: "is_killed", 1: "rots"}


def test_a_whole_search_under_fire(store, tmp_path):
    """What else may befall a worker does not ask where its trial is kept."""
    url = f"s3://fire/runs?{store}"
    ObjectStore(url)._open()[0].create_dir("fire")
    folder = tmp_path / "whole"
    folder.mkdir()
    object_store = attach_storage(folder, url)
    assert object_store is not None
    with shared_ray(), connected(Resources("local", 1, 0.0, 1)) as (where, _):
        (node,) = survey(object_store)
        assert node.storage is None
        outcome, records, _ = run_search(
            folder, Fire, where, object_store=object_store, trials=3, length=6
        )
    assert outcome.done
    assert [r.status for r in records] == [Status.COMPLETE] * 3
    assert not list((folder / TRIALS).rglob("*.pt"))
    for record in records:
        trial = trial_folder(folder / TRIALS, record.number)
        fetch(trial, "*.png")
        assert len(list(trial.glob("*.png"))) == 7
        fetch(trial, "*.pt")
        assert len(newest(trial)["reports"]) == len(record.reports) == 6
    assert not any(name.startswith(".nodes") for name in object_store.names(""))


def test_a_hang_is_known_to_the_next_attempt(store, tmp_path):
    url = f"s3://hang/runs?{store}"
    ObjectStore(url)._open()[0].create_dir("hang")
    object_store = attach_storage(tmp_path, url)
    assert object_store is not None
    send(mark_hung(trial_folder(tmp_path / TRIALS, 4)))
    object_store.pull(tmp_path / "node" / "00004")
    assert times_hung(tmp_path / "node" / "00004") == 1


def test_a_study_keeps_its_place(store, tmp_path):
    url = f"s3://keeps/runs?{store}"
    ObjectStore(url)._open()[0].create_dir("keeps")
    first = attach_storage(tmp_path, url)
    assert first is not None
    assert first.url.startswith(f"s3://keeps/runs/{tmp_path.name}/{TRIALS}?")
    again = attach_storage(tmp_path, None)
    assert again is not None
    assert again.url == first.url
    attach_storage(tmp_path, url)
    with refused("--storage", tmp_path.name, "s3://keeps/runs"):
        attach_storage(tmp_path, str(tmp_path / "other"))
    with refused("--storage", tmp_path.name, "s3://keeps/runs"):
        attach_storage(tmp_path, url.replace("keeps/runs", "keeps/other"))


def test_a_folder_elsewhere_is_where_the_trials_are(tmp_path):
    study, other = tmp_path / "runs" / "s", tmp_path / "nfs"
    study.mkdir(parents=True)
    assert attach_storage(study, str(other)) is None
    assert (study / TRIALS).resolve() == other / "s" / TRIALS
    assert attach_storage(study, None) is None
    assert attach_storage(study, str(other)) is None
    with refused("--storage", "study s", other):
        attach_storage(study, str(tmp_path / "third"))
    with refused("--storage", "study s", other):
        attach_storage(study, "s3://bucket/x")


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_another_studys_trials_of_the_same_name_are_not_mixed_with_new_ones(tmp_path, scheme):
    """Two output folders may each have a study s, and one --storage."""
    place = f"{scheme}{tmp_path}/nfs"
    for output in ("one", "two"):
        (tmp_path / output / "s").mkdir(parents=True)
    attach_storage(tmp_path / "one" / "s", place)
    theirs = tmp_path / "nfs" / "s" / TRIALS / "00000" / "a.pt"
    theirs.parent.mkdir(parents=True)
    theirs.touch()
    with refused("--storage", tmp_path / "nfs", "another study s", "--study"):
        attach_storage(tmp_path / "two" / "s", place)
    assert not list((tmp_path / "two" / "s").iterdir())
    attach_storage(tmp_path / "one" / "s", place)


def test_the_output_itself_may_be_named_as_storage(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("runs/s").mkdir(parents=True)
    assert attach_storage(Path("runs/s"), "runs") is None
    assert Path("runs/s", TRIALS).is_dir()
    assert not Path("runs/s", TRIALS).is_symlink()


def test_a_study_whose_trials_are_not_mounted_is_not_gone_on_with(tmp_path):
    study = tmp_path / "s"
    study.mkdir()
    attach_storage(study, str(tmp_path / "nfs"))
    shutil.rmtree(tmp_path / "nfs")
    with refused(tmp_path / "nfs" / "s" / TRIALS):
        attach_storage(study, None)


@pytest.mark.parametrize(
    "address", ["abfs://container@account.dfs.core.windows.net/x", "gs://anonymous@bucket/x"]
)
def test_a_name_before_the_store_is_no_key(address):
    assert ObjectStore(address).url == address


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("s3://key:secret@bucket/x", "AWS_ACCESS_KEY_ID"),
        ("s3://secret@bucket/x", "AWS_ACCESS_KEY_ID"),
        ("abfs://account:secret@container/x", "AWS_ACCESS_KEY_ID"),
        ("abfs://container@account.dfs.core.windows.net/x?client_secret=secret", "access key"),
        ("nonsense://bucket/x", "nonsense://bucket/x"),
        ("s3://nobody/x?endpoint_override=127.0.0.1:9&scheme=http", "s3://nobody/x"),
    ],
)
def test_a_store_that_cannot_be_used_is_bad_input(store, tmp_path, asked, part):
    with refused("--storage", part) as error:
        attach_storage(tmp_path, asked)
    assert "secret" not in str(error.value)
    assert not (tmp_path / "storage").exists()
    assert os.environ["AWS_ACCESS_KEY_ID"] == "somebody"
