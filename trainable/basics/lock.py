"""One process at a time in a folder: a lock that ends with its process, however that ends."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spaces.errors import InputError
from trainable.basics.terminal import os_reason

LOCK = "lock"


@contextmanager
def locked(folder: Path, what: str = "study") -> Iterator[None]:
    """Hold the study, or whatever it is, in `folder`.

    Raises:
        InputError: another process holds it; the message says which. Or it cannot be written to.
    """
    try:
        opened = (folder / LOCK).open("a+")
    except OSError as error:
        raise InputError(
            f"{what} {folder.name} cannot be written to ({os_reason(error)}): look at who may "
            f"write in {folder}"
        ) from error
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise InputError(
                f"{what} {folder.name} is already running in "
                f"{file.read().strip() or 'another process'}; wait for it to end, or stop it "
                "there with Ctrl-C"
            ) from None
        except OSError as error:  # some network file systems know no locks
            raise InputError(
                f"{what} {folder.name} cannot be locked ({os_reason(error)}); choose a folder on "
                "another file system"
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
