"""A store of MLflow whose studies are planted: what was written, and so what is to be read."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from mlflow.tracking import MlflowClient

from trainable.metrics.intervals import Interval
from trainable.tracking.names import (
    EXPERIMENT,
    IMPROVEMENT,
    PROTOCOL,
    STATUS,
    STUDY,
    TRIAL,
    WINNER,
    afresh_interval,
)

NAME, KEY = "planted", "planted-0123456789ab"
# Trial: status, winner, and (epoch, fid, train_seconds) of each evaluation.
TRIALS = {
    0: ("complete", 2, [(1, 90.0, 10.0), (2, 60.0, 20.0), (3, 50.0, 30.0)]),
    1: ("pruned", None, [(1, 80.0, 5.0)]),
    2: ("diverged", None, [(1, 40.0, 4.0)]),
    3: ("diverged", None, []),
    4: ("complete", 1, [(3, 48.0, 60.0), (1, 95.0, 20.0)]),  # written out of order
    10: ("running", None, [(1, 99.0, 7.0)]),
}

AFRESH = (Interval(45.0, 49.0, 47.0), Interval(49.0, 53.0, 51.0))
"""What the winner's configuration scored when it was trained again."""
BETTER = (0.08, 0.02, 0.14, 0.01)
"""Its improvement over the default."""


def plant_parent(client, experiment, key, start, **metrics):
    run = client.create_run(experiment, start, {STUDY: key}, run_name=key[:-13])
    client.set_tag(run.info.run_id, PROTOCOL, "tiny/1")
    for name, value in metrics.items():
        client.log_metric(run.info.run_id, name, value)
    return run.info.run_id


def plant_trial(client, experiment, parent, key, number, status, winner, points, later=0):
    tags = {STUDY: key, TRIAL: str(number), STATUS: status, "mlflow.parentRunId": parent}
    run_id = client.create_run(experiment, 1000 + number + later, tags).info.run_id
    for name, value in {"g_lr": 0.1 * number, "loss": "hinge", "spectral_norm": True}.items():
        client.log_param(run_id, name, value)
    if number:
        client.log_param(run_id, "momentum", 0.5)
    for epoch, fid, seconds in points:
        client.log_metric(run_id, "fid", fid, step=epoch)
        client.log_metric(run_id, "train_seconds", seconds, step=epoch)
        client.log_metric(run_id, "eval_seconds", 2.0 * epoch, step=epoch)
    if winner:  # as search/tracking/champion.py: the rank, and scores without a step
        client.log_metric(run_id, "fid", points[-1][1])
        client.set_tag(run_id, WINNER, winner)
    if winner == 1:
        for step, values in enumerate(AFRESH, start=1):
            for end, value in asdict(values).items():
                client.log_metric(run_id, afresh_interval(end), value, step=step)
        for name, value in zip(IMPROVEMENT, BETTER, strict=True):
            client.log_metric(run_id, name, value)


def planted_store(path: Path) -> str:
    """The address of a new store at `path`, with studies of every kind."""
    uri = f"sqlite:///{path}"
    client = MlflowClient(uri, uri)
    experiment = client.create_experiment(EXPERIMENT)
    yardstick = {"floor": 20.0, "untrained/fid": 120.0, "n_generated": 200.0}
    parent = plant_parent(client, experiment, KEY, 1000, **yardstick)
    for number, (status, winner, points) in TRIALS.items():
        plant_trial(client, experiment, parent, KEY, number, status, winner, points)
    # A run of the same trial that a lost answer made a second time; the first one counts.
    plant_trial(client, experiment, parent, KEY, 10, "complete", None, [], later=500)
    for key, start, fid in [("twice-aaaaaaaaaaaa", 5, 70.0), ("twice-bbbbbbbbbbbb", 9, 60.0)]:
        parent = plant_parent(client, experiment, key, start)
        plant_trial(client, experiment, parent, key, 0, "complete", None, [(1, fid, 1.0)])
    parent = plant_parent(client, experiment, "unscored-cccccccccccc", 7)
    plant_trial(client, experiment, parent, "unscored-cccccccccccc", 0, "running", None, [])
    parent = plant_parent(client, experiment, "ended-dddddddddddd", 7)
    for number, status in enumerate(("failed", "failed", "out_of_memory")):
        plant_trial(client, experiment, parent, "ended-dddddddddddd", number, status, None, [])
    (failed, *_) = client.search_runs([experiment], "tags.status = 'failed'")
    client.set_tag(failed.info.run_id, "reason", "no such device")
    client.set_terminated(parent, "KILLED")
    gone = plant_parent(client, experiment, "gone-eeeeeeeeeeee", 8)
    client.delete_run(gone)
    return uri
