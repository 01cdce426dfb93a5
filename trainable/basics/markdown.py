"""Users' text in markdown, as it is: names of classes, files and studies are no markup."""

from __future__ import annotations

import re

from trainable.basics.terminal import printable

_MARKUP = re.compile(r"[\\`*\[\]|~$]|(?<!\w)_|_(?!\w)")
_HTML = re.compile(r"<(?=[A-Za-z/!?])|&(?=#?\w+;)")


def escaped(text: object) -> str:
    """`text` on one line, in a table's cell too; what would be no markup stays as it is."""
    line = printable(re.sub(r"\s+", " ", str(text)).strip())
    line = _MARKUP.sub(r"\\\g<0>", line)
    return _HTML.sub(lambda found: "&lt;" if found[0] == "<" else "&amp;", line)


def code(text: str) -> str:
    """`text` as code within a line, between more backticks than it has in a row."""
    line = printable(text).replace("\n", " ")
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}"
