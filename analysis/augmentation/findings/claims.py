"""What a study claims, and after how many repeats it may stop.

A claim is that synthetic images help, or harm, at one size and ratio. To help, they must beat every
control of their arm, so that the largest of these p-values decides (an intersection-union test,
Berger 1982); to harm, they must be worse than no images and than duplicates. Claims are adjusted
for their number by Holm's method.

A study looks at its results several times, and stops where they are plain. Look k is at the level
0.05 / 2^k, so that all looks together, however many there will be, have 0.05: a study may be
extended at any time, which fixed plans such as O'Brien and Fleming's do not allow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from analysis.augmentation.findings.statistics import Estimate, Spread

PILOT = 3
"""Repeats after which a study says what it will be able to tell."""
FIRST_LOOK = 5
"""Repeats at the first look; each further one is at twice as many."""
POWER = 0.8
_MOST = 500  # repeats that are ever proposed


@dataclass(frozen=True)
class Claim:
    """What is said of synthetic images at one size and ratio.

    Attributes:
        size, ratio, arm: which.
        against: the control that decides: of the largest p.
        gain: mean accuracy over that control's, with its 95 % interval.
        ceiling: the least of the upper ends of its gains over the controls: it gains no more.
        way: 1 if it does better than all controls, -1 if worse, 0 if neither.
        p: that it is not so.
        adjusted: `p` for the number of claims (Holm 1979).
        told: `way` if a look found it beyond chance, else 0.
        repeats: how many the figures rest on: if a later look no longer shows what one told, those
            of the one that did.
        missing: controls that it could not be held against.
    """

    size: int
    ratio: float
    arm: str
    against: str
    gain: Estimate
    ceiling: float
    way: int
    p: float
    repeats: int
    missing: tuple[str, ...]
    adjusted: float = 1.0
    told: int = 0


def level_of(look: int) -> float:
    """At which look number `look`, from 1, claims."""
    return 0.05 / 2**look


def looks_before(repeats: int) -> list[int]:
    """Numbers of repeats at which a study of so many looks before its end."""
    found = []
    at = FIRST_LOOK
    while at < repeats:
        found.append(at)
        at *= 2
    return found


def plain(claims: Sequence[Claim], detect: float) -> bool:
    """Whether more repeats would change nothing that matters: each claim is told, or there is a
    control over which its gain is below `detect`."""
    return bool(claims) and all(c.told or c.ceiling < detect for c in claims)


def power_sentence(
    spreads: Sequence[Sequence[Spread]],
    repeats: int,
    detect: float,
    looks: Callable[[int], int],
) -> str:
    """What a study of so many repeats can tell, as its first ones suggest.

    Args:
        spreads: for each claim, of its gains over each control: the widest decides.
        repeats: planned.
        detect: the difference in accuracy that matters.
        looks: how many looks a study of so many repeats has had at its end; the last decides.
    """

    def least(count: int) -> float:
        level = level_of(looks(count)) / len(spreads)
        found = sorted(
            max(spread.detectable(count, level, POWER) for spread in controls)
            for controls in spreads
        )
        return found[len(found) // 2]

    said = (
        f"{repeats} repeats can tell a gain of {least(repeats):.1%} in accuracy with a chance of "
        f"{POWER:.0%}, as one of {len(spreads)} claims"
    )
    limit = math.inf
    for count in range(repeats, max(_MOST, repeats + 1)):
        limit = min(limit, least(count))
        if limit <= detect:
            enough = count == repeats
            return said if enough else f"{said}; {detect:.1%} would take --repeats {count}"
    return (
        f"{said}; {detect:.1%} takes more test images: with these, no number of repeats tells less "
        f"than {limit:.1%}"
    )
