"""What a run is made from: images, networks and the generator that it begins with, in one place.

A new search, a resumed one and a single run, replays among them, load them here.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

from rich.console import Console

from spaces.task import Params, Task
from trainable.basics.progress import Progress, stage
from trainable.data.dataset import Dataset
from trainable.data.sources import load
from trainable.data.split.held_out import held_out
from trainable.data.split.hold_back import split_held_back
from trainable.gan.config import TrialConfig
from trainable.generators.saved import SavedGenerator
from trainable.pretrained.backbones import backed_task
from trainable.pretrained.load import FrozenNetworks, load_frozen_networks
from trainable.trial.evaluation import check_classes
from trainable.trial.identity import RunIdentity


@dataclass(frozen=True)
class Images:
    """A data set, read.

    Attributes:
        whole: all of it.
        data: what generators are trained on.
        validation: what is held back from them, or None.
        said: a line about that, if anything is.
    """

    whole: Dataset
    data: Dataset
    validation: Dataset | None
    said: tuple[str, ...]

    @classmethod
    def read(cls, wanted: RunIdentity, progress: Progress | None = None) -> Images:
        """The images that are `wanted`; their digests are not looked at.

        Raises:
            InputError: they cannot be read, or not as much can be held back.
        """
        whole = load(
            wanted.data,
            wanted.image_size,
            how=wanted.reading,
            labelling=wanted.labelling,
            progress=progress,
        )
        return cls(whole, *split_held_back(whole, wanted.hold_back))


@dataclass(frozen=True)
class Inputs:
    """What runs are made from.

    Attributes:
        identity: which these are.
        data: the training images.
        validation: real images held back from the generators, or None.
        held_out: real images for the witness, or None.
        networks: those that look at images.
        start: the generator that all begin with, or None; it saw nothing of `validation`.
        said: lines that say what is held back or out.
    """

    identity: RunIdentity
    data: Dataset
    validation: Dataset | None
    held_out: Dataset | None
    networks: FrozenNetworks
    start: SavedGenerator | None
    said: tuple[str, ...]

    @property
    def task(self) -> Task:
        """What a space and a configuration are to fit."""
        return backed_task(self.data.task, self.networks.backbone)

    def check(self, params: Params) -> None:
        """Raise InputError if a run of these parameters could not be built."""
        config = TrialConfig.from_params(params)
        config.check_task(self.task)
        if self.start is not None:
            self.start.check_fits(config, self.task)


def load_inputs(
    wanted: RunIdentity,
    args: argparse.Namespace,
    fetch: Callable[[str], SavedGenerator],
    console: Console,
    *,
    shared: bool,
    reading: Callable[[str], AbstractContextManager[None]] = lambda setting: nullcontext(),
    check: Callable[[RunIdentity, Dataset], None] = lambda found, whole: None,
) -> Inputs:
    """Read and load what is `wanted`.

    Args:
        wanted: which; what it says of digests is replaced by what is found.
        args: the flags that `load_frozen_networks` looks at.
        fetch: loads the generator that `wanted.init_from` names.
        console: shows how far it is.
        shared: whether the discriminator's network may be the one that scores.
        reading: surrounds the reading of what the setting of that name says.
        check: told after each step what was found so far, and of all images; it may raise.

    Raises:
        InputError: something cannot be had, or the generator saw images that are held back.
    """
    # First, as a name may be misspelt, and images take minutes to read.
    networks = load_frozen_networks(
        wanted.features, wanted.protocol, wanted.backbone, args, shared=shared
    )
    with stage(console, "reading images") as progress, reading("data"):
        images = Images.read(wanted, progress)
    data, validation, said = images.data, images.validation, [*images.said]
    found = replace(
        wanted,
        **images.whole.report.reading.settings,
        data_digest=data.digest,
        validation_digest=validation.digest if validation else None,
    )
    check(found, images.whole)
    check_classes(data)
    with stage(console, "reading held-out images") as progress, reading("held_out"):
        apart = held_out(
            data, wanted.data, wanted.held_out, progress, instead=validation, say=said.append,
            labelling=wanted.labelling,
        )  # fmt: skip
    found = replace(found, held_out_digest=apart.digest if apart else None)
    check(found, images.whole)
    backbone = networks.backbone
    found = replace(
        found,
        features=networks.extractor.name,
        protocol=networks.protocol,
        weights_sha256=networks.extractor.sha256,
        backbone_sha256=backbone.sha256 if backbone else None,
    )
    check(found, images.whole)
    with reading("init_from"):
        start = None if wanted.init_from is None else fetch(wanted.init_from)
        if start is not None and validation is not None:
            start.check_unseen(validation)
    found = replace(found, init_sha256=start.sha256 if start else None)
    check(found, images.whole)
    return Inputs(found, data, validation, apart, networks, start, tuple(said))
