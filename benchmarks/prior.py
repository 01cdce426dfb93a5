"""What real searches say of hyperparameters, as `search.proposals.prior` takes it.

    python -m benchmarks.prior [--out search/proposals/prior.json] [LINES ...]

LINES are those of `benchmarks.proof` (default: all that are kept). Of each trial its values are
compared with its own search's default, and its curve with the default's: a ridge regression of z,
bounded as the sampler bounds it, on the differences. Printed is how well the other searches
foretell the trials of each: rank correlations, and how much better than its mean the third is that
they would have chosen.
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

from search.proposals.history import BOUNDS, BROKEN
from search.proposals.prior import ABSENT, FILE, Numbers, Options, Prior
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
}
"""Files of searches, and in what their default differed from today's."""
TASK = Task(image_size=32, channels=1, classes=2, images=200, backbone="efficientnet-lite1")
RIDGE = 1.0
"""Weight of the penalty. Half and twice as much foretell as well."""


@dataclass(frozen=True)
class Tried:
    """A trial: its search, its default's values and its own, and its z."""

    search: int
    usual: Params
    values: Params
    z: float


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
        base = dict(first["curve"])
        for trial in rest:
            changed = trial["changed"]
            if same := [name for name, value in changed.items() if usual.get(name) == value]:
                raise ValueError(f"search {search} had another default: it changed {same}")
            z = z_of(trial, base)
            values = {k: v for k, v in usual.items() if k not in trial["lacks"]} | changed
            if z is not None:
                found.append(Tried(search, usual, searched(values), z))
    return found


def searched(values: Params) -> Params:
    """Effective values as `full` asks for them."""
    optimizer = values["optimizer"]
    found = values | {"g_lr": values["g_lr"] / LR_SCALE[optimizer]}
    if optimizer == "adamw":
        found["weight_decay"] = found.pop("l2")
    return found


def z_of(trial: Mapping[str, Any], base: Mapping[int, float]) -> float | None:
    """As `search.proposals.history` has it, at the evaluations next to the default's."""
    if trial["status"] in ("diverged", "collapsed"):
        return BROKEN
    logs = [
        math.log(fid / base[min(base, key=lambda at: abs(at - seen))])
        for seen, fid in trial["curve"][-2:]
    ]
    return float(np.clip(statistics.mean(logs), *BOUNDS)) if logs else None


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


def fitted(trials: Sequence[Tried], shape: Mapping[str, Options | Numbers]) -> Prior:
    """The prior of these trials."""
    rows = [features(t.values, shape) - features(t.usual, shape) for t in trials]
    found = Ridge(alpha=RIDGE).fit(np.array(rows), [t.z for t in trials])
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


def foretold(trials: Sequence[Tried], shape: Mapping[str, Options | Numbers]) -> dict[str, float]:
    """How well the other searches tell each one's trials."""
    told, z = np.zeros(len(trials)), np.array([t.z for t in trials])
    numbers = sorted({t.search for t in trials})
    each = [[at for at, t in enumerate(trials) if t.search == number] for number in numbers]
    for own, number in zip(each, numbers, strict=True):
        prior = fitted([t for t in trials if t.search != number], shape)
        told[own] = [prior(trials[at].values, trials[at].usual) for at in own]
    thirds = [np.array(own)[np.argsort(told[own])[: len(own) // 3]] for own in each]
    return {
        "trials": float(len(z)),
        "searches": float(len(each)),
        "rank correlation, all": rank_correlation(told, z),
        "within a search": statistics.mean(rank_correlation(told[own], z[own]) for own in each),
        "z of a search's trials": statistics.mean(z[own].mean() for own in each),
        "z of the third that is chosen": statistics.mean(z[own].mean() for own in thirds),
        "error, root mean square": float(np.sqrt(((told - z) ** 2).mean())),
        "z's own spread": float(z.std()),
    }


def rank_correlation(told: np.ndarray, z: np.ndarray) -> float:
    """Spearman's."""
    found: Any = spearmanr(told, z)
    return float(found.statistic)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("lines", nargs="*", default=list(LINES), help="files beside this one")
    parser.add_argument("--out", type=Path, default=FILE, help="(default: the shipped file)")
    args = parser.parse_args()
    trials = read({name: LINES.get(name, {}) for name in args.lines})
    shape = shapes()
    said = foretold(trials, shape)
    for name, value in said.items():
        print(f"{name}: {value:.3g}")
    prior = fitted(trials, shape)
    kept = {
        "from": f"benchmarks.prior {' '.join(args.lines)}: {said['searches']:.0f} searches on 200 "
        "chest X-rays at 32 pixels, a complete trial 30,000 images",
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
