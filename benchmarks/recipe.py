"""What the recipe reaches in core-seconds, and what each ingredient is worth.

    python -m benchmarks.recipe --data small --held-out chest_xray
    python -m benchmarks.recipe --data small --held-out chest_xray --ablate --seeds 0,1

The first trains the default with and without its backbone, and the study's own configuration; the
second takes one ingredient away at a time. Runs have one thread, `--jobs` go side by side, and time
is a process's own CPU time in training steps, so other work on the machine disturbs it little.
With `--unit kimg` budgets are thousands of images, which compares recipes whatever they cost; on a
GPU (`--device cuda`) there is no other, as runs side by side share it.
Every score is kept in `--out` with its grid; what is there is not trained again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import multiprocessing
import statistics
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from scipy.stats import t as student_t

from spaces.presets import BACKBONE, PRESETS
from trainable.data.sheets import draw_grid
from trainable.data.sources import load
from trainable.data.split.held_out import held_out
from trainable.gan.config import TrialConfig
from trainable.gan.run import Run
from trainable.metrics.independent import agreement
from trainable.pretrained.backbones import backed_task, load_backbone
from trainable.pretrained.extractors import load_extractor
from trainable.trial.evaluation import Evaluator, real_set, witness_of

CHUNK = 10
"""Steps between two looks at the clock."""


@dataclasses.dataclass(frozen=True)
class Variant:
    """A configuration under test.

    Attributes:
        name: as files and tables call it.
        backbone: a backbone's name, or none.
        preset: the configuration it starts from.
        changes: values instead of the preset's; None takes a value away.
    """

    name: str
    backbone: str = BACKBONE
    preset: str = "default"
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)


PRESENTED = (
    Variant("default"),
    Variant("no backbone", "none"),
    Variant("study2023", "none", "study2023"),
)

ABLATIONS = (
    Variant("no augmentation", changes={"augment": "none", "augment_control": None,
                                        "augment_probability": None}),
    Variant("no average of weights", changes={"ema_halflife_kimg": 0.0, "ema_rampup": None}),
    Variant("no R1", changes={"penalty": "none", "penalty_weight": None,
                              "penalty_interval": None}),
    Variant("zoom", changes={"augment": "translation+zoom+brightness+contrast"}),
    Variant("average of 4 kimg", changes={"ema_halflife_kimg": 4.0, "ema_rampup": 0.1}),
    Variant("batch norm by class", changes={"g_norm": "class_batch"}),
    Variant("transposed convolutions", changes={"upsampling": "transposed"}),
    Variant("constant rate", changes={"lr_halflife_kimg": 0.0}),
    Variant("class as planes", changes={"d_conditioning": "concat"}),
    Variant("hinge loss", changes={"loss": "hinge"}),
    Variant("adaptive augmentation", changes={"augment_control": "adaptive",
                                              "augment_probability": None,
                                              "augment_target": 0.6}),
    Variant("no warm-up", changes={"warmup_kimg": 0.0}),
    Variant("relativistic, R1 and R2", changes={"loss": "relativistic", "penalty": "r1+r2"}),
    Variant("width 16", changes={"g_width": 16}),
    Variant("normal initial weights", changes={"init": "normal"}),
    Variant("He's initial weights", changes={"init": "he"}),
    Variant("batches of 8", changes={"batch_size": 8}),
    Variant("backbone every second step", changes={"backbone_interval": 2}),
)  # fmt: skip


def train(variant: Variant, seed: int, options: argparse.Namespace) -> None:
    """Train one run, and write its scores and a grid at each budget."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    data = load(options.data, options.image_size)
    extractor, _ = load_extractor("efficientnet-lite0")
    backbone = load_backbone(variant.backbone)
    params = {**PRESETS[variant.preset](backed_task(data.task, backbone)), **variant.changes}
    params = {key: value for key, value in params.items() if value is not None}
    apart = held_out(data, options.data, options.held_out)
    witness = witness_of(data, apart, seed=0)
    real = real_set(data, extractor)
    evaluator = Evaluator(data, extractor.to(options.device), real, witness)
    config, device = TrialConfig.from_params(params), options.device
    run = Run(config, data, seed=seed, device=device, backbone=backbone)
    spent = {"kimg": 0.0, "core-s": 0.0}
    for budget in options.budgets:
        while spent[options.unit] < budget:
            began = time.process_time()
            for _ in range(CHUNK):
                run.train_step()
            spent["core-s"] += time.process_time() - began
            spent["kimg"] = run.images_seen / 1000
        scores = evaluator.scores(run, seed=seed)
        labels = torch.arange(len(data.classes)).repeat_interleave(10)
        stem = _stem(options, variant, seed, budget)
        draw_grid(run.sample(labels, seed=seed).cpu().numpy(), 10).save(stem.with_suffix(".png"))
        row = {**spent, **scores}
        stem.with_suffix(".json").write_text(json.dumps(row, indent=2) + "\n")


def _stem(options: argparse.Namespace, variant: Variant, seed: int, budget: int) -> Path:
    name = variant.name.replace(" ", "_").replace(",", "")
    return options.out / f"{name}-seed{seed}-{budget}{'s' if options.unit == 'core-s' else 'kimg'}"


def read(
    options: argparse.Namespace, variant: Variant, seeds: Sequence[int], budget: int
) -> dict[int, dict]:
    """Scores by seed, of those runs that got that far."""
    found = {}
    for seed in seeds:
        path = _stem(options, variant, seed, budget).with_suffix(".json")
        if path.exists():
            found[seed] = json.loads(path.read_text())
    return found


def spread(values: Sequence[float]) -> str:
    """Mean and the half width of its 95 % t interval."""
    if len(values) < 2:
        return f"{values[0]:.1f}"
    half = student_t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return f"{statistics.mean(values):.1f} ± {half:.1f}"


def presented(options: argparse.Namespace) -> Table:
    """A row for each configuration and budget."""
    table = Table(
        "", options.unit, "kimg", "FID", "of seeds", "KID x1000", "pixel KID x1000", "class",
        "diversity", "copies", box=None,
    )  # fmt: skip
    for variant in PRESENTED:
        for budget in options.budgets:
            rows = list(read(options, variant, options.seeds, budget).values())
            if not rows:
                continue
            fids = [row["fid"] for row in rows]
            mean = {k: statistics.mean(row[k] for row in rows) for k in rows[0]}
            table.add_row(
                variant.name, str(budget), f"{mean['kimg']:.0f}", spread(fids),
                ", ".join(f"{fid:.1f}" for fid in fids), f"{1000 * mean['kid']:.0f}",
                f"{1000 * mean['pixel_kid']:.0f}",
                f"{statistics.mean(agreement(row) for row in rows):.0%}",
                f"{min(row['diversity'] for row in rows):.2f}",
                f"{max(row['copy_rate'] for row in rows):.1%}",
            )  # fmt: skip
    return table


def ablated(options: argparse.Namespace) -> Table:
    """A row for each ingredient: FID over the default's of the same seed, geometric mean.

    The interval pools the variance of log ratios over all rows, as two or three seeds alone tell
    little about it; so it is right on average over rows and too wide for the steadier ones.
    """
    budget = options.budgets[-1]
    base = read(options, PRESENTED[0], options.seeds, budget)
    found = {}
    for variant in ABLATIONS:
        rows = read(options, variant, options.seeds, budget)
        shared = sorted(base.keys() & rows.keys())
        if shared:
            logs = [math.log(rows[s]["fid"] / base[s]["fid"]) for s in shared]
            found[variant.name] = [rows[s] for s in shared], logs
    freedom = sum(len(logs) - 1 for _, logs in found.values())
    squares = sum(sum((x - statistics.mean(logs)) ** 2 for x in logs) for _, logs in found.values())
    table = Table(
        f"at {budget} {options.unit}", "FID", "of seeds", "x default", "95 %", "kimg", "core-s",
        "diversity", box=None,
    )  # fmt: skip
    if base:
        _ablation_row(table, "default", list(base.values()), "1", "")
    for name, (rows, logs) in found.items():
        middle = statistics.mean(logs)
        interval = ""
        if freedom:
            half = student_t.ppf(0.975, freedom) * (squares / freedom / len(logs)) ** 0.5
            interval = f"{math.exp(middle - half):.2f} to {math.exp(middle + half):.2f}"
        _ablation_row(table, name, rows, f"{math.exp(middle):.2f}", interval)
    return table


def _ablation_row(table: Table, name: str, rows: list[dict], times: str, interval: str) -> None:
    fids = [row["fid"] for row in rows]
    table.add_row(
        name, f"{statistics.mean(fids):.1f}", ", ".join(f"{fid:.1f}" for fid in fids), times,
        interval, f"{statistics.mean(row['kimg'] for row in rows):.0f}",
        f"{statistics.mean(row.get('core-s', math.nan) for row in rows):.0f}",  # older ones lack it
        f"{min(row['diversity'] for row in rows):.2f}",
    )  # fmt: skip


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", default="phantom")
    parser.add_argument("--held-out", metavar="DATA", help="real images for the class score")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--budgets", type=_numbers, help="(default: 100,360,600,900; ablated: 360)")
    parser.add_argument("--unit", choices=("core-s", "kimg"), default="core-s", help="of budgets")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--seeds", type=_numbers, default=[0, 1, 2], help="(default: 0,1,2)")
    parser.add_argument("--ablate", action="store_true", help="the ingredients instead")
    parser.add_argument("--only", help="names of variants, with commas, instead of all")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side (default: 2)")
    parser.add_argument("--out", type=Path, default=Path("runs/recipe"))
    options = parser.parse_args()
    options.budgets = options.budgets or ([360] if options.ablate else [100, 360, 600, 900])
    if options.device == "cuda" and options.unit != "kimg":
        parser.error("--device cuda counts no core-seconds; give --unit kimg")
    options.out.mkdir(parents=True, exist_ok=True)
    console = Console(width=140, highlight=False)
    variants = (PRESENTED[0], *ABLATIONS) if options.ablate else PRESENTED
    if options.only is not None:
        chosen = options.only.split(",")
        variants = tuple(v for v in variants if v.name in chosen)
    wanted = [
        (variant, seed)
        for variant in variants
        for seed in options.seeds
        if any(seed not in read(options, variant, [seed], b) for b in options.budgets)
    ]
    began = time.monotonic()
    # A process for each run: its CPU clock is then the run's own.
    with ProcessPoolExecutor(
        options.jobs, multiprocessing.get_context("spawn"), max_tasks_per_child=1
    ) as pool:
        runs = {pool.submit(train, *what, options): what for what in wanted}
        for done, future in enumerate(as_completed(runs), 1):
            variant, seed = runs[future]
            what = future.exception() or "done"
            left = (time.monotonic() - began) / done * (len(runs) - done)
            console.print(f"{variant.name}, seed {seed}: {what}; {left / 60:.0f} minutes left")
    console.print(ablated(options) if options.ablate else presented(options))


if __name__ == "__main__":
    main()
