"""Every text of the code that users may read; `python -m tests.helpers.messages` writes it down.

The golden file shows a change of wording where it can be read and judged, and is the only place
where tests hold a sentence.
"""

import ast
import re
from collections.abc import Callable, Iterator

from tests.helpers import ROOT

PACKAGES = ("spaces", "trainable", "search", "analysis")
GOLDEN = ROOT / "tests/golden/messages.txt"
COMMAND = "python -m tests.helpers.messages"
RUN = 5
"""So many words in a row are a sentence of the product's; fewer may be chance."""
# What takes text that no user reads: patterns, queries, options of libraries.
_CALLS = re.compile(r"re\.\w+|.*\b(warnings\.\w+|execute|search_\w+|startswith|removeprefix)")
_OPTIONS = {"textcoords", "loc", "style", "filter_string", "order_by"}
_FIELD = re.compile(r"\{.*?\}")
_PUNCTUATION = '.,;:!?()[]"\\^$'
_QUERY = re.compile(r"\s*(SELECT|PRAGMA|ALTER|attributes\.|params\.|tags\.)")


def template(node: ast.AST) -> str | None:
    """A literal's text, with `{expression}` for a field of an f-string; None if it is another node.

    Literals side by side are one, as Python reads them; those joined by + stay apart.
    """
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.FormattedValue):
        kind = f"!{chr(node.conversion)}" if node.conversion > 0 else ""
        spec = f":{template(node.format_spec)}" if node.format_spec else ""
        return f"{{{ast.unparse(node.value)}{kind}{spec}}}"
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part) or "" for part in node.values)
    return None


def prose(text: str) -> bool:
    """Whether a template has two words of its own, or one beside a field."""
    own = _FIELD.sub("{}", text)
    words = re.findall(r"(?<![\w./-])[A-Za-z]{3,}(?![\w./=])", own)
    return len(words) + ("{}" in own) > 1 and bool(words) and " " in own.strip()


def templates(source: str) -> Iterator[str]:
    """Of a file, in order: its prose, without docstrings save a module's that it prints."""
    tree = ast.parse(source)
    if any(isinstance(n, ast.Name) and n.id == "__doc__" for n in ast.walk(tree)):
        yield ast.get_docstring(tree) or ""
    yield from (text for _, text in literals(tree, _for_code) if not _QUERY.match(text))


def literals(node: ast.AST, hidden: Callable[[ast.AST], bool]) -> Iterator[tuple[int, str]]:
    """The prose that stands in a tree, by line, in order; no docstrings, and nothing hidden."""
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    if docstring or hidden(node):
        return
    text = template(node)
    if text is not None and prose(text):
        yield getattr(node, "lineno", 0), text  # what its fields hold is in it
        return
    for child in ast.iter_child_nodes(node):
        yield from literals(child, hidden)


def _for_code(node: ast.AST) -> bool:
    """Whether what is passed here is read by code alone."""
    return (
        isinstance(node, ast.Call) and _CALLS.fullmatch(ast.unparse(node.func)) is not None
    ) or (isinstance(node, ast.keyword) and node.arg in _OPTIONS)


def messages() -> str:
    """The golden file as the code would have it: a line a text, under its file's name."""
    found = []
    for path in sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py")):
        lines = [text.strip().replace("\n", "\\n") for text in templates(path.read_text())]
        if lines:
            found.append("\n    ".join([path.relative_to(ROOT).as_posix(), *lines]))
    return "\n".join(found) + "\n"


def runs(text: str) -> set[tuple[str, ...]]:
    """Of a text, every `RUN` words in a row; fields, flags, files and numbers part them."""
    found, row = set(), []
    for piece in _FIELD.sub(" {} ", text).split():
        word = piece.strip(_PUNCTUATION).lower()
        row = [*row, word][-RUN:] if re.fullmatch(r"[a-z']+", word) else []
        if len(row) == RUN:
            found.add(tuple(row))
    return found


def repeated(source: str, known: set[tuple[str, ...]]) -> list[tuple[int, str]]:
    """The lines of a source of tests with a row of words that is known, and those words."""
    return [
        (line, " ".join(row))
        for line, text in literals(ast.parse(source), lambda node: False)
        for row in sorted(runs(text) & known)[:1]
    ]


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(messages())
