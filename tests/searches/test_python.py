"""A search from Python as the examples have it: the notebook and the script, on the phantom."""

from __future__ import annotations

import ast
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from search import Result, Search
from search.result import FIGURES
from tests.helpers import ROOT
from tests.helpers.refusals import refused, tells
from tests.helpers.searches import SPACE, shared_ray
from trainable.data import sources

QUICK = {
    "trials": 2, "epochs": 4, "eval_every": 2, "grace": 2, "winner_images": 20, "top_k": 1,
    "backbone": "none", "space": "their_space:tiny", "max_concurrent": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Iterator[Path]:
    """Where both run, one after the other, with a quick space and a quarter of the phantoms."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "their_space.py").write_text(SPACE)
    with pytest.MonkeyPatch.context() as patch, shared_ray():
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        patch.setattr(sources, "PHANTOMS_PER_CLASS", 25)
        yield folder


def shown(source: str, names: dict[str, Any]) -> Any:
    """Run a cell; the value of its last expression, which a notebook shows."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    if not isinstance(last, ast.Expr):
        return None
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


@pytest.fixture(scope="module")
def cells(folder) -> list[Any]:
    """What the notebook's cells show.

    They run here, not in a kernel: that would import PyTorch and start a Ray of its own, half a
    minute, and bring forty packages into the environment.
    """
    notebook = json.loads((ROOT / "examples/first_search.ipynb").read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    names: dict[str, Any] = {"__name__": "__main__"}
    values = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            values.append(shown("".join(cell["source"]), names))
            if "parameters" in cell["metadata"].get("tags", []):
                names["size"] = QUICK
    return [names["result"], *values]


def test_the_notebook_shows_what_was_found(cells):
    result, board = cells[0], cells[3]
    assert isinstance(board, pd.DataFrame)
    assert len(board) == 2
    assert set(board["status"]) <= {"complete", "pruned"}
    assert isinstance(cells[4], dict)
    assert cells[4]["g_width"] in (4, 8)
    for figure in cells[5:7]:
        assert figure._repr_png_().startswith(b"\x89PNG")
    assert isinstance(cells[7], Image.Image)
    assert cells[7].size == (512, 128)
    assert cells[8] is True
    assert result.name == "tiny-phantom-32-1"


def test_every_figure_of_a_study_is_drawn_or_says_what_it_lacks(cells):
    result: Result = cells[0]
    told = {name: _drawn(result, name) for name in FIGURES}
    assert {name for name, why in told.items() if not why} >= {
        "fid-vs-time", "learning-curves", "samples", "neighbours",
    }  # fmt: skip
    assert "objectives" in told
    assert result.figure("fid_vs_time", within="10m") is not None
    for name, words, parts in (
        ("fid-vs-tiem", {}, ["fid-vs-time"]),
        ("compare", {}, ["samples"]),
        ("fid-vs-time", {"within": "soon"}, ["--within", "soon"]),
        ("fid-vs-time", {"wihtin": "10m"}, ["wihtin", "within"]),
        ("samples", {"study": "another"}, ["study"]),
    ):
        with refused(*parts):
            result.figure(name, **words)


def _drawn(result: Result, name: str) -> str:
    try:
        result.figure(name)
    except ValueError as error:
        return str(error)
    return ""


def test_the_generator_draws_what_is_asked(cells):
    generator = cells[0].best.generator
    first = generator.sample(5, "normal")
    assert (first.shape, first.dtype) == ((5, 32, 32), np.uint8)
    assert np.array_equal(generator.sample(3, "normal"), first[:3])
    assert not np.array_equal(generator.sample(5, "pneumonia"), first)
    assert not np.array_equal(generator.sample(5, "normal", seed=1), first)
    with refused("normla", "normal", "pneumonia"):
        generator.sample(5, "normla")
    with refused("n", 0):
        generator.sample(0, "normal")


def test_a_study_is_resumed_with_more_trials_and_read_again(cells, capsys):
    name = cells[0].name
    result = Search.resume(name, trials=3, max_concurrent=2).run()
    assert tells(capsys.readouterr().out, "trial", 2)
    assert len(result.leaderboard) == 3
    assert len(Result.load(name).leaderboard) == 3
    with refused("--seed"):
        Search.resume(name, seed=3).run()


def test_the_script_writes_what_it_promises(folder, capsys):
    path = ROOT / "examples/first_search.py"
    spec = importlib.util.spec_from_file_location("first_search", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(folder / "out", **QUICK, study="scripted", output=str(folder / "runs"))
    names = {path.name for path in (folder / "out").iterdir()}
    assert names == {"fid-vs-time.png", "learning-curves.png", "normal.png", "pneumonia.png"}
    assert tells(capsys.readouterr().out, "trial", "fid")
