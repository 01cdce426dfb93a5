"""MLflow's registry as a user of it calls it."""

from __future__ import annotations

import mlflow
from mlflow.pyfunc import PyFuncModel


def load_champion(uri: str, name: str) -> PyFuncModel:
    """The champion of that name, loaded as MLflow's documentation says; MLflow's global address is
    what it was afterwards."""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        return mlflow.pyfunc.load_model(f"models:/{name}@champion")
    finally:
        mlflow.set_tracking_uri(before)
