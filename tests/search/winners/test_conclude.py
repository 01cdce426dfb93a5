"""The end of a search: what is kept of the winners is whole, or what was there before."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.winners import conclude as winners
from tests.helpers.studies import Ended
from tests.helpers.toys import full
from trainable.basics.files import disk_fault
from trainable.data.dataset import Dataset
from trainable.generators.export import CONFIG, EXPORTED, WEIGHTS, Provenance

KEPT = ["best.json", "leaderboard.csv", "winners"]


@pytest.fixture
def ended(tmp_path, monkeypatch) -> Ended:
    return Ended(tmp_path / "s", monkeypatch)


def test_winners_are_kept_and_a_later_life_replaces_them(ended):
    ended.conclude()
    first = ended.kept()
    assert sorted({name.split("/")[0] for name in first}) == KEPT
    assert sorted(n for n in first if "/" in n) == [
        "winners/1/config.json", "winners/1/generator.pt2", "winners/1/generator.safetensors",
        "winners/1/samples.png",
    ]  # fmt: skip
    (ended.folder / "winners" / "2").mkdir()  # of a former life, with more winners
    ended.fid = 54.0
    ended.conclude()
    assert ended.kept().keys() == first.keys()
    assert ended.kept()["winners/1/config.json"] != first["winners/1/config.json"]
    assert not (ended.folder / "winners" / "2").exists()


def test_what_is_known_of_an_ended_trial_is_not_made_again(ended):
    ended.images_seen = ended.trained
    ended.conclude()
    first, ended.fid = ended.kept(), 54.0
    for path in (ended.folder / "trials").rglob("*.pt"):
        path.unlink()
    ended.conclude()
    assert ended.kept() == first
    assert ended.assessed == 1


@pytest.mark.parametrize("change", ["trained on", "export lost", "export damaged", "more images"])
def test_what_has_changed_since_is_scored_and_exported_again(ended, change):
    ended.images_seen = ended.trained
    ended.conclude()
    config, ended.fid = ended.folder / "winners" / "1" / "config.json", 54.0
    before = config.read_bytes()
    match change:
        case "trained on":
            ended.study.set_user_attr("assessed", _earlier(ended.study.user_attrs["assessed"]))
        case "export lost":
            shutil.rmtree(config.parent)
        case "export damaged":
            config.write_bytes(before[:20])
        case _:
            ended.config = replace(ended.config, winner_images=30)
    ended.conclude()
    assert ended.assessed == 2
    assert config.read_bytes() != before


def test_a_trial_that_cannot_be_scored_again_keeps_its_score_and_its_export(ended, monkeypatch):
    """Its checkpoints were deleted to make room, and other winner images are asked for."""
    ended.images_seen = ended.trained
    ended.conclude()
    first, scores = ended.kept(), ended.study.user_attrs["assessed"]
    monkeypatch.setattr(winners, "assess_on_ray", lambda *_: {0: "is gone"})
    ended.config = replace(ended.config, winner_images=30)
    ended.conclude()
    assert ended.kept() == first
    assert ended.study.user_attrs["assessed"] == scores


@pytest.mark.parametrize("fault", ["other weights", "other scores", "generator lost", "empty"])
def test_an_export_that_is_not_what_the_ranking_says_is_made_again(ended, fault):
    """Scores are kept before exports are; gates may move; a disk loses a file."""
    ended.images_seen = ended.trained
    ended.conclude()
    first, place = ended.kept(), ended.folder / "winners" / "1"
    about = json.loads((place / CONFIG).read_text())
    match fault:
        case "other weights":
            (place / CONFIG).write_text(json.dumps({**about, "images_seen": 1}))
        case "other scores":
            scores = {**about["scores"], "gates_failed": 1.0}
            (place / CONFIG).write_text(json.dumps({**about, "scores": scores}))
        case "generator lost":
            (place / EXPORTED).unlink()
        case _:
            (place / WEIGHTS).write_bytes(b"")
    ended.conclude()
    assert ended.assessed == 1
    again = ended.kept()
    assert again.keys() == first.keys()
    assert all(
        again[f"winners/1/{name}"] == first[f"winners/1/{name}"] for name in (CONFIG, WEIGHTS)
    )


def _earlier(assessed: dict[str, Any]) -> dict[str, Any]:
    return {n: {**found, "images_seen": found["images_seen"] - 1} for n, found in assessed.items()}


def export(
    run: Any, data: Dataset, out: Path, provenance: Provenance, scores: dict[str, float]
) -> None:
    """In a moment, what an export takes seconds for."""
    out.mkdir()
    for name in (EXPORTED, WEIGHTS, CONFIG):
        (out / name).write_bytes(repr(scores).encode())


@contextmanager
def fills_up(folder: Path, after: int) -> Iterator[None]:
    """The disk is full after so many writes and renames in `folder`."""
    left = itertools.count(-after)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("write_bytes", "mkdir", "rename", "replace", "open"):
            whole = getattr(Path, name)

            def write(path: Path, *args: Any, whole: Any = whole, **kwargs: Any) -> Any:
                reads = whole.__name__ == "open" and args[:1] in ((), ("r",), ("rb",))
                if folder in path.parents and not reads and next(left) >= 0:
                    full()
                return whole(path, *args, **kwargs)

            patch.setattr(Path, name, write)
        yield


def test_what_a_former_life_kept_stays_until_all_is_there_anew(ended, monkeypatch):
    """A disk that fills up at any of the writes, and stays full."""
    monkeypatch.setattr(winners, "export_generator", export)
    ended.conclude()
    before, cuts = ended.kept(), 0
    ended.fid = 54.0
    while True:
        try:
            with fills_up(ended.folder, cuts):
                ended.conclude()
            break
        except OSError:
            pass
        after = ended.kept()
        if "winners/1/config.json" in after:
            assert after.keys() == before.keys(), "a part is left"
            assert len({after[f"winners/1/{name}"] for name in (EXPORTED, WEIGHTS, CONFIG)}) == 1
        else:
            parts = [p for p in ended.folder.glob(".winners.*.part") if (p / "1").exists()]
            assert parts, "the old ones are lost"
            parts[0].rename(ended.folder / "winners")
        cuts += 1
    assert cuts > 10
    assert ended.kept()["winners/1/config.json"] != before["winners/1/config.json"]


def test_a_disk_that_is_really_full_at_the_export_is_said(ended):
    """A small file system: PyTorch's and safetensors' own writers would not say why."""
    place = ended.folder / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here (not root?)")
    try:
        for name in ("study.db", "trials"):
            (place / name).symlink_to(ended.folder / name)
        ended.folder = place
        with pytest.raises(OSError, match="No space") as caught:
            ended.conclude()
        assert disk_fault(caught.value) == "No space left on device"
        assert sorted(p.name for p in place.iterdir()) == ["study.db", "trials"]
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_what_a_killed_export_left_is_removed_by_the_next(ended):
    ended.conclude()
    (ended.folder / "winners").rename(ended.folder / ".winners.0123.part")
    (ended.folder / ".winners.4567.part").mkdir()
    ended.conclude()
    assert not list(ended.folder.glob(".winners*"))
    assert len(list((ended.folder / "winners" / "1").iterdir())) == 4


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    try:
        raise error from cause
    except type(error) as found:
        return found


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "full", "x.pt"), "full: x.pt"),
        (OSError(errno.EROFS, "read-only"), "read-only"),
        (OSError(errno.ENOENT, "absent", "x"), None),
        (raised(ValueError("x"), OSError(errno.EDQUOT, "quota")), "quota"),
        (raised(ValueError("x"), sqlite3.OperationalError("disk I/O error")), "disk I/O error"),
        (sqlite3.OperationalError("no such table: x"), None),
        (RuntimeError(f"in a worker: {os.strerror(errno.ENOSPC)}"), os.strerror(errno.ENOSPC)),
        (ValueError("x"), None),
    ],
)
def test_a_disk_that_refuses_is_known_from_other_errors(error, said):
    assert disk_fault(error) == said
