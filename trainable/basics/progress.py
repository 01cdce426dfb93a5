"""How far long work is, and bars that show it: on terminals only, and gone at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn
from rich.progress import Progress as Display
from rich.table import Column
from rich.text import Text

from trainable.basics.wording import format_duration

Progress = Callable[[int, int], None]
"""Called with how much is done, and with how much there is."""
Stage = Callable[[str], AbstractContextManager[Progress]]
"""Begins a part of some work, by its name; `partial(stage, console)` is one that shows."""


@contextmanager
def silent(label: str) -> Iterator[Progress]:
    """A stage that nobody watches."""
    yield unseen


def unseen(done: int, total: int) -> None:
    """Progress that nobody watches."""


@contextmanager
def stage(
    console: Console, label: str, total: int | None = None, done: int = 0
) -> Iterator[Progress]:
    """Show that a block is at work, and how far it is if it says so by calling what it is given.

    Lines that are printed on `console` meanwhile appear above. Only one may be live on a
    console. `done` of the `total` was done before: no time is reckoned for that.
    """
    if not console.is_interactive:
        yield unseen
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),  # it alone gives way where the line is short
        _Count(table_column=Column(no_wrap=True)),
        _Times(table_column=Column(no_wrap=True)),
    )
    with Display(*columns, console=console, transient=True) as display:
        task = display.add_task(label, total=total, completed=done, before=done)
        yield lambda now, of: display.update(task, completed=now, total=of)


class _Count(MofNCompleteColumn):
    """How much is done of how much; nothing of work that cannot tell."""

    def render(self, task: Task) -> Text:
        return Text() if task.total is None else super().render(task)


class _Times(ProgressColumn):
    """Time gone and, at the speed so far, left.

    rich's own estimate forgets all that is older than half a minute: where a step takes longer, it
    never has one.
    """

    def render(self, task: Task) -> Text:
        gone, own = task.elapsed or 0.0, task.completed - task.fields["before"]
        said = f"{format_duration(gone)} gone"
        if task.total is not None and own > 0:
            left = gone * max(0.0, task.total - task.completed) / own
            said += f", about {format_duration(left)} left"
        return Text(said)
