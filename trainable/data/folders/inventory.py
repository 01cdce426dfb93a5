"""Facts about image files that cost no pixels: bytes and dimensions."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trainable.basics.progress import Progress
from trainable.data.folders.decode import dimensions
from trainable.data.folders.entries import Entry
from trainable.data.folders.limits import UnreadableError
from trainable.data.folders.opening import opened

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
            with opened(entry.path) as file:
                items.append(Item(entry, os.fstat(file.fileno()).st_size, *dimensions(file)))
        except UnreadableError as error:
            skipped.append((entry.source, str(error)))
        if progress is not None:
            progress(done, len(entries))
    return items, skipped


def exact_dimensions(items: Iterable[Item], most: int = 3) -> list[tuple[str, int]]:
    """The most common, such as ``224 x 224``, with their counts; the rest as one range."""
    counts = Counter((i.width, i.height) for i in items).most_common()
    shown = [(f"{w} x {h}", count) for (w, h), count in counts[:most]]
    if rest := counts[most:]:
        widths, heights = zip(*(size for size, _ in rest), strict=True)
        ends = f"{min(widths)} to {max(widths)} x {min(heights)} to {max(heights)}"
        shown.append((ends, sum(count for _, count in rest)))
    return shown


def common_dimensions(items: Iterable[Item], most: int = 5) -> list[tuple[tuple[int, int], int]]:
    """The most common (width, height), rounded to `BUCKET` pixels, with their counts."""
    buckets = Counter((_rounded(i.width), _rounded(i.height)) for i in items)
    return sorted(buckets.items(), key=lambda pair: (-pair[1], pair[0]))[:most]


def _rounded(pixels: int) -> int:
    # An image smaller than half a bucket keeps its own size: "0 x 0" would say nothing.
    return round(pixels / BUCKET) * BUCKET or pixels
