"""The flags of `python -m search.run`."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from spaces.errors import InputError

STUDY_DEFAULTS: dict[str, Any] = {
    "space": "full",
    "data": "phantom",
    "image_size": 64,
    "fit": "crop",
    "trials": 64,
    "time_budget": None,
    "epochs": None,
    "eval_every": None,
    "grace": None,
    "eta": 3,
    "sampler": "tpe",
    "seed": 0,
    "objective": "fid",
    "features": "auto",
    "protocol": "bilinear",
    "top_k": 3,
    "winner_images": 1000,
}
"""What defines a study. The parser leaves each None unless given, so that --resume sees them."""

_HELP = {
    "space": "full, architecture, optimization (see python -m spaces), or package.module:function",
    "data": "phantom, pneumoniamnist, or a folder: ROOT/<class>/* or ROOT/train/<class>/*",
    "image_size": "side of the images in pixels: 32, 64, 128 or 256",
    "fit": "how images become square: crop the centre, or pad",
    "trials": "configurations to try",
    "time_budget": "stop trials after this long: 90s, 10m, 2h, 1h30m (default: no limit)",
    "epochs": "epochs of a complete trial (default: auto, some 120,000 images)",
    "eval_every": "epochs between evaluations (default: auto, about 15 a trial)",
    "grace": "epochs before ASHA may stop a trial (default: auto, two evaluations)",
    "eta": "at each rung ASHA lets the best 1/eta go on",
    "sampler": "tpe or random",
    "seed": "of everything random",
    "objective": "what to improve: fid, kid, is, or a weighted sum such as fid+0.5*kid",
    "features": "network that FID is computed on: auto, efficientnet-lite0 or inception",
    "protocol": "how images are resized for it: bilinear (as pytorch-fid) or clean (as clean-fid)",
    "top_k": "of the best, how many are scored again on fresh images and kept",
    "winner_images": "fresh images a class for that",
}
_WHOLE = ("image_size", "trials", "eta", "seed", "top_k", "winner_images")
_AUTO = ("epochs", "eval_every", "grace")


def parser() -> argparse.ArgumentParser:
    """The command line's parser."""
    p = argparse.ArgumentParser(
        prog="python -m search.run",
        description="Search the hyperparameters of a conditional GAN on a set of labelled images.",
    )
    group = p.add_argument_group("the study")
    for name, value in STUDY_DEFAULTS.items():
        said = "" if value is None else f" (default: {value})"
        kind = _int_or_auto if name in _AUTO else int if name in _WHOLE else str
        group.add_argument(f"--{name.replace('_', '-')}", type=kind, help=_HELP[name] + said)
    group.add_argument("--study", metavar="NAME", help="the study's name (default: a new one)")
    group.add_argument(
        "--resume",
        metavar="NAME",
        help="go on with a stopped study; may take --trials, --time-budget",
    )
    group.add_argument(
        "--features-weights", type=Path, metavar="FILE", help="weights file of the extractor"
    )
    group.add_argument(
        "--unverified-weights",
        action="store_true",
        help="take --features-weights with any checksum; every score then says so",
    )
    group.add_argument("--dry-run", action="store_true", help="print the resolved study and end")
    group = p.add_argument_group("where it runs, and where results go")
    group.add_argument(
        "--output", type=Path, default=Path("runs"), help="folder of all studies (default: runs)"
    )
    group.add_argument("--tracking-uri", help="MLflow (default: sqlite:///OUTPUT/mlflow.db)")
    group.add_argument("--cpus-per-trial", type=int, default=1, help="(default: 1)")
    group.add_argument(
        "--gpus-per-trial", type=_float_or_auto, help="may be a fraction (default: auto)"
    )
    group.add_argument(
        "--max-concurrent", type=int, help="trials at a time (default: all that fit)"
    )
    group.add_argument(
        "--address",
        default="auto",
        help="a Ray cluster's address, local, or auto: RAY_ADDRESS if set, else local",
    )
    return p


def _int_or_auto(text: str) -> int | None:
    return None if text == "auto" else int(text)


def _float_or_auto(text: str) -> float | None:
    return None if text == "auto" else float(text)


# argparse names the type in its message: "invalid integer or auto value: 'x'".
_int_or_auto.__name__ = "integer or auto"
_float_or_auto.__name__ = "number or auto"


def check_output(output: Path) -> None:
    """Raise InputError unless `output` is, or can become, a folder that can be written to."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        raise InputError(
            f"--output {output} cannot be written to ({error.strerror}); choose another folder"
        ) from error


def resume_command(name: str, output: Path, *more: str) -> str:
    """The command that goes on with study `name`."""
    parts = ["python -m search.run --resume", name]
    if output != Path("runs"):
        parts.append(f"--output {output}")
    return " ".join([*parts, *more])


def ui_command(uri: str) -> str:
    """The command that opens MLflow's pages on a tracking store."""
    if uri.startswith("http"):
        return f"open {uri}"
    return f"mlflow ui --backend-store-uri {uri.replace(f'{Path.cwd()}/', '')}"
