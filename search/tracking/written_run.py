"""A run of MLflow: what it is known to hold, so that only what it lacks is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from search.tracking.flat import flat

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


@dataclass
class WrittenRun:
    """What a run is known to hold; `grids` is None as long as nobody has looked."""

    run_id: str
    status: str
    params: set[str]
    tags: dict[str, str]
    metrics: dict[str, float]
    grids: set[int] | None = None

    def write(
        self,
        client: MlflowClient,
        params: Mapping[str, Any],
        metrics: list[tuple[str, float, int, int]],
        tags: dict[str, str],
    ) -> None:
        """Write what is new, within ``log_batch``'s limits; tags last, as they say what is written.

        `metrics` are new: key, value, time in ms and step. A parameter once written stays: MLflow
        refuses a change, which a resumed study may bring.
        """
        from mlflow.entities import Metric, Param, RunTag

        fresh = [Param(k, str(v)[:6000]) for k, v in flat(params) if k not in self.params]
        for i in range(0, len(fresh), 100):
            client.log_batch(self.run_id, params=fresh[i : i + 100])
        self.params |= {p.key for p in fresh}
        for i in range(0, len(metrics), 1000):
            client.log_batch(self.run_id, metrics=[Metric(*m) for m in metrics[i : i + 1000]])
        changed = {k: v[:5000] for k, v in tags.items() if self.tags.get(k) != v[:5000]}
        if changed:
            client.log_batch(self.run_id, tags=[RunTag(k, v) for k, v in changed.items()])
            self.tags |= changed

    def set_status(self, client: MlflowClient, status: str, ended: float) -> None:
        """Set MLflow's status if it is another; the time `ended` is of any but RUNNING."""
        if status == self.status:
            return
        if status == "RUNNING":
            client.update_run(self.run_id, status)
        else:
            client.set_terminated(self.run_id, status, int(1000 * ended))
        self.status = status
