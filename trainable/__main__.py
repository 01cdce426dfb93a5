"""``python -m trainable``: one run without Ray, to replay a winner, to train it on, or to try."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from spaces.errors import InputError
from spaces.presets import PRESETS
from trainable.basics.stopping import run_command, say_stopped
from trainable.basics.terminal import make_console, say_error
from trainable.single.run import run_single

INPUT_ERROR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 2 for a user's mistake, 1 for a broken run, 130
    after Ctrl-C, 143 after SIGTERM."""
    console = make_console()
    try:
        return run_single(_parser().parse_args(argv), console)
    except InputError as error:
        say_error(error)
        return INPUT_ERROR
    except KeyboardInterrupt as stop:
        return say_stopped(stop, "what it had at its last score is kept; the same command goes on")


def _parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m trainable",
        description="Train one conditional GAN. The same command again goes on from where it "
        "stopped; with more --epochs, a finished run trains on.",
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
    what.add_argument("--image-size", type=int, help="pixels (default: the trial's, else 64)")
    what.add_argument("--fit", choices=("crop", "pad"), help="(default: the trial's, else crop)")
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
        help="epochs, or seconds of training, at which it is scored, such as 100,360 "
        "(default: ten times)",
    )
    net = p.add_argument_group("pretrained networks")
    net.add_argument("--features", help="network of FID: auto, efficientnet-lite0 or inception")
    net.add_argument("--protocol", help="bilinear or clean")
    net.add_argument("--features-weights", type=Path, metavar="FILE")
    net.add_argument(
        "--backbone",
        metavar="NAME",
        help="(default: the configuration's; of the preset default, as in a search)",
    )
    net.add_argument("--backbone-weights", type=Path, metavar="FILE")
    net.add_argument("--unverified-weights", action="store_true")
    net.add_argument("--allow-shared-features", action="store_true")
    where = p.add_argument_group("where")
    where.add_argument(
        "--out", type=Path, default=Path("runs/single"), help="(default: runs/single)"
    )
    where.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    where.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    where.add_argument(
        "--tracking-uri",
        default="sqlite:///runs/mlflow.db",
        help="MLflow, for --trial and models:/",
    )
    return p


if __name__ == "__main__":
    sys.exit(run_command(main))
