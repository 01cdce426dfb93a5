"""What the flags of a search ask for, checked before anything that takes seconds to import.

Ray, PyTorch, MLflow and Optuna are not needed to tell a mistyped path or a number out of range.
"""

from __future__ import annotations

import argparse
from typing import Any

from search.study.config import FLAGS, check_schedule, check_settings
from search.study.flags import KEPT, MOVED, check_stores
from search.study.folder import StudyFolder, check_output, default_tracking
from search.study.locate import resume_placed
from search.study.names import check_name
from search.study.settings_file import check_write
from spaces.catalog import get_space
from spaces.errors import InputError
from trainable.basics.files import check_file
from trainable.data.dataset import check_image_size
from trainable.data.labelling import Labelling
from trainable.data.sources import check_sources, located
from trainable.distributed.resources import check_resources
from trainable.tracking.client import check_generator

SCHEDULE = ("eval_every", "grace")
"""When a trial of open length is scored and compared, unless it is given."""


def check_flags(args: argparse.Namespace) -> None:
    """Check all that the flags of a search ask for, as far as that is quick, and its output folder,
    which is made.

    Raises:
        InputError: something that they ask for cannot be done.
    """
    resume_placed(args)
    check_write(args)
    check_stores(args)
    check_resources(args)
    check_file("--enqueue", args.enqueue)
    check_file("--features-weights", args.features_weights)
    check_file("--backbone-weights", args.backbone_weights)
    if args.resume is None:
        settings = new_settings(args)
        check_sources(settings["data"], settings["held_out"], Labelling.of(settings))
        check_image_size(settings["image_size"])
        if settings["init_from"] is not None:
            tracking = args.tracking_uri or default_tracking(args.output)
            check_generator("--init-from", settings["init_from"], tracking)
    else:
        check_resumed(args)
        StudyFolder.of(args, args.resume).check_there()
    check_output(args.output)


def new_settings(args: argparse.Namespace) -> dict[str, Any]:
    """What a new study is asked for, by the names of `FLAGS`; durations in seconds, paths whole.

    Raises:
        InputError: a value breaks its rule, or there is such a space or study already.
    """
    asked = {name: flag.value(getattr(args, name)) for name, flag in FLAGS.items()}
    for name in MOVED:
        if asked[name] is not None:
            asked[name] = located(str(FLAGS[name]), asked[name])
    check_settings(asked)
    check_schedule(asked)
    get_space(asked["space"])
    if args.warm_start and asked["sampler"] == "random":
        raise InputError(
            f"--warm-start {args.warm_start}: --sampler random learns from no trial; take another "
            "sampler, or leave --warm-start out"
        )
    if args.study is not None:
        check_name(args.study)
        if StudyFolder(args.output / args.study).taken:
            raise InputError(
                f"--study {args.study}: there is such a study under {args.output} already; go on "
                f"with --resume {args.study}, or choose another name"
            )
    return asked


def check_resumed(args: argparse.Namespace) -> None:
    """Raise InputError for a setting that a resumed study keeps."""
    given = [f"--{k.replace('_', '-')}" for k in KEPT if getattr(args, k) is not None]
    if given:
        raise InputError(
            f"--resume keeps the study's own settings, so {', '.join(given)} cannot be given; "
            "--trials, --time-budget, --enqueue, --top-k, --winner-images and --replicates can, "
            "and --data, --labels, --held-out and --init-from where files have moved"
        )


def left_open(args: argparse.Namespace) -> frozenset[str]:
    """The settings that the plan decides on, as the flags leave them open.

    `SCHEDULE` goes with the length: where that is given, it hangs on it alone.
    """
    found = set()
    if args.winner_images is None:
        found.add("winner_images")
    if args.resume is None and args.replicates is None:
        found.add("replicates")
    if args.resume is None and args.epochs is None and args.train_time is None:
        found |= {"length", *(name for name in SCHEDULE if getattr(args, name) is None)}
    return frozenset(found)
