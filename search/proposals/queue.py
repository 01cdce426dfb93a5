"""Configurations that a user wants tried first: the file of ``--enqueue``."""

from __future__ import annotations

from pathlib import Path

from spaces.catalog import Space
from spaces.describe import check_draw
from spaces.errors import InputError
from spaces.task import Params, Task
from trainable.basics.files import read_json


def read_queue(path: Path, space: Space, task: Task) -> list[Params]:
    """The searched values in a JSON file: one object, or a list of them.

    Raises:
        InputError: the file cannot be read, or the space cannot draw what it asks for.
    """
    found = read_json("--enqueue", path)
    queue = found if isinstance(found, list) else [found]
    for place, values in enumerate(queue, start=1):
        if not isinstance(values, dict):
            raise InputError(
                f"--enqueue {path}: entry {place} is {values!r}, but must be an object of searched "
                'values, such as {"g_lr": 0.001}; cgan-search spaces NAME lists them'
            )
        try:
            check_draw(space, task, values)
        except InputError as error:
            raise InputError(f"--enqueue {path}: entry {place}: {error}") from error
    return queue
