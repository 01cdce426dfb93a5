"""The directive `commands`: every command with every flag, as their own parsers describe them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from search.commands import GROUPS
from trainable.basics.parser import called
from trainable.basics.terminal import NAME


class Commands(SphinxDirective):
    """A section for each command, in which a flag can be searched for and linked to."""

    def run(self) -> list[nodes.Node]:
        """Describe them in reStructuredText, and read that."""
        lines = []
        for title, commands in GROUPS.items():
            lines += _heading(title.capitalize(), "-")
            for name, command in commands.items():
                with called(f"{NAME} {name}"):
                    lines += _described(import_module(command.module).parser(), "~")
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def _described(parser: argparse.ArgumentParser, underline: str) -> Iterator[str]:
    """Of a command, and below it of those that it is made of."""
    yield from _heading(parser.prog, underline)
    yield from (f".. program:: {parser.prog}", "", _plain(parser.description or ""), "")
    show = parser._get_formatter()
    inner: list[argparse.ArgumentParser] = []
    for group in parser._action_groups:
        flags = []
        for action in group._group_actions:
            if isinstance(action, argparse._SubParsersAction):
                inner += action.choices.values()
            elif action.help != argparse.SUPPRESS and not isinstance(action, argparse._HelpAction):
                flags.append(action)
        if flags and group.title not in ("options", "positional arguments"):
            yield from (f".. rubric:: {(group.title or '').capitalize()}", "")
        for action in flags:
            yield from (f".. option:: {show._format_action_invocation(action)}", "")
            yield from (f"   {_plain(show._expand_help(action))}", "")
    for command in inner:
        yield from _described(command, "^")


def _heading(title: str, underline: str) -> list[str]:
    return [title, underline * len(title), ""]


def _plain(text: str) -> str:
    """Text on one line in which reStructuredText finds no markup but literals."""
    escaped = re.sub(r"([\\*_|<>])", r"\\\1", " ".join(text.split()))
    return re.sub(r"(`+)(.+?)\1", lambda m: f"``{m[2]}``".replace("\\", ""), escaped)


def setup(app: Any) -> dict[str, Any]:
    """Tell Sphinx of the directive."""
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True}
