"""What is asked of the machine, on systems that know less than Linux."""

import os
from pathlib import Path

import pytest

from search.study.flags import parser
from tests.helpers.refusals import refused
from trainable.basics import machine
from trainable.distributed.resources import resolve_resources


@pytest.fixture
def mac(monkeypatch):
    """As on macOS: no affinity and no /proc; ten cores."""
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 10)
    monkeypatch.setattr(machine, "_MOUNTS", Path("/nowhere/mounts"))


def test_cores_are_those_of_this_process_where_the_system_says():
    assert machine.local_cores() == len(os.sched_getaffinity(0))


def test_resources_are_settled_without_affinity(mac):
    flags = ["--address", "local", "--devices", "cpu", "--cpus-per-trial"]
    assert resolve_resources(parser().parse_args([*flags, "10"])).cpus_per_trial == 10
    with refused("--cpus-per-trial", 11, 10, "--address"):
        resolve_resources(parser().parse_args([*flags, "11"]))


def test_cores_are_one_where_nothing_is_known(mac, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert machine.local_cores() == 1


def test_memory_is_unknown_where_the_system_does_not_say(monkeypatch):
    assert machine.memory_bytes() > 2**28  # pyright: ignore[reportOptionalOperand]

    def unknown(name: str) -> int:
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "sysconf", unknown)
    assert machine.memory_bytes() is None


def test_the_file_system_is_that_of_the_deepest_mount():
    assert machine.file_system(Path("/proc/self")) == "proc"


def test_mounts_with_blanks_and_other_bytes_are_read(tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    mounts.write_bytes(
        b"/dev/sda / ext4 rw 0 0\n"
        b"nas:/x /mnt/my\\040disk\\134 nfs4 rw 0 0\n"
        b"nas:/y /mnt/R\xf6ntgen\xc2\xa0x cifs rw 0 0\n"
        b"first /mnt/twice ext4 rw 0 0\n"
        b"second /mnt/twice xfs rw 0 0\n"
    )
    monkeypatch.setattr(machine, "_MOUNTS", mounts)
    assert machine.file_system(Path("/mnt/my disk\\/runs")) == "nfs4"
    assert machine.file_system(Path(os.fsdecode(b"/mnt/R\xf6ntgen\xc2\xa0x/runs"))) == "cifs"
    assert machine.file_system(Path("/mnt/twice/runs")) == "xfs"
    assert machine.file_system(Path("/mnt/my")) == "ext4"


def test_the_file_system_is_unknown_without_a_table_of_mounts(mac):
    assert machine.file_system(Path("/")) is None
