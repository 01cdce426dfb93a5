"""The prior that ships is what the kept searches say, and its fit finds what is there."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest

from benchmarks import prior as made
from search.proposals.prior import FILE, Numbers
from spaces.catalog import LR_SCALE
from spaces.presets import default
from spaces.task import Params

USUAL = default(made.TASK)


def trial_of(changed: Params, curve: list[Any], status: str = "complete") -> dict[str, Any]:
    return {"status": status, "changed": changed, "lacks": [], "curve": curve, "pace": 1.0}


def searches(folder: Path, count: int) -> Path:
    """Lines of searches in which a large rate is bad, and one optimizer good."""
    rng, lines = random.Random(0), []
    for _ in range(count):
        trials = [trial_of({}, [[100, 80.0]])]
        for _ in range(15):
            rate, choice = rng.uniform(5e-4, 5e-3), rng.choice(["adamw", "rmsprop"])
            fid = 80 * (1 + 30 * rate) * (0.8 if choice == "adamw" else 1.1) * rng.gauss(1, 0.02)
            changed = {"g_lr": rate * LR_SCALE[choice], "optimizer": choice}
            if choice == "adamw":
                changed["l2"] = 0.01  # as a configuration has the decay
            trials.append(trial_of(changed, [[101, fid]]))
        trials.append(trial_of({}, [], "failed"))
        lines.append(json.dumps({"trials": trials}))
    path = folder / "lines.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_what_is_planted_is_found_and_foretells_other_searches(tmp_path):
    trials, shape = made.read({str(searches(tmp_path, 20)): {}}), made.shapes()
    assert len(trials) == 300  # neither defaults nor what failed
    found = made.fitted(trials, shape, "epoch")
    rate = found.effects["g_lr"]
    assert isinstance(rate, Numbers)
    assert rate(5e-3) - rate(1e-3) == pytest.approx(0.11, abs=0.04)
    good = made.searched({**USUAL, "optimizer": "adamw", "l2": 0.01})
    bad = made.searched({**USUAL, "optimizer": "rmsprop", "g_lr": 0.3 * USUAL["g_lr"]})
    assert good["g_lr"] == bad["g_lr"] == USUAL["g_lr"]
    worse, better = found([bad, good], USUAL)
    assert worse - better == pytest.approx(0.32, abs=0.06)
    told = made.foretold(trials, shape, "epoch")
    assert told["within a search"] > 0.8
    assert told["z of the third that is chosen"] < told["z of a search's trials"] - 0.1


def test_a_search_of_another_default_is_not_taken_for_one_of_todays(tmp_path):
    path = tmp_path / "lines.jsonl"
    trial = trial_of({}, [[100, 80.0]])
    same = {**trial, "changed": {"g_norm": USUAL["g_norm"]}}
    path.write_text(json.dumps({"trials": [trial, same]}) + "\n")
    with pytest.raises(ValueError, match="g_norm"):
        made.read({str(path): {}})
    assert len(made.read({str(path): {"g_norm": "none"}})) == 1


def test_one_that_breaks_down_is_as_bad_as_any_and_one_without_a_score_says_nothing(tmp_path):
    trials = [
        trial_of({}, [[100, 80.0]]), trial_of({}, [], "diverged"),
        trial_of({}, [[90, 1e9]], "pruned"),
    ]  # fmt: skip
    assert made.z_of(trials, [100], [1.0, math.nan, 1.0]).tolist() == [0.0, 0.6, 0.6]
    path = tmp_path / "lines.jsonl"
    trials = [trial_of({}, [[100, 80.0]]), trial_of({"l2": 0.1}, [], "failed")]
    path.write_text(json.dumps({"trials": trials}) + "\n")
    assert made.read({str(path): {}}) == []


@pytest.mark.parametrize(
    ("curve", "pace", "z"),
    [
        ([[100, 80], [200, 40], [400, 20]], 1.0, 0.0),  # the default's own
        ([[100, 40], [200, 20], [400, 10]], 1.0, -math.log(2)),
        ([[101, 40], [202, 20], [404, 10]], 1.0, -math.log(2)),  # epochs of other batches
        ([[100, 40], [200, 20], [400, 10]], 2.0, 0.0),  # half the FID, in twice the time
        ([[100, 80], [200, 40], [400, 20]], 2.0, math.log(2)),
        ([[100, 80], [200, 40], [400, 20]], 0.5, -math.log(2)),  # all it says: until the half
        ([[100, 80]], 1.0, 0.0),
        ([[100, 80]], 2.0, math.log(2)),  # stopped early: at 200 of the default's
        ([[100, 80]], 0.5, -math.log(2)),  # before the default's first evaluation
    ],
)
def test_equal_time_is_told_from_curves_and_the_pace(curve, pace, z):
    usual = trial_of({}, [[100, 80], [200, 40], [400, 20]])
    found = made.z_of([usual, trial_of({}, curve)], [100, 200, 400], [1.0, pace])
    assert found[0] == 0
    assert found[1] == pytest.approx(min(z, 0.6), abs=0.03)


def test_what_ships_is_made_of_the_searches_that_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["prior", "--out", str(tmp_path / "prior.json")])
    made.main()
    fresh, kept = (json.loads(path.read_text()) for path in (tmp_path / "prior.json", FILE))
    assert fresh["from"] == kept["from"]
    assert fresh["trials"] == kept["trials"]
    assert fresh["others"] == pytest.approx(kept["others"], abs=2e-3)
    for name, effects in kept["effects"].items():
        assert fresh["effects"][name] == pytest.approx(effects, abs=2e-3), name
