"""Being connected to Ray, on this machine or on a cluster."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray._common.utils import get_default_system_temp_dir
from ray._private import ray_constants
from ray.autoscaler.sdk import request_resources
from ray.exceptions import AuthenticationError, RayError, RaySystemError, RayTaskError, RpcError

from spaces.errors import InputError
from trainable.basics.machine import local_cores
from trainable.basics.private import private_folder
from trainable.basics.stopping import stopped_by_signals
from trainable.basics.terminal import command
from trainable.basics.wording import format_duration
from trainable.distributed.code import ROOT, copy_code
from trainable.distributed.ray_token import guard_token, has_token
from trainable.distributed.resources import Resources

_SOCKET = "session_2000-01-01_00-00-00_000000_{}/sockets/plasma_store"  # as Ray names it
_QUIET: Mapping[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
_PAUSE = 1.0  # seconds between looks for a first node


@contextmanager
def connected(
    resources: Resources, say: Callable[[str], None] = lambda line: None
) -> Iterator[tuple[Resources, int]]:
    """Be connected to Ray; gives the settled resources and how many trials run at a time now.

    Workers of a cluster run this process's code, whatever is installed there. A cluster on which
    nothing fits yet is asked for a node, and waited for; `say` is told.

    Raises:
        InputError: the cluster does not answer, or has not the CPUs or GPUs that one trial needs.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    check_surroundings(resources, say)
    if resources.cluster is None:
        _start()
    else:
        _join(resources.cluster)
    try:
        with stopped_by_signals():  # Ray's own code has taken them, and would abort
            resources, fits = _settle(resources, say)
            yield resources, min(fits, resources.max_concurrent or fits)
    finally:
        ray.shutdown()


def head_address() -> str:
    """Where the head of the Ray that this process is connected to listens."""
    return ray.get_runtime_context().gcs_address


def ray_lost(error: BaseException) -> bool:
    """Whether an error says that Ray is lost."""
    return isinstance(error, RaySystemError | RpcError | ConnectionError)


def cause_of(error: RayError) -> BaseException:
    """What went wrong in a task, of which Ray's own error says the place alone; else `error`."""
    return error.cause if isinstance(error, RayTaskError) else error


def check_surroundings(resources: Resources, say: Callable[[str], None]) -> None:
    """See to all that Ray needs of the environment, in a second, before any work.

    `say` is told what was mended.

    Raises:
        InputError: HOME, TMPDIR or RAY_AUTH_MODE would stop it.
    """
    try:
        Path.home()
    except RuntimeError as error:
        raise InputError(
            "HOME is not set, and this user has no home; set HOME to a folder of its own"
        ) from error
    guard_token(say, make=resources.cluster is None)
    if resources.cluster is None:
        _check_sockets(Path(_ray_folder() or Path(get_default_system_temp_dir(), "ray")))
    elif "RAY_AUTH_MODE" not in os.environ and (found := has_token()):
        raise InputError(
            f"RAY_AUTH_MODE is not set, but there is a token ({found}), and a cluster that uses "
            "tokens would reject this machine; export RAY_AUTH_MODE=token, or =disabled for a "
            "cluster without tokens"
        )


def _check_sockets(folder: Path) -> None:
    """Raise InputError if the path of a socket that Ray makes in `folder` would be too long."""
    socket = folder.absolute() / _SOCKET.format(os.getpid())
    longest = 103 if sys.platform == "darwin" else 107  # bytes, of any Unix socket
    if (more := len(os.fsencode(socket)) - longest) > 0:
        raise InputError(
            f"the path of temporary files, {get_default_system_temp_dir()}, is {more} bytes too "
            "long for Ray's sockets; set RAY_TMPDIR to a shorter one, such as /tmp"
        )


def _start() -> None:
    """A Ray of this machine alone, which nobody else can reach, be it from here or over a network.

    Ray has workers look for modules in the current folder first, where a ``spaces.py`` of the
    user's would be taken for ours; so that is the folder with this code meanwhile.

    Raises:
        InputError: there is no folder for its files, or this machine is too busy to start it.
    """
    ray_folder = _ray_folder()  # by the user's current folder
    try:
        with _on_loopback(), chdir(ROOT):
            ray.init(
                address="local",  # no less: a stale address file would otherwise capture this call
                num_cpus=local_cores(),
                include_dashboard=False,
                runtime_env=_interpreter(),
                _temp_dir=ray_folder,
                _system_config={"enable_metrics_collection": False},  # its exporters are not used
                **_QUIET,
            )
    except Exception as error:
        if "timed out during startup" not in str(error):  # Ray gives it no class of its own
            raise
        raise InputError(
            "Ray did not start within its 30 s, as this machine is too busy or short of memory; "
            "try again when other work has ended"
        ) from error


def _interpreter() -> dict[str, str] | None:
    """What workers need to be told of their Python; None where Ray's own way works.

    Ray starts them by a shell and does not quote the path: in a folder with a space in its name
    none ever starts, and Ray tries again for ever.
    """
    quoted = command(sys.executable)
    return None if quoted == sys.executable else {"py_executable": quoted}


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Have Ray take 127.0.0.1 for this machine's address, as it does by itself on macOS.

    It then binds all its ports there; else to all interfaces, and it refuses to be told otherwise.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _ray_folder() -> str | None:
    """Where Ray is to keep its sockets and logs; None for its own choice.

    It makes folders there into which everybody may write, so they go into one of this user alone,
    by a short name, as a socket's path has room for some 100 bytes.

    Raises:
        InputError: there is none, or others have taken its place.
    """
    base = Path(get_default_system_temp_dir()).absolute()
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        there = base.stat()
    except OSError as error:
        raise InputError(
            f"temporary files cannot be kept in {base} ({error.strerror}); set TMPDIR to a folder "
            "that can be written to"
        ) from error
    if there.st_uid == os.geteuid() and not there.st_mode & 0o077:
        return None
    return str(private_folder(base / f"ray-{os.geteuid()}") / "r")


def _join(address: str) -> None:
    # A submitted job has sent a folder along already; the code of the driver, which runs in it, is
    # part of that, or of the head's own environment, where workers would not look.
    os.environ["RAY_OVERRIDE_JOB_RUNTIME_ENV"] = "1"
    with tempfile.TemporaryDirectory(prefix="cgan-search-") as folder:
        copy_code(Path(folder))
        try:
            ray.init(address=address, runtime_env={"working_dir": folder}, **_QUIET)
        except (ConnectionError, RuntimeError, ValueError, AuthenticationError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"--address {address} does not answer ({reason}); start the cluster, check that "
                "RAY_AUTH_MODE and the token match the cluster's, or use --address local"
            ) from error


def fitting(nodes: list[Mapping[str, Any]], resources: Resources, gpus: float) -> int:
    """How many trials of `gpus` GPUs each fit on `nodes`, as `ray.nodes` lists them."""
    total = 0
    for node in nodes:
        if not node["Alive"]:
            continue
        has = node["Resources"]
        fits = int(has.get("CPU", 0) // resources.cpus_per_trial)
        if gpus:
            # A fraction shares one GPU; it cannot be made up of the rests of two.
            there = int(has.get("GPU", 0))
            share = there * int(1 / gpus + 1e-6) if gpus < 1 else int(there // gpus)
            fits = min(fits, share)
        total += fits
    return total


def _settle(resources: Resources, say: Callable[[str], None]) -> tuple[Resources, int]:
    """The GPUs of a trial settled, and how many trials fit; waits for a cluster's first node."""
    until = time.monotonic() + resources.patience
    asked = False
    while True:
        nodes = ray.nodes()
        there = ray.cluster_resources()
        gpus = resources.gpus_per_trial
        if gpus is None:
            gpus = 1.0 if resources.devices == "gpu" or there.get("GPU") else 0.0
        fits = fitting(nodes, resources, gpus)
        if fits:
            if asked:
                request_resources(bundles=[])  # from here on, trials that wait are the demand
            return replace(resources, gpus_per_trial=gpus), fits
        needs = f"a trial needs {resources.cpus_per_trial} CPUs and {gpus:g} GPUs on one node"
        if resources.cluster is None or time.monotonic() > until:
            if asked:
                request_resources(bundles=[])
            raise InputError(
                f"{needs}, but there are only {there.get('CPU', 0):g} and "
                f"{there.get('GPU', 0):g} in total; lower --cpus-per-trial or --gpus-per-trial, "
                "or add a node"
            )
        if not asked:
            asked = True
            bundle = {"CPU": resources.cpus_per_trial, "GPU": gpus}
            request_resources(bundles=[{name: n for name, n in bundle.items() if n}])
            say(
                f"{needs}, and no node has joined yet: waiting up to "
                f"{format_duration(resources.patience)} (--wait-for-nodes)"
            )
        time.sleep(_PAUSE)
