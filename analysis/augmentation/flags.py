"""The flags of `python -m analysis.augmentation`."""

from __future__ import annotations

import argparse
from pathlib import Path

from analysis.augmentation.design.arms import ARMS, EARLY, ORACLE, USUAL, parse_arms
from analysis.augmentation.design.cells import parse_ratios, parse_sizes
from spaces.errors import InputError
from trainable.basics.files import check_file, check_folder_name
from trainable.basics.parser import Parser, program
from trainable.data.labelling import Labelling, add_labelling
from trainable.data.sources import check_sources
from trainable.distributed.resources import add_resources, check_resources
from trainable.tracking.client import TRACKING, check_generator, check_tracking


def parser() -> Parser:
    """All of them."""
    p = Parser(
        prog=program("analysis.augmentation"),
        description="Train classifiers on real images, and on real and synthetic ones, and compare "
        "them on real test images that neither they nor the generator saw.",
    )
    what = p.add_argument_group("what to study")
    which = what.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--model", help="the generator: models:/NAME@champion, or a generator.safetensors"
    )
    which.add_argument("--study", metavar="NAME", help="the first winner of this search")
    what.add_argument(
        "--data", required=True, help="real images to train and validate on, as for cgan-search run"
    )
    add_labelling(
        what, classes="the generator's classes, in its order (default: as in its training)"
    )
    what.add_argument(
        "--test", metavar="DATA", help="real images to test on (default: the test split of --data)"
    )
    what.add_argument(
        "--sizes", metavar="LIST",
        help="numbers of real training images, all classes together (default: those of "
        "25,50,100,all that --data has enough images for)",
    )  # fmt: skip
    what.add_argument(
        "--ratios", default="1,4", metavar="LIST",
        help="synthetic images for each real one, or those that take their place (default: 1,4)",
    )  # fmt: skip
    what.add_argument(
        "--arms", default=",".join(USUAL), metavar="LIST",
        help="what classifiers learn from, names separated by commas, spaces as you like (default: "
        f"{', '.join(USUAL)}; there are also "
        f"{', '.join(name for name in ARMS if name not in USUAL)})",
    )  # fmt: skip
    what.add_argument(
        "--repeats", type=int, default=10, metavar="N",
        help="subsets of the real images, latents and seeds (default: 10); fewer where the answer "
        "is plain before",
    )  # fmt: skip
    what.add_argument(
        "--detect", type=float, default=0.03, metavar="SHARE",
        help="the difference in accuracy that matters: gains that must be smaller are not pursued "
        "(default: 0.03)",
    )  # fmt: skip
    what.add_argument(
        "--all-repeats", action="store_true", help="run them even where the answer is plain"
    )
    what.add_argument(
        "--retrain", action="store_true",
        help="for sizes below the generator's own, train generators on just those images",
    )  # fmt: skip
    what.add_argument(
        "--retrain-kimg", type=float, metavar="N",
        help="with --retrain: show each N thousand images (default: as many as the "
        "generator's own training did)",
    )  # fmt: skip
    what.add_argument("--positive", metavar="CLASS", help="of two classes, the positive one")
    what.add_argument("--seed", type=int, default=0, help="(default: 0)")
    how = p.add_argument_group("the classifier, the same in every cell")
    how.add_argument(
        "--classifier", default="small_cnn",
        help="small_cnn, resnet18, densenet121, vgg11 or efficientnet-lite0 (default: small_cnn)",
    )  # fmt: skip
    how.add_argument("--pretrained", action="store_true", help="start from ImageNet weights")
    how.add_argument("--classifier-weights", type=Path, metavar="FILE", help="those weights")
    how.add_argument(
        "--unverified-weights", action="store_true", help="accept them with any checksum"
    )
    how.add_argument("--steps", type=int, default=400, help="optimiser steps (default: 400)")
    how.add_argument("--batch", type=int, default=32, help="images in each (default: 32)")
    how.add_argument("--lr", type=float, help="largest learning rate (default: the classifier's)")
    how.add_argument(
        "--reach", type=float, default=0.8, metavar="SHARE",
        help="validation accuracy to which steps are counted (default: 0.8)",
    )  # fmt: skip
    where = p.add_argument_group("where it runs, and where results go")
    where.add_argument("--name", help="of the study (default: the model's or the search's)")
    where.add_argument(
        "--output", type=Path, default=Path("runs"),
        help="results go to OUTPUT/augmentation/NAME (default: runs)",
    )  # fmt: skip
    where.add_argument(
        "--tracking-uri", default=TRACKING,
        help=f"MLflow, for the generator and the results (default: {TRACKING})",
    )  # fmt: skip
    where.add_argument("--dry-run", action="store_true", help="print what would be done and exit")
    add_resources(where, "cell")
    return p


def check_flags(args: argparse.Namespace) -> None:
    """Parse ``--sizes`` and ``--ratios``, and check all that takes no import of PyTorch.

    Raises:
        InputError: something that the flags ask for cannot be done.
    """
    if args.repeats < 1 or args.seed < 0 or not 0 < args.reach <= 1:
        raise InputError(
            f"--repeats is {args.repeats}, --seed {args.seed} and --reach {args.reach:g}, but must "
            "be at least 1, at least 0, and a share above 0"
        )
    if not 0 < args.detect < 1:
        raise InputError(f"--detect is {args.detect:g}, but must be a share between 0 and 1")
    args.sizes = None if args.sizes is None else parse_sizes(args.sizes)
    args.ratios = parse_ratios(args.ratios)
    args.arms = parse_arms(args.arms)
    own = [arm for arm in (EARLY, ORACLE) if arm in args.arms]
    if own and not args.retrain:
        raise InputError(
            f"--arms has {own[0]!r}, which is held against generators of the sizes' own; give "
            "--retrain, which trains these, or leave it out"
        )
    if not args.ratios and all(ARMS[arm].added for arm in args.arms):
        raise InputError(
            "--ratios has no number above 0, and --arms none that adds nothing, so that there is "
            "nothing to train; give --ratios 1, or --arms real"
        )
    if args.retrain_kimg is not None and not args.retrain:
        raise InputError("--retrain-kimg says how --retrain trains; give both, or neither")
    if args.name is not None:
        check_folder_name(args.name, "--name")
    check_resources(args)
    check_sources(args.data, args.test, Labelling.of(vars(args)))
    check_file("--classifier-weights", args.classifier_weights)
    if args.model is None:
        check_tracking(args.tracking_uri)
    else:
        check_generator("--model", args.model, args.tracking_uri)
