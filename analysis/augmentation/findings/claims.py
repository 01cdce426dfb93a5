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
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.augmentation.findings.statistics import Estimate, Spread

PILOT = 3
"""Repeats after which a study says what it will be able to tell."""
FIRST_LOOK = 5
"""Repeats at the first look; each further one is at twice as many."""
POWER = 0.8
_MOST = 1000  # repeats that are ever proposed


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
    """

    size: int
    ratio: float
    arm: str
    against: str
    gain: Estimate
    ceiling: float
    way: int
    p: float
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


def power_sentence(spreads: Sequence[Spread], repeats: int, detect: float, looks: int) -> str:
    """What a study of so many repeats can tell, as its first ones suggest.

    Args:
        spreads: of synthetic images against duplicates, where both have been trained.
        repeats: planned.
        detect: the difference in accuracy that matters.
        looks: how many there will be; the last decides.
    """
    level = level_of(looks) / len(spreads)

    def least(count: float) -> float:
        found = sorted(spread.detectable(count, level, POWER) for spread in spreads)
        return found[len(found) // 2]

    said = (
        f"{repeats} repeats can tell a gain of {least(repeats):.1%} in accuracy with a chance of "
        f"{POWER:.0%}, as one of {len(spreads)} claims"
    )
    bound = least(math.inf)
    if least(repeats) <= detect:
        return said
    if bound >= detect:
        return f"{said}; {detect:.1%} takes more test images: with these, {bound:.1%} is the limit"
    needed = next((n for n in range(repeats, _MOST) if least(n) <= detect), None)
    return said if needed is None else f"{said}; {detect:.1%} would take --repeats {needed}"
