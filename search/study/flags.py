"""The flags of `python -m search.run`."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spaces.errors import InputError
from spaces.presets import BACKBONE
from trainable.basics.addresses import (
    check_address,
    check_mlflow,
    pasted,
    sqlite_address,
)
from trainable.basics.files import check_text
from trainable.basics.terminal import command
from trainable.distributed.resources import add_resources

if TYPE_CHECKING:  # torch: seconds, not for --help
    from search.study.config import StudyConfig

OUTPUT = Path("runs")
"""The folder of all studies, unless another is named."""
STUDY_DEFAULTS: dict[str, Any] = {
    "space": "full",
    "data": "phantom",
    "image_size": 64,
    "fit": "crop",
    "background": "black",
    "held_out": None,
    "hold_back": None,
    "trials": 64,
    "time_budget": None,
    "resource": "epoch",
    "epochs": None,
    "train_time": None,
    "eval_every": None,
    "grace": None,
    "eta": 3,
    "max_trial_time": None,
    "sampler": "tpe",
    "seed": 0,
    "objective": "fid",
    "features": "auto",
    "protocol": "bilinear",
    "backbone": BACKBONE,
    "init_from": None,
    "top_k": 3,
    "winner_images": 1000,
}
"""What defines a study. The parser leaves each None unless given, so that --resume sees them."""

_RESOLVED = ("features", "protocol")
"""Settings that a study keeps otherwise than they are given."""
_SHRUNK = (
    "image_size", "trials", "time_budget", "resource", "epochs", "train_time", "eval_every",
    "grace", "max_trial_time", "init_from", "winner_images",
)  # fmt: skip
"""What a smaller search has of its own."""
_HELP = {
    "space": "full, architecture, optimization (see python -m spaces), or package.module:function",
    "data": "phantom, pneumoniamnist, or a folder: ROOT/<class>/* or ROOT/train/<class>/*",
    "image_size": "side of the images in pixels: 32, 64, 128 or 256",
    "fit": "how images become square: crop the centre, or pad",
    "background": "what transparent pixels are laid on: black, white or #rrggbb",
    "held_out": "real images of the same classes that no generator sees, for the independent "
    "score: a folder, of which the test split counts (default: what is held back, else the test "
    "split of --data)",
    "hold_back": "share of each class that no generator sees, whole patients together, on which "
    "the objective classifier is computed (default: 0.25 for that objective, else 0)",
    "trials": "configurations to try",
    "time_budget": "end the search, winners scored, within: 90s, 10m, 1h30m (default: no limit)",
    "resource": "what ASHA holds equal when it compares trials: epoch, or seconds of training",
    "epochs": "epochs of a complete trial (default: auto, some 180,000 images)",
    "train_time": "with --resource seconds, in place of --epochs: a complete trial's, such as 2m",
    "eval_every": "epochs, or seconds, between evaluations (default: auto, 18 a trial)",
    "grace": "epochs, or seconds, before ASHA may stop a trial (default: auto, two evaluations)",
    "eta": "at each rung ASHA lets the best 1/eta go on",
    "max_trial_time": "prune a trial that takes longer, evaluations included (default: no limit)",
    "sampler": "Optuna's tpe, random, gp or nsgaii; the last two learn from complete trials alone",
    "seed": "of everything random",
    "objective": "what to improve: fid, kid, is, classifier (how well classifiers of generated "
    "images judge real ones), a weighted sum such as fid+0.5*kid, or two such as fid,classifier",
    "features": "network that FID is computed on: auto, efficientnet-lite0 or inception",
    "protocol": "how images are resized for it: bilinear (as pytorch-fid) or clean (as clean-fid)",
    "backbone": "pretrained network that a second discriminator stands on: none, googlenet, "
    "inception_v3, densenet121, vgg16, efficientnet-lite0 to -lite2, xrv-densenet121",
    "init_from": "weights that generators begin with: models:/NAME@champion of the tracking store, "
    "or a winner's generator.safetensors",
    "top_k": "of the best, how many are scored again on fresh images and kept",
    "winner_images": "fresh images a class for that",
}
MODES = ("live", "plain", "none")
"""What ``--progress`` takes: a screen, a line an event, or nothing but troubles."""


def parser() -> argparse.ArgumentParser:
    """The command line's parser."""
    p = argparse.ArgumentParser(
        prog="python -m search.run",
        description="Search the hyperparameters of a conditional GAN on a set of labelled images.",
    )
    group = p.add_argument_group("the study")
    for name, value in STUDY_DEFAULTS.items():
        said = "" if value is None else f" (default: {value})"
        kind = _KINDS.get(name, str)
        group.add_argument(f"--{name.replace('_', '-')}", type=kind, help=_HELP[name] + said)
    group.add_argument("--study", metavar="NAME", help="the study's name (default: a new one)")
    group.add_argument(
        "--resume",
        metavar="NAME",
        help="go on with a stopped study; may take --trials, "
        "--time-budget, --enqueue, --top-k, --winner-images, and --data if that has moved",
    )
    group.add_argument(
        "--enqueue",
        type=Path,
        metavar="FILE",
        help="JSON: configurations to try first, such as another study's best.json",
    )
    group.add_argument(
        "--warm-start",
        metavar="STUDY",
        help="let the sampler learn from an earlier study of the same space and images",
    )
    group.add_argument(
        "--features-weights", type=Path, metavar="FILE", help="weights file of the extractor"
    )
    group.add_argument(
        "--unverified-weights",
        action="store_true",
        help="take --features-weights and --backbone-weights with any checksum; every score then "
        "says so",
    )
    group.add_argument(
        "--backbone-weights", type=Path, metavar="FILE", help="weights file of the backbone"
    )
    group.add_argument(
        "--allow-shared-features",
        action="store_true",
        help="let a discriminator stand on the very network that FID is computed on, which "
        "flatters FID; every score then says so",
    )
    group.add_argument("--dry-run", action="store_true", help="print the resolved study and end")
    group = p.add_argument_group("where it runs, and where results go")
    group.add_argument(
        "--output", type=Path, default=OUTPUT, help="folder of all studies (default: runs)"
    )
    group.add_argument(
        "--storage",
        metavar="PLACE",
        help="where trials keep checkpoints and pictures: a folder that all nodes mount, or an "
        "object store such as s3://bucket/path (default: OUTPUT/STUDY/trials)",
    )
    add_stores(group)
    add_resources(group)
    group.add_argument(
        "--report-timeout",
        default="30m",
        metavar="TIME",
        help="a trial without a report for this long hangs: its worker is killed, and it is tried "
        "once more (default: 30m)",
    )
    group.add_argument(
        "--progress",
        choices=MODES,
        help="a live screen, a line an event, or nothing but troubles (default: live on a "
        "terminal, plain elsewhere)",
    )
    return p


def add_stores(group: argparse._ActionsContainer) -> None:
    """The flags that say where results are kept besides the output folder."""
    group.add_argument("--tracking-uri", help="MLflow (default: sqlite:///OUTPUT/mlflow.db)")
    group.add_argument(
        "--database",
        metavar="URL",
        help="Optuna storage of the study (default: sqlite:///OUTPUT/STUDY/study.db)",
    )


def default_tracking(output: Path) -> str:
    """The tracking store beside the studies."""
    return sqlite_address((output / "mlflow.db").resolve())


def _int_or_auto(text: str) -> int | None:
    return None if text == "auto" else int(text)


# argparse names the type in its message: "invalid integer or auto value: 'x'".
_int_or_auto.__name__ = "integer or auto"
_KINDS: dict[str, Any] = {
    **dict.fromkeys(("image_size", "trials", "eta", "seed", "top_k", "winner_images"), int),
    **dict.fromkeys(("epochs", "eval_every", "grace"), _int_or_auto),
    "hold_back": float,
}


def check_stores(args: argparse.Namespace) -> None:
    """Raise InputError for a store's address that would be misread."""
    for flag, address in (("--tracking-uri", args.tracking_uri), ("--database", args.database)):
        if address:
            check_address(flag, address)
    if not args.tracking_uri:
        check_mlflow(f"--output {args.output}", args.output.resolve())


def check_output(output: Path) -> None:
    """Raise InputError unless `output` is, or can become, a folder that can be written to."""
    check_folder(output, "--output")


def check_folder(folder: Path, flag: str) -> None:
    """Make the `folder` that `flag` names, and write to it; InputError if that cannot be."""
    check_text(flag, folder.resolve())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"{flag} {folder} cannot be written to ({error.strerror}); choose another folder"
        ) from error


def run_flags(args: argparse.Namespace) -> list[str]:
    """What a search was told of where and by what its trials run, to be told again.

    These are the flags that `--resume` takes and that the study's settings do not keep.
    """
    resources = argparse.ArgumentParser()
    add_resources(resources)
    names = [*vars(resources.parse_args([])), "report_timeout"]
    names += ["features_weights", "backbone_weights"]
    usual = vars(parser().parse_args([]))
    flags = [
        command(f"--{name.replace('_', '-')}", value if isinstance(value, Path) else str(value))
        for name in names
        if (value := getattr(args, name)) != usual[name]
    ]
    return flags + ["--unverified-weights"] * args.unverified_weights


def smaller_command(config: StudyConfig, args: argparse.Namespace) -> str:
    """A search of the same kind as the study, in a quarter of an hour."""
    words: list[str | Path] = ["python", "-m", "search.run"]
    for name, usual in STUDY_DEFAULTS.items():
        value = getattr(args if name in _RESOLVED else config, name, None)
        if name in ("space", "data") or (name not in _SHRUNK and value and value != usual):
            words += [f"--{name.replace('_', '-')}", str(value)]
    words += ["--allow-shared-features"] * args.allow_shared_features
    words += ["--image-size", "32", "--trials", "16", "--time-budget", "15m", *_stores(args)]
    return " ".join([command(*words), *run_flags(args)])


def study_command(
    module: str, name: str, args: argparse.Namespace, more: Sequence[str] = ()
) -> str:
    """Such as ``python -m search.run --resume NAME``, with the flags that find the study again from
    any folder.

    A command that trains takes `more`: the search's `run_flags`.
    """
    return " ".join([command("python", "-m", *module.split(), name, *_stores(args)), *more])


def _stores(args: argparse.Namespace) -> list[str | Path]:
    """The flags that say where studies are kept."""
    words: list[str | Path] = ["--output", args.output]
    if args.tracking_uri:
        words += ["--tracking-uri", pasted(args.tracking_uri, "URI")]
    if args.database:
        words += ["--database", pasted(args.database, "URL")]
    return words


def report_command(name: str, output: Path, uri: str) -> str:
    """The command that makes a page of a study in the folder `output`, in the store `uri`."""
    return command(
        "python", "-m", "analysis.report", "--study", name,
        "--tracking-uri", pasted(uri, "URI"), "--out", output / name / "figures",
    )  # fmt: skip
