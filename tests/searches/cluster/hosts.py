"""Hosts with addresses of their own, on one machine: Linux namespaces on a bridge.

A host has its own network, process table, host name, ``/tmp`` and ``/dev/shm``; the other folders
are the machine's, so a folder that both see is shared storage. Its power can be cut (`kill`: every
process of it dies at once), and so can its network (`unplug`). Needs root, iproute2 and util-linux.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from tests.helpers import ROOT

NETWORK = "10.77.0"
PORT = 6380
RAY = str(Path(sys.executable).with_name("ray"))
_OURS = f"cg{os.getpid()}"
"""In all names, so that two of these may run side by side."""


def _ip(*args: str) -> None:
    subprocess.run(["ip", *args], check=True, capture_output=True, text=True)


def missing() -> str | None:
    """Why there can be no hosts here, or None."""
    tools = [tool for tool in ("ip", "nsenter", "setpriv", "unshare") if shutil.which(tool) is None]
    if tools:
        return f"{', '.join(tools)} not installed"
    if os.geteuid():
        return "not root"
    try:
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, Network(Path(folder)) as trial:
            trial.add()
    except (subprocess.CalledProcessError, RuntimeError) as error:
        said = str(error.stderr if isinstance(error, subprocess.CalledProcessError) else error)
        if "not permitted" in said or "denied" in said or "not supported" in said.lower():
            return said.strip()
        raise
    return None


def _let_through(tmp: Path, seen: Iterable[Path]) -> list[str]:
    """Commands by which the project, its Python and `seen` are seen, where they are in ``/tmp``."""
    lines = []
    for path in (ROOT, Path(sys.prefix), Path(sys.base_prefix), *seen):
        path = path.resolve()
        if path.is_relative_to("/tmp"):
            there = shlex.quote(str(tmp / path.relative_to("/tmp")))
            lines += [f"mkdir -p {there}", f"mount --bind {shlex.quote(str(path))} {there}"]
    return lines


class Host:
    """One host, from `boot` to `kill`."""

    def __init__(self, number: int, root: Path):
        """`number` is the end of its address."""
        self.name = f"{_OURS}-{number}"
        self.address = f"{NETWORK}.{number}"
        self.folder = root / self.name
        self.log = self.folder / "log"
        self._cable = f"{_OURS}v{number}"
        self._outer: subprocess.Popen[bytes] | None = None

    def boot(self, hidden: Iterable[Path], seen: Iterable[Path]) -> None:
        """Start it; `hidden` are folders that it sees empty, `seen` those that it sees in /tmp."""
        (self.folder / "tmp").mkdir(parents=True)
        _ip("netns", "add", self.name)
        _ip("link", "add", self._cable, "type", "veth", "peer", "eth0", "netns", self.name)
        _ip("link", "set", self._cable, "master", _OURS, "up")
        for args in (
            ("link", "set", "lo", "up"),
            ("addr", "add", f"{self.address}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
        ):
            _ip("-n", self.name, *args)
        lines = [
            f"hostname {self.name}",
            *_let_through(self.folder / "tmp", seen),
            f"mount --rbind {self.folder / 'tmp'} /tmp",
            "mount -t tmpfs -o size=1g tmpfs /dev/shm",
            *(f"mount -t tmpfs tmpfs {path}" for path in hidden),
            "touch /tmp/up",
            "exec sleep infinity",
        ]
        command = ["setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", self.name, "unshare"]
        command += ["--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
        with self.log.open("ab") as log:
            self._outer = subprocess.Popen([*command, "sh", "-ec", "\n".join(lines)], stderr=log)
        while not (self.folder / "tmp" / "up").exists():
            if self._outer.poll() is not None:
                said = self.log.read_text()
                raise RuntimeError(f"host {self.name} did not come up: {said}")
            time.sleep(0.02)

    def _command(self, command: list[str]) -> list[str]:
        assert self._outer is not None, "not booted"
        # The first process of the host is the child of `unshare`.
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text()
        return ["nsenter", "--target", children.split()[0], "--all", "--", *command]

    def start(
        self, command: list[str], env: dict[str, str], cwd: Path, out: IO[bytes] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a command on the host; its output goes to `out`, else to the host's log."""
        line = ["env", "-C", str(cwd), *(f"{key}={value}" for key, value in env.items()), *command]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self._command(line), stdout=out or log, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def run(self, command: list[str], env: dict[str, str], cwd: Path) -> tuple[int, str]:
        """Run a command on the host to its end: exit code and what it said."""
        at = self.log.stat().st_size if self.log.exists() else 0
        code = self.start(command, env, cwd).wait()
        return code, self.log.read_bytes()[at:].decode()

    def kill(self) -> None:
        """Cut the power: every process of the host dies as by ``kill -9``."""
        if self._outer is not None:
            self._outer.kill()
            self._outer.wait()

    def unplug(self) -> None:
        """Cut the network, and leave the processes running."""
        _ip("link", "set", self._cable, "down")

    def plug(self) -> None:
        """Mend the network."""
        _ip("link", "set", self._cable, "up")

    def remove(self) -> None:
        """Nothing stays behind."""
        self.kill()
        for line in (("link", "del", self._cable), ("netns", "del", self.name)):
            with suppress(subprocess.CalledProcessError):  # where it did not come so far
                _ip(*line)


class Network:
    """A bridge with hosts; gone, with all hosts, at the end of the ``with``."""

    def __init__(self, root: Path, seen: Iterable[Path] = ()):
        """Hosts see the folders `seen`, which may be in ``/tmp``."""
        self._root, self._seen = root, tuple(seen)
        self.hosts: list[Host] = []

    def __enter__(self) -> Network:
        _ip("link", "add", _OURS, "type", "bridge")
        _ip("link", "set", _OURS, "up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        for host in self.hosts:
            host.remove()
        _ip("link", "del", _OURS)

    def add(self, hidden: tuple[Path, ...] = ()) -> Host:
        """One more host."""
        host = Host(len(self.hosts) + 1, self._root)
        self.hosts.append(host)
        host.boot(hidden, self._seen)
        return host
