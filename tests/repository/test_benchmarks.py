"""Benchmarks of the engine still run: in small, as nobody runs them between two measurements."""

from __future__ import annotations

import sys

import pytest

from benchmarks import publish, scale, search
from tests.helpers.searches import shared_ray


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


def test_writing_a_study_to_mlflow_is_measured(told):
    said = told(publish, "--trials", "2", "--evaluations", "3", "--blocks", "0")
    assert "2 trials of 3 evaluations with grids: " in said
    assert " 12 files of " in said  # a grid and its thumbnail for each
