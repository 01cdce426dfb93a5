"""MLflow off the hot path: whether it answers, and the thread that keeps it up to date.

The search never waits for MLflow and never ends because of it. Ray's callbacks `wake` the tracker,
which costs microseconds; its thread writes what the store lacks (see
`search.tracking.projection`), and after a failure goes on trying, ever less often, until the store
is back.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from optuna.storages import RDBStorage

from search.tracking.flat import PAUSED
from search.tracking.projection import Projection, connect, prepare_mlflow
from trainable.basics.addresses import without_password
from trainable.tracking.client import reason
from trainable.tracking.names import EXPERIMENT

_LONGEST_WAIT = 60.0
_log = logging.getLogger(__name__)


def check(uri: str, limit: float = 10.0) -> str | None:
    """Why the tracking store at `uri` cannot be used now, or None.

    Creates the tables of a new SQLite store, once, 3 to 8 s. Others have `limit` seconds.
    """
    answers: list[str | None] = []

    def ask() -> None:
        try:
            connect(uri).get_experiment_by_name(EXPERIMENT)
            answers.append(None)
        except Exception as error:
            answers.append(reason(error))

    try:
        prepare_mlflow()  # here, so that the import's seconds are not the store's
    except Exception as error:
        return reason(error)
    # A thread, as a database behind a dead route hangs in its driver beyond any setting of ours.
    asking = threading.Thread(target=ask, daemon=True, name="mlflow-check")
    asking.start()
    asking.join(None if uri.startswith("sqlite:") else limit)
    return answers[0] if answers else f"no answer within {limit:g} s"


class Tracker:
    """The thread that projects the study in `folder` onto MLflow while the search runs.

    Attributes:
        uri: the store's address.
        problem: why MLflow lacks something at present, or None.
        projection: what was written; `run_id` may be asked from any thread.
    """

    def __init__(
        self,
        folder: Path,
        storage: RDBStorage,
        uri: str,
        say: Callable[[str], None] = _log.warning,
        *,
        pause: float = 1.0,
    ):
        """`say` gets one line for each outage, in the tracker's thread.

        Reports that come within `pause` seconds of the last write are written together.
        """
        self.problem: str | None = None
        self.projection = Projection(folder, storage, uri)
        self.uri = uri
        self._say = say
        self._pause = pause
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._waiting: list[Future[bool]] = []
        self._final: str | None = None
        self._done = False
        # A daemon: a process whose store hangs must still be able to end.
        self._thread = threading.Thread(target=self._loop, daemon=True, name="mlflow-tracker")

    def start(self) -> None:
        """Begin, with a first write at once."""
        self._wake.set()
        self._thread.start()

    def wake(self) -> None:
        """Say that the study has news; returns at once."""
        self._wake.set()

    def flush(self, timeout: float = 60.0) -> bool:
        """Write what there is, and say whether MLflow holds it; waits `timeout` seconds at most."""
        if not self._thread.is_alive():
            return self._done
        written: Future[bool] = Future()
        self._waiting.append(written)
        self._hurry.set()
        self._wake.set()
        try:
            return written.result(timeout)
        except TimeoutError:
            return False

    def close(self, timeout: float = 60.0, *, interrupted: bool = False) -> bool:
        """Write the rest, end the parent run, and say whether MLflow now holds everything.

        Waits `timeout` seconds at most. What is missing then, `search.publish` can write later.
        """
        self._final = PAUSED if interrupted else "FINISHED"
        self._hurry.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return self._done

    def _loop(self) -> None:
        wait = self._pause
        while True:
            self._wake.wait()
            # Taken before the study is read, so that a call from now on asks for another round.
            self._wake.clear()
            self._hurry.clear()
            waiting, self._waiting = self._waiting, []
            final = self._final
            written = self._sync(final)
            self._done = written and final is not None
            for future in waiting:
                future.set_result(written)
            if final is not None:
                return
            if written:
                wait = self._pause
            else:
                wait = min(2 * wait, _LONGEST_WAIT)
                self._wake.set()
            self._hurry.wait(wait)

    def _sync(self, status: str | None) -> bool:
        try:
            self.projection.sync(status)
        except Exception as error:
            if self.problem is None:
                self._say(
                    f"MLflow at {without_password(self.uri)} fails ({reason(error)}); the search "
                    "continues, and its results are written there once MLflow works again"
                )
            self.problem = reason(error)
            return False
        self.problem = None
        return True
