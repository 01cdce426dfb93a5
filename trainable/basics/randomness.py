"""Random draws of one's own, where PyTorch only takes them from the whole process's generators."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def private_chance(seed: int, device: str = "cpu") -> Iterator[None]:
    """Global draws follow `seed`, on the CPU and on `device`; after it, go on as if undisturbed."""
    gpus = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed all GPUs as well
        for gpu in gpus:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(seed)
        yield
