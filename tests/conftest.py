"""What tests are given."""

from __future__ import annotations

import functools
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.storages._rdb.storage import _VersionManager

from tests.helpers.toys import (
    TinyExtractor,
    make_data,
    make_workload,
    real_set,
    run_on,
    small_params,
    witness,
)
from trainable.data.dataset import Dataset
from trainable.pretrained import load
from trainable.pretrained.catalog import WEIGHTS
from trainable.tracking import client
from trainable.trial.evaluation import Evaluator
from trainable.trial.report import Report
from trainable.trial.trial import Trial


def pytest_configure() -> None:
    """Ctrl-C works in what tests start, also where a shell began them in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


LONGEST = (
    "searches/test_session", "searches/test_augmentation_study", "searches/test_stores",
    "searches/test_python", "searches/test_faults", "searches/test_classifier_search",
    "test_benchmarks", "test_doctor", "test_augmentation", "test_resume", "test_extractors",
    "test_object_store", "test_gpu_probe", "two_folders/test_files", "test_ray_trainable",
    "test_tracker", "test_ladders", "test_report",
)  # fmt: skip
"""Files of tests that take long, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest files first, so that all workers of a run end at the same time."""
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(
        key=lambda item: min(
            (place for name, place in order.items() if item.path.match(f"{name}.py")),
            default=len(order),
        )
    )


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """No test, nor a process that one starts, writes features into the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CGAN_SEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _once_a_process(tmp_path_factory):
    """What many tests need and none changes is had once: networks with packaged weights, an empty
    store of MLflow's, and Optuna's newest schema, for which it imports all its migrations.
    """
    empty = tmp_path_factory.mktemp("empty")
    newest, known = _VersionManager.get_head_version, []

    def head(manager: _VersionManager) -> str:
        known[:] = known or [newest(manager)]
        return known[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_VersionManager, "get_head_version", head)
        for name in ("load_extractor", "load_backbone"):
            patch.setattr(load, name, _kept(getattr(load, name)))
        patch.setattr(client, "_migrate", _copying(client._migrate, empty))
        yield


def _kept(loading: Callable[..., Any]) -> Callable[..., Any]:
    """A network by its name alone is loaded once."""
    once = functools.cache(loading)

    def load_kept(name: str, weights: Path | None = None, **rules: Any) -> Any:
        packaged = name in WEIGHTS and WEIGHTS[name].packaged and weights is None
        return (once if packaged else loading)(name, weights, **rules)

    return load_kept


def _copying(migrate: Callable[[Path], None], folder: Path) -> Callable[[Path], None]:
    """Of fifty migrations, a second's work, a store's file is left."""

    def copy(path: Path) -> None:
        kept = folder / "mlflow.db"
        if not kept.exists():
            migrate(kept)
        shutil.copy(kept, path)

    return copy


@pytest.fixture(autouse=True)
def _same_folder():
    """No test leaves the process in another folder, where the next one would look for our code."""
    before = Path.cwd()
    yield
    assert Path.cwd() == before


@pytest.fixture(autouse=True)
def _one_thread():
    """Bitwise promises hold for a fixed number of threads; one is also the quickest here."""
    torch.set_num_threads(1)


@pytest.fixture
def tiny(monkeypatch) -> TinyExtractor:
    """The extractor that `trainable.metrics` takes for its own."""
    extractor = TinyExtractor()
    monkeypatch.setattr(
        "trainable.metrics.two_folders.compare.load_extractor",
        lambda *a, **k: (extractor, "features: tiny"),
    )
    return extractor


@pytest.fixture
def data() -> Dataset:
    return make_data()


@pytest.fixture
def evaluator(data: Dataset) -> Evaluator:
    extractor: Any = TinyExtractor()
    return Evaluator(data, extractor, real_set(data, extractor), witness(data))


@pytest.fixture
def params(data) -> dict[str, Any]:
    return small_params(data)


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> tuple[Path, list[Report]]:
    """The folder and the reports of trial 4, never interrupted."""
    folder, data = tmp_path_factory.mktemp("finished"), make_data()
    torch.set_num_threads(1)
    return folder, run_on(Trial(make_workload(data, folder), 4, small_params(data)))


@pytest.fixture
def whole(finished) -> list[Report]:
    """The reports of trial 4, never interrupted."""
    return finished[1]
