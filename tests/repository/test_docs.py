"""README, CONTRIBUTING and docs/: every path, link, command and flag in them exists."""

from __future__ import annotations

import argparse
import functools
import importlib
import re
import shlex

import pytest

from search.__main__ import parser as root_parser
from search.commands import COMMANDS
from search.completion import all_commands
from tests.helpers import ROOT
from tests.helpers.refusals import refused
from trainable.basics.parser import Parser

PAGES = ("README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")))
TOPS = "spaces|trainable|search|analysis|benchmarks|tests|deploy|docs|examples"
FLAGGED = ("README.md", "docs/searching.md", "docs/data.md", "docs/results.md",
           "docs/augmentation.md", "docs/metrics.md", "docs/commands.md", "docs/tutorial.md",
           "docs/howto.md", "docs/index.md", "docs/words.md", "docs/sources.md")  # fmt: skip
"""Pages that name no other program's flags; docs/cluster.md has a test of its own."""
BARE = ("CONTRIBUTING.md", "docs/architecture.md", "docs/performance.md", "docs/index.md",
        "docs/words.md", "docs/comparison.md", "docs/sources.md")  # fmt: skip
"""Pages without commands."""


def text(page: str) -> str:
    return (ROOT / page).read_text()


def missing_paths(words: str) -> list[str]:
    """The paths in a page that are not there, a module's without its suffix too."""
    found = re.findall(rf"(?<![\w./-])((?:{TOPS})/[\w./-]*\w)", words)
    made = "docs/_build"  # by `make docs`
    return [
        p for p in found
        if not (p == made or (ROOT / p).exists() or (ROOT / f"{p}.py").exists())
    ]  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_every_path_named_exists(page):
    assert missing_paths(text(page)) == []


def test_a_wrong_path_is_found():
    assert missing_paths("`search/tune/` and search/tune/searcher, not `search/launch.py`.") == [
        "search/launch.py"
    ]


def test_the_readmes_map_is_of_the_tree():
    """Folders within a package stand behind its name, which begins a line."""
    block = text("README.md").partition("## Files")[2]
    rows = re.findall(r"(?m)^    (\S+)((?:.|\n {5,})*)", block)
    assert {"spaces/", "trainable/", "search/", "analysis/"} <= {name for name, _ in rows}
    for name, rest in rows:
        assert (ROOT / name).exists()
        for inner in re.findall(r"(?<![\w/])([\w/]+(?:/|\.py))(?=[\s,;:)])", rest):
            assert (ROOT / name / inner).exists() or (ROOT / inner).exists(), f"{name}{inner}"
    for package in ("trainable", "search", "analysis"):
        rooms = {p.parent.name for p in (ROOT / package).glob("*/__init__.py")}
        assert rooms <= set(re.findall(r"(\w+)/", dict(rows)[f"{package}/"]))


def heads(page: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"(?m)^#+ (.*)$", re.sub(r"(?ms)^```.*?^```", "", text(page)))
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", text(page)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), target
        if anchor:
            assert anchor in heads(path.resolve().relative_to(ROOT).as_posix()), target


def parser_of(module: str) -> Parser:
    """That of ``python -m module``."""
    package = (ROOT / module.replace(".", "/")).is_dir()
    return importlib.import_module(f"{module}.__main__" if package else module).parser()


def read(line: list[str]) -> None:
    """Have a command's own parser read its words.

    Raises:
        InputError: it does not take them.
    """
    match line:
        case ["python", "-m", module, *words] if not module.startswith("benchmarks"):
            parser_of(module).parse_args(words)
        case ["cgan-search", *words] if words[:1] != ["--help"]:
            name = next(x for n in (1, 2) if (x := " ".join(words[:n])) in COMMANDS)
            importlib.import_module(COMMANDS[name].module).parser().parse_args(
                words[name.count(" ") + 1 :]
            )


def commands(page: str) -> list[list[str]]:
    """The commands of the indented blocks of a page."""
    plain = re.sub(r"(?ms)^```.*?^```", "", text(page))
    blocks = "\n".join(re.findall(r"(?m)^    (\S.*|    .*)$", plain)) + "\n"
    lines = re.sub(r"\\\n\s*", "", blocks).splitlines()
    ours = ("python -m ", "cgan-search ")
    return [shlex.split(line, comments=True) for line in lines if line.startswith(ours)]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_read_by_its_own_parser(page):
    for line in commands(page):
        read(line)
    assert bool(commands(page)) == (page not in BARE)


@pytest.mark.parametrize("page", PAGES)
def test_every_module_named_exists(page):
    for module in re.findall(rf"python -m ((?:{TOPS})[\w.]*)\b", text(page)):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


@functools.cache
def known_flags() -> set[str]:
    """The flags of all commands."""
    parsers: list[argparse.ArgumentParser] = [root_parser(), all_commands()]
    found: set[str] = set()
    for parser in parsers:  # which grows
        found |= set(parser._option_string_actions)
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                parsers += action.choices.values()
    return found


@pytest.mark.parametrize("page", FLAGGED)
def test_every_flag_named_is_one(page):
    quoted = [q for q in re.findall(r"`([^`\n]+)`", text(page)) if "pip " not in q]
    named = {flag for q in quoted for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*", q)}
    assert named - {"--help"} <= known_flags()


def test_every_figure_is_in_the_table():
    table = text("docs/results.md").partition("## Figures")[2].partition("\n## ")[0]
    listed = {row.split()[0] for row in re.findall(r"(?m)^\| `([^`]+)`", table)}
    files = (ROOT / "analysis").glob("*.py")
    assert listed == {p.stem for p in files if "__main__" in p.read_text()}


def test_wrong_words_are_not_read():
    with refused("--spaces", "--space"):
        read(["python", "-m", "search.run", "--spaces", "full"])
    with refused("--spaces", "--space"):
        read(["cgan-search", "run", "--spaces", "full"])
