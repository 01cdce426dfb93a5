"""What a single run's flags ask for, checked before anything takes time."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from functools import partial

import torch
from rich.console import Console

from spaces.errors import InputError
from spaces.presets import BACKBONE, PRESETS
from spaces.task import Params
from trainable.basics.progress import stage
from trainable.basics.ranges import MOST_SEED, check_range
from trainable.basics.terminal import say
from trainable.data.labelling import AS_FOLDERS
from trainable.data.sources import EMBEDDED, located
from trainable.data.split.share import check_share
from trainable.single.flags import schedule
from trainable.single.recipe import Recipe
from trainable.tracking.registry import load_generator
from trainable.trial.evaluation import real_set
from trainable.trial.identity import RunIdentity
from trainable.trial.inputs import load_inputs
from trainable.trial.objective import Objective
from trainable.trial.workload import Workload

_TABLE = ("labels", "label_columns")
"""Settings of a study that belong to its folder of images."""


def _device(asked: str) -> str:
    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        raise InputError("--device is cuda, but PyTorch finds no GPU here; use --device cpu")
    return "cuda" if there and asked != "cpu" else "cpu"


def build_workload(
    args: argparse.Namespace, recipe: Recipe, console: Console
) -> tuple[Workload, Params, RunIdentity]:
    """The workload, the configuration, and which run it is, as resolved.

    Raises:
        InputError: something that the flags or the recipe ask for cannot be done.
    """
    resource, evaluations = schedule(args)
    device = _device(args.device)
    wanted = _wanted(args, recipe)
    inputs = load_inputs(
        wanted, args, partial(load_generator, uri=args.tracking_uri), console,
        shared=args.allow_shared_features,
    )  # fmt: skip
    for line in inputs.said:
        say(console, line)
    params = recipe.params
    if params is None:
        params = PRESETS[recipe.preset](inputs.task)
    inputs.check(params)
    with stage(console, "measuring the real images") as progress:  # from here on it takes time
        real = real_set(inputs.data, inputs.networks.extractor, progress=progress)
    workload = Workload.of(
        inputs,
        real,
        objective=Objective.parse("fid"),
        evaluations=evaluations,
        trials=args.out.resolve(),
        device=device,
        threads=args.threads,
        resource=resource,
    )
    return workload, params, inputs.identity


def _wanted(args: argparse.Namespace, recipe: Recipe) -> RunIdentity:
    """What the flags ask for, else the recipe's study, else the default.

    Raises:
        InputError: a value breaks its rule.
    """
    given = {f.name: getattr(args, f.name, None) for f in fields(RunIdentity)}
    other = args.data is not None and located("--data", args.data) != recipe.study.get("data")
    # A table is of a folder, so that other data has another, or none.
    of_folder = dict.fromkeys(AS_FOLDERS.settings if args.data in EMBEDDED else _TABLE)
    wanted = RunIdentity.of({
        "backbone": _backbone(args, recipe),
        **recipe.study,
        **(of_folder if other else {}),
        **{name: value for name, value in given.items() if value is not None},
        "levels": None,  # they follow from the images
    })  # fmt: skip
    check_range("--seed", wanted.seed, 0, MOST_SEED)
    check_share(wanted.hold_back)
    return replace(
        wanted,
        data=located("--data", wanted.data),
        labels=located("--labels", wanted.labels or "") or None,
        held_out=located("--held-out", wanted.held_out or "") or None,
        init_from=located("--init-from", wanted.init_from or "") or None,
    )


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
