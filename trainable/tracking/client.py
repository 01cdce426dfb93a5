"""What all that talk to MLflow or a database share: manners, and what may be said of an address."""

from __future__ import annotations

import os
import re
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from spaces.errors import InputError
from trainable.basics.addresses import (
    check_address,
    pasted,
    sqlite_address,
    sqlite_file,
    without_password,
)
from trainable.basics.files import check_file
from trainable.basics.terminal import NAME, command
from trainable.tracking.names import EXPERIMENT

if TYPE_CHECKING:  # importing mlflow costs seconds
    from mlflow.entities import Experiment, Run
    from mlflow.tracking import MlflowClient

TRACKING = "sqlite:///runs/mlflow.db"
"""The store, unless another is named."""
MODELS = "models:/"
"""What the address of a registered model begins with."""
_LONGEST_LINE = 200


def quiet_mlflow(timeout: int = 10) -> None:
    """Have MLflow keep quiet and give up a dead server after `timeout` seconds, not four minutes.

    Call it before mlflow is first imported. The user's own settings win. MLflow's own retries are
    off: a run whose creation timed out must be looked for before it is created again.
    """
    defaults = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(timeout),
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",  # who trains on patients' images does not call home
    }
    for key, value in defaults.items():
        os.environ.setdefault(key, value)


def create_tracking(uri: str) -> None:
    """Create the SQLite store at `uri`, if it is SQLite's and not there: whole, or not at all.

    MLflow's own way to it is some fifty migrations in place, 3 to 8 s; a process that is killed
    among them leaves a file that no MLflow opens again.

    Raises:
        OSError, sqlite3.Error: the file cannot be written.
    """
    path = sqlite_file(uri)
    if path is None or path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="cgan-search-") as folder:
        made = Path(folder) / "mlflow.db"
        _migrate(made)
        part = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with closing(sqlite3.connect(made)) as source, closing(sqlite3.connect(part)) as copy:
                source.backup(copy)
            try:
                os.link(part, path)
            except FileExistsError:  # another process was faster, and may have written there
                pass
            except OSError:  # not every file system knows hard links
                part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _migrate(path: Path) -> None:
    """Have MLflow make an empty store."""
    from mlflow.tracking import MlflowClient

    address = sqlite_address(path)
    MlflowClient(address, address).search_experiments(max_results=1)


def experiment_id(client: MlflowClient, name: str, uri: str, output: Path) -> str:
    """The experiment of that name, created if absent; a SQLite store's files go under `output`.

    Raises:
        InputError: it was deleted.
    """
    experiment = find_experiment(client, name, uri)
    if experiment is not None:
        return str(experiment.experiment_id)
    local = uri.startswith("sqlite:")
    artifacts = (output.resolve() / "mlartifacts").as_uri() if local else None
    return client.create_experiment(name, artifact_location=artifacts)


def find_experiment(client: MlflowClient, name: str, uri: str) -> Experiment | None:
    """The experiment of that name in the store at `uri`; None if there is none.

    Raises:
        InputError: it was deleted: MLflow still has it, but takes and shows no run of it.
    """
    experiment = client.get_experiment_by_name(name)
    if experiment is not None and experiment.lifecycle_stage == "deleted":
        restore = command(
            "env", f"MLFLOW_TRACKING_URI={pasted(uri, 'URI')}",
            sys.executable, "-m", "mlflow", "experiments", "restore", "--experiment-id",
            str(experiment.experiment_id),
        )  # fmt: skip
        raise InputError(
            f"the experiment {name} was deleted in MLflow, with its runs; restore it: {restore}"
        )
    return experiment


def search_runs(
    client: MlflowClient, experiment: str, condition: str, *, deleted: bool = False
) -> list[Run]:
    """All runs of an experiment that meet the condition, oldest first; or those deleted in it."""
    from mlflow.entities import ViewType

    view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
    runs: list[Run] = []
    token: str | None = None
    while True:
        page = client.search_runs(
            [experiment], condition, view, order_by=["attributes.start_time ASC"], page_token=token
        )
        runs += page
        token = page.token
        if not token:
            return runs


def check_tracking(uri: str) -> None:
    """Raise InputError unless `uri` names a server, or a file that MLflow has set up.

    For readers: MLflow would create a missing file, and its tables in any database without them.
    """
    check_address("--tracking-uri", uri)
    given = f"--tracking-uri {without_password(uri)}"
    if "://" not in uri:
        raise InputError(
            f"--tracking-uri is {uri!r}, but must be like {TRACKING} or http://host:5000"
        )
    path = sqlite_file(uri)
    if path is None:
        return
    if not path.is_file():
        raise InputError(
            f"{given}: there is no file {path}; run a search first, or name the database of one"
        )
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error as error:
        raise InputError(f"{given} cannot be read ({error})") from error
    if not {"experiments", "runs", "tags"} <= tables:
        raise InputError(
            f"{given}: {path} is not an MLflow database; a search keeps its own at OUTPUT/mlflow.db"
        )


def check_generator(flag: str, source: str, uri: str) -> None:
    """Raise InputError where a generator cannot be at `source`, which the flag names, so far as
    can be told without MLflow: ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION`` in the tracking
    store `uri`, or a weights file."""
    if not source.startswith(MODELS):
        check_file(flag, Path(source))
        return
    check_tracking(uri)
    name, _, alias = source.removeprefix(MODELS).partition("@")
    if bool(alias) == bool(name.partition("/")[2]):
        raise InputError(
            f"{flag} is {source}, but must be {MODELS}NAME@ALIAS, {MODELS}NAME/VERSION, or "
            "a generator.safetensors"
        )


def ui_command(uri: str, experiment: str = EXPERIMENT) -> str:
    """The command that opens MLflow's pages on the runs of an experiment in a tracking store."""
    of = [] if experiment == EXPERIMENT else ["--experiment", experiment]
    return command(NAME, "ui", "--tracking-uri", pasted(uri, "URI"), *of)


def runs_page(uri: str, experiment: str) -> str:
    """Where MLflow's pages show the runs of an experiment; they begin with one for language
    models.

    Raises:
        InputError: the store does not answer, or has no such experiment.
    """
    quiet_mlflow()
    from mlflow.tracking import MlflowClient

    store = without_password(uri)
    try:
        found = find_experiment(MlflowClient(uri, uri), experiment, uri)
    except InputError:
        raise
    except Exception as error:  # MLflow's stores fail in many ways
        raise InputError(f"--tracking-uri {store} does not answer ({reason(error)})") from error
    if found is None:
        raise InputError(f"--experiment is {experiment!r}, which {store} does not have")
    return f"/#/experiments/{found.experiment_id}/runs?workflowType=machine_learning"


def reason(error: BaseException) -> str:
    """One line for an error: the network's or database's own words where there are any below.

    Our own errors name a remedy, and are said whole.
    """
    if isinstance(error, InputError):
        return without_password(str(error))
    cause: BaseException | None = error
    root = error
    while cause is not None:
        if isinstance(cause, OSError | sqlite3.Error) or type(cause).__name__ == "ResponseError":
            root = cause
        cause = cause.__cause__ or cause.__context__
    text = str(root).strip() or type(error).__name__
    line = without_password(re.sub(r"^\[Errno -?\d+\] ", "", text.splitlines()[0]))
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"
