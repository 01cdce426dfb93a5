"""Training steps as CUDA graphs: the host starts a whole step at once, not each of its kernels.

A step of a small GAN is some thousand kernels of a few microseconds, which a host starts more
slowly than a GPU runs them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable

import torch
from torch import Tensor

WARM_UP = 3
"""Steps of a kind that run as they are, before it is captured: libraries choose their algorithms in
them, and optimizers make their states."""


class Graphs:
    """Plays steps, and from the fourth of a kind on plays a recording of it.

    A recording runs the same kernels on the same memory. So all that a step needs from the host
    must be in tensors that stay, and what it returns is overwritten by later steps.
    """

    def __init__(self, rng: torch.Generator):
        """`rng`: the generator, on the GPU, that steps draw from."""
        self._rng = rng
        # What is captured must not run on the stream that everything waits for.
        self._stream = torch.cuda.Stream(rng.device)
        self._pool = torch.cuda.graph_pool_handle()
        self._met: Counter[Hashable] = Counter()
        self._recorded: dict[Hashable, tuple[torch.cuda.CUDAGraph, Tensor]] = {}

    def forget(self) -> None:
        """Drop all recordings: tensors that they write to have been replaced."""
        self._met.clear()
        self._recorded.clear()

    def play(self, kind: Hashable, step: Callable[[], Tensor]) -> Tensor:
        """Run `step`, which does the same operations whenever it is of the same `kind`.

        Raises:
            torch.OutOfMemoryError: the step, or its recording, does not fit.
        """
        self._met[kind] += 1
        if self._met[kind] <= WARM_UP:
            self._stream.wait_stream(torch.cuda.current_stream(self._rng.device))
            with torch.cuda.stream(self._stream):
                told = step()
            torch.cuda.current_stream(self._rng.device).wait_stream(self._stream)
            return told
        if kind not in self._recorded:
            self._recorded[kind] = self._record(step)
        graph, told = self._recorded[kind]
        graph.replay()
        return told

    def _record(self, step: Callable[[], Tensor]) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._rng)
        try:
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                told = step()
        except RuntimeError as error:
            # The end of a capture that broke down complains too, and hides why.
            if isinstance(error.__context__, torch.OutOfMemoryError):
                raise error.__context__ from None
            raise
        return graph, told
