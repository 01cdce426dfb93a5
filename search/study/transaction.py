"""Several writes to a study's database as one: all of them or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from optuna.storages import RDBStorage
from sqlalchemy.orm import Session


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
