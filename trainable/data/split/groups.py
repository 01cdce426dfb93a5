"""Which images belong together: of one patient, or the same image saved in another way.

Whoever divides a data set must keep a group on one side; else test images were seen in training.

Two images look alike if their difference hashes are within `BITS` and their 16 x 16 means correlate
by `CORRELATION` or more. Measured at 64 pixels on 500 of Kaggle's chest films (bacteria, virus and
normal; patients from file names), bits by which the hashes differ:

    pairs of films           number   0 bits   <= 2    <= 6    median   highest correlation
    of one patient               97     0 %      4 %     23 %     10           0.964
    of different patients   124,653   0.003 %  0.08 %   2.8 %     16           0.969

Films are posed alike, so no number of bits will do alone: by 0 bits 4 pairs of different patients
are joined, by 2 bits 49 of the 240 test films become one group, by 6 bits 213. The correlation
separates them: no two of these films are joined, nor of 400 phantoms (0.979). Of 100 films saved
again as JPEG (quality 50 to 75, half to full size, 20 % darker to 10 % brighter, 25 levels up or 12
down) all are found (3 bits at most, 0.996 or more); with 1 % cut off each edge all (5 bits, 0.988),
with 2 % 37, with 5 % none. At 32 pixels it is the same (6 bits at most, 0.987). So this finds a
film that was saved in another way. It does not find another film of the same child, which looks
hardly more alike than another child's: without names, one patient's films may come to lie in two
groups.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from trainable.data.dataset import Dataset
from trainable.data.fingerprints import pixel_digests
from trainable.data.likeness import area_means, difference_bits

BITS = 6
CORRELATION = 0.985

_VIEW = 16
_BLOCK = 64  # images at a time: 32 MB at 256 pixels


def perceptual_hash(images: np.ndarray) -> np.ndarray:
    """The difference hash of each image: 64 bits that survive another size, JPEG and exposure.

    The grey image is averaged to 8 rows of 9 means; a bit says whether a mean is brighter than the
    one to its left. From the upper left, row by row, the first bit is the highest. Sums are exact,
    so a grey image has the same hash as one channel and as three. After N. Krawetz, "Kind of Like
    That", hackerfactor.com (2013), who calls it dHash.

    Args:
        images: uint8 [n, C, S, S], C is 1 or 3.

    Returns:
        uint64 [n].
    """
    return (
        np.packbits(difference_bits(images, 8), axis=1)
        .view(">u8")
        .astype(np.uint64)
        .reshape(len(images))
    )


def look_alikes(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The pairs that look alike, as the module says: int64 [pairs, 2], row in each, sorted.

    A flat image, which has no correlation, looks like none. 6,000 against 600 take 0.2 s of
    one core at 64 pixels.

    Args:
        images: uint8 [n, C, S, S].
        others: uint8 [m, C, S, S]; C and S may differ from those of `images`.
    """
    pairs = [np.empty((0, 2), np.int64)]
    pairs += [np.argwhere(alike) + np.array([start, 0]) for start, alike in _alike(images, others)]
    return np.concatenate(pairs)


def _alike(images: np.ndarray, others: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Which look alike, some rows at a time: the first row, and bool [rows, m]."""
    hashes, views = perceptual_hash(images), _views(images)
    other_hashes, other_views = perceptual_hash(others), _views(others).T
    for start in range(0, len(images), _BLOCK):
        rows = slice(start, start + _BLOCK)
        near = np.bitwise_count(hashes[rows, None] ^ other_hashes) <= BITS
        yield start, near & (views[rows] @ other_views >= CORRELATION)


def groups(data: Dataset) -> tuple[np.ndarray, str]:
    """Who belongs together: images of one patient, and those that look alike or have equal pixels.

    Whatever is joined to the same is joined too (single linkage), so that no two groups share a
    patient or an image. Look-alikes of different patients are joined as well: one file under two
    names.

    Returns:
        The group of each image, int64 [n], counted from 0 by the first image of each; and a
        sentence for the log, such as ``235 images of 227 patients (from file names)``.
    """
    links = np.array([*_chains(data.patients), *_chains(pixel_digests(data.images))], np.int64)
    graph = coo_array((np.ones(len(links)), links.reshape(-1, 2).T), shape=(data.n, data.n))
    group = connected_components(graph, directed=False)[1]
    for _, block in _alike(data.images, data.images):
        for alike in block:  # row by row: of a film's frames all pairs look alike, too many to keep
            together = np.unique(group[alike])
            if len(together) > 1:
                group[np.isin(group, together)] = together[0]
    group = np.unique(group, return_inverse=True)[1].astype(np.int64)
    return group, _sentence(data, len(np.unique(group)))


def _sentence(data: Dataset, count: int) -> str:
    known = [name for name in data.patients if name is not None]
    patients = len(set(known))
    of_patients = f"of {patients} patients (from {data.report.patients})"
    how = f"difference hash within {BITS} bits of 64, correlation {CORRELATION} or more"
    if not known:
        return f"{data.n} images, patients unknown: {count} groups of look-alikes ({how})"
    if len(known) < data.n:
        rest = f"the others' patients unknown: {count} groups of patients and look-alikes ({how})"
        return f"{data.n} images, {len(known)} {of_patients}, {rest}"
    if count < patients:
        return f"{data.n} images {of_patients}: {count} groups, as some look alike ({how})"
    return f"{data.n} images {of_patients}"


def _chains(keys: Iterable[Hashable | None]) -> Iterator[tuple[int, int]]:
    """Each row whose key came before, with the first that had it; None is no key."""
    first: dict[Hashable, int] = {}
    for row, key in enumerate(keys):
        if key is not None and first.setdefault(key, row) != row:
            yield first[key], row


def _views(images: np.ndarray) -> np.ndarray:
    """16 x 16 means of mean 0 and norm 1, whose products are correlations: float32 [n, 256]."""
    views = area_means(images, _VIEW, _VIEW).reshape(len(images), _VIEW * _VIEW)
    views -= views.mean(1, keepdims=True)
    norms = np.linalg.norm(views, axis=1, keepdims=True)
    return (views / np.maximum(norms, 1.0)).astype(np.float32)
