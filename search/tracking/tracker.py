"""MLflow off the hot path: whether it answers, and what keeps it up to date.

The search never waits for MLflow and never ends because of it. Ray's callbacks `wake` the tracker,
which costs microseconds; its thread lets a separate process write what the store lacks (see
`search.tracking.projection`), and after a failure, or after that process was lost, goes on trying,
ever less often, until everything is written.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

from search.tracking.flat import PAUSED
from search.tracking.projection import Projection
from trainable.basics.addresses import without_password
from trainable.basics.child import Child, ClosedError
from trainable.tracking.client import reason

_LONGEST_WAIT = 60.0
_log = logging.getLogger(__name__)


class RemoteProjection:
    """A `Projection` in a process of its own, as what it writes takes more time than the driver's
    own work, and would take it from the driver: threads share an interpreter."""

    def __init__(self, folder: Path, database: str, uri: str):
        self.uri = uri
        self._child = Child(Projection, folder, database, uri, say_why=reason)

    def check(self) -> str | None:
        """Why MLflow cannot be used now, or None."""
        return self._child.call("check")

    def sync(self, status: str | None = None) -> None:
        """See `Projection.sync`."""
        self._child.call("sync", status)

    def run_id(self, number: int | None = None) -> str | None:
        """See `Projection.run_id`."""
        return self._child.call("run_id", number)

    def close(self) -> None:
        """End the process, whatever it is at."""
        self._child.close()


class Tracker:
    """The thread that has the study written to MLflow while the search runs.

    Attributes:
        projection: what writes it; `run_id` may be asked from any thread.
        uri: the store's address.
        problem: why MLflow lacks something at present, or None.
    """

    def __init__(
        self,
        projection: RemoteProjection | Projection,
        say: Callable[[str], None] = _log.warning,
        *,
        pause: float = 1.0,
    ):
        """`say` gets one line for each outage, in the tracker's thread.

        Reports that come within `pause` seconds of the last write are written together.
        """
        self.problem: str | None = None
        self.projection = projection
        self.uri = projection.uri
        self._say = say
        self._pause = pause
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._waiting: list[Future[bool]] = []
        self._final: str | None = None
        self._done = False
        # A daemon: a process whose store hangs must still be able to end.
        self._thread = threading.Thread(target=self._run, daemon=True, name="mlflow-tracker")

    def ask(self) -> Future[str | None]:
        """Why MLflow cannot be used now, or None; the answer comes while others work."""
        answer: Future[str | None] = Future()

        def check() -> None:
            try:
                answer.set_result(self.projection.check())
            except Exception as error:
                answer.set_result(reason(error))

        threading.Thread(target=check, daemon=True, name="mlflow-check").start()
        return answer

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

    def _run(self) -> None:
        with suppress(ClosedError):  # the search is over, and has said what is missing
            self._loop()

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
        except ClosedError:
            raise
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
