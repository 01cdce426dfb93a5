"""The flags of `python -m search.run`."""

from __future__ import annotations

import argparse
from pathlib import Path

from search.study.config import FLAGS, StudyConfig
from search.study.folder import StudyFolder
from trainable.basics.addresses import check_address, check_mlflow
from trainable.basics.terminal import command
from trainable.distributed.resources import add_resources

OUTPUT = Path("runs")
"""The folder of all studies, unless another is named."""
_RESOLVED = ("features", "protocol")
"""Settings that a study keeps otherwise than they are given."""
_SHRUNK = (
    "image_size", "trials", "time_budget", "resource", "epochs", "train_time", "eval_every",
    "grace", "max_trial_time", "init_from", "winner_images", "replicates",
)  # fmt: skip
"""What a smaller search has of its own."""
MODES = ("live", "plain", "none")
"""What ``--progress`` takes: a screen, a line an event, or nothing but troubles."""


def parser() -> argparse.ArgumentParser:
    """The command line's parser."""
    p = argparse.ArgumentParser(
        prog="python -m search.run",
        description="Search the hyperparameters of a conditional GAN on a set of labelled images.",
    )
    group = p.add_argument_group("the study")
    for flag in FLAGS.values():
        flag.add_to(group)
    group.add_argument("--study", metavar="NAME", help="the study's name (default: a new one)")
    group.add_argument(
        "--resume",
        metavar="NAME",
        help=(
            "resume a stopped study; accepts --trials, --time-budget, --enqueue, --top-k, "
            "--winner-images, --replicates, and --data and --labels if they have moved"
        ),
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
        help=(
            "accept --features-weights and --backbone-weights with any checksum; every score "
            "then says so"
        ),
    )
    group.add_argument(
        "--backbone-weights", type=Path, metavar="FILE", help="weights file of the backbone"
    )
    group.add_argument(
        "--allow-shared-features",
        action="store_true",
        help=(
            "allow a discriminator on the same network that FID is computed on, which flatters "
            "FID; every score then says so"
        ),
    )
    group.add_argument("--dry-run", action="store_true", help="print the resolved study and exit")
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
        help=(
            "a trial without a report for this long counts as hung: its worker is killed and the "
            "trial is retried once (default: 30m)"
        ),
    )
    group.add_argument(
        "--progress",
        choices=MODES,
        help=(
            "a live screen, a line per event, or problems only (default: live on a terminal, "
            "plain elsewhere)"
        ),
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


def check_stores(args: argparse.Namespace) -> None:
    """Raise InputError for a store's address that would be misread."""
    for flag, address in (("--tracking-uri", args.tracking_uri), ("--database", args.database)):
        if address:
            check_address(flag, address)
    if not args.tracking_uri:
        check_mlflow(f"--output {args.output}", args.output.resolve())


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
    for name, flag in FLAGS.items():
        value = getattr(args if name in _RESOLVED else config, name, None)
        if name in ("space", "data") or (name not in _SHRUNK and value and value != flag.default):
            words += [str(flag), str(value)]
    folder = StudyFolder.of(args, config.name)
    words += ["--allow-shared-features"] * args.allow_shared_features
    words += ["--image-size", "32", "--trials", "16", "--time-budget", "15m", *folder.flags]
    return " ".join([command(*words), *run_flags(args)])
