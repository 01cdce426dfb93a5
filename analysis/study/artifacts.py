"""What MLflow keeps of a trial besides numbers: its sample grids, and a winner's generator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from analysis.study.table import StudyTable, again_by
from analysis.study.trials import assessed
from spaces.errors import InputError
from trainable.generators.export import WEIGHTS
from trainable.generators.saved import SavedGenerator
from trainable.tracking.client import reason
from trainable.tracking.names import GRIDS, grid_epoch
from trainable.tracking.registry import no_winner


def fetch_grids(table: StudyTable, number: int) -> dict[int, Image.Image]:
    """A trial's sample grids by epoch; empty if it has none.

    Raises:
        InputError: the store cannot be read, or a picture.
    """
    with _fetched(table, number, GRIDS) as folder:
        grids = {}
        for path in sorted(folder.rglob("*.png")) if folder else []:
            epoch = grid_epoch(path.name)
            if epoch is not None:
                grids[epoch] = _picture(path, table, number)
        return dict(sorted(grids.items()))


def keep(table: StudyTable, path: Path) -> str | None:
    """Put a file among the artifacts of the study's run; returns why that is not possible, or None.

    A store may be for reading only.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    try:
        MlflowClient(table.uri, table.uri).log_artifact(table.run, str(path))
    except (MlflowException, OSError) as error:
        return reason(error)
    return None


def fetch_generator(table: StudyTable, number: int) -> SavedGenerator | None:
    """The generator of a trial that was scored on fresh images, with what is known of it; None for
    a trial that kept none.

    Raises:
        InputError: the store cannot be read.
    """
    with _fetched(table, number, WEIGHTS) as weights:
        if weights is None:
            return None
        return SavedGenerator.read(f"trial {number}", weights, f"--study {table.name}")


def kept_instead(table: StudyTable, number: int, flag: str) -> str:
    """Of a study without a winner, why that is, and how `flag` names this trial's generator.

    Raises:
        InputError: the store cannot be read.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    try:
        run = MlflowClient(table.uri, table.uri).get_run(table.runs[number])
        return no_winner(table.name, run, flag)
    except MlflowException as error:
        raise InputError(
            f"--study {table.name}: trial {number} cannot be read ({reason(error)})"
        ) from error


def why_absent(table: StudyTable, number: int, otherwise: str) -> str:
    """Why MLflow has no generator, or no grids, of a trial: `otherwise`, unless it was scored on
    fresh images, of which it had both."""
    if number not in assessed(table):
        return otherwise
    again = again_by("publish", table.name, table.uri)
    return (
        f"MLflow's artifacts of trial {number} are gone; if the study's folder still exists, "
        f"{again} writes them again"
    )


def _picture(path: Path, table: StudyTable, number: int) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.copy()
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's, for a broken file
        raise InputError(
            f"--study {table.name}: the picture {path.name} of trial {number} is broken "
            f"({reason(error)})"
        ) from error


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
            fetched = Path(client.download_artifacts(run, path, scratch)) if there else None
        except (MlflowException, OSError) as error:
            raise InputError(
                f"--study {table.name}: the files of trial {number} cannot be read "
                f"({reason(error)}); check that the artifact folder or server is available"
            ) from error
        yield fetched
