"""What a single run's flags ask for, checked before anything takes time."""

from __future__ import annotations

import argparse
from typing import Any

import torch
from rich.console import Console

from spaces.errors import InputError
from spaces.presets import BACKBONE, PRESETS
from trainable.basics.progress import stage
from trainable.basics.ranges import MOST_SEED, check_range
from trainable.basics.terminal import say
from trainable.data.reading import Reading
from trainable.data.sources import load, located
from trainable.data.split.held_out import held_out
from trainable.data.split.hold_back import split_held_back
from trainable.data.split.share import check_share
from trainable.gan.config import TrialConfig
from trainable.pretrained.backbones import backed_task
from trainable.pretrained.load import load_frozen_networks
from trainable.single.flags import schedule
from trainable.single.recipe import Recipe
from trainable.tracking.registry import load_generator
from trainable.trial.evaluation import real_set, validation_of, witness_of
from trainable.trial.objective import Objective
from trainable.trial.workload import Workload


def _device(asked: str) -> str:
    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        raise InputError("--device is cuda, but PyTorch finds no GPU here; use --device cpu")
    return "cuda" if there and asked != "cpu" else "cpu"


def build_workload(
    args: argparse.Namespace, recipe: Recipe, console: Console
) -> tuple[Workload, dict[str, Any], dict[str, Any]]:
    """The job, the configuration, and `trainable.single.recipe.SETTINGS`, as resolved.

    Raises:
        InputError: something that the flags or the recipe ask for cannot be done.
    """

    def asked(name: str, otherwise: str) -> str:
        given = getattr(args, name)
        known = recipe.study.get(name, "None")
        return str(given) if given is not None else otherwise if known == "None" else known

    resource, evaluations = schedule(args)
    device = _device(args.device)
    spec = located("--data", asked("data", "phantom"))
    how = Reading(asked("fit", "crop"), asked("background", "black"))
    seed = int(asked("seed", "0"))
    check_range("--seed", seed, 0, MOST_SEED)
    share = float(asked("hold_back", "0"))
    check_share(share)
    with stage(console, "reading images") as progress:
        whole = load(spec, int(asked("image_size", "64")), how=how, progress=progress)
    data, validation, said = split_held_back(whole, share)
    lines = [*said]
    named = located("--held-out", asked("held_out", "")) or None
    with stage(console, "reading held-out images") as progress:
        apart = held_out(data, spec, named, progress, instead=validation, say=lines.append)
    for line in lines:
        say(console, line)
    wanted = _backbone(args, recipe)
    networks = load_frozen_networks(
        asked("features", "auto"), asked("protocol", "bilinear"), asked("backbone", wanted),
        args, shared=args.allow_shared_features,
    )  # fmt: skip
    backbone = networks.backbone
    init = located("--init-from", asked("init_from", "")) or None
    start = load_generator(init, args.tracking_uri) if init else None
    params = recipe.params
    task = backed_task(data.task, backbone)
    if params is None:
        params = PRESETS[recipe.preset](task)
    config = TrialConfig.from_params(params)
    config.check_task(task)
    if start is not None:
        start.check_fits(config, task)
        if validation is not None:
            start.check_unseen(validation)
    with stage(console, "measuring the real images") as progress:  # from here on it takes time
        real = real_set(data, networks.extractor, progress=progress)
    workload = Workload(
        data=data,
        extractor=networks.extractor,
        real=real,
        witness=witness_of(data, apart, seed=seed),
        objective=Objective.parse("fid"),
        untrained={},
        evaluations=evaluations,
        trials=args.out.resolve(),
        seed=seed,
        device=device,
        threads=args.threads,
        resource=resource,
        backbone=backbone,
        start=start,
        validation=validation_of(validation),
    )
    settings = {
        "data": spec,
        "data_digest": data.digest,
        "image_size": task.image_size,
        **data.report.reading.settings,
        "held_out": named,
        "held_out_digest": apart.digest if apart else None,
        "hold_back": share,
        "validation_digest": validation.digest if validation else None,
        "features": networks.extractor.name,
        "protocol": networks.protocol,
        "weights_sha256": networks.extractor.sha256,
        "backbone": task.backbone,
        "backbone_sha256": backbone.sha256 if backbone else None,
        "init_from": init,
        "init_sha256": start.sha256 if start else None,
        "seed": seed,
    }
    return workload, params, settings


def _backbone(args: argparse.Namespace, recipe: Recipe) -> str:
    """The configuration's backbone; of the preset ``default`` whichever is asked for."""
    if recipe.params is None and recipe.preset == "default":
        return args.backbone or BACKBONE
    wanted = str((recipe.params or {}).get("backbone", "none"))
    if args.backbone not in (None, wanted):
        raise InputError(
            f"--backbone is {args.backbone}, but the configuration's is {wanted}; leave the flag "
            "out, or give a configuration that says how it is used (backbone_role and so on)"
        )
    return wanted
