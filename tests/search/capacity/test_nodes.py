"""Nodes of a cluster: how many trials fit on them, what is asked of them, and what would break."""

import importlib
import os
import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from ray._private import worker

from search.capacity import nodes
from search.capacity.nodes import Node, faults, local_versions, survey
from search.study.flags import parser
from tests.helpers.refusals import refused, tells
from tests.helpers.searches import shared_ray
from trainable.distributed import cluster
from trainable.distributed.cluster import connected, fitting
from trainable.distributed.resources import Resources, resolve_resources
from trainable.trial.object_store import ObjectStore


def listed(cpus: float, gpus: float = 0, alive: bool = True) -> dict:
    return {"Alive": alive, "Resources": {"CPU": cpus, "GPU": gpus} if gpus else {"CPU": cpus}}


@pytest.mark.parametrize(
    ("there", "cpus", "gpus", "fits"),
    [
        ([listed(3)], 2, 0.0, 1),
        ([listed(3), listed(3)], 2, 0.0, 2),  # six cores in all, but two on each are one trial
        ([listed(4), listed(4, alive=False)], 1, 0.0, 4),
        ([listed(0), listed(8, 2)], 1, 1.0, 2),
        ([listed(8, 2)], 1, 0.5, 4),
        ([listed(3, 2)], 1, 0.5, 3),
        ([listed(8, 2)], 1, 0.4, 4),  # two on each GPU: the rests of 0.2 are no third
        ([listed(8, 1)], 1, 0.1, 8),
        ([listed(8, 10)], 1, 0.1, 8),
        ([listed(8, 3)], 1, 2.0, 1),
        ([listed(8)], 1, 1.0, 0),
    ],
)
def test_how_many_trials_fit_is_counted_by_node_and_by_gpu(there, cpus, gpus, fits):
    assert fitting(there, Resources("x", cpus, None, None), gpus) == fits


@pytest.mark.parametrize(
    ("flags", "there", "gpus"),
    [
        ([], 0, 0.0),
        ([], 2, 1.0),
        (["--devices", "gpu"], 2, 1.0),
        (["--devices", "cpu"], 2, 0.0),
        (["--gpus-per-trial", "0.25"], 2, 0.25),
    ],
)
def test_what_this_machine_trains_on(monkeypatch, flags, there, gpus):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    args = parser().parse_args(["--address", "local", *flags])
    assert resolve_resources(args).gpus_per_trial == gpus


def test_gpus_are_insisted_on(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    args = parser().parse_args(["--address", "local", "--devices", "gpu"])
    with refused("--devices", "gpu", "--devices cpu", "--address"):
        resolve_resources(args)


@pytest.fixture
def growing(monkeypatch):
    """A cluster that has a GPU node from the third look on; what was asked of its autoscaler."""
    asked, looks = [], []

    def look() -> list[dict]:
        looks.append(1)
        return [listed(0)] if len(looks) < 3 else [listed(0), listed(4, 1)]

    monkeypatch.setattr(cluster, "_PAUSE", 0.0)
    monkeypatch.setattr(cluster, "request_resources", lambda bundles: asked.append(bundles))
    monkeypatch.setattr(ray, "nodes", look)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 4.0, "GPU": 1.0})
    return asked


def test_a_cluster_without_a_node_is_asked_for_one_and_waited_for(growing):
    said: list[str] = []
    settled, fits = cluster._settle(Resources("here:1", 2, None, None, devices="gpu"), said.append)
    assert (settled.gpus_per_trial, settled.device, fits) == (1.0, "cuda", 1)
    assert growing == [[{"CPU": 2, "GPU": 1.0}], []]  # asked for, and not for ever
    (line,) = said
    assert tells(line, "2 CPUs", "1 GPUs")


def test_patience_ends(growing):
    asked = Resources("here:1", 64, None, None, devices="gpu", patience=0.01)
    with refused("64 CPUs", "1 GPUs", "node", "--cpus-per-trial"):
        cluster._settle(asked, lambda line: None)
    assert growing[-1] == []


def test_this_machine_alone_is_not_waited_for(growing):
    with refused("2 CPUs", "1 GPUs", "node"):
        cluster._settle(Resources("local", 2, None, None, devices="gpu"), lambda line: None)
    assert growing == []


GOOD = Node("10.0.0.2", "b", local_versions(), 4.0, (), (0.1, 0.2), 10**9)


def test_equal_nodes_that_share_the_folder_have_no_faults():
    assert faults([GOOD, replace(GOOD, ahead=(8.0, 4.0))]) == []  # 4 s at least


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"problem": "silent"}, ["silent"]),
        ({"storage": "/x is unseen"}, ["/x is unseen", "--storage"]),
        (
            {"versions": {**local_versions(), "torch": "2.0"}},
            ["torch 2.0", torch.__version__, "constraints.txt"],
        ),
        ({"versions": {**local_versions(), "code": "f" * 16}}, ["code ffffffffffffffff"]),
        ({"ahead": (-60.0, 1.0)}, ["clock", "60 s behind"]),
        ({"ahead": (60.0, 1.0)}, ["clock", "60 s ahead"]),
    ],
)
def test_each_fault_names_its_node(changes, parts):
    (found,) = faults([GOOD, replace(GOOD, address="10.0.0.3", host="c", **changes)])
    assert tells(found, "node c (10.0.0.3)", *parts)


def test_what_the_project_calls_itself_may_differ():
    other = replace(GOOD, versions={**local_versions(), "project": "0.1.0+abc.dirty"})
    assert faults([other]) == []


@pytest.fixture
def alone():
    with shared_ray():
        yield


def test_a_node_that_is_fine_says_what_it_is_and_nothing_stays_behind(alone, tmp_path):
    (node,) = survey(tmp_path)
    assert node.versions == local_versions()
    assert node.free_bytes
    assert node.free_bytes > 0
    assert abs(node.ahead[0]) <= node.ahead[1] + 0.01
    assert faults([node]) == []
    assert list(tmp_path.iterdir()) == []


def test_a_node_that_sees_another_folder_is_found(alone, tmp_path, monkeypatch):
    tried = nodes._try_folder
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr(nodes, "_facts", lambda place, folder, node: {
        "host": "h", "versions": {}, "gpus": (), "clock": 0.0, "free_bytes": 0,
        "storage": tried(tmp_path / "elsewhere", node),
    })  # fmt: skip
    (node,) = survey(tmp_path)
    assert node.storage is not None
    assert tells(node.storage, str(tmp_path), "see", "driver")


def test_a_node_whose_files_do_not_arrive_is_found(alone, tmp_path, monkeypatch):
    facts = nodes._facts

    def to_a_copy(place, folder, node):  # as on a node with a copy of the folder
        shutil.copytree(place / folder, tmp_path / "copy" / folder)
        return facts(tmp_path / "copy", folder, node)

    monkeypatch.setattr(nodes, "_facts", to_a_copy)
    (tmp_path / "shared").mkdir()
    (node,) = survey(tmp_path / "shared")
    assert node.storage is not None
    assert tells(node.storage, str(tmp_path / "shared"), "writes", "driver")


def test_a_node_that_cannot_run_us_is_a_fault_and_no_crash(alone, tmp_path, monkeypatch):
    def broken(*args: object) -> dict:
        raise ImportError("No module named 'trainable'")

    monkeypatch.setattr(nodes, "_facts", broken)
    (node,) = survey(tmp_path)
    assert node.problem is not None
    assert "No module named 'trainable'" in node.problem


def is_loopback(address: str) -> bool:
    ip = ip_address(address)
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None  # of Python 3.13 on its own
    return (mapped or ip).is_loopback


def test_a_search_of_this_machine_alone_listens_on_loopback_only(alone):
    psutil: Any = importlib.import_module("psutil")  # which Ray brings along
    me = psutil.Process()
    listening = {
        (process.name(), connection.laddr.ip)
        for process in [me, *me.children(recursive=True)]
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert {"gcs_server", "raylet", "ray::DashboardAgent"} <= {name for name, _ in listening}
    assert {(name, ip) for name, ip in listening if not is_loopback(ip)} == set()


def test_no_other_user_comes_near_the_sockets_and_logs_of_ray(alone):
    node: Any = worker.global_worker.node
    session = Path(node.get_session_dir_path())
    closed = [p for p in session.parents if p.stat().st_mode & 0o077 == 0]
    assert closed
    assert {p.stat().st_uid for p in closed} == {os.geteuid()}


def test_ray_keeps_its_files_where_it_would_in_a_folder_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    tmp_path.chmod(0o1777)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    shared = cluster._ray_folder()
    assert shared is not None
    assert Path(shared).parent == tmp_path / f"ray-{os.geteuid()}"
    monkeypatch.setenv("TMPDIR", str(tmp_path / "new"))
    assert cluster._ray_folder() is None  # made for us alone: no longer a path than need be
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    (tmp_path / "file").touch()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "file"))
    with refused(tmp_path / "file", "TMPDIR"):
        cluster._ray_folder()


def test_a_cluster_is_joined_from_this_machines_own_address(monkeypatch):
    class JoinedError(Exception):
        pass

    def join(**given: object) -> None:
        assert cluster.ray_constants.ENABLE_RAY_CLUSTER is True
        assert not {"_temp_dir", "_system_config"} & set(given)
        raise JoinedError

    monkeypatch.setattr(ray, "init", join)
    with pytest.raises(JoinedError), connected(Resources("here:1", 1, 0.0, None)):
        pass


@pytest.mark.parametrize("folder", ["/opt/env", "/home/a b (1)", "/home/o'brien [x]", "/Röntgen"])
def test_workers_start_from_an_environment_in_any_folder(folder, monkeypatch):
    """Ray writes ``exec PYTHON`` into a shell's command line as it is."""
    python = f"{folder}/bin/python"
    given: dict[str, Any] = {}
    monkeypatch.setattr(sys, "executable", python)
    monkeypatch.setattr(ray, "init", lambda **told: given.update(told))
    cluster._start()
    told = (given["runtime_env"] or {}).get("py_executable", python)
    words = ["bash", "-c", f"printf %s {told}"]
    assert subprocess.run(words, capture_output=True, check=True).stdout.decode() == python


def test_a_node_whose_scratch_folder_is_taken_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    place = ObjectStore(f"file://{tmp_path / 'store'}")
    place.write("probe/driver", b"")
    taken = nodes.scratch(place.url)
    taken.rmdir()
    taken.symlink_to(tmp_path)
    facts = nodes._facts(place, "probe", "me")
    assert tells(facts["storage"] or "", taken, "link")
    assert facts["free_bytes"] is None
