"""`cgan-search`: every command under one name, found, completed, and told apart when mistyped."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib

import pytest

import search.run
from search.__main__ import main
from search.commands import COMMANDS, listing
from search.completion import SHELLS, all_commands
from search.study.flags import resume_parser
from tests.helpers import ROOT
from tests.helpers.refusals import tells
from trainable.basics.terminal import NAME


def test_each_command_has_a_parser_that_goes_by_its_name(capsys):
    for name in COMMANDS:
        with pytest.raises(SystemExit) as end:
            main([*name.split(), "--help"])
        assert end.value.code == 0
        assert tells(capsys.readouterr().out, f"{NAME} {name}")


def test_each_module_with_a_door_is_a_command():
    """But for `search` itself."""
    doors = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in ("spaces", "trainable", "search", "analysis")
        for path in (ROOT / package).rglob("*.py")
        if 'if __name__ == "__main__":' in path.read_text()
    }
    known = {command.module for command in COMMANDS.values()}
    assert doors - known == {"search.__main__"}
    assert known <= doors


def test_help_lists_all(capsys):
    for words in ([], ["figures", "--help"]):
        assert main(words) == 0
        assert listing() in capsys.readouterr().out


def test_the_installed_commands_version_is_the_packages(capsys, monkeypatch):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, _, function = project["scripts"][NAME].partition(":")
    monkeypatch.setattr(sys, "argv", [NAME, "--version"])
    with pytest.raises(SystemExit) as end:
        getattr(importlib.import_module(module), function)()
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f"{NAME} {project['version']}")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["rnu"], ["rnu", "run"]),
        (["zebra"], ["zebra", "cgan-search --help"]),
        (["figure", "samples"], ["figure", "figures"]),
        (["figures"], ["fid-vs-time", "samples"]),
        (["figures", "zebra"], ["zebra", "fid-vs-time"]),
        (["fid_vs_time", "--study", "x"], ["cgan-search figures fid-vs-time"]),
        (["--vresion"], ["--vresion", "--version"]),
        (["run", "--trails", "3"], ["--trails", "--trials", "cgan-search run --help"]),
        (["data", "show", "x", "--oot", "y"], ["--oot", "--out", "cgan-search data show --help"]),
        (["resume"], ["NAME", "cgan-search resume --help"]),
    ],
)
def test_mistakes_are_told_in_a_line(words, parts, capsys):
    assert main(words) == 2
    said = capsys.readouterr().err
    assert tells(said, *parts)
    assert said.count("\n") == 1


def test_figures_go_by_their_modules_names_too(capsys):
    assert main(["figures", "learning_curves", "--study", "x", "--tracking-uri", "?"]) == 2
    assert tells(capsys.readouterr().err, "--tracking-uri", "?")


def test_resume_is_run_with_a_name(monkeypatch, tmp_path, capsys):
    seen = []
    monkeypatch.setattr("search.resume.start", lambda args, began: seen.append(args) or 0)
    assert main(["resume", "a", "--trials", "9", "--output", str(tmp_path)]) == 0
    flags = ["--resume", "a", "--trials", "9", "--output", str(tmp_path)]
    monkeypatch.setattr(search.run, "start", lambda args, began: seen.append(args) or 0)
    assert search.run.main(flags) == 0
    assert vars(seen[0]) == vars(seen[1])
    monkeypatch.undo()
    assert main(["resume", "a", "--seed", "1", "--output", str(tmp_path)]) == 2
    assert tells(capsys.readouterr().err, "--seed")
    assert "--seed" not in resume_parser().format_help()


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_knows_commands_flags_and_options(shell, capsys):
    assert main(["completion", shell]) == 0
    said = capsys.readouterr().out
    assert tells(said, "fid-vs-time", "nsgaii", "image-size" if shell == "fish" else "--image-size")


def test_a_shell_completes_the_names_of_studies(tmp_path, capsys):
    """In bash itself, which the script is for."""
    for name in ("full-films", "full-phantom", "other"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "study.json").touch()
    (tmp_path / "runs" / "mlartifacts").mkdir()
    assert main(["completion", "bash"]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    for words, found in [
        ("resume full-", {"full-films", "full-phantom"}),
        ("run --resume o", {"other"}),
        ("report --study full-f", {"full-films"}),
        ("figures samples --study ot", {"other"}),
        ("run --study full-", set()),
    ]:
        typed = [NAME, *words.split()]
        asked = f"""
        . ./script
        COMP_WORDS=({" ".join(typed)}); COMP_CWORD={len(typed) - 1}
        $(complete -p {NAME} | grep -o '_shtab[a-z_]*') {NAME} {typed[-1]} {typed[-2]}
        printf '%s\n' "${{COMPREPLY[@]}}"
        """
        done = subprocess.run(
            ["bash", "-c", asked], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert set(done.stdout.split()) == found, done.stderr


def test_a_shell_completes_files_where_a_flag_takes_one(capsys):
    assert main(["completion", "bash"]) == 0
    said = capsys.readouterr().out
    for flag in ("run___labels", "augment___data", "train___config"):
        assert f"{flag}_COMPGEN=_shtab_compgen_files" in said


def test_completion_reads_what_the_commands_do():
    args = all_commands().parse_args(["figures", "samples", "--study", "x", "--trial", "3"])
    assert args.trial == 3
