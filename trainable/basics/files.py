"""Files that are written whole or not at all, and names that can be kept."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spaces.errors import InputError
from trainable.basics.terminal import printable


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to, which takes the name `path` once the block has ended well.

    A reader sees the old file or the new one, never a part, also after a power cut; two writers at
    once do not mix. If the block raises, `path` stays as it was and the part is removed.

    Raises:
        OSError: the file cannot be written or renamed.
    """
    part = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}.part")
    try:
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def check_text(flag: str, path: str | Path) -> None:
    """Raise InputError unless the bytes of a path are UTF-8, which is all that databases keep."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{flag} is {printable(str(path))}, whose name is not UTF-8, so no database can keep "
            "it; rename it"
        ) from error


def write_whole(path: Path, content: str | bytes) -> None:
    """Write `content` to `path`, text as UTF-8, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    with whole_file(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
