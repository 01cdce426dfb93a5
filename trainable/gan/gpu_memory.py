"""What a footprint comes to on a GPU, what a trial may hold there, and a process's limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from trainable.gan.footprint import Footprint

_APART = 1.5  # ratio from which on two footprints tell a slope
_SLACK = 1.25


@dataclass(frozen=True)
class Memory:
    """MB that torch holds on a GPU for a trial: `base_mb`, and `slope` times its footprint."""

    base_mb: float
    slope: float

    @classmethod
    def fit(cls, measured: Sequence[tuple[Footprint, float]]) -> Memory:
        """A line through one or two configurations and the MB that each held; never below either.

        The slope lies in 1 to 4, as all of a footprint is held, and a recorded step holds its
        activations twice, for its warm-up and for itself. It is 2 where the configurations are too
        much alike to tell.
        """
        points = sorted((needs.total_bytes / 2**20, mb) for needs, mb in measured)
        (x, y), (further, more) = points[0], points[-1]
        slope = (more - y) / (further - x) if further > _APART * x else 2.0
        slope = min(max(slope, 1.0), 4.0)
        return cls(max(0.0, *(y - slope * x for x, y in points)), slope)

    def estimate(self, needs: Footprint) -> float:
        """MB for a trial of that footprint."""
        return self.base_mb + self.slope * needs.total_bytes / 2**20

    def refusal(self, needs: Footprint, limit_mb: float) -> str | None:
        """Why a trial of that footprint is not worth trying where it may hold `limit_mb`, or None.

        An estimate beyond the limit by up to a quarter may be wrong, and the limit itself would end
        such a trial: it is let try.
        """
        estimate = self.estimate(needs)
        if estimate <= _SLACK * limit_mb:
            return None
        return (
            f"needs an estimated {estimate / 1024:.1f} GB of GPU memory, but a trial has "
            f"{limit_mb / 1024:.1f} GB here; a smaller batch_size or narrower networks need "
            "less, a larger --gpus-per-trial gives more"
        )


def cap_mb(total_mb: float, trials: int, outside_mb: float = 512.0) -> float:
    """MB that torch may hold for each of so many trials on a GPU of `total_mb`, 0 at least; see
    `room` for `outside_mb`."""
    context, whole = room(total_mb, outside_mb)
    return max(0.0, 0.95 * whole / trials - context)


def room(total_mb: float, outside_mb: float) -> tuple[float, float]:
    """MB of each process's own context on a GPU, and of the GPU without what other programs use.

    `outside_mb` is in use beside what torch holds, with one process of ours there. A context takes
    some hundreds of it; what is beyond 1024 is taken for others'.
    """
    context = min(outside_mb, 1024.0)
    return context, total_mb - (outside_mb - context)


def limit_memory(device: str, mb: float | None) -> None:
    """Start to count this process's memory on a GPU anew, and let it hold `mb` MB there at most.

    None means all that there is: processes are used again, and the last trial's limit is not this
    one's. Beyond the limit torch raises an OutOfMemoryError. The limit is on torch's own memory; a
    process's CUDA context comes on top. Without effect on a CPU.
    """
    if torch.device(device).type != "cuda":
        return
    torch.cuda.reset_peak_memory_stats(device)
    index = torch.device(device).index  # which the limit insists on
    index = torch.cuda.current_device() if index is None else index
    total = torch.cuda.get_device_properties(index).total_memory / 2**20
    share = 1.0 if mb is None else min(1.0, mb / total)
    torch.cuda.set_per_process_memory_fraction(share, index)
