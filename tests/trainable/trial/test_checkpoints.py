"""Checkpoints: the newest valid one is taken, and no writer of a former life can spoil it."""

from __future__ import annotations

import errno
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from trainable.trial.checkpoints import KEPT, Attempt, mark_hung, newest, times_hung

PARAMS = {"g_lr": 0.001, "loss": "hinge"}


def state(value: int) -> dict[str, Any]:
    return {"weights": torch.full((500,), float(value)), "value": value}


def save(attempt: Attempt, *values: int) -> None:
    for value in values:
        attempt.save(10 * value, PARAMS, state(value))


def resumed(attempt: Attempt, params: dict[str, Any] | None = None) -> int | None:
    found = attempt.resume(params or PARAMS, "cpu")
    if found is None:
        return None
    assert (found["weights"] == found["value"]).all()
    return found["value"]


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder).with_suffix(""))[:24] for p in folder.rglob("*.*"))


def test_the_newest_is_taken_and_a_few_are_kept(tmp_path):
    first = Attempt(tmp_path)
    assert resumed(first) is None
    with pytest.raises(FileNotFoundError, match=f"checkpoint .*{tmp_path}"):
        newest(tmp_path)
    save(first, 1, 2, 3, 4)
    assert len(list(first.folder.glob("*.pt"))) == KEPT
    assert newest(tmp_path)["value"] == 4
    second = Attempt(tmp_path)
    assert (first.number, second.number) == (1, 2)
    assert resumed(second) == 4
    assert newest(tmp_path)["value"] == 4
    assert newest(tmp_path, "cpu")["weights"].device.type == "cpu"


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def replaced_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [flip, truncate, empty, replaced_by_a_folder, os.remove])
def test_a_spoilt_one_is_passed_over_for_the_one_before(tmp_path, spoil):
    first = Attempt(tmp_path)
    save(first, 1, 2)
    before, last = sorted(first.folder.glob("*.pt"))
    spoil(last)
    assert newest(tmp_path)["value"] == 1
    assert resumed(Attempt(tmp_path)) == 1
    spoil(before)
    assert [p for p in tmp_path.glob("attempt-001/*.pt") if p.is_file()] in ([], [before, last])


def test_if_all_are_spoilt_the_attempt_before_serves(tmp_path):
    first = Attempt(tmp_path)
    save(first, 1)
    second = Attempt(tmp_path)
    assert resumed(second) == 1
    save(second, 2)  # outdates nothing of the first yet: hers is the only other one
    for path in second.folder.glob("*.pt"):
        truncate(path)
    assert resumed(Attempt(tmp_path)) is (1 if list(first.folder.glob("*.pt")) else None)


def test_one_bit_anywhere_is_noticed(tmp_path):
    """PyTorch's reader alone would not: it skips the checksums of its own format."""
    first = Attempt(tmp_path)
    save(first, 1)
    (path,) = first.folder.glob("*.pt")
    content = path.read_bytes()
    for place in range(0, len(content), max(1, len(content) // 60)):
        spoilt = bytearray(content)
        spoilt[place] ^= 16
        path.write_bytes(spoilt)
        with pytest.raises(FileNotFoundError):
            newest(tmp_path)
    path.write_bytes(content)
    assert newest(tmp_path)["value"] == 1


def test_a_late_writer_changes_nothing(tmp_path):
    """A worker that outlived its search goes on; whoever began after it has the say."""
    late = Attempt(tmp_path)
    save(late, 1)
    present = Attempt(tmp_path)
    assert resumed(present) == 1
    save(late, 2, 3, 9)
    assert newest(tmp_path)["value"] == 1
    save(present, 2)
    assert newest(tmp_path)["value"] == 2
    third = Attempt(tmp_path)
    assert resumed(third) == 2
    save(present, 7)  # now it is late itself
    assert newest(tmp_path)["value"] == 2
    assert resumed(Attempt(tmp_path)) == 2


def test_what_a_late_writer_leaves_is_taken_only_where_there_is_nothing_else(tmp_path):
    late = Attempt(tmp_path)
    present = Attempt(tmp_path)
    assert resumed(present) is None
    save(late, 3)
    assert newest(tmp_path)["value"] == 3
    save(present, 1)
    assert newest(tmp_path)["value"] == 1


def test_former_attempts_are_cleared_once_the_present_one_can_stand_alone(tmp_path):
    first = Attempt(tmp_path)
    save(first, 1, 2)
    second = Attempt(tmp_path)
    resumed(second)
    assert first.folder.exists()
    save(second, 3)
    assert not first.folder.exists()
    third = Attempt(tmp_path)
    resumed(third)
    save(third, 4, 5)
    assert [p.name for p in sorted(tmp_path.glob("attempt-*"))] == ["attempt-003"]
    # One whose folder was cleared away under it cannot save, and harms nobody.
    with pytest.raises(OSError, match="No such file"):
        save(second, 99)
    assert newest(tmp_path)["value"] == 5
    assert Attempt(tmp_path).number == 4


def test_a_checkpoint_of_another_configuration_is_passed_over(tmp_path):
    """A number that a crash took back from one configuration may come to another."""
    first = Attempt(tmp_path)
    save(first, 5)
    other = {**PARAMS, "g_lr": 0.002}
    second = Attempt(tmp_path)
    assert resumed(second, other) is None
    second.save(10, other, state(1))
    assert newest(tmp_path)["value"] == 1
    third = Attempt(tmp_path)
    assert resumed(third, other) == 1
    assert third.resume(PARAMS, "cpu") is not None  # still there, for whom it is


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_former_checkpoint_and_no_half_of_a_new_one(
    tmp_path, monkeypatch, call
):
    attempt = Attempt(tmp_path)
    save(attempt, 1)
    before = files(tmp_path)

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x.pt")

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync") if call == "fsync" else (Path, "replace")), full)
        with pytest.raises(OSError, match="No space left on device"):
            save(attempt, 2)
    assert files(tmp_path) == before
    assert not list(tmp_path.rglob("*.part"))
    assert newest(tmp_path)["value"] == 1
    save(attempt, 2)
    assert newest(tmp_path)["value"] == 2


def test_where_there_are_no_hard_links_a_copy_serves(tmp_path, monkeypatch):
    save(Attempt(tmp_path), 1)

    def none(*args: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", none)
    second = Attempt(tmp_path)
    assert resumed(second) == 1
    assert len(list(second.folder.glob("*.pt"))) == 1


def claim(folder: Path) -> int:
    return Attempt(folder).number


def test_attempts_that_begin_at_once_get_numbers_of_their_own(tmp_path):
    with multiprocessing.get_context("fork").Pool(8) as pool:
        numbers = pool.map(claim, [tmp_path] * 40, chunksize=1)
        # Else the block's end kills them, and one that holds the queue's lock lets others hang.
        pool.close()
        pool.join()
    assert sorted(numbers) == list(range(1, 41))


def test_other_files_in_a_trials_folder_are_left_alone(tmp_path):
    (tmp_path / "samples_000001.png").touch()
    (tmp_path / "attempt-x").mkdir()
    attempt = Attempt(tmp_path)
    save(attempt, 1, 2, 3)
    (attempt.folder / "stray.pt").write_bytes(b"x")
    assert newest(tmp_path)["value"] == 3
    save(Attempt(tmp_path), 1, 2, 3)
    assert {p.name for p in tmp_path.iterdir()} == {
        "samples_000001.png", "attempt-x", "attempt-002",
    }  # fmt: skip


def test_hangs_are_counted_by_attempt(tmp_path):
    folder = tmp_path / "trial"
    assert times_hung(folder) == 0
    for expected in (1, 2, 3):  # the first before any attempt: it hung as its worker began
        mark = mark_hung(folder)
        assert mark.parent == folder
        assert times_hung(folder) == expected
        assert mark_hung(folder) == mark  # the same attempt, told twice
        assert times_hung(folder) == expected
        Attempt(folder)
    assert times_hung(tmp_path / "other") == 0
