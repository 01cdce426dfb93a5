"""`cgan-search ui`: MLflow's server of the store that is named, and the address of its runs."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from mlflow.tracking import MlflowClient

from search import ui
from tests.helpers.refusals import tells
from trainable.tracking.client import create_tracking, experiment_id
from trainable.tracking.names import EXPERIMENT


@pytest.fixture
def store(tmp_path) -> str:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    create_tracking(uri)
    experiment_id(MlflowClient(uri, uri), EXPERIMENT, uri, tmp_path)
    return uri


@pytest.fixture
def started(monkeypatch) -> list:
    """What is started, which here ends at once."""
    seen: list = []

    def popen(words, env, start_new_session):
        seen.append((words, env))
        return real(["true"], start_new_session=start_new_session)

    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", popen)
    return seen


def test_it_serves_the_store_on_loopback_and_says_where_the_runs_are(store, started, capsys):
    assert ui.main(["--tracking-uri", store, "--port", "5999"]) == 0
    ((words, settings),) = started
    assert words[:8] == [
        sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", "5999"
    ]  # fmt: skip
    assert settings["MLFLOW_BACKEND_STORE_URI"] == store
    known = MlflowClient(store, store).get_experiment_by_name(EXPERIMENT)
    assert known is not None
    assert f"http://127.0.0.1:5999/#/experiments/{known.experiment_id}/runs?" in (
        capsys.readouterr().out
    )


def test_what_is_not_there_is_refused_before_a_server_starts(store, started, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert ui.main(["--tracking-uri", store, "--port", port]) == 2
        assert tells(capsys.readouterr().err, "--port", port, "another")
    for flags, parts in [
        (["--experiment", "none"], ["--experiment", "'none'"]),
        (["--port", "0"], ["--port", "0"]),
        (["--tracking-uri", "sqlite:///nowhere.db"], ["nowhere.db", "search first"]),
        (["--tracking-uri", "http://me:secret@127.0.0.1:1"], ["127.0.0.1:1", "does not answer"]),
    ]:
        assert ui.main(["--tracking-uri", store, *flags]) == 2
        said = capsys.readouterr().err
        assert tells(said, *parts)
        assert "secret" not in said
    assert started == []
