"""The columns of a bar: what is done, how much of how much, and the time elapsed and left."""

from __future__ import annotations

from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn
from rich.progress import Progress as Display
from rich.table import Column
from rich.text import Text

from trainable.basics.wording import time_left, times

__all__ = ["Display", "columns"]


def columns() -> tuple[ProgressColumn, ...]:
    """Of a bar; the bar alone gives way where the line is short."""
    return (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        _Count(table_column=Column(no_wrap=True)),
        _Times(table_column=Column(no_wrap=True)),
    )


class _Count(MofNCompleteColumn):
    """How much is done of how much; nothing of work that cannot tell."""

    def render(self, task: Task) -> Text:
        return Text() if task.total is None else super().render(task)


class _Times(ProgressColumn):
    """Time elapsed and, at the speed so far, left.

    rich's own estimate forgets all that is older than half a minute: where a step takes longer, it
    never has one.
    """

    def render(self, task: Task) -> Text:
        elapsed = task.elapsed or 0.0
        left = time_left(elapsed, task.completed, task.total, task.fields["before"])
        return Text(times(elapsed, left))
