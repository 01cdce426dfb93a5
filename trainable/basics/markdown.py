"""Users' text in markdown, as it is: names of classes, files and studies are no markup."""

from __future__ import annotations

import re

from trainable.basics.terminal import printable


def escaped(text: object) -> str:
    """`text` on one line, in a table's cell too."""
    line = re.sub(r"\s+", " ", printable(str(text))).strip()
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~$])", r"\\\1", line)


def code(text: str) -> str:
    """`text` as code within a line, between more backticks than it has in a row."""
    line = printable(text).replace("\n", " ")
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}"
