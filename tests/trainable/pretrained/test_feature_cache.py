"""The feature cache: what it returns is always right, whatever lies on the disk."""

from __future__ import annotations

import errno
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.helpers.forked import clean
from tests.helpers.refusals import tells
from trainable.pretrained import feature_cache
from trainable.pretrained.feature_cache import cached_features, default_folder

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 1, 16, 16), dtype=np.uint8)
DIGEST = "d" * 64


class Means(nn.Module):
    """Row means as features; counts its calls."""

    features = 16

    def __init__(self, sha256: str = "0" * 64, protocol: str = "means/bilinear-16"):
        super().__init__()
        self.sha256, self.protocol, self.calls = sha256, protocol, 0

    @torch.inference_mode()
    def forward(self, images: Tensor, progress: object = None) -> Tensor:
        self.calls += 1
        return images.float().mean((1, 3))


def cached(folder: Path, extractor: Means | None = None, images=IMAGES, digest=DIGEST, say=None):
    return cached_features(extractor or Means(), images, digest, folder, say)  # pyright: ignore


def only(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_the_second_call_comes_from_disk_bit_by_bit(tmp_path):
    extractor, said = Means(), []
    folder = tmp_path / "new" / "folder"
    first = cached(folder, extractor, say=said.append)
    second = cached(folder, extractor, say=said.append)
    assert extractor.calls == 1
    assert torch.equal(first, second)
    assert first.dtype == torch.float32
    assert not first.is_inference()
    assert not second.is_inference()
    assert only(folder).name.startswith("means-bilinear-16-12x16px-")
    assert said == []


@pytest.mark.parametrize(
    ("other", "images", "digest"),
    [
        (Means(sha256="1" * 64), IMAGES, DIGEST),
        (Means(protocol="means/clean-16"), IMAGES, DIGEST),
        (Means(protocol="means/bilinear-16+unverified"), IMAGES, DIGEST),
        (Means(), IMAGES[:11], DIGEST),
        (Means(), np.repeat(IMAGES, 3, axis=1), DIGEST),
        (Means(), IMAGES[:, :, ::2, ::2], DIGEST),
        (Means(), IMAGES, "e" * 64),
    ],
    ids=["weights", "protocol", "unverified", "n", "channels", "size", "data"],
)
def test_any_part_of_the_key_makes_another_file(tmp_path, other, images, digest):
    cached(tmp_path)
    before = only(tmp_path).read_bytes()
    features = cached(tmp_path, other, images, digest)
    assert other.calls == 1
    assert torch.equal(features, Means()(torch.tensor(images)))
    assert len(list(tmp_path.iterdir())) == 2
    assert sum(path.read_bytes() == before for path in tmp_path.iterdir()) == 1


def rewrite(path: Path, **changes: np.ndarray) -> None:
    with np.load(path) as archive:
        held = dict(archive)
    with path.open("wb") as file:
        np.savez(file, **{k: v for k, v in {**held, **changes}.items() if v.size})  # pyright: ignore


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


class Evil:
    def __reduce__(self):
        return (os._exit, (1,))


DAMAGE = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "garbage": lambda path: path.write_bytes(os.urandom(5000)),
    "text": lambda path: path.write_text("<html>not found</html>"),
    "one bit": flip,
    "an npy": lambda path: np.save(path.open("wb"), np.zeros((12, 16), np.float32)),
    "shape": lambda path: rewrite(path, features=np.zeros((11, 16), np.float32)),
    "width": lambda path: rewrite(path, features=np.zeros((12, 17), np.float32)),
    "dtype": lambda path: rewrite(path, features=np.zeros((12, 16))),
    "nan": lambda path: rewrite(path, features=np.full((12, 16), np.nan, np.float32)),
    "key": lambda path: rewrite(path, key=np.array(json.dumps({"format": 1, "data": "other"}))),
    "no json": lambda path: rewrite(path, key=np.array("{")),
    "no key": lambda path: rewrite(path, key=np.array([])),
    "no features": lambda path: rewrite(path, features=np.array([])),
    "code": lambda path: rewrite(path, features=np.array([Evil()], dtype=object)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_made_again_and_said_once(tmp_path, damage):
    expected = cached(tmp_path)
    path = only(tmp_path)
    DAMAGE[damage](path)
    extractor, said = Means(), []
    assert torch.equal(cached(tmp_path, extractor, say=said.append), expected)
    assert extractor.calls == len(said) == 1
    assert str(path) in said[0]
    assert torch.equal(cached(tmp_path, extractor, say=said.append), expected)
    assert extractor.calls == len(said) == 1


def test_features_that_are_not_finite_are_not_kept(tmp_path):
    extractor = Means()
    extractor.forward = lambda images, progress=None: torch.full((12, 16), float("nan"))
    assert cached(tmp_path, extractor).isnan().all()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_is_no_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    said = []
    features = cached(tmp_path / "file" / "folder", say=said.append)
    assert torch.equal(features, Means()(torch.tensor(IMAGES)))
    assert len(said) == 1
    assert tells(said[0], tmp_path / "file" / "folder", "(Not a directory)")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_read_and_no_error(tmp_path):
    expected = cached(tmp_path)
    tmp_path.chmod(0o500)
    extractor, said = Means(), []
    assert torch.equal(cached(tmp_path, extractor, say=said.append), expected)
    assert extractor.calls == len(said) == 0
    cached(tmp_path, extractor, digest="e" * 64, say=said.append)
    assert len(said) == 1
    assert tells(said[0], tmp_path, "(Permission denied)")


def test_a_full_disk_is_no_error_and_leaves_nothing(tmp_path, monkeypatch):
    def full(file, **arrays):
        file.write(b"PK")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez", full)
    said = []
    assert torch.equal(cached(tmp_path, say=said.append), Means()(torch.tensor(IMAGES)))
    assert len(said) == 1
    assert tells(said[0], tmp_path, "(No space left on device)")
    assert list(tmp_path.iterdir()) == []


def test_the_default_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CGAN_SEARCH_CACHE", raising=False)
    assert default_folder() == tmp_path / ".cache" / "cgan-search" / "features"
    monkeypatch.setenv("CGAN_SEARCH_CACHE", str(tmp_path / "named"))
    cached_features(Means(), IMAGES, DIGEST)  # pyright: ignore
    assert only(tmp_path / "named").suffix == ".npz"


def test_no_home_means_no_cache(monkeypatch):
    def homeless(self):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", homeless)
    said = []
    features = cached_features(Means(), IMAGES, DIGEST, None, said.append)  # pyright: ignore
    assert torch.equal(features, Means()(torch.tensor(IMAGES)))
    assert len(said) == 1


def write_when_all_are_ready(folder: Path, barrier, answers) -> None:
    torch.set_num_threads(1)
    extractor = Means()
    for round_ in range(10):  # ten files: the writers do not only meet once
        barrier.wait(60)
        features = cached(folder, extractor, digest=f"{round_}" * 64)
        answers.put((round_, features.numpy().tobytes()))


def test_four_writers_at_once_agree_and_leave_one_valid_file_each_time(tmp_path):
    barrier, answers = clean().Barrier(4), clean().Queue()
    writers = [
        clean().Process(target=write_when_all_are_ready, args=(tmp_path, barrier, answers))
        for _ in range(4)
    ]
    for writer in writers:
        writer.start()
    got = [answers.get(timeout=90) for _ in range(40)]
    for writer in writers:
        writer.join(30)
    assert [writer.exitcode for writer in writers] == [0] * 4
    expected = Means()(torch.tensor(IMAGES)).numpy().tobytes()
    assert {features for _, features in got} == {expected}
    assert len(list(tmp_path.iterdir())) == 10
    extractor = Means()
    for round_ in range(10):
        cached(tmp_path, extractor, digest=f"{round_}" * 64)
    assert extractor.calls == 0


def stop_in_the_middle(folder: Path, reached) -> None:
    def half(file, **arrays):
        file.write(b"PK\x03\x04 the first half")
        file.flush()
        reached.set()
        signal.pause()

    np.savez = half
    cached(folder)


def test_a_killed_writer_leaves_no_half_file(tmp_path, monkeypatch):
    reached = clean().Event()
    writer = clean().Process(target=stop_in_the_middle, args=(tmp_path, reached))
    writer.start()
    assert reached.wait(60)
    writer.kill()
    writer.join(30)
    assert writer.exitcode == -signal.SIGKILL
    part = only(tmp_path)
    assert part.suffix == ".part"

    extractor, said = Means(), []
    expected = Means()(torch.tensor(IMAGES))
    assert torch.equal(cached(tmp_path, extractor, say=said.append), expected)
    assert part.exists()  # for all that is known, someone still writes it
    monkeypatch.setattr(feature_cache, "_STALE", -1)
    (kept,) = tmp_path.glob("*.npz")
    kept.unlink()
    assert torch.equal(cached(tmp_path, extractor, say=said.append), expected)
    assert only(tmp_path) == kept
    assert said == []
