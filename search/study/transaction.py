"""Several writes to a study's database as one: all of them or none."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from optuna.storages import RDBStorage
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

TRIES = 5
"""As many as Optuna's own: servers end one of two transactions that wait for each other."""
PAUSE = 0.2
"""Seconds before another try, at most."""
_Written = TypeVar("_Written")


def transact(storage: RDBStorage, write: Callable[[], _Written]) -> _Written:
    """What `write` returns, called in `one_transaction`.

    It is called again if the database ended that transaction for another's sake.

    Raises:
        Exception: as `one_transaction`.
    """
    tries = 0
    while True:
        try:
            with one_transaction(storage):
                return write()
        except OperationalError:
            tries += 1
            if tries == TRIES:
                raise
            time.sleep(random.uniform(0, PAUSE))


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
