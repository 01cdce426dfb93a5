"""A cluster of hosts with addresses of their own, under fire: `make test-cluster`.

    python -m tests.searches.cluster [--data FOLDER] [--trials 4] [--epochs 24] [--only
    fire,token,...]

Each host is a set of Linux namespaces on a bridge (see `tests.searches.cluster.hosts`), on which a
real ``ray start`` runs, with a token; they share one folder, as over NFS. What is shown:

    storage   a node that does not see the shared folder is named before the first trial
    token     a node with another token is refused
    fire      a search in which one node dies as by kill -9, one is cut off from the network, and
              another joins: every trial ends once, with the very scores of an undisturbed search,
              and goes on from its last checkpoint
    late      a node without the shared folder joins in the middle, and is avoided
    store     nodes that share no folder but an object store, one of which dies
    job       the search as a submitted job, with a space of the user's own folder, while whoever
              submitted it is gone; then ``--resume`` from another host

Without root or iproute2 it says so and ends with 0: then nothing is shown.
"""

from __future__ import annotations

import argparse
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

from search.study.database import load_study, open_storage
from search.study.folder import StudyFolder
from search.study.records import read_records
from tests.helpers import ROOT
from tests.helpers.searches import SPACE, Place
from tests.searches.cluster.hosts import PORT, RAY, Host, Network, missing
from trainable.trial.checkpoints import _attempts, _checkpoints

EVERY = 3
"""Epochs between reports."""


class Cluster:
    """A head, on which no trial runs, and nodes of one core."""

    def __init__(self, network: Network, root: Path, options: argparse.Namespace, cache: Path):
        self.network, self.root, self.options = network, root, options
        self.shared = root / "shared"
        self.shared.mkdir()
        (self.shared / "chaos_space.py").write_text(SPACE)
        self.env = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(root),
            "PYTHONPATH": str(ROOT),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            # A node that is cut off is given up after 18 s, not after a minute.
            "RAY_health_check_period_ms": "1000",
            "RAY_health_check_timeout_ms": "5000",
            "RAY_health_check_failure_threshold": "3",
            "CGAN_SEARCH_CACHE": str(cache),
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "not-a-secret",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.head = network.add()
        self.address = f"{self.head.address}:{PORT}"
        self.env["RAY_ADDRESS"] = self.address
        flags = ["--head", f"--port={PORT}", "--num-cpus=0", "--dashboard-host=127.0.0.1"]
        code, said = self.ray_start(self.head, flags)
        assert code == 0, said

    def ray_start(self, host: Host, flags: list[str], **env: str) -> tuple[int, str]:
        """Run ``ray start`` on a host."""
        own = {k: v for k, v in self.env.items() if k != "RAY_ADDRESS"} | env
        command = [RAY, "start", f"--node-ip-address={host.address}", *flags]
        return host.run(command, own, Path("/"))

    def join(self, *hidden: Path, **env: str) -> tuple[Host, int, str]:
        """A new host that joins the cluster, or is refused."""
        host = self.network.add(hidden)
        code, said = self.ray_start(host, [f"--address={self.address}", "--num-cpus=1"], **env)
        return host, code, said

    def node(self, *hidden: Path) -> Host:
        """A new node."""
        host, code, said = self.join(*hidden)
        assert code == 0, said
        return host

    def flags(self, study: str, *more: str) -> list[str]:
        """Of a search in the shared folder."""
        return [
            "--space", "chaos_space:tiny", "--data", self.options.data, "--image-size", "32",
            "--features", "efficientnet-lite0", "--backbone", "none", "--study", study,
            "--output", str(self.shared / "runs"), "--epochs", str(self.options.epochs),
            "--grace", str(self.options.epochs), "--eval-every", str(EVERY),
            "--sampler", "random", "--top-k", "2", "--winner-images", "200", *more,
        ]  # fmt: skip

    def search(self, flags: list[str], host: Host | None = None) -> subprocess.Popen[bytes]:
        """Start a search; what it says is in the host's log."""
        command = [sys.executable, "-m", "search.run", *flags]
        return (host or self.head).start(command, self.env, self.shared)

    def said(self, host: Host | None = None) -> str:
        """A host's log."""
        return (host or self.head).log.read_text()


def wait_until(
    what: Callable[[], object], process: subprocess.Popen[bytes], said: Callable
) -> None:
    """Until `what` holds; the process must not end before."""
    while not what():
        assert process.poll() is None, said()[-3000:]
        time.sleep(0.2)


class Study(Place):
    """What is on disk of a study in the shared folder, looked at while it runs."""

    def __init__(self, cluster: Cluster, name: str):
        self.folder, self.study = cluster.shared, name
        self.first: dict[tuple[int, int], int] = {}  # the least images seen of an attempt
        self.before: dict[tuple[int, int], int] = {}  # of the attempt before, when it began

    def look(self) -> None:
        """Note where each attempt at a trial begins, and where the one before it stood."""
        last: dict[int, int] = defaultdict(int)
        for trial in sorted((self.folder / "runs" / self.study / "trials").glob("[0-9]*")):
            number = int(trial.name)
            for attempt, folder in _attempts(trial):
                seen = [int(p.name.partition("-")[0]) for p in _checkpoints(folder)]
                key = number, attempt
                self.before.setdefault(key, last[number])
                if seen:
                    self.first[key] = min(self.first.get(key, seen[0]), seen[0])
                    last[number] = seen[-1]

    def moved(self) -> dict[tuple[int, int], int]:
        """Attempts after the first, and images seen at their beginning."""
        return {key: images for key, images in self.first.items() if key[1] > 1}

    def scores(self) -> dict[tuple[int, int], float]:
        """FID by trial and epoch."""
        path = self.folder / "runs" / self.study
        records = read_records(load_study(self.study, open_storage(StudyFolder(path).database_url)))
        return {(x.number, r["epoch"]): r["fid"] for x in records for r in x.reports}


def storage(cluster: Cluster) -> None:
    cluster.node()
    blind = cluster.node(cluster.shared)
    process = cluster.search(cluster.flags("unseen", "--trials", "2"))
    assert process.wait() == 2, cluster.said()[-3000:]
    said = cluster.said().replace("\n", " ")
    assert f"{blind.name} ({blind.address})" in said, said[-3000:]
    assert "not see" in said
    assert "Traceback" not in said
    assert not (cluster.shared / "runs" / "unseen").exists()
    print(re.search(r"error: .*", cluster.said())[0])  # pyright: ignore[reportOptionalSubscript]


def token(cluster: Cluster) -> None:
    _, code, said = cluster.join(RAY_AUTH_TOKEN=secrets.token_hex(32))
    assert code != 0
    assert "InvalidAuthToken" in said
    _, code, said = cluster.join()  # the control: the right one is taken
    assert code == 0, said
    print("refused: InvalidAuthToken; with the cluster's own token taken")


_undisturbed: dict[tuple[int, int], float] = {}


def undisturbed(cluster: Cluster, *flags: str) -> dict[tuple[int, int], float]:
    """The scores of a search that nothing happens to; made once for all scenes."""
    if not _undisturbed:
        trials = cluster.options.trials
        quiet = cluster.search(cluster.flags("quiet", "--trials", str(trials), *flags))
        assert quiet.wait() == 0, cluster.said()[-3000:]
        _undisturbed.update(Study(cluster, "quiet").scores())
        assert len(_undisturbed) == trials * cluster.options.epochs // EVERY
    return _undisturbed


def fire(cluster: Cluster) -> None:
    trials = cluster.options.trials
    each = cluster.options.epochs // EVERY
    first, second = cluster.node(), cluster.node()
    study = Study(cluster, "fire")
    process = cluster.search(cluster.flags("fire", "--trials", str(trials)))

    # At once, as a trial here is shorter than the time in which a loss is noticed.
    def both_train() -> bool:
        study.look()
        told = Counter(number for number, _ in study.reports())
        return len(told) == 2 and all(n < each - 1 for n in told.values())

    wait_until(both_train, process, cluster.said)
    first.kill()
    second.unplug()
    print(f"in the first two trials: {first.name} is killed, {second.name} is cut off")
    third = cluster.node()
    print(f"{third.name} joins")
    while process.poll() is None:
        study.look()
        time.sleep(0.1)
    assert process.returncode == 0, cluster.said()[-3000:]
    study.check(trials, f"sqlite:///{cluster.shared / 'runs' / 'mlflow.db'}")
    assert f"node {third.address} joined" in cluster.said(), cluster.said()[-3000:]
    for gone in (first, second):
        assert f"node {gone.address} has left" in cluster.said(), cluster.said()[-3000:]
    moved = study.moved()
    assert {number for number, _ in moved} == {0, 1}, moved
    lost = {k: (study.before[k], images) for k, images in moved.items() if images < study.before[k]}
    assert not lost, f"trials went back behind their last checkpoint: {lost}"
    for line in cluster.said().splitlines():
        if "worker failed" in line:
            print(line)
    where = {k: f"{images} images" for k, images in moved.items()}
    print(f"attempts that went on, by trial and attempt, and from where: {where}")
    second.plug()
    assert study.scores() == undisturbed(cluster)
    print(f"all {each * trials} scores are those of an undisturbed search")


def late(cluster: Cluster) -> None:
    trials = cluster.options.trials
    cluster.node()
    study = Study(cluster, "late")
    process = cluster.search(cluster.flags("late", "--trials", str(trials)))
    wait_until(lambda: len(study.reports()) >= 1, process, cluster.said)
    blind = cluster.node(cluster.shared)
    assert process.wait() == 0, cluster.said()[-3000:]
    study.check(trials, f"sqlite:///{cluster.shared / 'runs' / 'mlflow.db'}")
    mark = f"node {blind.address} gets no more trials"
    line = next((x for x in cluster.said().splitlines() if mark in x), "")
    assert "folder" in line, cluster.said()[-3000:]
    refused = cluster.said().count("worker failed")
    assert 1 <= refused <= 2, cluster.said()[-3000:]  # Ray may hold one more place there already
    print(line)


def store(cluster: Cluster) -> None:
    trials = cluster.options.trials
    first, _ = cluster.node(cluster.shared), cluster.node(cluster.shared)
    server = [sys.executable, "-m", "moto.server", "-H", cluster.head.address, "-p", "5000"]
    with (cluster.root / "store.log").open("wb") as log:
        cluster.head.start(server, cluster.env, cluster.root, log)
    query = f"endpoint_override={cluster.head.address}:5000&scheme=http&allow_bucket_creation=true"
    make = f"from pyarrow.fs import FileSystem as F; F.from_uri('s3://bucket?{query}')[0].create_dir('bucket')"
    until = time.monotonic() + 120
    while cluster.head.run([sys.executable, "-c", make], cluster.env, cluster.root)[0]:
        assert time.monotonic() < until, (cluster.root / "store.log").read_text()[-3000:]
    place = ["--storage", f"s3://bucket/runs?{query}"]
    study = Study(cluster, "store")
    process = cluster.search(cluster.flags("store", "--trials", str(trials), *place))
    wait_until(lambda: len(study.reports()) >= 2 * trials, process, cluster.said)
    print(f"after {len(study.reports())} reports: {first.name} is killed")
    first.kill()
    assert process.wait() == 0, cluster.said()[-3000:]
    study.check(trials, f"sqlite:///{cluster.shared / 'runs' / 'mlflow.db'}")
    assert "worker failed" in cluster.said(), cluster.said()[-3000:]
    assert study.scores() == undisturbed(cluster, *place)
    print("no folder shared, all scores are those of an undisturbed search")


def job(cluster: Cluster) -> None:
    node = cluster.node()
    folder = cluster.root / "theirs"  # on the submitting host alone
    folder.mkdir()
    (folder / "their_space.py").write_text(SPACE)
    flags = cluster.flags("job", "--trials", "2")
    flags[1] = "their_space:tiny"
    submit = [RAY, "job", "submit", "--address=http://127.0.0.1:8265", "--working-dir=."]
    command = [*submit, "--submission-id=search", "--", "python", "-m", "search.run", *flags]
    submitting = cluster.head.start(command, cluster.env, folder)
    study = Study(cluster, "job")
    wait_until(lambda: len(study.reports()) >= 1, submitting, cluster.said)
    submitting.kill()  # as a laptop's lid that closes
    status = [RAY, "job", "status", "--address=http://127.0.0.1:8265", "search"]
    while "succeeded" not in (said := cluster.head.run(status, cluster.env, folder)[1].lower()):
        assert "failed" not in said, cluster.said()[-3000:]
        time.sleep(2)
    study.check(2, f"sqlite:///{cluster.shared / 'runs' / 'mlflow.db'}")
    print("2 trials of a submitted job, whose submitter was killed after its first report")
    output = ["--output", str(cluster.shared / "runs")]
    again = cluster.search(["--resume", "job", "--trials", "3", *output], node)
    assert again.wait() == 2, "the space is in another folder, which is to be said"
    (cluster.shared / "their_space.py").write_text(SPACE)
    again = cluster.search(["--resume", "job", "--trials", "3", *output], node)
    assert again.wait() == 0, cluster.said(node)[-3000:]
    study.check(3, f"sqlite:///{cluster.shared / 'runs' / 'mlflow.db'}")
    print(f"resumed from {node.name}: 3 trials")


def _too_long(*_: object) -> None:
    raise AssertionError("this takes longer than --patience")


SCENES = {f.__name__: f for f in (storage, token, fire, late, store, job)}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="phantom")
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument(
        "--epochs", type=int, default=24, help="of a trial, divisible by 3, from 9 on"
    )
    parser.add_argument("--only", default=",".join(SCENES))
    parser.add_argument("--patience", type=int, default=3600, help="seconds for one of them")
    options = parser.parse_args()
    seen = []
    if Path(options.data).exists():
        seen = [Path(options.data).resolve()]
        options.data = str(seen[0])
    if reason := missing():
        print(f"hosts cannot be made here ({reason}): nothing is shown")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # hosts are taken down on the way
    signal.signal(signal.SIGALRM, _too_long)
    with tempfile.TemporaryDirectory(prefix="cgan-", dir="/var/tmp") as folder:
        for name in options.only.split(","):
            began = time.monotonic()
            print(f"== {name}", flush=True)
            root = Path(folder, name)
            root.mkdir()
            with Network(root, seen) as network:
                signal.alarm(options.patience)
                cluster = Cluster(network, root, options, Path(folder, "cache"))
                try:
                    SCENES[name](cluster)
                except AssertionError:
                    print(cluster.said()[-5000:], flush=True)
                    raise
                finally:
                    signal.alarm(0)
            print(f"== {name} held, {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
