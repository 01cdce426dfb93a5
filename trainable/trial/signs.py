"""Signs of life: where a trial is between two evaluations, in a file that the driver can read.

A driver cannot hear a worker before its next report, which may take minutes. Both see the trials'
folder, unless that is in an object store; then there are no signs.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainable.basics.files import write_whole

if TYPE_CHECKING:
    from trainable.trial.trial import Trial

PAUSE = 2.0
"""Seconds between two signs."""
_FILE = "sign.json"


@dataclass(frozen=True)
class Sign:
    """Where a trial is.

    Attributes:
        epoch: epochs that are complete.
        images_seen: as a report counts them.
        rate: images a second since training began, or went on after a score; 0 if not known.
        scoring: whether it is scored now.
    """

    epoch: int
    images_seen: int
    rate: float
    scoring: bool


def read_sign(trial: Path) -> Sign | None:
    """The last sign in a trial's folder; None if there is none that can be read."""
    try:
        return Sign(**json.loads((trial / _FILE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


class SignsOfLife:
    """Leaves the signs of whatever trial is at work in this process, by a thread of its own: the
    training loop has no part in it."""

    def __init__(self, trial: Callable[[], Trial | None], pause: float = PAUSE):
        """`trial` gives the one at work."""
        self._trial, self._pause = trial, pause
        self._stretch: tuple[Path, int, float] | None = None  # of training: whose, and its start
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True, name="signs-of-life")
        self._thread.start()

    def stop(self) -> None:
        """Leave no more."""
        self._over.set()
        self._thread.join()

    def _loop(self) -> None:
        while not self._over.wait(self._pause):
            with suppress(OSError):  # a full disk is told by what matters
                self._leave()

    def _leave(self) -> None:
        """Leave a sign, and hold the trial no longer than that: its memory is another's then."""
        trial = self._trial()
        if trial is None:
            return
        seen, now = trial.run.images_seen, time.monotonic()
        if self._stretch is None or self._stretch[0] != trial.folder or trial.scoring:
            self._stretch = trial.folder, seen, now
        _, first, since = self._stretch
        rate = (seen - first) / (now - since) if now > since else 0.0
        sign = Sign(trial.run.epoch, seen, rate, trial.scoring)
        write_whole(trial.folder / _FILE, json.dumps(asdict(sign)))
