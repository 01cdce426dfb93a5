"""Facts about image files that cost no pixels: bytes and dimensions."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trainable.basics.progress import Progress
from trainable.data.folders.decode import UnreadableError, header
from trainable.data.folders.opening import opened
from trainable.data.folders.scan import Entry

BUCKET = 100


@dataclass(frozen=True)
class Item:
    """An image file with its size in bytes and its dimensions in pixels, as stored."""

    entry: Entry
    size: int
    width: int
    height: int


def inventory(
    entries: Sequence[Entry], progress: Progress | None = None
) -> tuple[list[Item], list[tuple[str, str]]]:
    """Open each file's header; also (source, reason) of those without a usable one.

    `progress` is told how many files are done.
    """
    items: list[Item] = []
    skipped: list[tuple[str, str]] = []
    for done, entry in enumerate(entries, start=1):
        try:
            with opened(entry.path) as file, header(file) as image:
                items.append(Item(entry, os.fstat(file.fileno()).st_size, *image.size))
        except UnreadableError as error:
            skipped.append((entry.source, str(error)))
        if progress is not None:
            progress(done, len(entries))
    return items, skipped


def common_dimensions(items: Iterable[Item], most: int = 5) -> list[tuple[tuple[int, int], int]]:
    """The most common (width, height), rounded to `BUCKET` pixels, with their counts."""
    buckets = Counter((_rounded(i.width), _rounded(i.height)) for i in items)
    return sorted(buckets.items(), key=lambda pair: (-pair[1], pair[0]))[:most]


def _rounded(pixels: int) -> int:
    # An image smaller than half a bucket keeps its own size: "0 x 0" would say nothing.
    return round(pixels / BUCKET) * BUCKET or pixels
