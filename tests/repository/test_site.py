"""What docs/_ext adds to the site; whether its references are whole, `make docs` says."""

from __future__ import annotations

import argparse
import dataclasses

import pytest
import sphinx_commands
import sphinx_docstrings
from docutils.core import publish_doctree

from trainable.gan.config import TrialConfig

TEXTS = (
    "ROOT/<class>/*, or any with --labels (100 % of `data_` or fid+0.5*kid)",
    "|a| \\ b_ and *emphasis*, [x]_ and :role:",
)


def rendered(text: str) -> str:
    return publish_doctree(
        sphinx_commands._plain(text), settings_overrides={"report_level": 2}
    ).astext()


@pytest.mark.parametrize("text", TEXTS)
def test_help_is_shown_as_it_is_written(text):
    assert rendered(text) == text.replace("`", "")


def test_a_command_is_shown_with_its_flags_and_those_of_its_parts():
    parser = argparse.ArgumentParser("tool", description="A tool.")
    parser.add_argument("--known", metavar="N", default=3, help="a number (default: %(default)s)")
    parser.add_argument("--hidden", help=argparse.SUPPRESS)
    part = parser.add_subparsers().add_parser("part")
    part.add_argument("file", help="a file")
    shown = "\n".join(sphinx_commands._described(parser, "-"))
    assert ".. option:: --known N\n\n   a number (default: 3)" in shown
    assert ".. program:: tool part\n" in shown
    assert ".. option:: file\n" in shown
    assert "hidden" not in shown


def test_every_hyperparameter_has_its_range():
    for field in dataclasses.fields(TrialConfig):
        lines = ["What it does: this."]
        name = f"trainable.gan.config.TrialConfig.{field.name}"
        sphinx_docstrings._process(None, "attribute", name, None, None, lines)
        assert lines[-1].startswith(("One of ", "Some of ", "From ", "Above ")), field.name
