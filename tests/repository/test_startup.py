"""Help and mistakes cost no import of what takes seconds: PyTorch, Ray, MLflow and their like."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.helpers import ROOT

HEAVY = {
    "torch", "torchvision", "ray", "mlflow", "optuna", "sqlalchemy", "pandas", "matplotlib",
    "scipy",
}  # fmt: skip
FIGURES = (
    "fid_vs_time", "hyperparameters", "interactions", "parallel", "learning_curves", "samples",
    "neighbours", "objectives", "report",
)  # fmt: skip
NO_MODEL = ["--model", "nowhere.safetensors"]
# What each command is to refuse at once; "file" is a file.
LONG = "x" * 300  # more than a file's name may have
MISTAKES = {
    "search": [
        ["--nonsense"], ["rnu"], ["figures"], ["figures", "parallels"], ["run", "--trails", "3"],
        ["resume", "nowhere"], ["figures", "fid-vs-time", "--study", "x", "--within", "soon"],
        ["run", "--config", "nowhere.toml"], ["completion", "tcsh"],
    ],
    "search.completion": [["tcsh"]],
    "search.run": [
        ["--data", "nowhere"], ["--held-out", "nowhere"], ["--output", "file"], ["--trials", "0"],
        ["--image-size", "65"], ["--objective", "beauty"], ["--space", "outer"],
        ["--study", "a b"], ["--resume", "nowhere"], ["--resume", "nowhere", "--seed", "1"],
        ["--enqueue", "nowhere.json"], ["--features-weights", "nowhere.pth"],
        ["--init-from", "models:/nowhere@champion"], ["--time-budget", "soon"],
        ["--cpus-per-trial", "0"], ["--output", LONG], ["--progress", "live"], ["--nonsense"],
    ],
    "search.resume": [["nowhere"], ["nowhere", "--seed", "1"]],
    "search.doctor": [["--resume", ".."], ["--tracking-uri", "http://a:b/c@d"], ["--nonsense"]],
    "search.publish": [["nowhere"], ["nowhere", "--output", "file"]],
    "search.ui": [["--tracking-uri", "sqlite:///nowhere.db"], ["--port", "0"]],
    "trainable.generate": [
        [*NO_MODEL, "--per-class", "1", "--out", "new"],
        [*NO_MODEL, "--per-class", "0", "--out", "new"],
        ["--model", "models:/nowhere@champion", "--per-class", "1", "--out", "new"],
        [*NO_MODEL, "--per-class", "1", "--out", "file"],
        [*NO_MODEL, "--per-class", "1", "--out", LONG],
    ],
    "trainable": [
        ["--data", "nowhere"], ["--config", "nowhere.json"], ["--out", "file"], ["--epochs", "0"],
        ["--trial", "nowhere"], ["--init-from", "nowhere.safetensors"], ["--seed", "-1"],
        ["--evaluate-at", "never"], ["--out", LONG], ["--config", LONG],
    ],
    "trainable.data": [
        ["show", "nowhere", "--out", "new.png"],
        ["show", "phantom", "--out", "new.jpeg"],
        ["small", "--source", "nowhere", "--out", "new"],
        ["small", "--source", ".", "--out", LONG], ["show", LONG, "--out", "new.png"],
    ],
    "trainable.metrics": [["nowhere", "nowhere"], ["file", "file"], [LONG, LONG], ["--nonsense"]],
    "spaces": [["nowhere"], ["--image-size", "65"]],
    "analysis.augmentation": [
        [*NO_MODEL, "--data", "phantom"],
        ["--study", "nowhere", "--data", "phantom"],
        ["--study", "nowhere", "--data", "nowhere"],
        ["--study", "nowhere", "--data", "phantom", "--sizes", "none"],
    ],
    "analysis.compare": [["nowhere", "neither"], ["one", "one"]],
    "analysis.fid_vs_time": [["--study", "nowhere", "--within", "soon"]],
    "analysis.report": [["--study", "nowhere", "--megabytes", "-1"]],
}  # fmt: skip
RUN = f"""
import json, runpy, sys
for module, flags in json.loads(sys.stdin.read()):
    sys.argv = [module, *flags]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code or 0
    print("", json.dumps([module, flags, code, sorted({HEAVY} & set(sys.modules))]))
"""


def calls() -> list[tuple[str, list[str], int]]:
    """Every command with what it is given, and the exit code that is due."""
    figures = {f"analysis.{name}": [["--study", "nowhere"]] for name in FIGURES}
    every = {name: [*figures.get(name, []), *MISTAKES.get(name, [])]
             for name in {**MISTAKES, **figures}}  # fmt: skip
    return [
        (name, flags, 0 if flags == ["--help"] else 2)
        for name, mistakes in every.items()
        for flags in (["--help"], *mistakes)
    ]


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """Exit codes of all, and what heavy modules were there by then: in one process, in turn."""
    folder = tmp_path_factory.mktemp("startup")
    (folder / "file").touch()
    given = json.dumps([call[:2] for call in calls()])
    done = subprocess.run(
        [sys.executable, "-c", RUN], input=given, capture_output=True, text=True, check=True,
        cwd=folder, env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(folder)},
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith(" [")]
    return [json.loads(line) for line in lines], done.stderr, folder


def test_each_call_ends_as_it_should(ended):
    assert [(name, flags, code) for name, flags, code, _ in ended[0]] == calls()
    assert "Traceback" not in ended[1]


def test_none_imports_what_takes_seconds(ended):
    assert [(name, flags, heavy) for name, flags, _, heavy in ended[0] if heavy] == []


def test_none_leaves_anything_behind(ended):
    assert {path.name for path in ended[2].iterdir()} <= {"file", "runs"}
    assert not any((ended[2] / "runs").glob("*"))


def test_every_command_is_tried():
    doors = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
        for package in ("spaces", "trainable", "search", "analysis")
        for path in (ROOT / package).rglob("*.py")
        if 'if __name__ == "__main__":' in path.read_text()
    }
    assert doors == {name for name, _, _ in calls()}
