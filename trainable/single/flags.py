"""The flags of `python -m trainable`, and what can be told of them before PyTorch is imported."""

from __future__ import annotations

import argparse
from pathlib import Path

from spaces.errors import InputError
from spaces.presets import PRESETS
from trainable.basics.files import check_file
from trainable.basics.parser import Parser, program
from trainable.basics.ranges import MOST_SEED, check_range
from trainable.basics.wording import parse_duration
from trainable.data.dataset import check_image_size
from trainable.data.labelling import Labelling, add_labelling
from trainable.data.reading import FITS
from trainable.data.sources import check_sources
from trainable.data.split.share import check_share
from trainable.tracking.client import TRACKING, check_generator, check_tracking
from trainable.trial.report import LONGEST

_EVALUATIONS = 10
_TRAIN_TIME = "10m"
_MOST_THREADS = 1024
_DIGITS = 20  # Python refuses to read numbers of thousands


def parser() -> Parser:
    """All of them."""
    p = Parser(
        prog=program("trainable"),
        description=(
            "Train one conditional GAN. Running the same command again resumes it; with more "
            "--epochs, a finished run trains further."
        ),
    )
    what = p.add_argument_group("what is trained")
    source = what.add_mutually_exclusive_group()
    source.add_argument(
        "--config",
        default="default",
        metavar="FILE",
        help=f"a preset ({', '.join(PRESETS)}), or JSON: parameters, or a winner's config.json "
        "(default: default)",
    )
    source.add_argument(
        "--trial", metavar="RUN", help="a trial of a search: the id of its MLflow run"
    )
    what.add_argument(
        "--data", help="phantom, pneumoniamnist, or a folder (default: the trial's, else phantom)"
    )
    add_labelling(what)
    what.add_argument("--image-size", type=int, help="pixels (default: the trial's, else 64)")
    what.add_argument("--fit", choices=FITS, help="(default: the trial's, else crop)")
    what.add_argument(
        "--background",
        help="under transparency: black, white or #rrggbb (default: the trial's, else black)",
    )
    what.add_argument("--held-out", metavar="DATA", help="real images for the independent score")
    what.add_argument(
        "--hold-back", type=float, metavar="SHARE",
        help="share of each class that is not trained on, whole patients together, for the "
        "classification accuracy score (default: the trial's, else 0)",
    )  # fmt: skip
    what.add_argument("--seed", type=int, help="(default: the trial's, else 0)")
    what.add_argument(
        "--init-from", metavar="MODEL", help="models:/NAME@champion, or generator.safetensors"
    )
    length = p.add_argument_group("for how long")
    amount = length.add_mutually_exclusive_group()
    amount.add_argument("--epochs", type=int, metavar="N", help="passes over the images")
    amount.add_argument("--train-time", metavar="TIME", help="such as 15m (default: 10m)")
    length.add_argument(
        "--evaluate-at",
        metavar="LIST",
        help=(
            "epochs, or seconds of training, at which to score, such as 100,360 (default: ten "
            "times)"
        ),
    )
    net = p.add_argument_group("pretrained networks")
    net.add_argument("--features", help="network of FID: auto, efficientnet-lite0 or inception")
    net.add_argument("--protocol", help="bilinear or clean")
    net.add_argument(
        "--features-weights", type=Path, metavar="FILE", help="weights file of that network"
    )
    net.add_argument(
        "--backbone",
        metavar="NAME",
        help="(default: the configuration's; of the preset default, as in a search)",
    )
    net.add_argument(
        "--backbone-weights", type=Path, metavar="FILE", help="weights file of the backbone"
    )
    net.add_argument(
        "--unverified-weights", action="store_true", help="accept weights with any checksum"
    )
    net.add_argument(
        "--allow-shared-features",
        action="store_true",
        help="allow a backbone that FID is computed on too, which flatters FID",
    )
    where = p.add_argument_group("where")
    where.add_argument(
        "--out", type=Path, default=Path("runs/single"), help="(default: runs/single)"
    )
    where.add_argument(
        "--device",
        default="auto",
        choices=("auto", "cpu", "cuda"),
        help="what to train on (default: auto, a GPU if there is one)",
    )
    where.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    where.add_argument(
        "--tracking-uri",
        default=TRACKING,
        help="MLflow, for --trial and models:/",
    )
    return p


def check_flags(args: argparse.Namespace) -> None:
    """Raise InputError for what cannot be, whatever a trial or a configuration says.

    What is in files and folders is not looked at.
    """
    schedule(args)
    if args.seed is not None:
        check_range("--seed", args.seed, 0, MOST_SEED)
    check_range("--threads", args.threads, 1, _MOST_THREADS)
    if args.hold_back is not None:
        check_share(args.hold_back)
    if args.image_size is not None:
        check_image_size(args.image_size)
    check_sources(args.data, args.held_out, Labelling.of(vars(args)))
    if args.init_from is not None:
        check_generator("--init-from", args.init_from, args.tracking_uri)
    check_file("--features-weights", args.features_weights)
    check_file("--backbone-weights", args.backbone_weights)
    if args.trial is not None:
        check_tracking(args.tracking_uri)
    if args.out.exists() and not args.out.is_dir():
        raise InputError(f"--out {args.out} cannot be written to: File exists")


def schedule(args: argparse.Namespace) -> tuple[str, tuple[int, ...]]:
    """What the run is given, and how much of it lies before each evaluation."""
    if args.epochs is not None:
        resource, length, flag = "epoch", args.epochs, "--epochs"
    else:
        resource, flag = "seconds", "--train-time"
        given = _TRAIN_TIME if args.train_time is None else args.train_time
        length = round(parse_duration(given, flag))
    check_range(flag, length, 1, LONGEST)
    if args.evaluate_at is None:
        step = max(1, length // _EVALUATIONS)
        return resource, (*range(step, length - step + 1, step), length)
    parts = args.evaluate_at.split(",")
    if not all(part.strip().isdecimal() and len(part) <= _DIGITS for part in parts):
        raise InputError(
            f"--evaluate-at is {args.evaluate_at!r}, but must be whole numbers, such as 100,360"
        )
    chosen = {int(part) for part in parts}
    if not all(1 <= part <= length for part in chosen):
        raise InputError(
            f"--evaluate-at is {args.evaluate_at}, but must lie between 1 and {flag}, {length}"
        )
    return resource, tuple(sorted(chosen | {length}))
