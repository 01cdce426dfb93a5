"""The search: command line, study, searcher, scheduler, progress, tracking, winners.

From Python, ``from search import Search``: see `search.api`. It is imported when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cgan_search import check

if TYPE_CHECKING:
    from search.api import Search
    from search.result import Result

__all__ = ["Result", "Search"]

check()


def __getattr__(name: str) -> Any:
    if name == "Search":
        from search.api import Search

        return Search
    if name == "Result":
        from search.result import Result

        return Result
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
