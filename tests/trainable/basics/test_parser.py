"""Words on a command line, in a file, and from Python: one parser for the three."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.refusals import refused
from trainable.basics.parser import Duration, Parser, called, program


def parser() -> Parser:
    p = Parser(prog=program("frogs"))
    p.add_argument("--pond", type=Path)
    p.add_argument("--many-frogs", type=int, default=3)
    p.add_argument("--many-toads", type=int)
    p.add_argument("--within", action=Duration)
    p.add_argument("--colour", choices=("green", "brown"))
    p.add_argument("--loud", action="store_true")
    return p


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--many-forgs", "3"], ["--many-forgs", "--many-frogs", "python -m frogs --help"]),
        (["--laud=yes"], ["--laud", "--loud"]),
        (["-loud"], ["-loud", "--loud"]),
        (["--sings"], ["--sings", "frogs --help"]),
        (["--many-frogs", "x", "--pnod", "a"], ["--pnod", "--pond"]),
        (["--many-frogs", "x"], ["--many-frogs is 'x'", "frogs --help"]),
        (["--colour", "gren"], ["--colour is 'gren'", "green, brown", "frogs --help"]),
        (["--colour"], ["--colour", "frogs --help"]),
        (["--many", "2"], ["--many", "--many-frogs", "--many-toads"]),
        (["green", "frog"], ["green frog", "--"]),
        (["--within", "soon"], ["--within", "soon", "10m"]),
    ],
)
def test_what_is_mistyped_is_told_in_a_line(words, parts, capsys):
    with refused(*parts) as error:
        parser().parse_args(words)
    assert "\n" not in str(error.value)
    assert capsys.readouterr() == ("", "")


def test_a_likely_name_is_not_made_up():
    with refused("--zebra") as error:
        parser().parse_args(["--zebra"])
    assert "?" not in str(error.value)


def test_what_is_right_is_read():
    args = parser().parse_args(["--pond", "a b", "--many-f", "-2", "--within", "1h", "--loud"])
    assert vars(args) == {
        "pond": Path("a b"), "many_frogs": -2, "many_toads": None, "colour": None,
        "within": 3600.0, "loud": True,
    }  # fmt: skip


def test_a_subcommand_knows_its_own_flags():
    root = Parser(prog="frogs")
    inner = root.add_subparsers(required=True, metavar="COMMAND").add_parser("count")
    inner.add_argument("--many", type=int, required=True)
    assert root.parse_args(["count", "--many", "3"]).many == 3
    with refused("--mnay", "--many", "frogs count --help"):
        root.parse_args(["count", "--mnay", "3"])
    with refused("cuont", "count"):
        root.parse_args(["cuont", "--many", "3"])


def test_a_command_goes_by_the_name_that_was_typed():
    with called("cgan-search frogs"), refused("cgan-search frogs --help"):
        parser().parse_args(["--sings"])
    assert program("frogs") == "python -m frogs"


def test_values_become_words():
    given = {
        "pond": Path("-a b"), "many_frogs": np.int64(4), "many-toads": None, "loud": False,
        "within": "90s",
    }  # fmt: skip
    words = parser().words(given, "here")
    assert words == ["--pond=-a b", "--many-frogs=4", "--within=90s"]
    args = parser().parse_args(words)
    assert (args.pond, args.many_frogs, args.loud) == (Path("-a b"), 4, False)
    assert parser().words({"loud": True}, "here") == ["--loud"]


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({"many_forgs": 3}, ["here", "many_forgs", "many-frogs"]),
        ({"zebra": 3}, ["here", "zebra", "--help"]),
        ({"help": True}, ["here", "help"]),
        ({"many_frogs": 3, "many-frogs": 3}, ["here", "many-frogs"]),
        ({"loud": "yes"}, ["here", "loud", "'yes'", "true"]),
        ({"many_frogs": True}, ["here", "many_frogs", "True"]),
        ({"many_frogs": [3]}, ["here", "many_frogs", "[3]"]),
        ({"frogs": {"many": 3}}, ["here", "frogs"]),
    ],
)
def test_what_cannot_be_a_flags_value_is_refused(given, parts):
    with refused(*parts):
        parser().words(given, "here")
