"""Where trials run: away from nodes on which they keep failing.

Ray itself moves a trial whose node is gone. A node that stays, with a broken GPU or without the
shared folder, would be given one trial after another.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray._private.state import actors  # the public one asks the dashboard, which may be off

from search.tune.callback import Callback
from trainable.distributed.cluster import fitting
from trainable.distributed.resources import Resources
from trainable.ray_trainable import StorageUnseenError

LOST = 3
"""Trials that fail on a node, each counted once, until it is avoided."""

_PAUSE = 5.0  # seconds between looks at the nodes
_DOUBT = 120.0  # seconds after a failure in which its node's death explains it
_ROOM = 60.0  # seconds that trials look for a place once the search's time is over


def away_from(addresses: Collection[str]) -> dict[str, str]:
    """Ray's label selector for all nodes but those at `addresses`; empty where that is all."""
    nodes = ray.nodes() if addresses else []
    shunned = sorted(n["NodeID"] for n in nodes if n["NodeManagerAddress"] in addresses)
    return {"ray.io/node-id": f"!in({','.join(shunned)})"} if shunned else {}


@dataclass(frozen=True)
class _Failure:
    """Of a trial, on a node that passed for alive.

    Attributes:
        counted: whether Tune counted it among the trial's failures.
        when: by the monotonic clock.
    """

    trial: Any
    counted: bool
    node_id: str
    address: str
    when: float


class Placement(Callback):
    """Says which nodes a trial may run on, and remembers where each one failed.

    Nodes count by address, as one that is started again has a new id.

    Attributes:
        avoided: addresses of nodes that get no more trials.
    """

    def __init__(
        self, resources: Resources, say: Callable[[str], None], *, there: Collection[str] = (),
        quiet: bool = False, deadline: float | None = None,
    ):  # fmt: skip
        """`there` are the addresses of the nodes that the search began with.

        `quiet` says nothing but troubles; no trial begins after `deadline`, seconds since 1970.
        """
        self._bundle = {"CPU": resources.cpus_per_trial, "GPU": resources.gpus_per_trial or 0}
        self._resources = resources
        self._say, self._quiet, self._deadline = say, quiet, deadline
        self._there = set(there)
        self._waiting = False  # for a node to join
        self._over: float | None = None  # since when the time is over, and no trial runs
        self._stranded = False
        self._looked = 0.0
        self._placed: set[str] = set()  # trials, by Tune's ids
        self._actors: dict[str, tuple[str, int]] = {}  # of trials at work, and failures before
        self._failed: dict[str, set[int]] = defaultdict(set)
        self._doubtful: list[_Failure] = []
        self._blind: set[str] = set()  # nodes without the trials' folder
        self.avoided: set[str] = set()

    def request(self) -> tune.PlacementGroupFactory:
        """What a trial needs, and of which node."""
        bundles = [{name: amount for name, amount in self._bundle.items() if amount}]
        where = away_from(self.avoided)
        if not where:
            return tune.PlacementGroupFactory(bundles)
        return tune.PlacementGroupFactory(bundles, bundle_label_selector=[where])

    def place(self, trial: Any) -> None:
        """Say where a new trial may run; of one that is queued again, `failed` has said it."""
        if trial.trial_id not in self._placed:
            self._placed.add(trial.trial_id)
            trial.placement_group_factory = self.request()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker has a trial."""
        self._forgive()
        self.took_up(trial)

    def took_up(self, trial: Any) -> None:
        """Remember the worker: once it has died, Tune no longer knows it."""
        actor = trial.temporary_state.ray_actor._actor_id.hex()
        self._actors[trial.trial_id] = actor, trial.run_metadata.num_failures

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Say which nodes joined a cluster, which are gone, and when trials have none left."""
        now = time.monotonic()
        if self._resources.cluster is None or now - self._looked < _PAUSE:
            return
        self._looked = now
        self._forgive()
        there = self._able()
        if not self._quiet:
            for address in sorted(there - self._there):
                but = ", and gets no trials" if address in self.avoided else ""
                self._say(f"node {address} joined{but}")
        alive = {node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
        for address in sorted(self._there - alive):
            self._say(f"node {address} has left")
        self._there = there
        nowhere = not there - self.avoided
        if nowhere and not self._waiting:
            self._say("no node is left for trials; waiting for one to join (Ctrl-C stops)")
        self._waiting = nowhere
        late = self._deadline is not None and time.time() >= self._deadline
        if not late or any(trial.status == "RUNNING" for trial in trials):
            self._over = None
        elif self._over is None:
            self._over = now
        self._stranded = self._over is not None and (nowhere or now - self._over > _ROOM)

    @property
    def halted(self) -> str | None:
        """Why the search must stop, or None."""
        return (
            "its time has run out, and no node has room for its trials" if self._stranded else None
        )

    def _able(self) -> set[str]:
        """Addresses of the nodes on which a trial fits, avoided ones among them."""
        gpus = self._bundle["GPU"]
        fit = (n for n in ray.nodes() if fitting([n], self._resources, gpus))
        return {node["NodeManagerAddress"] for node in fit}

    def failed(self, trial: Any) -> None:
        """A trial's worker failed, and Tune is about to queue it again or to give it up."""
        if trial.trial_id not in self._actors:
            return
        actor, before = self._actors.pop(trial.trial_id)
        counted = trial.run_metadata.num_failures > before  # not where Ray itself took the node
        node_id = actors(actor)["Address"]["NodeID"]
        address = next(n["NodeManagerAddress"] for n in ray.nodes() if n["NodeID"] == node_id)
        self._failed[address].add(trial.config["number"])
        self._doubtful.append(_Failure(trial, counted, node_id, address, time.monotonic()))
        self._forgive()
        unseen = StorageUnseenError.__name__ in Path(trial.error_file).read_text()
        if unseen or len(self._failed[address]) >= LOST:
            self._avoid(address, unseen)
        trial.placement_group_factory = self.request()

    def _forgive(self) -> None:
        """A node's death is no fault of its trials', nor do they count against the node.

        It may be known only after they have failed: Ray gives a silent node some twenty seconds.
        """
        if not self._doubtful:
            return
        alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        for failure in self._doubtful:
            if failure.node_id not in alive:
                self._take_back(failure)
        now = time.monotonic()
        self._doubtful = [
            failure for failure in self._doubtful
            if failure.node_id in alive and now - failure.when < _DOUBT
        ]  # fmt: skip

    def _take_back(self, failure: _Failure) -> None:
        trial, address = failure.trial, failure.address
        if failure.counted:
            trial.run_metadata.num_failures -= 1
            if trial.trial_id in self._actors:
                actor, before = self._actors[trial.trial_id]
                self._actors[trial.trial_id] = actor, before - 1
        self._failed[address].discard(trial.config["number"])
        if address not in self._blind and len(self._failed[address]) < LOST:
            self.avoided.discard(address)

    def _avoid(self, address: str, unseen: bool) -> None:
        if unseen:
            self._blind.add(address)
        others = self._able() - self.avoided - {address}
        if address in self.avoided or not others:  # better there than nowhere
            return
        self.avoided.add(address)
        why = "it does not see the trials' folder" if unseen else f"{LOST} trials failed there"
        self._say(f"node {address} gets no more trials: {why}")
