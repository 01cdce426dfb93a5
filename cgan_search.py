"""The installed command, and a check that the four packages it runs are this project's own.

Their names are plain: another package may have one of them, and so may a file in the current
folder. Each of the four calls `check` before it imports anything else.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("spaces", "trainable", "search", "analysis")


@cache
def check() -> None:
    """End the process with exit code 2, and say why, unless all packages are those beside this.

    A package installed later may also have replaced a file of ours, which does not call this then.
    """
    for name in PACKAGES:
        own = Path(__file__).with_name(name) / "__init__.py"
        spec = find_spec(name)
        found = spec and (spec.origin or next(iter(spec.submodule_search_locations or ()), None))
        if found == str(own) and "cgan_search" in own.read_text(encoding="utf-8"):
            continue
        print(
            f"error: `import {name}` finds {found or 'nothing'}, which is not part of cgan-search; "
            "if that is a file of yours, rename it or run from another folder; else install "
            "cgan-search again, in an environment of its own (pipx, uv tool or venv)",
            file=sys.stderr,
        )
        raise SystemExit(2)


def main() -> int:
    """Run the command line; returns its exit code."""
    check()
    from search.__main__ import main as run

    return run()
