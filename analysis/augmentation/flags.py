"""The flags of `python -m analysis.augmentation`."""

from __future__ import annotations

import argparse
from pathlib import Path

from trainable.distributed.resources import add_resources


def parser() -> argparse.ArgumentParser:
    """All of them."""
    p = argparse.ArgumentParser(
        prog="python -m analysis.augmentation",
        description="Train classifiers on real images, and on real and synthetic ones, and compare "
        "them on real test images that neither they nor the generator saw.",
    )
    what = p.add_argument_group("what is studied")
    which = what.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--model", help="the generator: models:/NAME@champion, or a generator.safetensors"
    )
    which.add_argument("--study", metavar="NAME", help="the first winner of this search")
    what.add_argument(
        "--data", required=True, help="real images to train and validate on, as for search.run"
    )
    what.add_argument(
        "--test", metavar="DATA", help="real images to test on (default: the test split of --data)"
    )
    what.add_argument(
        "--sizes", default="25,50,100,all",
        help="numbers of real training images, all classes together (default: 25,50,100,all)",
    )  # fmt: skip
    what.add_argument(
        "--ratios", default="0,0.5,1,2,4",
        help="synthetic images for each real one (default: 0,0.5,1,2,4)",
    )  # fmt: skip
    what.add_argument(
        "--repeats", type=int, default=5, metavar="N",
        help="subsets of the real images, latents and seeds (default: 5)",
    )  # fmt: skip
    what.add_argument(
        "--retrain", action="store_true",
        help="for sizes below the generator's own, train generators on just those images",
    )  # fmt: skip
    what.add_argument(
        "--retrain-kimg", type=float, metavar="N",
        help="with --retrain: show each N thousand images (default: as many as the generator's own "
        "training did)",
    )  # fmt: skip
    what.add_argument("--positive", metavar="CLASS", help="of two classes, the one to be found")
    what.add_argument("--seed", type=int, default=0, help="(default: 0)")
    how = p.add_argument_group("the classifier, the same in every cell")
    how.add_argument(
        "--classifier", default="small_cnn",
        help="small_cnn, resnet18, densenet121, vgg11 or efficientnet-lite0 (default: small_cnn)",
    )  # fmt: skip
    how.add_argument("--pretrained", action="store_true", help="start from ImageNet weights")
    how.add_argument("--classifier-weights", type=Path, metavar="FILE", help="those weights")
    how.add_argument(
        "--unverified-weights", action="store_true", help="take them with any checksum"
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
        "--tracking-uri", default="sqlite:///runs/mlflow.db",
        help="MLflow, for the generator and the results (default: sqlite:///runs/mlflow.db)",
    )  # fmt: skip
    where.add_argument("--dry-run", action="store_true", help="say what would be done, and end")
    add_resources(where, "cell")
    return p
