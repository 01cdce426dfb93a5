"""Several writes to a study's database as one: all of them or none."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

TRIES = 5
"""As many as Optuna's own: servers end one of two transactions that wait for each other."""
PAUSE = 0.2
"""Seconds before another try, at most."""
PATIENCE = 10.0
"""Seconds after which a failed try is no such end, but a database that has kept us waiting."""
_Written = TypeVar("_Written")


def transact(storage: RDBStorage, write: Callable[[], _Written]) -> _Written:
    """What `write` returns, called in `one_transaction`.

    It is called again if the database ended that transaction for another's sake.

    Raises:
        Exception: as `one_transaction`.
    """
    tries = 0
    while True:
        began = time.monotonic()
        try:
            with one_transaction(storage):
                return write()
        except (OperationalError, StorageInternalError) as error:
            tries += 1
            if tries == TRIES or time.monotonic() - began > PATIENCE or not _ended(error):
                raise
            time.sleep(random.uniform(0, PAUSE))


def _ended(error: Exception) -> bool:
    """Whether the database may have ended a transaction, of which then nothing was kept."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    return isinstance(cause, OperationalError) and not cause.connection_invalidated


@contextmanager
def one_transaction(storage: RDBStorage) -> Iterator[None]:
    """In the block, what this thread writes to `storage` takes effect together, at its end.

    Optuna commits each write by itself. Here its sessions share a connection whose transaction they
    do not end; a kill, a full disk or an error in the block leaves the database as it was.

    Raises:
        Exception: a write failed, or the commit did.
    """
    with (
        storage.engine.connect() as connection,
        connection.begin() as transaction,
        Session(connection, join_transaction_mode="rollback_only") as session,
    ):
        storage.scoped_session.remove()
        storage.scoped_session.registry.set(session)
        try:
            yield
        finally:
            storage.scoped_session.registry.clear()
        if not transaction.is_active:  # Optuna ignores some refusals, which rolled all back
            raise RuntimeError("the database refused a write")
