"""What real searches say of hyperparameters, as `search.proposals.prior` takes it.

    python -m benchmarks.prior [--out search/proposals/prior.json]

From the lines of `benchmarks.proof` that are kept. Of each trial its values are compared with its
own search's default, and its curve with its search's for equal images, as the sampler does: a ridge
regression of z on the differences. Printed is how well the other searches
foretell the trials of each: rank correlations, and how much better than its mean the third is that
they would have chosen. The same is printed for equal time, by the trials' paces
(`benchmarks.paces`), which say too little of it to ship.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge

from search.proposals.history import BROKEN, measured
from search.proposals.prior import ABSENT, FILE, SIZE, Numbers, Options, Prior
from spaces.catalog import LR_SCALE, full
from spaces.describe import describe
from spaces.presets import default
from spaces.recorder import Choice
from spaces.task import Params, Task

HERE = Path(__file__).parent
LINES = {
    "proof_he.jsonl": {"init": "he", "backbone_projection": "random"},
    "proof_without.jsonl": {},
    "proof_first.jsonl": {},
    "proof.jsonl": {},
}
"""Files of searches, and in what their default differed from today's."""
TASK = Task(image_size=SIZE, channels=1, classes=2, images=200, backbone="efficientnet-lite1")
BROKE = ("diverged", "collapsed")
NEXT = 0.01
"""Evaluations that lie so close count as the same: epochs end at whole batches."""
RIDGE = 10.0
"""Weight of the penalty. A tenth as much foretells the order as well, and promises too much."""


@dataclass(frozen=True)
class Tried:
    """A trial: its search, its default's values and its own, and its z.

    Attributes:
        z: by resource, for equal images and for equal time.
    """

    search: int
    usual: Params
    values: Params
    z: Mapping[str, float]


def read(files: Mapping[str, Params]) -> list[Tried]:
    """All trials but the defaults themselves, and those that say nothing."""
    found: list[Tried] = []
    lines = [
        (json.loads(line), default(TASK) | differs)
        for name, differs in files.items()
        for line in (HERE / name).read_text().splitlines()
    ]
    for search, (line, usual) in enumerate(lines):
        first, *rest = line["trials"]
        base = [seen for seen, _ in first["curve"]]
        z = {
            "epoch": z_of(line["trials"], base, [1.0] * len(line["trials"])),
            "seconds": z_of(line["trials"], base, [t.get("pace", 1.0) for t in line["trials"]]),
        }
        for place, trial in enumerate(rest, start=1):
            changed = trial["changed"]
            if same := [name for name, value in changed.items() if usual.get(name) == value]:
                raise ValueError(f"search {search} had another default: it changed {same}")
            values = searched(told(trial, usual))
            its = {resource: float(of[place]) for resource, of in z.items()}
            if not math.isnan(its["epoch"]):
                found.append(Tried(search, usual, values, its))
    return found


def off_by(files: Mapping[str, Params]) -> dict[str, float]:
    """How far z at the first evaluation is from z at the end, of trials that ended."""
    found: dict[str, list[float]] = {"all curves": [], "the default's alone": []}
    for name in files:
        for line in (HERE / name).read_text().splitlines():
            curves = [dict(trial["curve"]) for trial in json.loads(line)["trials"]]
            curves = [dict(enumerate(curve.values(), start=1)) for curve in curves]
            for place, curve in enumerate(curves):
                if place and len(curve) == len(curves[0]):
                    first = {1: curve[1]}
                    others = [*curves[:place], first, *curves[place + 1 :]]
                    end = measured([curves[0], curve], 0)[1]
                    found["all curves"].append(measured(others, 0)[place] - end)
                    found["the default's alone"].append(measured([curves[0], first], 0)[1] - end)
    return {
        f"z by the first score against {name}, {what}": how(np.array(values))
        for name, values in found.items()
        for what, how in (
            ("mean error", np.mean),
            ("root mean square", lambda x: np.sqrt(np.mean(x**2))),
        )
    }


def told(trial: Mapping[str, Any], usual: Params) -> Params:
    """Its effective values."""
    return {k: v for k, v in usual.items() if k not in trial["lacks"]} | trial["changed"]


def searched(values: Params) -> Params:
    """Effective values as `full` asks for them."""
    optimizer = values["optimizer"]
    found = values | {"g_lr": values["g_lr"] / LR_SCALE[optimizer]}
    if optimizer == "adamw":
        found["weight_decay"] = found.pop("l2")
    return found


def z_of(
    trials: Sequence[Mapping[str, Any]], base: Sequence[int], paces: Sequence[float]
) -> np.ndarray:
    """Of a search's trials, the default first, as `search.proposals.history` has it: at those of
    the default's evaluations that each has passed, with time counted in the default's images."""
    curves = []
    for trial, pace in zip(trials, paces, strict=True):
        curve = {seen * pace / paces[0]: fid for seen, fid in trial["curve"]}
        sound = curve and trial["status"] not in BROKE
        low, high = (min(curve), max(curve)) if sound else (math.inf, 0.0)
        passed = [seen for seen in base if low <= seen * (1 + NEXT) and seen <= high * (1 + NEXT)]
        found = {seen: math.exp(log_at(curve, seen)) for seen in passed}
        if sound and not passed:  # in the time that it had the default was not scored: go on as it
            usual = dict(trials[0]["curve"])
            gone = log_at(usual, base[0]) - log_at(usual, high)
            found = {base[0]: curve[high] * math.exp(gone)}
        curves.append(found)
    z = np.minimum(measured(curves, 0), BROKEN)
    z[[trial["status"] in BROKE for trial in trials]] = BROKEN
    return z


def log_at(curve: Mapping[float, float], at: float) -> float:
    """Log of FID, a line in the log of the time; before the first evaluation as after it."""
    near = min(curve, key=lambda seen: abs(seen - at))
    if abs(near / at - 1) < NEXT:
        return math.log(curve[near])
    x, y = np.log([*curve]), np.log([*curve.values()])
    if at < min(curve) and len(x) > 1:
        return float(y[0] + (math.log(at) - x[0]) * (y[1] - y[0]) / (x[1] - x[0]))
    return float(np.interp(math.log(at), x, y))


def shapes() -> dict[str, Options | Numbers]:
    """Each hyperparameter of `full`, without its effects."""
    found: dict[str, Options | Numbers] = {}
    for one in sorted(describe(full, TASK), key=lambda one: one.name):
        asked = one.distribution
        if isinstance(asked, Choice) and any(isinstance(o, str | bool) for o in asked.options):
            found[one.name] = Options({str(option): 0.0 for option in asked.options})
            continue
        low, high = (min(asked.options), max(asked.options)) if isinstance(asked, Choice) else (
            asked.low, asked.high
        )  # fmt: skip
        log = low > 0 if isinstance(asked, Choice) else asked.log
        found[one.name] = Numbers(low, high, log, 0.0, 0.0)
    return found


def features(values: Params, shape: Mapping[str, Options | Numbers]) -> np.ndarray:
    """What the effects multiply, in the order of `fitted`."""
    row: list[float] = []
    for name, one in shape.items():
        value = values.get(name)
        if isinstance(one, Options):
            row += [float(str(value) == option) for option in one.effects]
            row.append(float(value is None))
        else:
            place = 0.0 if value is None else one.place(value)
            row += [place, place**2, float(value is None)]
    return np.array(row)


def fitted(trials: Sequence[Tried], shape: Mapping[str, Options | Numbers], resource: str) -> Prior:
    """The prior of these trials."""
    rows = [features(t.values, shape) - features(t.usual, shape) for t in trials]
    found = Ridge(alpha=RIDGE).fit(np.array(rows), [t.z[resource] for t in trials])
    left = [round(float(x), 4) for x in found.coef_]
    effects: dict[str, Options | Numbers] = {}
    for name, one in shape.items():
        if isinstance(one, Options):
            names = [*one.effects, ABSENT]
            own, left = left[: len(names)], left[len(names) :]
            effects[name] = Options(dict(zip(names, own, strict=True)))
        else:
            own, left = left[:3], left[3:]
            effects[name] = Numbers(one.low, one.high, one.log, *own)
    return Prior(len(trials), round(float(found.intercept_), 4), effects)


def foretold(
    trials: Sequence[Tried], shape: Mapping[str, Options | Numbers], resource: str
) -> dict[str, float]:
    """How well the other searches tell each one's trials."""
    tell, z = np.zeros(len(trials)), np.array([t.z[resource] for t in trials])
    numbers = sorted({t.search for t in trials})
    each = [[at for at, t in enumerate(trials) if t.search == number] for number in numbers]
    for own, number in zip(each, numbers, strict=True):
        prior = fitted([t for t in trials if t.search != number], shape, resource)
        tell[own] = [prior([trials[at].values], trials[at].usual)[0] for at in own]
    best = np.argsort(tell)[: len(z) // 10]
    thirds = [np.array(own)[np.argsort(tell[own])[: len(own) // 3]] for own in each]
    return {
        "trials": float(len(z)),
        "searches": float(len(each)),
        "rank correlation, all": rank_correlation(tell, z),
        "within a search": statistics.mean(rank_correlation(tell[own], z[own]) for own in each),
        "z of a search's trials": statistics.mean(z[own].mean() for own in each),
        "z of the third that is chosen": statistics.mean(z[own].mean() for own in thirds),
        "share explained within a search": explained(tell, z, each),
        "z told of the best tenth": float(tell[best].mean()),
        "its z": float(z[best].mean()),
        "error, root mean square": float(np.sqrt(((tell - z) ** 2).mean())),
        "z's own spread": float(z.std()),
    }


def explained(told: np.ndarray, z: np.ndarray, groups: Sequence[list[int]]) -> float:
    """Squared correlation of what both differ from their mean in each group."""
    apart = [np.concatenate([of[own] - of[own].mean() for own in groups]) for of in (told, z)]
    return float(np.corrcoef(*apart)[0, 1] ** 2)


def rank_correlation(told: np.ndarray, z: np.ndarray) -> float:
    """Spearman's."""
    found: Any = spearmanr(told, z)
    return float(found.statistic)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=FILE, help="(default: the shipped file)")
    args = parser.parse_args()
    shape, trials = shapes(), read(LINES)
    for name, value in off_by(LINES).items():
        print(f"{name}: {value:.3g}")
    for resource in ("epoch", "seconds"):
        for name, value in foretold(trials, shape, resource).items():
            print(f"equal {resource}: {name}: {value:.3g}")
    prior = fitted(trials, shape, "epoch")
    searches = len({trial.search for trial in trials})
    kept = {
        "from": f"benchmarks.prior {' '.join(LINES)}: {searches} searches on 200 chest X-rays "
        "at 32 pixels, a complete trial 30,000 images",
        "trials": prior.trials,
        "others": prior.others,
        "effects": {
            name: dict(one.effects) if isinstance(one, Options) else asdict(one)
            for name, one in prior.effects.items()
        },
    }
    args.out.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
