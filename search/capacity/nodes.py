"""What each node of a cluster is like, and whether a search can use them all together."""

from __future__ import annotations

import platform
import shutil
import socket
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import ray
import torch

from spaces.errors import InputError
from trainable.basics.wording import counted
from trainable.distributed.code import code_digest, code_version
from trainable.trial.object_store import ObjectStore, scratch

_PATIENCE = 60.0  # seconds for a node's answer; its first worker imports torch and Ray
SKEW = 5.0
"""Seconds that a node's clock may be off: trials stop at a time of day."""


@dataclass(frozen=True)
class Node:
    """A machine of the cluster, or this one.

    Attributes:
        address, host: where it is, and what it calls itself.
        versions: of ``Python``, ``Ray``, ``torch`` and ``code``, and the ``project`` in words.
        cpus: cores that Ray hands out there; 0 where no trial runs.
        gpus: each GPU's name and memory in MB.
        ahead: seconds that its clock is ahead of the driver's, and by how much that may be wrong.
        free_bytes: free where trials keep their files; None where that is not seen.
        storage: why it cannot share the trials' folder, or None.
        problem: why it did not answer, or None; all else is then unknown.
    """

    address: str
    host: str = "?"
    versions: Mapping[str, str] | None = None
    cpus: float = 0.0
    gpus: tuple[tuple[str, int], ...] = ()
    ahead: tuple[float, float] = (0.0, 0.0)
    free_bytes: int | None = None
    storage: str | None = None
    problem: str | None = None

    @property
    def name(self) -> str:
        """As lines call it."""
        return f"{self.host} ({self.address})"


def local_versions() -> dict[str, str]:
    """What must be equal on all nodes, here."""
    return {
        "Python": platform.python_version(),
        "Ray": ray.__version__,
        "torch": torch.__version__,
        "code": code_digest(),
        "project": code_version()["version"],
    }


def local_gpus() -> tuple[tuple[str, int], ...]:
    """Name and memory in MB of this machine's GPUs, those included that Ray hides from a worker."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    lines = (line.rpartition(",") for line in said.splitlines() if "," in line)
    return tuple((name.strip(), int(memory)) for name, _, memory in lines)


def shown(place: Path | ObjectStore) -> str:
    """A place as lines call it."""
    return place.url.partition("?")[0] if isinstance(place, ObjectStore) else str(place.resolve())


def _try_folder(folder: Path, node: str) -> str | None:
    """Read what the driver wrote, write, rename, read again; why that cannot be, or None."""
    try:
        (folder / "driver").read_text()
        part, whole = folder / f"{node}.part", folder / node
        part.write_text(node)
        part.rename(whole)
        return (
            None if whole.read_text() == node else "what is written there is not what is read back"
        )
    except OSError as error:
        unseen = isinstance(error, FileNotFoundError) and "driver" in str(error.filename)
        return "does not see what the driver wrote there" if unseen else str(error)


def _try_store(object_store: ObjectStore, folder: str, node: str) -> str | None:
    """The same for an object store, where nothing is renamed."""
    try:
        object_store.read(f"{folder}/driver")
        object_store.write(f"{folder}/{node}", node.encode())
        same = object_store.read(f"{folder}/{node}") == node.encode()
        return None if same else "what is written there is not what is read back"
    except Exception as error:  # pyarrow's are OSError, ValueError and its own
        return str(error)


class _Facts(TypedDict):
    """What a node says of itself: see `Node`; `storage` is what is wrong with its part."""

    host: str
    versions: dict[str, str]
    gpus: tuple[tuple[str, int], ...]
    clock: float
    free_bytes: int | None
    storage: str | None


def _facts(place: Path | ObjectStore, folder: str, node: str) -> _Facts:
    """On a node: what it is, and its part of the probe in `folder` at `place`."""
    kept: Path | None = None
    if isinstance(place, ObjectStore):
        storage = _try_store(place, folder, node)
        try:
            kept = scratch(place.url)
        except InputError as error:
            storage = str(error)
    else:
        storage, kept = _try_folder(place / folder, node), place
    return {
        "host": socket.gethostname(),
        "versions": local_versions(),
        "gpus": local_gpus(),
        "clock": time.time(),
        "free_bytes": shutil.disk_usage(kept).free if kept and kept.exists() else None,
        "storage": storage,
    }


@contextmanager
def _probe(place: Path | ObjectStore) -> Iterator[str]:
    """A folder at `place` for all nodes to write to, with the driver's mark in it."""
    name = f".nodes-{uuid.uuid4().hex[:12]}"
    if isinstance(place, ObjectStore):
        place.write(f"{name}/driver", b"")
    else:
        (place / name).mkdir()
        (place / name / "driver").touch()
    try:
        yield name
    finally:
        if isinstance(place, ObjectStore):
            for file in place.names(name):
                place.delete(file)
        else:
            shutil.rmtree(place / name, ignore_errors=True)


def survey(place: Path | ObjectStore) -> list[Node]:
    """Ask every living node of the cluster that this process is connected to, all at once.

    `place` is where trials keep their files; there each node reads what the driver wrote, writes,
    in a folder renames, and the driver looks for that.
    """
    place = place if isinstance(place, ObjectStore) else place.resolve()
    task = ray.remote(num_cpus=0, max_retries=0)(_facts)
    nodes = [node for node in ray.nodes() if node["Alive"]]
    with _probe(place) as folder:
        began = time.time()
        asked = {
            task.options(label_selector={"ray.io/node-id": n["NodeID"]}).remote(
                place, folder, n["NodeID"]
            ): n
            for n in nodes
        }
        found, waiting = [], list(asked)
        while waiting and (left := began + _PATIENCE - time.time()) > 0:
            done, waiting = ray.wait(waiting, timeout=left)
            ended = time.time()
            there = _arrived(place, folder)
            found += [_node(asked[ref], ref, (began, ended), place, there) for ref in done]
        for ref in waiting:
            with suppress(Exception):
                ray.cancel(ref, force=True)
            silent = f"no answer within {_PATIENCE:g} s"
            found.append(Node(asked[ref]["NodeManagerAddress"], problem=silent))
    return sorted(found, key=lambda node: node.address)


def _arrived(place: Path | ObjectStore, folder: str) -> set[str]:
    """Nodes whose files the driver sees."""
    if isinstance(place, ObjectStore):
        return {name.rpartition("/")[2] for name in place.names(folder)}
    return {path.name for path in (place / folder).iterdir()}


def _node(
    info: Mapping[str, Any], ref: Any, asked: tuple[float, float], place: Path | ObjectStore,
    there: set[str],
) -> Node:  # fmt: skip
    address, node_id = info["NodeManagerAddress"], info["NodeID"]
    try:
        facts: _Facts = ray.get(ref)  # pyright: ignore[reportAssignmentType]
    except Exception as error:  # whatever a node without this project, or with another one, says
        last = str(error).strip().splitlines()[-1]
        return Node(address, problem=f"cannot run this project ({last})")
    storage = facts["storage"]
    if storage is None and node_id not in there:
        storage = "the driver does not see what it writes there"
    if storage is not None:
        storage = f"{shown(place)} is not shared with it ({storage})"
    began, ended = asked
    return Node(
        address,
        facts["host"],
        facts["versions"],
        info["Resources"].get("CPU", 0.0),
        tuple(facts["gpus"]),
        (facts["clock"] - (began + ended) / 2, (ended - began) / 2),
        facts["free_bytes"],
        storage,
    )


def all_in_order(place: Path | ObjectStore, say: Callable[[str], None]) -> list[Node]:
    """The cluster's nodes, of which all can take part in a search; `say` what they are.

    Raises:
        InputError: they do not share `place`, or run something else than this machine.
    """
    nodes = survey(place)
    if problems := faults(nodes):
        raise InputError(
            "\n  ".join(problems) + "\ncgan-search doctor, with the same flags, says more"
        )
    models = Counter(name for node in nodes for name, _ in node.gpus)
    gpus = ", ".join(f"{n} {name}" for name, n in models.items()) or "no GPU"
    say(f"cluster: {counted(len(nodes), 'node')}, {gpus}; all share {shown(place)}")
    return nodes


def faults(nodes: Iterable[Node]) -> list[str]:
    """What would break a search on `nodes`, a line each."""
    here = local_versions()
    found = []
    for node in nodes:
        if node.problem is not None:
            found.append(f"node {node.name}: {node.problem}")
            continue
        if node.storage is not None:
            found.append(
                f"node {node.name}: {node.storage}; give a folder that all nodes mount, or an "
                "object store, with --storage"
            )
        for what, version in (node.versions or {}).items():
            if what != "project" and version != here[what]:
                found.append(
                    f"node {node.name} has {what} {version}, but this machine has {here[what]}; "
                    "install the same, for example from constraints.txt"
                )
        ahead, doubt = node.ahead
        if abs(ahead) - doubt > SKEW:
            found.append(
                f"node {node.name}: its clock is {abs(ahead):.0f} s "
                f"{'ahead' if ahead > 0 else 'behind'}, and time budgets go by the clock; "
                "synchronise it"
            )
    return found
