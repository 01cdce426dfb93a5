"""What users read stands in one golden file, and in no other test."""

import pytest

from tests.helpers import ROOT
from tests.helpers.messages import COMMAND, GOLDEN, messages, repeated, runs, templates

KNOWN = "no frog sings louder than {count} others, said {name}; give --frogs"


def test_the_golden_file_is_what_the_code_says():
    """Read the change as a user would, then let the command write it down."""
    assert GOLDEN.read_text() == messages(), f"if the change is meant: {COMMAND}"


def test_no_other_test_repeats_a_sentence():
    """Flags, values, counts and commands are what a test checks; see `tests.helpers.refusals`."""
    known = set().union(*map(runs, GOLDEN.read_text().splitlines()))
    paths = sorted((ROOT / "tests").rglob("*.py"))
    assert [
        f"{path.relative_to(ROOT)}:{line}: {words}"
        for path in paths
        for line, words in repeated(path.read_text(), known)
    ] == []


@pytest.mark.parametrize(
    ("source", "read"),
    [
        ("raise InputError(f'{path} holds {n:,} frogs; ' 'name another')",
         ["{path} holds {n:,} frogs; name another"]),
        ("say(f'{n} frogs'); say('frogs')", ["{n} frogs"]),
        ("p.add_argument('--frogs', help='how many frogs')", ["how many frogs"]),
        ("f'{a!r} and {b:.{n}f} frogs'", ["{a!r} and {b:.{n}f} frogs"]),
        ("def f():\n    'Of no frog at all.'\n    return 'of two frogs'", ["of two frogs"]),
        ("re.compile('two frogs'); run('SELECT frogs FROM pond')", []),
        ("ax.annotate(n, textcoords='offset points')", []),
    ],
)  # fmt: skip
def test_what_users_read_is_found(source, read):
    assert list(templates(source)) == read


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("assert 'no frog sings louder than' in said", True),
        ("match=r'^No frog sings, louder than \\\\d+'", True),
        ("assert said.startswith('it is: no frog sings louder than')", True),
        ("assert tells(said, 'no frog sings louder', 5, 'others', '--frogs')", False),
        ("'no frog sings louder, --than'", False),
        ("def f():\n    'no frog sings louder than'", False),
    ],
)
def test_a_sentence_is_found_in_a_test(source, found):
    assert bool(repeated(source, runs(KNOWN))) == found
