"""The direction of imports between the packages, and which files know Ray, MLflow and Optuna."""

import ast
import re
import sys

import pytest

from tests.helpers import ROOT

PACKAGES = ("spaces", "trainable", "search", "analysis")
LONGEST = 350

# What each package may import of the others.
DIRECTION = {
    "spaces": set(),
    "trainable": {"spaces"},
    "search": {"spaces", "trainable"},
    "analysis": {"spaces", "trainable"},
}
# But for the command, which ends as every other does: on a full disk, by Ctrl-C, for bad input.
# And for a study's result in Python, whose figures are those of the commands.
DOORS = {
    "spaces/__main__.py": ("trainable.basics.",),
    "search/result.py": ("analysis.study.", "analysis.figures."),
}
# Within a package: a room may import those of lower levels and of its own; files beside the rooms
# that are not named, which are its doors, may import all.
LEVELS = {
    "trainable": (
        {"basics"},
        {"data", "pretrained", "distributed"},
        {"gan", "metrics"},
        {"generators"},
        {"trial", "tracking"},
        {"single"},
    ),
    "search": (
        {"study"},
        {"proposals", "capacity", "display", "tracking"},
        {"tune", "resolve", "ending"},
        {"winners", "doctor", "plan"},
        {"session"},
    ),
}
# Folders, or files, that may import what; those for the type checker's eyes only stand apart.
CONFINED = {
    "ray": (
        "search/tune/",
        "search/capacity/",
        "search/winners/",
        "trainable/ray_trainable.py",
        "trainable/distributed/",
        "analysis/augmentation/running/",
    ),
    "mlflow": (
        "search/tracking/",
        "trainable/tracking/",
        "analysis/study/",
        "analysis/augmentation/findings/mlflow_log.py",
    ),
    "optuna": ("search/", "analysis/"),
}
CONFINED_TYPES = {"optuna": ("spaces/",)}
# Nothing more than this, so that a GPU box without the rest trains and measures.
TRAINABLE = {
    "torch", "torchvision", "numpy", "scipy", "PIL", "rich",
    "medmnist", "mlflow", "pydicom", "pyarrow", "safetensors",
}  # fmt: skip


def imported(source: str) -> list[tuple[str, bool]]:
    """Every module that a source imports, at any depth, and whether for type checking only."""
    found: list[tuple[str, bool]] = []

    def walk(node: ast.AST, typing_only: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend((alias.name, typing_only) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            if module in PACKAGES:  # from search import doctor
                found.extend((f"{module}.{alias.name}", typing_only) for alias in node.names)
            else:
                found.append((module, typing_only))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            ("import_module", "__import__")
        ):
            found.extend(
                (str(arg.value), typing_only) for arg in node.args if isinstance(arg, ast.Constant)
            )
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.body:
                walk(child, True)
            for child in node.orelse:
                walk(child, typing_only)
        else:
            for child in ast.iter_child_nodes(node):
                walk(child, typing_only)

    walk(ast.parse(source), False)
    return found


def broken_rules(path: str, source: str) -> list[str]:
    """What a file under `path`, relative to the root, imports against the rules."""
    package = path.split("/")[0]
    broken = []
    for module, typing_only in imported(source):
        top = module.split(".")[0]
        if not top:
            broken.append(f"{path}: {module} is relative, which hides what it names")
        elif module.startswith(DOORS.get(path, ())) and path in DOORS:
            continue
        elif top in PACKAGES and top != package and top not in DIRECTION[package]:
            broken.append(f"{path}: {package} must not import {top}")
        allowed = CONFINED.get(top)
        if allowed is not None:
            allowed += CONFINED_TYPES.get(top, ()) if typing_only else ()
            if not path.startswith(allowed):
                broken.append(f"{path}: {top} must not be imported here")
        elif package == "trainable" and top not in {
            "",
            *sys.stdlib_module_names,
            *PACKAGES,
            "cgan_search",
            *TRAINABLE,
        }:
            broken.append(f"{path}: trainable must do without {top}")
    return broken


def level(module: str) -> int:
    """Of a module's room in its package; past all of them where it has none."""
    package, _, rest = module.partition(".")
    levels = LEVELS.get(package, ())
    room = rest.split(".")[0]
    return next((n for n, rooms in enumerate(levels) if room in rooms), len(levels))


def against_the_levels(path: str, source: str) -> list[str]:
    """What a file imports of its own package's higher rooms, or of its neighbours at its level."""
    here = path.removesuffix(".py").replace("/", ".")
    own, top = here.split(".")[:2], len(LEVELS.get(here.split(".")[0], ()))
    return [
        f"{path}: {'.'.join(own)} must not import {module}"
        for module, _ in imported(source)
        if module.split(".")[0] == own[0] and module.split(".")[:2] != own
        and level(here) < top and level(module) >= level(here)
    ]  # fmt: skip


def files() -> dict[str, str]:
    paths = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))
    return {p.relative_to(ROOT).as_posix(): p.read_text() for p in paths}


def test_imports_follow_the_rules():
    found = files()
    assert {path.split("/")[0] for path in found} == set(PACKAGES)
    assert [line for path, source in found.items() for line in broken_rules(path, source)] == []


def test_rooms_import_downwards():
    assert [x for path, source in files().items() for x in against_the_levels(path, source)] == []


@pytest.mark.parametrize(
    ("path", "source", "wrong"),
    [
        ("trainable/data/dataset.py", "from trainable.gan.run import Run", 1),
        ("trainable/data/dataset.py", "from trainable.basics.files import write_whole", 0),
        ("trainable/gan/run.py", "from trainable.metrics import scores", 1),
        ("trainable/gan/run.py", "from trainable.gan.config import TrialConfig", 0),
        ("trainable/gan/run.py", "from trainable import generate", 1),
        ("trainable/generate.py", "from trainable.single.run import go_on", 0),
        ("search/resolve.py", "from search.tune.run_trials import run_trials", 1),
        ("search/session.py", "from search.winners.conclude import conclude", 0),
        ("analysis/report.py", "from analysis.samples import draw", 0),
    ],
)
def test_upward_imports_are_seen(path, source, wrong):
    assert len(against_the_levels(path, source)) == wrong


def test_no_header_claims_what_the_lists_above_say():
    """Three once called a file the only one that knows Ray or MLflow; there were others."""
    claim = re.compile(r"\bonly (file|module|place)\b[^.]*\b(Ray|MLflow|Optuna)\b", re.I)
    headers = {path: ast.get_docstring(ast.parse(source)) or "" for path, source in files().items()}
    assert [path for path, header in headers.items() if claim.search(header)] == []


@pytest.mark.parametrize("library", CONFINED)
def test_confinement_lists_no_file_that_does_not_need_it(library):
    users = [
        path for path, source in files().items()
        if library in {module.split(".")[0] for module, _ in imported(source)}
    ]  # fmt: skip
    for allowed in CONFINED[library]:
        if allowed.endswith(".py"):
            assert allowed in users


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("spaces/a.py", "import trainable.gan.config"),
        ("spaces/a.py", "import optuna"),
        ("spaces/a.py", "from trainable.basics.command import command_line"),
        ("spaces/__main__.py", "from trainable.gan.config import TrialConfig"),
        ("spaces/a.py", "def f():\n    from search.study.database import load_study"),
        ("trainable/a.py", "from search import study"),
        ("trainable/a.py", "def f():\n    import ray.tune"),
        ("trainable/data/a.py", "import pandas as pd"),
        ("trainable/a.py", "if TYPE_CHECKING:\n    import optuna"),
        ("trainable/a.py", "from importlib import import_module\nimport_module('mlflow')"),
        ("trainable/a.py", "from ..search import study"),
        ("search/a.py", "if TYPE_CHECKING:\n    import analysis.study.table"),
        ("search/study/database.py", "try:\n    import mlflow\nexcept ImportError:\n    pass"),
        ("analysis/a.py", "import search.study.database"),
        ("analysis/fid_vs_time.py", "from mlflow.tracking import MlflowClient"),
        ("analysis/a.py", "from ray import tune"),
    ],
)
def test_broken_rules_are_seen(path, source):
    assert len(broken_rules(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("spaces/a.py", "if TYPE_CHECKING:\n    import optuna"),
        ("spaces/a.py", "import numpy"),
        ("spaces/__main__.py", "from trainable.basics.command import command_line"),
        ("trainable/ray_trainable.py", "from ray import tune"),
        ("trainable/a.py", "import torch.nn, json\nfrom spaces.errors import InputError"),
        ("search/tune/a.py", "import optuna, ray\nfrom trainable.trial.trial import Status"),
        ("analysis/study/table.py", "def f():\n    import mlflow"),
    ],
)
def test_kept_rules_are_left_alone(path, source):
    assert broken_rules(path, source) == []


def imports_a_test(source: str) -> bool:
    return any(re.search(r"^tests\b.*\.test_", module) for module, _ in imported(source))


def test_tests_share_by_helpers_and_import_no_other_test():
    """A test may go, or move, without another one that stands elsewhere."""
    paths = [path for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    assert [p.relative_to(ROOT).as_posix() for p in paths if imports_a_test(p.read_text())] == []
    assert imports_a_test("from tests.search.test_doctor import examine")
    assert not imports_a_test("from tests.helpers.toys import make_data")


def speaks_past_the_terminal(path: str, source: str) -> list[str]:
    """Where a source prints by itself what may be users' text, or has rich read markup in it."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "rich.markup":
            found.append(f"{path}:{node.lineno}: rich.markup")
        if not isinstance(node, ast.Call):
            continue
        called, first = ast.unparse(node.func), node.args[0] if node.args else None
        plain = {k.arg for k in node.keywords if ast.unparse(k.value) == "False"}
        constant = isinstance(first, ast.Constant)
        table = isinstance(first, ast.Call | ast.Name) and not ast.unparse(first).startswith("str(")
        wrong = (
            (called == "Console" and not {"markup", "emoji", "highlight"} <= plain)
            or (called == "print" and not (constant or "json" in ast.unparse(node)))
            or (called.endswith("console.print") and not table)
            or (called.endswith((".status", "status.update")) and not constant)
            or (called.endswith("TextColumn") and "markup" not in plain)
            or called.endswith(("from_markup", "print_json", "shlex.quote", "console.log"))
        )  # fmt: skip
        if wrong:
            found.append(f"{path}:{node.lineno}: {called}")
    return found


# The one place that may; and `spaces`, which knows no other package, and prints no user's text.
SPEAKERS = ("trainable/basics/terminal.py", "spaces/__main__.py")


def test_users_text_and_commands_are_printed_in_one_place():
    sources = {path: source for path, source in files().items() if path not in SPEAKERS}
    assert [
        x for path, source in sources.items() for x in speaks_past_the_terminal(path, source)
    ] == []


@pytest.mark.parametrize(
    "source",
    ["c = Console()", "c = Console(markup=False)", "print(f'{name}')", "print(line)",
     "console.print(f'{name}')", "console.print(a + b)", "console.print(str(path))",
     "console.status(f'reading {name}')", "status.update(text)", "TextColumn('{task.x}')",
     "Text.from_markup(name)", "from rich.markup import escape", "shlex.quote(name)"],
)  # fmt: skip
def test_printing_past_that_place_is_seen(source):
    assert len(speaks_past_the_terminal("a.py", source)) == 1


def test_no_file_is_too_long_to_read():
    lengths = {path: source.count("\n") for path, source in files().items()}
    assert {path: n for path, n in lengths.items() if n > LONGEST} == {}


def test_every_package_says_what_it_is():
    inits = [path for path in files() if path.endswith("__init__.py")]
    folders = {path.rpartition("/")[0] for path in files()}
    assert {path.rpartition("/")[0] for path in inits} == folders
    assert [path for path in inits if not ast.get_docstring(ast.parse(files()[path]))] == []
