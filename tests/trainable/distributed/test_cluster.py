"""Starting Ray on this machine."""

from __future__ import annotations

import pytest

from tests.helpers.refusals import refused
from trainable.distributed import cluster


def failing(monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    def init(**options: object) -> None:
        raise Exception(message)

    monkeypatch.setattr(cluster.ray, "init", init)


def test_a_machine_too_busy_for_ray_is_named(monkeypatch):
    failing(monkeypatch, "The current node timed out during startup. This could happen because …")
    with refused("Ray", "busy", "try again"):
        cluster._start()


def test_another_fault_of_ray_is_not_hidden(monkeypatch):
    failing(monkeypatch, "something else")
    with pytest.raises(Exception, match="something else"):
        cluster._start()
