"""What MLflow keeps of a trial besides numbers: its sample grids, and a winner's generator."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from analysis.store import StudyTable
from spaces.errors import InputError
from trainable.export import WEIGHTS
from trainable.start import Start
from trainable.stores import reason


def fetch_grids(table: StudyTable, number: int) -> dict[int, Image.Image]:
    """A trial's sample grids by epoch; empty if it has none.

    Raises:
        InputError: the store cannot be read.
    """
    with _fetched(table, number, "images") as folder:
        found = {}
        for path in sorted(folder.rglob("*.png")) if folder else []:
            if match := re.search(r"samples.step.(\d+).", path.name):
                with Image.open(path) as image:
                    found[int(match[1])] = image.copy()
        return dict(sorted(found.items()))


def fetch_generator(table: StudyTable, number: int) -> Start | None:
    """A winner's generator with what is known of it; None for a trial that kept none.

    Raises:
        InputError: the store cannot be read.
    """
    with _fetched(table, number, WEIGHTS) as weights:
        if weights is None:
            return None
        return Start.read(f"trial {number}", weights, f"--study {table.name}")


@contextmanager
def _fetched(table: StudyTable, number: int, path: str) -> Iterator[Path | None]:
    """A trial's artifact as a file or folder, for as long as the block lasts; None if it has none.

    Raises:
        InputError: the store cannot be read.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    client = MlflowClient(table.uri, table.uri)
    with TemporaryDirectory() as scratch:
        try:
            run = table.runs[number]
            there = path in {f.path for f in client.list_artifacts(run)}
            found = Path(client.download_artifacts(run, path, scratch)) if there else None
        except (MlflowException, OSError) as error:
            raise InputError(
                f"--study {table.name}: the files of trial {number} cannot be read "
                f"({reason(error)}); is the folder or server of the artifacts there?"
            ) from error
        yield found
