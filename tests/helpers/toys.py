"""Small data, a small configuration, and an extractor that costs nothing."""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from spaces.presets import default
from trainable.basics.progress import Progress
from trainable.data.dataset import Dataset, LoadReport
from trainable.gan.config import TrialConfig
from trainable.generators.export import Provenance, export_generator
from trainable.metrics import quick_classifier
from trainable.metrics.independent import Witness
from trainable.metrics.scores import RealSet
from trainable.trial.checkpoints import newest
from trainable.trial.evaluation import witness_of
from trainable.trial.objective import Objective
from trainable.trial.report import Report
from trainable.trial.trial import Trial
from trainable.trial.workload import Workload


class TinyExtractor(nn.Module):
    """Fixed random features of 8 x 8 means: FID without a network that takes seconds."""

    name, features, sha256, protocol = "tiny", 16, "0" * 64, "tiny/mean-8"

    def __init__(self):
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        self.mix = torch.randn(64, 16, generator=rng) / 8

    def forward(
        self, images: Tensor | Sequence[Tensor], progress: Progress | None = None
    ) -> Tensor:
        if not isinstance(images, Tensor):
            return torch.cat([self(image[None]) for image in images])
        x = images.float().mean(1, keepdim=True) / 255
        if progress is not None:
            progress(len(images), len(images))
        return nn.functional.adaptive_avg_pool2d(x, 8).flatten(1) @ self.mix

    def logits(self, features: Tensor) -> Tensor:
        return features


class Told(dict[str, list[tuple[int, int]]]):
    """What stages were told, by their names: called, it is one."""

    @contextmanager
    def __call__(self, name: str) -> Iterator[Progress]:
        steps = self[name] = []
        yield lambda done, total: steps.append((done, total))


def make_data(n: int = 40, size: int = 32, channels: int = 1, classes: int = 2) -> Dataset:
    """Classes are bright squares at different places, on noise."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 80, (n, channels, size, size), dtype=np.uint8)
    labels = np.arange(n) % classes
    for image, label in zip(images, labels, strict=True):
        start = 4 + 6 * label
        image[:, start : start + 8, start : start + 8] += 120
    images.setflags(write=False)  # as out of Ray's object store
    names = tuple(f"class{i}" for i in range(classes))
    sources = tuple(f"made/{i}" for i in range(n))
    return Dataset(images, labels, names, sources, (None,) * n, "made", LoadReport(files=0))


def write_pictures(folder: Path, data: Dataset) -> None:
    """A folder of class folders with the images of `data`, which are grey."""
    for i, (image, label) in enumerate(zip(data.images, data.labels, strict=True)):
        path = folder / data.classes[label] / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(path)


class Evil:
    """Its pickle has code in it, which leaves the file `trap` if it is ever run."""

    def __init__(self, trap: Path):
        self.trap = trap

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.trap,)


def small_params(data: Dataset, **changes: object) -> dict[str, object]:
    """The default recipe, narrow; a change to None drops the key.

    Batch norm in D allows no penalty, and gets none unless it is asked for.
    """
    small: dict[str, object] = {"g_width": 4, "d_width": 4, "latent_size": 8, "batch_size": 8}
    if changes.get("d_norm") == "batch":
        small |= {"penalty": "none", "penalty_weight": None, "penalty_interval": None}
    params = {**default(data.task), **small, **changes}
    return {k: v for k, v in params.items() if v is not None}


def small_config(data: Dataset, **changes: object) -> TrialConfig:
    return TrialConfig.from_params(small_params(data, **changes))


def make_workload(
    data: Dataset, folder, evaluations: tuple[int, ...] = (1, 2, 3), seed: int = 0
) -> Workload:
    extractor: Any = TinyExtractor()
    objective = Objective.parse("fid")
    real = real_set(data, extractor)
    return Workload(
        data, extractor, real, witness(data), objective, {}, evaluations, folder, seed, "cpu", 1
    )


@functools.cache
def witness(data: Dataset) -> Witness:
    """One that has hardly learned: it costs a moment, and the scores' names are the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quick_classifier, "STEPS", 2)
        return witness_of(data, None, seed=0)


def real_set(data: Dataset, extractor: nn.Module) -> RealSet:
    features = extractor(torch.tensor(data.images))
    return RealSet.of(features, torch.tensor(data.labels), len(data.classes))


def run_on(trial: Trial) -> list[Report]:
    """All reports up to the end."""
    reports = [trial.advance()]
    while reports[-1]["status"] == "running":
        reports.append(trial.advance())
    return reports


def export_trial(
    trial: Trial,
    out: Path,
    *,
    study: str = "s",
    settings: Mapping[str, Any] | None = None,
    scores: Mapping[str, float] | None = None,
) -> None:
    """The generator of a trial's newest checkpoint, exported."""
    provenance = Provenance(
        study=study, trial=int(trial.folder.name), params=trial.run.config.to_params(),
        settings={"seed": 0} if settings is None else settings, seen=trial.workload.seen,
    )  # fmt: skip
    run = newest(trial.folder)["run"]
    export_generator(run, trial.workload.data, out, provenance, scores or {})


def fids(reports: Iterable[Mapping[str, Any]]) -> list[tuple[int, float]]:
    return [(r["epoch"], r["fid"]) for r in reports]


def full(*args: Any, **kwargs: Any) -> None:
    """In place of a call that writes: the disk is full."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere.pt")


def out_of_memory(*args: Any, **kwargs: Any) -> None:
    """In place of a call that computes: the GPU's memory is full."""
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
