"""Benchmarks of the engine still run: in small, as nobody runs them between two measurements."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import gpu, publish, scale, scaling, search, train, virtual
from tests.helpers.refusals import tells
from tests.helpers.searches import shared_ray
from tests.helpers.toys import make_data, write_pictures
from trainable.trial import evaluation


@pytest.fixture
def told(monkeypatch, capsys):
    """Run a benchmark's command; returns what it printed."""

    def run(module, *flags: str) -> str:
        monkeypatch.setattr(sys, "argv", [module.__name__, *flags])
        with shared_ray():
            module.main()
        return capsys.readouterr().out

    return run


def rows_of(text: str) -> list[list[str]]:
    lines = text.splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]


def test_both_engines_run_free_trials_and_are_compared(told):
    flags = ["--trials", "2", "--reports", "2", "--pairs", "1", "--workers", "1"]
    rows = rows_of(told(search, *flags))
    assert rows[0] == ["", "stock", "ours", "stock / ours"]
    figures = {name.replace("*", ""): cells for name, *cells in rows[2:]}
    for name in ("s a trial, after the first", "ms a report, 2 reports"):
        theirs, ours, ratio = map(float, figures[name])
        assert theirs > 0
        assert ours > 0
        assert ratio == pytest.approx(theirs / ours, rel=0.02)  # of three digits each


@pytest.mark.parametrize("flags", [(), ("--tracker", "--prune"), ("--ray", "--at-a-time", "2")])
def test_the_growth_of_a_search_is_measured(flags, told, monkeypatch):
    monkeypatch.setattr(scale, "WINDOW", 3)
    rows = rows_of(told(scale, "--trials", "9", "--reports", "2", "--at-a-time", "4", *flags))
    assert [row[0] for row in rows if row[0].isdigit()] == ["3", "9"]  # the first and the last


def test_a_driver_of_many_workers_is_simulated_from_what_its_acts_cost(tmp_path):
    acts = ("create", "report", "end", "commit")
    costs: virtual.Costs = {f"writer {act}": 1e-3 for act in acts} | {"latency": 1e-2}
    costs |= {"ray event": (1e-3, 0.0), "ray look": (1e-3, 0.0), "tracker round": 1e-2}
    costs["propose"] = np.full((len(virtual.RUNNING), len(virtual.MANY)), 0.05)
    dear = costs | {"propose": 10 * costs["propose"]}
    with shared_ray():  # which Tune would start by itself
        made, slow = (scaling.search(tmp_path, c, 4, 12, 1.0) for c in (costs, dear))
    assert made["hired"] == 4
    assert 0 < made["lost %"] < slow["lost %"] < 100
    assert slow["next trial waits, ms"] > made["next trial waits, ms"] + 400  # of ten times 50 ms


def test_writing_a_study_to_mlflow_is_measured(told):
    said = told(publish, "--trials", "2", "--evaluations", "3", "--blocks", "0")
    assert "2 trials of 3 evaluations with grids: " in said
    assert " 12 files of " in said  # a grid and its thumbnail for each


def test_a_gpu_is_measured_in_parts_on_a_cpu_in_two_goes(tmp_path, monkeypatch, capsys):
    """Two trials at once are two processes: that is what the part is about."""
    for module in (gpu, train):
        monkeypatch.setattr(module, "WARM_UP", 1)
        monkeypatch.setattr(module, "STEPS", 1)
    monkeypatch.setattr(gpu, "TIMES", 1)
    monkeypatch.setattr(evaluation, "GENERATED", 24)
    monkeypatch.delitem(gpu.PARTS, "search")  # others run those
    flags = [
        "gpu", "--device", "cpu", "--data", pictures(tmp_path), "--out", str(tmp_path / "found"),
        "--image-sizes", "32", "--packing", "2", "--minutes", "0.01", "0.02", "--seconds", "0.2",
    ]  # fmt: skip

    def told(*more: str) -> tuple[str, dict[str, list[dict[str, Any]]]]:
        monkeypatch.setattr(sys, "argv", [*flags, *more])
        gpu.main()
        lines = map(json.loads, (tmp_path / "found").read_text().splitlines())
        return capsys.readouterr().out, {line["part"]: line["rows"] for line in lines}

    said, parts = told("--within", "0.4")
    assert tells(said, "left: step 32 (30 s)", "quality 32")
    before = parts["packing 32"]
    said, parts = told()
    assert "left" not in said
    assert sorted(parts) == sorted(f"{name} 32" for name in gpu.PARTS)
    assert parts["packing 32"] == before
    assert [row["trials"] for part in ("packing", "array") for row in parts[f"{part} 32"]] == [2, 2]
    assert [row["minutes"] for row in parts["quality 32"]] == [0.01, 0.02]
    rates = [
        row["images / s"] for name, rows in parts.items() for row in rows if "images / s" in row
    ]
    assert min(rates) > 0
    assert 0 < parts["evaluation 32"][-1]["ms"] < 100  # a share
    assert tells(said, *gpu.PARTS)


def test_a_part_that_fails_keeps_no_other_from_running(tmp_path, monkeypatch, capsys):
    parts = {
        "packing": (lambda options, size: 1 / 0, 1.0),
        "memory": (lambda *_: [{"MB": 1.5}], 1.0),
    }
    monkeypatch.setattr(gpu, "PARTS", parts)
    flags = [
        "gpu",
        "--device",
        "cpu",
        "--data",
        pictures(tmp_path),
        "--out",
        str(tmp_path / "found"),
    ]
    monkeypatch.setattr(sys, "argv", [*flags, "--image-sizes", "32"])
    gpu.main()
    said, faults = capsys.readouterr()
    assert tells(said, "left: packing 32 (ZeroDivisionError)", "1.5")
    assert "1 / 0" in faults


def pictures(folder: Path) -> str:
    write_pictures(folder / "set", make_data(n=24))
    return str(folder / "set")
