"""What all trials of a study share, and what one is built from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spaces.task import Task
from trainable.data.dataset import Dataset
from trainable.data.fingerprints import Seen
from trainable.gan.config import TrialConfig
from trainable.gan.run import Run
from trainable.generators.saved import SavedGenerator
from trainable.metrics.classifier_score import Validation
from trainable.metrics.independent import Witness
from trainable.metrics.scores import RealSet
from trainable.pretrained.backbones import Backbone, backed_task
from trainable.pretrained.extractors import Extractor
from trainable.trial.evaluation import Evaluator, validation_of, witness_of
from trainable.trial.inputs import Inputs
from trainable.trial.object_store import ObjectStore, scratch
from trainable.trial.objective import Objective


@dataclass(frozen=True)
class Workload:
    """What all trials of a study share.

    Attributes:
        data: the training images.
        extractor, real: the network that scores are computed on, and the real set.
        witness: what judges images without a pretrained network.
        objective: what to minimise.
        untrained: the untrained generator's scores, which scale a weighted objective.
        evaluations: epochs, or seconds of training, at which a trial is scored, ascending; the
            last one ends it.
        trials: folder that holds a folder for each trial; on a cluster, one that all nodes see.
        seed: the study's seed.
        device: ``cpu`` or ``cuda``.
        threads: CPU threads of one trial.
        resource: what `evaluations` count, ``epoch`` or ``seconds``. Seconds are looked at when an
            epoch ends.
        max_seconds: a trial's training and evaluations may take this long, or None.
        backbone: the pretrained network that discriminators may stand on, or None.
        start: the generator that all begin with, or None.
        validation: what judges by the images that are held back, or None.
        object_store: the object store that has the trials' folders, of which a node then has
            copies of its own; or None.
        gpu_memory_mb: what a trial may hold of a GPU's memory, or None for no limit.
    """

    data: Dataset
    extractor: Extractor
    real: RealSet
    witness: Witness
    objective: Objective
    untrained: Mapping[str, float]
    evaluations: tuple[int, ...]
    trials: Path
    seed: int
    device: str
    threads: int
    resource: str = "epoch"
    max_seconds: float | None = None
    backbone: Backbone | None = None
    start: SavedGenerator | None = None
    validation: Validation | None = None
    object_store: ObjectStore | None = None
    gpu_memory_mb: float | None = None

    @classmethod
    def of(cls, inputs: Inputs, real: RealSet, **how: Any) -> Workload:
        """Of what is loaded, but for the untrained generator's scores; `how` has the attributes
        that do not follow from that."""
        return cls(
            data=inputs.data,
            extractor=inputs.networks.extractor,
            real=real,
            witness=witness_of(inputs.data, inputs.held_out, seed=inputs.identity.seed),
            untrained={},
            seed=inputs.identity.seed,
            backbone=inputs.networks.backbone,
            start=inputs.start,
            validation=validation_of(inputs.validation),
            **how,
        )

    @property
    def task(self) -> Task:
        """What a space and a configuration are to fit."""
        return backed_task(self.data.task, self.backbone)

    @property
    def evaluator(self) -> Evaluator:
        """What scores the trials, on their device."""
        extractor = self.extractor.to(self.device)
        return Evaluator(self.data, extractor, self.real, self.witness, self.validation)

    @property
    def seen(self) -> Seen:
        """The images that a generator of these trials has seen."""
        return Seen.of(self.data, None if self.start is None else self.start.seen)

    def on_this_node(self) -> Workload:
        """The workload with the trials' folder as this machine is to use it."""
        return (
            self
            if self.object_store is None
            else replace(self, trials=scratch(self.object_store.url))
        )

    def build_run(self, config: TrialConfig, seed: int) -> Run:
        """A run before its first step.

        Raises:
            InputError: the networks cannot be built for these images, or `start` does not fit.
        """
        initial = None
        if self.start is not None:
            config.check_task(self.task)
            self.start.check_fits(config, self.task)
            initial = self.start.tensors
        return Run(
            config, self.data, seed=seed, device=self.device, backbone=self.backbone,
            initial=initial,
        )  # fmt: skip
