"""Where trials of a search are compared."""

from __future__ import annotations


def rungs_below(length: int, grace: int, eta: int) -> tuple[int, ...]:
    """ASHA's rungs grace, grace * eta, … that lie below the complete length, in its unit: epochs,
    or seconds of training."""
    rungs, rung = [], grace
    while rung < length:
        rungs.append(rung)
        rung *= eta
    return tuple(rungs)
