"""Where trials may run: nodes on which they fail are avoided, and those that die forgiven."""

from types import SimpleNamespace

import pytest
import ray

from search.tune import placement as module
from search.tune.placement import LOST, Placement
from tests.helpers.refusals import tells
from trainable.distributed.resources import Resources
from trainable.ray_trainable import StorageUnseenError


class Cluster:
    """Nodes a, b and c, and what Tune does with trials on them."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.dead: set[str] = set()
        self.actors: dict[str, str] = {}
        monkeypatch.setattr(ray, "nodes", self.nodes)
        monkeypatch.setattr(module, "actors", lambda a: {"Address": {"NodeID": self.actors[a]}})
        self.said: list[str] = []
        self.names = "abc"
        monkeypatch.setattr(module, "_PAUSE", 0.0)
        self.placement = self.begin()

    def begin(self, **how) -> Placement:
        there = {n["NodeManagerAddress"] for n in self.nodes()}
        return Placement(Resources("x", 2, 0.5, None), self.said.append, there=there, **how)

    def nodes(self):
        return [
            {"NodeID": name * 4, "NodeManagerAddress": f"10.0.0.{name}", "Alive": name not in
             self.dead, "Resources": {"CPU": 4.0, "GPU": 1.0}}
            for name in self.names
        ]  # fmt: skip

    def look(self, *statuses: str) -> list[str]:
        """What is said at a look at the nodes, with trials of such statuses."""
        self.said.clear()
        self.placement.on_step_end(0, [SimpleNamespace(status=status) for status in statuses])
        return list(self.said)

    def trial(self, number: int):
        found = SimpleNamespace(
            trial_id=str(number), config={"number": number},
            run_metadata=SimpleNamespace(num_failures=0), placement_group_factory=None,
            temporary_state=SimpleNamespace(ray_actor=None), error_file=self.folder / f"{number}",
        )  # fmt: skip
        self.placement.place(found)
        return found

    def start(self, trial, node: str):
        actor = f"{trial.trial_id}{node}"
        self.actors[actor] = node * 4
        ray_actor = SimpleNamespace(_actor_id=SimpleNamespace(hex=lambda: actor))
        trial.temporary_state.ray_actor = ray_actor
        self.placement.on_trial_start(0, [], trial)

    def fail(self, trial, node: str, text: str = "The actor died", counted: int = 1):
        self.start(trial, node)
        trial.error_file.write_text(text)
        trial.run_metadata.num_failures += counted  # Tune's own, before it tells the scheduler
        self.placement.failed(trial)

    def barred(self, trial) -> str:
        selector = trial.placement_group_factory._kwargs.get("bundle_label_selector", [{}])[0]
        return selector.get("ray.io/node-id", "")


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    return Cluster(tmp_path, monkeypatch)


def told(lines: list[str], *parts: tuple[object, ...]) -> bool:
    """Whether the lines tell this, each its own, and there are no others."""
    return all(tells(line, *some) for line, some in zip(lines, parts, strict=True))


def test_a_trial_asks_for_its_cores_and_its_share_of_a_gpu(cluster):
    assert cluster.trial(0).placement_group_factory.bundles == [{"CPU": 2, "GPU": 0.5}]


def test_a_node_on_which_three_trials_failed_gets_no_more(cluster):
    trials = [cluster.trial(n) for n in range(LOST)]
    for trial in trials[:-1]:
        cluster.fail(trial, "a")
    assert cluster.said == []
    assert cluster.barred(cluster.trial(7)) == ""
    cluster.fail(trials[-1], "a")
    assert told(cluster.said, ("10.0.0.a", "no more trials", LOST))
    assert cluster.barred(trials[-1]) == "!in(aaaa)"  # queued again, elsewhere
    assert cluster.barred(cluster.trial(8)) == "!in(aaaa)"


def test_one_trial_that_fails_again_and_again_is_its_own_fault(cluster):
    trial = cluster.trial(0)
    for _ in range(2 * LOST):
        cluster.fail(trial, "a")
    assert cluster.said == []
    assert trial.run_metadata.num_failures == 2 * LOST


def test_a_node_that_does_not_see_the_folder_is_avoided_at_once(cluster):
    cluster.fail(cluster.trial(0), "b", f"{StorageUnseenError.__name__}: /shared is not there")
    assert told(cluster.said, ("10.0.0.b", "no more trials", "folder"))


def test_the_last_node_is_not_avoided(cluster):
    for number, node in enumerate("aaabbbccc"):
        cluster.fail(cluster.trial(number), node)
    assert sorted(cluster.placement.avoided) == ["10.0.0.a", "10.0.0.b"]


def test_the_last_node_with_a_gpu_is_not_avoided(cluster, monkeypatch):
    head = {"NodeID": "hhhh", "NodeManagerAddress": "10.0.0.h", "Alive": True}
    there = [cluster.nodes()[0], head | {"Resources": {"CPU": 4.0}}]
    monkeypatch.setattr(ray, "nodes", lambda: there)
    for number in range(LOST):
        cluster.fail(cluster.trial(number), "a")
    assert not cluster.placement.avoided


def test_a_dead_nodes_failures_count_neither_for_trials_nor_against_it(cluster):
    trials = [cluster.trial(n) for n in range(LOST)]
    cluster.dead.add("a")
    for trial in trials:
        cluster.fail(trial, "a")
    assert cluster.said == []
    assert [t.run_metadata.num_failures for t in trials] == [0] * LOST


def test_a_death_that_is_known_later_is_forgiven_later(cluster):
    first, second = cluster.trial(0), cluster.trial(1)
    cluster.fail(first, "a")  # its node is silent, and passes for alive
    cluster.fail(second, "b")
    assert first.run_metadata.num_failures == 1
    cluster.dead.add("a")
    cluster.start(first, "c")
    assert first.run_metadata.num_failures == 0
    assert second.run_metadata.num_failures == 1
    cluster.start(second, "c")
    assert first.run_metadata.num_failures == 0  # once


def test_a_node_whose_death_is_known_late_is_not_avoided_when_it_is_back(cluster):
    trials = [cluster.trial(n) for n in range(LOST)]
    for trial in trials:
        cluster.fail(trial, "a")  # it is silent
    assert cluster.placement.avoided == {"10.0.0.a"}
    cluster.dead.add("a")
    assert told(cluster.look(), ("10.0.0.a", "left"))
    assert not cluster.placement.avoided
    cluster.dead.clear()
    assert told(cluster.look(), ("10.0.0.a", "joined"))
    assert cluster.barred(cluster.trial(8)) == ""


def test_a_node_without_the_folder_stays_avoided_beyond_its_death(cluster):
    cluster.fail(cluster.trial(0), "a", f"{StorageUnseenError.__name__}: /shared is not there")
    cluster.dead.add("a")
    cluster.look()
    cluster.dead.clear()
    assert told(cluster.look(), ("10.0.0.a", "joined", "no trials"))


def test_each_death_is_forgiven_also_when_it_is_known_late(cluster):
    trial = cluster.trial(0)
    cluster.fail(trial, "a")  # silent
    cluster.dead.add("a")
    cluster.fail(trial, "b")
    assert trial.run_metadata.num_failures == 1  # a's is taken back, b is silent
    cluster.dead.add("b")
    cluster.start(trial, "c")
    assert trial.run_metadata.num_failures == 0


def test_a_death_long_after_explains_nothing(cluster, monkeypatch):
    trials = [cluster.trial(n) for n in range(LOST)]
    for trial in trials:
        cluster.fail(trial, "a")
    later = module.time.monotonic() + 3600.0
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: later))
    cluster.look()
    cluster.dead.add("a")
    cluster.look()
    assert cluster.placement.avoided == {"10.0.0.a"}
    assert [t.run_metadata.num_failures for t in trials] == [1] * LOST


def test_a_worker_that_dies_as_it_takes_a_trial_up_counts_for_its_node(cluster):
    cluster.actors["warm"] = "aaaa"
    trials = [cluster.trial(n) for n in range(LOST)]
    for trial in trials:
        actor_id = SimpleNamespace(hex=lambda: "warm")
        trial.temporary_state.ray_actor = SimpleNamespace(_actor_id=actor_id)
        cluster.placement.took_up(trial)
        trial.error_file.write_text("The actor died")
        trial.run_metadata.num_failures += 1
        cluster.placement.failed(trial)
    assert cluster.placement.avoided == {"10.0.0.a"}
    cluster.dead.add("a")
    cluster.look()
    assert not cluster.placement.avoided
    assert [t.run_metadata.num_failures for t in trials] == [0] * LOST


def test_a_failure_that_tune_did_not_count_is_not_taken_back(cluster):
    trial = cluster.trial(0)
    cluster.fail(trial, "b")
    cluster.fail(trial, "a", counted=0)  # Ray took the node
    cluster.dead.add("a")
    cluster.look()
    assert trial.run_metadata.num_failures == 1


def test_who_wants_to_hear_of_troubles_alone_hears_of_no_node_that_joins(cluster):
    cluster.placement = cluster.begin(quiet=True)
    cluster.names += "d"
    cluster.dead.add("a")
    assert told(cluster.look(), ("10.0.0.a", "left"))


def test_without_nodes_a_search_ends_with_its_time(cluster, monkeypatch):
    cluster.placement = cluster.begin(deadline=1000.0)
    clock = SimpleNamespace(monotonic=lambda: 0.0, time=lambda: now)
    monkeypatch.setattr(module, "time", clock)
    now = 1001.0
    cluster.look("PENDING")
    assert cluster.placement.halted is None  # there are nodes, on which trials end by themselves
    cluster.dead.update("abc")
    now = 999.0
    cluster.look("PENDING")
    assert cluster.placement.halted is None  # some may join
    now = 1001.0
    cluster.look("RUNNING")
    assert cluster.placement.halted is None  # on a node that gets no more
    cluster.look("PENDING", "TERMINATED")
    said = cluster.placement.halted
    assert tells(said or "", "time", "no node")
    cluster.dead.clear()
    cluster.look("RUNNING")
    assert cluster.placement.halted is None
    cluster.look("PENDING")
    clock.monotonic = lambda: 59.0
    cluster.look("PENDING")
    assert cluster.placement.halted is None  # one may be on its way to a worker
    clock.monotonic = lambda: 61.0
    cluster.look("PENDING")
    assert cluster.placement.halted == said  # another search may have all the nodes


def test_nodes_that_come_and_go_are_said_and_that_none_is_left(cluster):
    assert cluster.look() == []  # those that were there are no news
    cluster.dead.add("a")
    cluster.names += "d"
    assert told(cluster.look(), ("10.0.0.d", "joined"), ("10.0.0.a", "left"))
    assert cluster.look() == []
    for number in range(LOST):
        cluster.fail(cluster.trial(number), "b")
    cluster.dead.update("cd")
    gone = [("10.0.0.c", "left"), ("10.0.0.d", "left")]
    assert told(cluster.look(), *gone, ("no node", "Ctrl-C"))
    assert cluster.look() == []  # b alone, on which trials failed: said once
    cluster.names += "e"
    assert told(cluster.look(), ("10.0.0.e", "joined"))


def test_a_node_too_small_for_a_trial_is_none(cluster, monkeypatch):
    assert cluster.look() == []
    small = {"NodeID": "ffff", "NodeManagerAddress": "10.0.0.f", "Alive": True}
    there = [*cluster.nodes(), small | {"Resources": {"CPU": 4.0}}]
    monkeypatch.setattr(ray, "nodes", lambda: there)
    assert cluster.look() == []
