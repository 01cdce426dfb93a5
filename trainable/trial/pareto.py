"""Which of several results none beats in everything, and an order of all by that."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np


def fronts(values: np.ndarray) -> np.ndarray:
    """The front of each row: 0 for those that no other dominates, 1 for those only they do, ….

    A row dominates another if it is nowhere above it and somewhere below. In O(n log n), after
    M. Jensen, "Reducing the run-time complexity of multiobjective EAs", 2003.

    Args:
        values: float [n, 1 or 2], lower is better, finite.

    Returns:
        int64 [n].
    """
    front = np.zeros(len(values), np.int64)
    lowest: list[float] = []  # by front, of the last goal: ascending
    rank, previous = 0, None
    for row in np.lexsort(values.T[::-1]):
        value = values[row].tolist()
        if value != previous:
            rank, previous = bisect_right(lowest, value[-1]), value
            lowest[rank : rank + 1] = [value[-1]]
        front[row] = rank
    return front


def first_front(values: np.ndarray) -> list[int]:
    """Numbers of the rows that no other dominates, by the first goal; `values` as `fronts`."""
    rows = np.flatnonzero(fronts(values) == 0)
    return rows[np.argsort(values[rows, 0], kind="stable")].tolist()


def order(values: np.ndarray) -> np.ndarray:
    """All rows, best first: front by front, and within one so that its first rows span it.

    A front begins with the row that is best in the first goal; each next one is the furthest from
    those before it, every goal scaled to its range in the front. That is the epsilon-net by which
    R. Schmucker et al., "Multi-objective asynchronous successive halving", 2021, break ties. Equal
    rows keep their order.

    Args:
        values: as `fronts`.

    Returns:
        Row numbers int64 [n].
    """
    if values.shape[1] == 1:
        return np.argsort(values[:, 0], kind="stable")
    front = fronts(values)
    found = [_spanning(np.flatnonzero(front == rank), values) for rank in np.unique(front)]
    return np.concatenate(found) if found else np.empty(0, np.int64)


def _spanning(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    part = values[rows]
    span = np.ptp(part, axis=0)
    scaled = (part - part.min(axis=0)) / np.where(span > 0, span, 1.0)
    chosen = [int(np.lexsort(part.T[::-1])[0])]
    nearest = np.full(len(rows), np.inf)
    while len(chosen) < len(rows):
        nearest = np.minimum(nearest, np.linalg.norm(scaled - scaled[chosen[-1]], axis=1))
        nearest[chosen] = -1.0
        chosen.append(int(nearest.argmax()))
    return rows[chosen]
