"""How large images may be, and what is raised for those that cannot be decoded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

MAX_PIXELS = 2**26
"""Of an image, 8192 x 8192 or as many; and of all that are decoded at once, in whatever number of
threads. Decoding takes up to 24 bytes a pixel, some 1.5 GB in all."""


class UnreadableError(Exception):
    """A file holds no image that can be decoded; the message says why."""


def check_size(width: int, height: int) -> None:
    """Raise UnreadableError for an image of no pixels, or of too many."""
    if width * height > MAX_PIXELS:
        raise UnreadableError(
            f"{width} x {height} pixels, but at most {MAX_PIXELS / 1e6:.0f} million are read"
        )
    if width * height == 0:
        raise UnreadableError("no pixels")


_free = MAX_PIXELS
_returned = threading.Condition()


@contextmanager
def share(size: tuple[int, int]) -> Iterator[None]:
    """Wait until an image of this size fits beside those that other threads are decoding."""
    global _free
    width, height = size
    with _returned:
        _returned.wait_for(lambda: _free >= width * height)
        _free -= width * height
    try:
        yield
    finally:
        with _returned:
            _free += width * height
            _returned.notify_all()
