"""The flags of `python -m search.run`, in the groups that its help shows."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search.study.config import FLAGS, StudyConfig
from search.study.folder import StudyFolder
from trainable.basics.addresses import check_address, check_mlflow
from trainable.basics.parser import Parser, program
from trainable.basics.terminal import NAME, command
from trainable.distributed.resources import add_resources

OUTPUT = Path("runs")
"""The folder of all studies, unless another is named."""
FREE = ("trials", "time_budget", "top_k", "winner_images", "replicates")
"""What a resumed study may be given anew, as no trial hangs on it."""
MOVED = ("data", "labels", "held_out", "init_from")
"""What it may be given if that has moved: digests say whether it is the same."""
KEPT = (*(name for name in FLAGS if name not in (*FREE, *MOVED)), "study", "warm_start")
"""What a resumed study keeps."""
_RESOLVED = ("features", "protocol")
"""Settings that a study keeps otherwise than they are given."""
_SHRUNK = (
    "image_size", "trials", "time_budget", "resource", "epochs", "train_time", "eval_every",
    "grace", "max_trial_time", "init_from", "winner_images", "replicates",
)  # fmt: skip
"""What a smaller search has of its own."""
MODES = ("live", "plain", "none")
"""What ``--progress`` takes: a screen, a line an event, or nothing but troubles."""
GROUPS: Mapping[str, tuple[str, ...]] = {
    "what most searches need": (
        "data", "image_size", "trials", "time_budget", "space", "objective", "seed", "study",
        "resume", "dry_run",
    ),
    "a search from a file": ("config", "write_config"),
    "which images, and how they are read": (
        "labels", "label_columns", "classes", "fit", "background", "held_out", "hold_back",
    ),
    "how long trials train": (
        "epochs", "resource", "train_time", "eval_every", "grace", "eta", "max_trial_time",
    ),
    "how configurations are chosen": ("sampler", "prior", "enqueue", "warm_start"),
    "pretrained networks": (
        "features", "features_weights", "protocol", "backbone", "backbone_weights",
        "allow_shared_features", "unverified_weights", "init_from",
    ),
    "winners": ("top_k", "winner_images", "replicates"),
    "what you see": ("progress",),
}  # fmt: skip
"""Titles, and the flags under each; where it runs and where results go come after."""
_OTHERS: Mapping[str, Mapping[str, Any]] = {
    "study": {"metavar": "NAME", "help": "the study's name (default: a new one)"},
    "resume": {
        "metavar": "NAME",
        "help": "resume a stopped study; accepts --trials, --time-budget, --enqueue, --top-k, "
        "--winner-images, --replicates, and --data and --labels if they have moved",
    },
    "dry_run": {"action": "store_true", "help": "print the resolved study and exit"},
    "config": {
        "type": Path, "metavar": "FILE",
        "help": "TOML or JSON with flags by name, such as image-size = 32, or a study's study.json "
        "to repeat it; flags given here win",
    },
    "write_config": {
        "type": Path, "metavar": "FILE",
        "help": "with --dry-run: write the resolved study as TOML or JSON for --config",
    },
    "enqueue": {
        "type": Path, "metavar": "FILE",
        "help": "JSON: configurations to try first, such as another study's best.json",
    },
    "warm_start": {
        "metavar": "STUDY",
        "help": "let the sampler learn from an earlier study of the same space and images",
    },
    "features_weights": {
        "type": Path, "metavar": "FILE", "help": "weights file of the extractor",
    },
    "backbone_weights": {"type": Path, "metavar": "FILE", "help": "weights file of the backbone"},
    "unverified_weights": {
        "action": "store_true",
        "help": "accept --features-weights and --backbone-weights with any checksum; every score "
        "then says so",
    },
    "allow_shared_features": {
        "action": "store_true",
        "help": "allow a discriminator on the same network that FID is computed on, which flatters "
        "FID; every score then says so",
    },
    "progress": {
        "choices": MODES,
        "help": "a live screen, a line per event, or problems only (default: live on a terminal, "
        "plain elsewhere)",
    },
}  # fmt: skip


def parser(module: str = "search.run", about: str = "") -> Parser:
    """The parser of a search's flags; `about` says what else the command of `module` does."""
    p = Parser(
        prog=program(module),
        usage="%(prog)s [flags]",
        description=about
        or "Search the hyperparameters of a conditional GAN on a set of labelled images.",
    )
    _add_groups(p)
    return p


def resume_parser() -> Parser:
    """The parser of ``cgan-search resume NAME``: `parser`, whose help shows what may be given.

    The rest is taken all the same, for `search.study.asked.check_resumed` to refuse by name.
    """
    p = Parser(
        prog=program("search.run --resume"),
        usage="%(prog)s NAME [flags]",
        description="Resume a stopped study: the same trials, from their checkpoints.",
    )
    p.add_argument("resume", metavar="NAME", help="the study's name, or the path of its folder")
    _add_groups(p, ("resume",))
    for action in p._actions:
        if action.dest in (*KEPT, "config", "write_config", "allow_shared_features"):
            action.help = argparse.SUPPRESS
        elif action.dest in (*FREE, *MOVED) and action.dest != "time_budget":
            action.help = f"{str(action.help).partition(' (default')[0]} (default: the study's)"
    return p


def _add_groups(p: Parser, without: tuple[str, ...] = ()) -> None:
    for title, names in GROUPS.items():
        group = p.add_argument_group(title)
        for name in [name for name in names if name not in without]:
            if name in FLAGS:
                FLAGS[name].add_to(group)
            else:
                group.add_argument(f"--{name.replace('_', '-')}", **_OTHERS[name])
    group = p.add_argument_group("where it runs")
    add_resources(group)
    group.add_argument(
        "--report-timeout", default="30m", metavar="TIME",
        help="a trial without a report for this long counts as hung: its worker is killed and the "
        "trial is retried once (default: 30m)",
    )  # fmt: skip
    group = p.add_argument_group("where results go")
    group.add_argument(
        "--output", type=Path, default=OUTPUT, help="folder of all studies (default: runs)"
    )
    group.add_argument(
        "--storage", metavar="PLACE",
        help="where trials keep checkpoints and pictures: a folder that all nodes mount, or an "
        "object store such as s3://bucket/path (default: OUTPUT/STUDY/trials)",
    )  # fmt: skip
    add_stores(group)
    p.set_defaults(repeats=None)  # see `search.study.settings_file.read_flags`


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


def resume_flags(config: StudyConfig, run_flags: Sequence[str]) -> list[str]:
    """`run_flags`, and the time budget: a resumed search has the one that it is given, or none."""
    flag = FLAGS["time_budget"]
    asked = config.time_budget
    return [*run_flags, *([] if asked is None else [command(str(flag), str(flag.word(asked)))])]


def smaller_command(config: StudyConfig, args: argparse.Namespace) -> str:
    """A search of the same kind as the study, in a quarter of an hour."""
    words: list[str | Path] = [NAME, "run"]
    for name, flag in FLAGS.items():
        value = getattr(args if name in _RESOLVED else config, name, None)
        if name in ("space", "data") or (name not in _SHRUNK and value and value != flag.default):
            # A class may begin with a sign, and would be taken for a flag.
            words += [f"{flag}={value}"] if str(value)[0] == "-" else [str(flag), str(value)]
    folder = StudyFolder.of(args, config.name)
    words += ["--allow-shared-features"] * args.allow_shared_features
    words += ["--image-size", "32", "--trials", "16", "--time-budget", "15m", *folder.flags]
    return " ".join([command(*words), *run_flags(args)])
