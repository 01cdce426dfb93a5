"""Whether searches find better than the default, by real trainings that chose nothing.

    python -m benchmarks.proof --data FOLDER [--samplers auto auto:none tpe] [--seeds 12]

Whole searches by the product's own command, one after another, the samplers in turn for each seed,
nothing shared between them. Each ends by training its champion and the default afresh
(``--replicates``), and only these trainings are judged: for a search, the log of the ratio of the
two geometric means of FID. A search whose champion is the default, or that has none, found nothing:
its ratio is 1. Over the seeds of a sampler, Student's t of these logs; between two samplers, of
their differences by seed.

``auto:none`` is ``--sampler auto --prior none``. A line of `--out` is a search; what is there is
not run again. It also has the curves of all trials, by the values in which they differ from the
default. How much a search trained is told in complete trials' worth: images of all trials over
those of one complete trial.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from rich.console import Console
from rich.table import Table
from scipy import stats

from search.study.database import open_study
from search.study.folder import StudyFolder
from search.study.records import TrialRecord, read_records
from search.study.versions import settings_of
from search.winners.afresh import AFRESH, is_usual
from search.winners.conclude import leaderboard
from spaces.task import Params
from trainable.trial.objective import Objective

BESIDE = ("kid", "diversity")
"""Scores of a fresh training that a line keeps beside FID."""


def searched(args: argparse.Namespace, sampler: str, seed: int) -> dict[str, Any]:
    """Run one search; its line."""
    name, _, prior = sampler.partition(":")
    length = ["--epochs", str(args.epochs)]
    if args.train_time is not None:
        length = ["--resource", "seconds", "--train-time", f"{args.train_time}s"]
    with tempfile.TemporaryDirectory() as output:
        command = [
            sys.executable, "-m", "search.run", "--space", "full", "--data", args.data,
            "--image-size", str(args.image_size), "--trials", str(args.trials), *length,
            "--eval-every", str(args.eval_every), "--grace", str(args.eval_every),
            "--sampler", name, "--prior", prior or "auto", "--seed", str(seed),
            "--winner-images", str(args.winner_images), "--replicates", str(args.replicates),
            "--study", "proof", "--output", output, "--address", "local", "--progress", "none",
        ]  # fmt: skip
        began = time.time()
        with Path(args.out).with_suffix(".log").open("a") as log:
            subprocess.run(command, check=True, stdout=log, stderr=log)
        took = time.time() - began
        opened = open_study(StudyFolder(Path(output, "proof")))
        return {"sampler": sampler, "seed": seed, "seconds": round(took)} | line_of(opened.study)


def line_of(study: optuna.Study) -> dict[str, Any]:
    """What a finished search came to."""
    config, records = settings_of(study), read_records(study)
    usual = next(r.params for r in records if r.origin == "default")
    rows = leaderboard(study, Objective.parse(config.objective))
    champion = next((row.record for row in rows if row.wins), None)
    afresh = study.user_attrs.get(AFRESH, {"scores": {}})["scores"]
    return {
        "worth": round(sum(r.last["resource"] for r in records if r.last) / config.length, 2),
        "champion": champion and champion.number,
        "is_default": champion is not None and champion.params == usual,
        "usual": usual,
        "afresh": {
            number: values
            and {"fid": values["fid"]["mean"]} | {k: values["scores"][k] for k in BESIDE}
            for number, values in afresh.items()
        },
        "trials": [trial_of(record, usual, records[0].pace) for record in records],
    }


def trial_of(record: TrialRecord, usual: Params, took: float) -> dict[str, Any]:
    """A trial: how it ended, in what it differs from the default, FID after so many images, and
    seconds of training for an image over the default's."""
    changed = {k: v for k, v in record.params.items() if usual.get(k) != v}
    lacks = [k for k in usual if k not in record.params]
    curve = [[r["images_seen"], round(r["fid"], 2)] for r in record.reports]
    own = {"status": record.status, "changed": changed, "lacks": lacks, "curve": curve}
    return own | ({"pace": round(record.pace / took, 3)} if curve else {})


def gain(line: dict[str, Any]) -> float:
    """Log of the champion's FID over the default's, of trainings that chose nothing."""
    if line["champion"] is None or line["is_default"]:
        return 0.0
    sides: tuple[list[float], list[float]] = [], []
    for number, values in line["afresh"].items():
        if values is not None:
            sides[is_usual(number)].append(math.log(values["fid"]))
    best, usual = map(statistics.mean, sides)
    return best - usual


def price(line: dict[str, Any]) -> float:
    """The champion's training time for an image over the default's."""
    pace = [line["trials"][number]["pace"] for number in (line["champion"] or 0, 0)]
    return pace[0] / pace[1]


def tell(logs: Sequence[float]) -> list[str]:
    """Improvement, its 95 % interval and p, of logs of ratios."""
    found = stats.ttest_1samp(logs, 0.0)
    span = found.confidence_interval()
    shares = [f"{1 - math.exp(x):.1%}" for x in (statistics.mean(logs), span.high, span.low)]
    return [shares[0], f"{shares[1]} to {shares[2]}", f"{found.pvalue:.2g}"]


def show(lines: list[dict[str, Any]], console: Console) -> None:
    """Print the table of samplers, and of their pairs."""
    arms: dict[str, dict[int, dict[str, Any]]] = {}
    for line in lines:
        arms.setdefault(line["sampler"], {})[line["seed"]] = line
    table = Table("", "searches", "complete trials' worth", "champion is not the default",
                  "its time for an image", "better than it by", "95 %", "p")  # fmt: skip
    for name, found in arms.items():
        mine = list(found.values())
        worth = statistics.mean(line["worth"] for line in mine)
        other = sum(not line["is_default"] and line["champion"] is not None for line in mine)
        longer = f"{statistics.geometric_mean(map(price, mine)):.2f} times"
        told = tell([gain(line) for line in mine]) if len(mine) > 1 else []
        table.add_row(name, str(len(mine)), f"{worth:.1f}", str(other), longer, *told)
    for one, two in itertools.combinations(arms, 2):
        both = sorted(arms[one].keys() & arms[two].keys())
        if len(both) > 1:
            logs = [gain(arms[one][seed]) - gain(arms[two][seed]) for seed in both]
            table.add_row(f"{one} over {two}", str(len(both)), "", "", "", *tell(logs))
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", required=True, help="a folder of labelled images, or phantom")
    parser.add_argument("--out", default="benchmarks/proof.jsonl", help="(default: %(default)s)")
    parser.add_argument("--samplers", nargs="+", default=["auto"], help="(default: auto)")
    parser.add_argument("--seeds", type=int, default=12, help="of each sampler (default: 12)")
    parser.add_argument("--trials", type=int, default=16, help="of a search (default: 16)")
    parser.add_argument("--image-size", type=int, default=32, help="(default: 32)")
    parser.add_argument("--epochs", type=int, default=150, help="of a trial (default: 150)")
    parser.add_argument("--train-time", type=int, help="seconds of a trial, instead of epochs")
    parser.add_argument(
        "--eval-every", type=int, default=25, help="epochs, or seconds; grace (default: 25)"
    )
    parser.add_argument("--winner-images", type=int, default=200, help="a class (default: 200)")
    parser.add_argument("--replicates", type=int, default=2, help="(default: 2)")
    args = parser.parse_args()
    console, out = Console(), Path(args.out)
    lines = [json.loads(t) for t in out.read_text().splitlines()] if out.exists() else []
    there = {(line["sampler"], line["seed"]) for line in lines}
    for seed, sampler in itertools.product(range(args.seeds), args.samplers):
        if (sampler, seed) not in there:
            lines.append(searched(args, sampler, seed))
            with out.open("a") as file:
                file.write(json.dumps(lines[-1]) + "\n")
            console.print(
                f"{sampler}, seed {seed}: {gain(lines[-1]):+.3f} in {lines[-1]['seconds']} s"
            )
    show(lines, console)


if __name__ == "__main__":
    main()
