"""Processes forked from one that has imported torch, MLflow and us, which costs each 4 to 9 s.

They are our commands, and workers of Ray. Ray runs this file in place of its own script that sets a
worker up: it has the worker run by a fork of a server, which gets its environment, folder and
standard streams, and ends with it.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import multiprocessing
import os
import random
import runpy
import select
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkContext, ForkServerContext, ForkServerProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.helpers import ROOT

QUICK = {
    "trainable.metrics.quick_classifier.STEPS": 3,
    "trainable.trial.evaluation.GENERATED": 20,
}
"""Classifiers that hardly learn, and few images at an evaluation."""
ADDRESS = "FORKED_WORKERS"
"""The variable of the environment that names the socket of the server of workers."""


@functools.cache
def clean() -> ForkServerContext:
    """Of processes forked from one that has imported all but Ray, which reads its environment then.

    It is started at the first call, and ends with this process.
    """
    import pytest

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.helpers.preloaded"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("OMP_NUM_THREADS", "1")
        forkserver.ensure_running()
    return context


class Command(ForkServerProcess):
    """One of our commands in a process of its own, to be held like one of `subprocess`.

    Its output goes to the log. Ray, if it starts it, takes workers from a server below it.
    """

    def __init__(self, module: str, flags: Sequence[str], folder: Path, log: Path):
        clean()
        super().__init__()
        path = f"{ROOT}{os.pathsep}{folder}"
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        self._told = module, flags, folder, log, environment
        self.start()

    @property
    def pid(self) -> int:
        """Known, as it is started at once."""
        assert self.ident is not None
        return self.ident

    def run(self) -> None:
        module, flags, folder, log, environment = self._told
        with log.open("ab") as file:
            for stream in (1, 2):
                os.dup2(file.fileno(), stream)
        become(folder, environment)
        os.environ[ADDRESS] = serve_workers(multiprocessing.get_context("fork"))
        from ray._private import ray_constants

        ray_constants.SETUP_WORKER_FILENAME = __file__
        sys.exit(importlib.import_module(module).main(list(flags)))

    def poll(self) -> int | None:
        return self.exitcode

    def wait(self) -> int | None:
        self.join()
        return self.exitcode


def serve_workers(context: ForkContext | ForkServerContext) -> str:
    """Start a server of workers, which ends with this process; returns its address."""
    address = str(Path(tempfile.mkdtemp()) / "workers")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen(64)
        context.Process(target=_serve, args=(listening,), daemon=True).start()
    return address


def _serve(listening: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    parent = multiprocessing.parent_process()
    assert parent is not None
    while parent.sentinel not in select.select([listening, parent.sentinel], [], [])[0]:
        line, _ = listening.accept()
        with line:
            size, streams, _, _ = socket.recv_fds(line, 4, 3)
            told = line.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)
            words, folder, environment = json.loads(told)
            os.environ.update(environment)
            _import_ray()  # with that environment, as all are workers of one
            if os.fork() == 0:
                listening.close()
                _run(streams, words, folder, environment)  # `line` is closed as it ends
            for stream in streams:
                os.close(stream)


def _import_ray() -> None:
    """Ray's generator of ids is not drawn from: forks that inherited it would draw the same ones.

    Two that start at once would meet in the object store. One dies, and is waited for a minute.
    """
    actor: Any = importlib.import_module("ray.actor")
    known = actor.ActorClassID
    size = len(known.nil().binary())
    actor.ActorClassID = SimpleNamespace(from_random=lambda: known(os.urandom(size)))
    importlib.import_module("trainable.ray_trainable")
    actor.ActorClassID = known


def _run(streams: list[int], words: list[str], folder: str, environment: dict[str, str]) -> None:
    """Run a script as Python itself would, and end."""
    os.setpgid(0, 0)  # Ray ends a worker's whole group
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    become(Path(folder), environment)
    sys.argv[:] = words
    sys.path.insert(0, str(Path(words[0]).parent))
    code = 1
    try:
        runpy.run_path(words[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        os._exit(code)


def become(folder: Path, environment: dict[str, str]) -> None:
    """Have its folder, environment and search path."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = environment.get("PYTHONPATH", "").split(os.pathsep)
    random.seed()


def _call(words: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--serialized-runtime-env-context")  # for the script that this stands for
    parser.add_argument("--language")
    _, words = parser.parse_known_args(words)
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(os.environ[ADDRESS])
        told = json.dumps([words, str(Path.cwd()), dict(os.environ)]).encode()
        socket.send_fds(line, [len(told).to_bytes(4, "big")], [0, 1, 2])
        line.sendall(told)
        line.recv(1)  # nothing ever comes: the fork has ended


if __name__ == "__main__":
    _call(sys.argv[1:])
