"""Checkpoints that survive crashes, corruption and writers that outlived their search.

Each worker's turn at a trial is an *attempt* with a folder of its own, ``attempt-003``, claimed by
creating it. A worker that outlived its search may thus go on writing, but into a folder that nobody
reads any more: a later attempt starts by taking the newest valid checkpoint into its own.

A checkpoint's name is ``<images seen>-<start of its SHA-256>.pt``. It appears in one move, and is
believed only if its bytes still have that digest (PyTorch's reader skips the CRC of its ZIP files),
so that a half-written or rotten one is passed over for the one before it.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

import torch

from spaces.task import Params
from trainable.basics.files import write_whole
from trainable.trial.object_store import CLAIM

KEPT = 2
"""Checkpoints kept of an attempt: the last one, and the one to go back to."""
_HUNG = "hung-"


class _Content(TypedDict):
    """What a checkpoint holds: a state, which is its owner's, and the configuration it is of."""

    params: Params
    state: dict[str, Any]


class Attempt:
    """One worker's turn at the trial in `folder`: claims the next number, and writes under it.

    Attributes:
        number: from 1; the highest one is the trial's present.
        folder: where it writes.
    """

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self._trial = folder
        self.number = max((number for number, _ in _attempts(folder)), default=0)
        claimed = False
        while not claimed:
            self.number += 1
            self.folder = folder / f"attempt-{self.number:03d}"
            try:
                self.folder.mkdir()  # fails, on a network file system too, if another was first
                (self.folder / CLAIM).touch()
                claimed = True
            except FileExistsError:
                continue

    def resume(self, params: Params, device: str) -> dict[str, Any] | None:
        """The state to go on from, now also this attempt's own; None if there is none.

        States of other `params` are passed over: a search that lost its last moments may give a
        trial's number to another configuration.
        """
        for path in _newest_first(self._trial, below=self.number):
            content = _load(path, device)
            if content is not None and content.get("params") == params:
                _link(path, self.folder / path.name)
                return content["state"]
        return None

    def save(self, images_seen: int, params: Params, state: dict[str, Any]) -> None:
        """Write a checkpoint of tensors and plain values, and drop those that it outdates.

        Raises:
            OSError: it could not be written; what was there before is untouched.
        """
        file = io.BytesIO()
        whole: _Content = {"params": params, "state": state}
        torch.save(whole, file)
        content = file.getvalue()
        name = f"{images_seen:012d}-{_digest(content)}.pt"
        write_whole(self.folder / name, content)
        for same in self.folder.glob(f"{images_seen:012d}-*.pt"):
            if same.name != name:  # by name alone, which of them is newer cannot be told
                same.unlink(missing_ok=True)
        mine = _checkpoints(self.folder)
        for old in mine[:-KEPT]:
            old.unlink(missing_ok=True)
        if len(mine) >= KEPT:  # former attempts have nothing more to give
            for number, folder in _attempts(self._trial):
                if number < self.number:
                    shutil.rmtree(folder, ignore_errors=True)


def newest(folder: Path, device: str = "cpu", *, seen: int | None = None) -> dict[str, Any]:
    """The state in the newest valid checkpoint of the trial in `folder`: if given, of those after
    `seen` images.

    Raises:
        FileNotFoundError: there is none.
    """
    for path in _newest_first(folder):
        if seen is not None and not path.name.startswith(f"{seen:012d}-"):
            continue
        content = _load(path, device)
        if content is not None:
            return content["state"]
    raise FileNotFoundError(f"no valid checkpoint in {folder}")


def mark_hung(folder: Path) -> Path:
    """Say that the present attempt at the trial in `folder` hangs, in the file that is returned."""
    number = max((number for number, _ in _attempts(folder)), default=0)
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / f"{_HUNG}{number:03d}"
    mark.touch()
    return mark


def times_hung(folder: Path) -> int:
    """How many attempts at the trial in `folder` hung."""
    return len(list(folder.glob(f"{_HUNG}*")))


def _attempts(folder: Path) -> list[tuple[int, Path]]:
    """Number and folder of each attempt, ascending."""
    found = ((p.name.removeprefix("attempt-"), p) for p in folder.glob("attempt-*"))
    return sorted((int(number), path) for number, path in found if number.isdigit())


def _checkpoints(attempt: Path) -> list[Path]:
    """An attempt's checkpoints, the newest last."""
    return sorted(attempt.glob("*.pt"))


def _newest_first(folder: Path, below: int | None = None) -> Iterator[Path]:
    """Checkpoints of all attempts (under number `below`), the latest attempt's first.

    Not the most trained first: what an earlier attempt wrote after a later one had begun is not
    what the study heard of.
    """
    for number, attempt in reversed(_attempts(folder)):
        if below is None or number < below:
            yield from reversed(_checkpoints(attempt))


def _load(path: Path, device: str) -> _Content | None:
    """The content of a checkpoint, or None if it cannot be read whole."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if _digest(content) != path.stem.partition("-")[2]:
        return None
    return torch.load(io.BytesIO(content), map_location=device, weights_only=True)


def _link(path: Path, new: Path) -> None:
    try:
        os.link(path, new)
    except OSError:  # not every file system knows hard links
        shutil.copy2(path, new)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
