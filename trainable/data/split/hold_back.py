"""A part of a data set that generators never see, to choose between them and classifiers."""

from __future__ import annotations

import hashlib

import numpy as np

from spaces.errors import InputError
from trainable.data.dataset import Dataset
from trainable.data.fingerprints import pixel_digests
from trainable.data.split.groups import groups
from trainable.data.split.share import check_share

FEWEST = 5
"""Images of a class, below which its part of a score moves by leaps."""


def split_held_back(data: Dataset, share: float) -> tuple[Dataset, Dataset | None, tuple[str, ...]]:
    """What `hold_back` gives, or for a share of 0 all of `data`, nothing held back and no sentence.

    Raises:
        InputError: as `hold_back`.
    """
    if share == 0:
        return data, None, ()
    kept, held, said = hold_back(data, share)
    return kept, held, (said,)


def hold_back(data: Dataset, share: float) -> tuple[Dataset, Dataset, str]:
    """What is left to train on, what is held back, and a sentence for the log.

    Of each class `share` of its images are held back, give or take the rest of a group: patients
    and look-alikes stay together (see `trainable.data.split.groups`). The same data and share give
    the same parts, whatever the seed of a study, so that studies compare.

    Raises:
        InputError: the share is not above 0 and at most 0.5, or a class has too few images.
    """
    check_share(share)
    group, sentence = groups(data)
    counts = np.bincount(data.labels, minlength=len(data.classes))
    wanted = np.rint(share * counts).astype(int)
    of_group = np.zeros((group.max() + 1, len(counts)), int)
    np.add.at(of_group, (group, data.labels), 1)
    taken, have = np.zeros(len(of_group), bool), np.zeros(len(counts), int)
    for one in _drawn(data, group):
        if (have + of_group[one] <= wanted).all():
            taken[one], have = True, have + of_group[one]
    back = taken[group]
    kept, held = data.at(~back), data.at(back)
    for name, count, had in zip(data.classes, counts, have, strict=True):
        if had < FEWEST or had == count:
            raise InputError(
                f"--hold-back {share:g} holds back {had} of the {count} images of class "
                f"{name!r}, since patients and look-alikes stay together, but must hold back at "
                f"least {FEWEST} and leave some; choose another share, or add images"
            )
    return kept, held, f"held back from the generators: {held.counted} ({sentence})"


def _drawn(data: Dataset, group: np.ndarray) -> list[int]:
    """The groups in an order as good as random that each group's own pixels decide."""
    least: dict[int, str] = {}
    for one, digest in zip(group.tolist(), pixel_digests(data.images), strict=True):
        least[one] = min(digest, least.get(one, digest))
    # Hashed once more: the least of many is small, and large groups would come first.
    return sorted(least, key=lambda one: hashlib.sha256(least[one].encode()).hexdigest())
