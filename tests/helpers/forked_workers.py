"""Workers of Ray that are forked from one process: to import torch, Ray and us costs each 4 s.

Run as a program without more, it waits for calls, at the first one of which it imports what workers
need, and forks at each. Ray runs it,
too, in place of its own script that sets a worker up: it then has the worker run by a fork with
its own environment, folder and standard streams, and ends with it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import runpy
import select
import signal
import socket
import sys
from pathlib import Path

QUICK = {
    "trainable.metrics.quick_classifier.STEPS": 3,
    "trainable.trial.evaluation.GENERATED": 40,
}
"""Classifiers that hardly learn, and few images at an evaluation."""


ADDRESS = "FORKED_WORKERS"
"""The variable of the environment that names the socket."""


def call(words: list[str]) -> None:
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


def serve() -> None:
    """Until standard input is closed."""
    imported = False
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.environ[ADDRESS])
        listening.listen(64)
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([listening, 0], [], [])
            if 0 in ready:
                return
            line, _ = listening.accept()
            with line:
                size, streams, _, _ = socket.recv_fds(line, 4, 3)
                told = line.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)
                words, folder, environment = json.loads(told)
                if not imported:  # now, as Ray reads the environment as it is imported
                    os.environ.update(environment)
                    import_all()
                    imported = True
                if os.fork() == 0:
                    listening.close()
                    run(streams, words, folder, environment)  # `line` is closed as it ends
                for stream in streams:
                    os.close(stream)


def import_all() -> None:
    import importlib

    import torch

    importlib.import_module("analysis.augmentation.running.train_cell")
    importlib.import_module("trainable.ray_trainable")
    importlib.import_module("ray._private.worker")
    importlib.import_module("torch._dynamo")  # at the first step of an optimizer
    for name, value in QUICK.items():
        module, _, constant = name.rpartition(".")
        setattr(importlib.import_module(module), constant, value)
    torch.set_num_threads(1)


def run(streams: list[int], words: list[str], folder: str, environment: dict[str, str]) -> None:
    """Run a script as Python itself would, and end."""
    os.setpgid(0, 0)  # Ray ends a worker's whole group
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    random.seed()
    sys.argv[:] = words
    sys.path[:0] = [str(Path(words[0]).parent), *environment.get("PYTHONPATH", "").split(":")]
    code = 1
    try:
        runpy.run_path(words[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        os._exit(code)


if __name__ == "__main__":
    call(sys.argv[1:]) if sys.argv[1:] else serve()
