"""Whole searches, as a user starts them: in processes of their own, or here on one Ray for all."""

from __future__ import annotations

import importlib
import io
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import pytest
import ray
from optuna.trial import TrialState
from ray._private import ray_constants, state

from search.study import folder as study_folder
from search.study.config import StudyConfig
from search.study.database import load_study, open_storage
from search.study.folder import StudyFolder
from search.study.records import read_records
from search.tracking.projection import EXPERIMENT, connect, study_key
from search.tune.rungs import replayed
from tests.helpers import ROOT, forked
from trainable.distributed import cluster
from trainable.trial.report import Status

SPACE = """
from spaces.presets import default

def tiny(trial, task):
    lr = trial.suggest_float("g_lr", 1e-4, 1e-2, log=True)
    width = trial.suggest_categorical("g_width", [4, 8])
    narrow = {"g_width": width, "d_width": 4, "latent_size": 8}
    return {**default(task), **narrow, "g_lr": lr}
"""


def _processes() -> dict[int, tuple[int, int, str]]:
    """Parent, start and title of each living process; zombies are dead."""
    found = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with suppress(OSError):
                facts = (path / "stat").read_text().rpartition(")")[2].split()
                if facts[0] != "Z":
                    title = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found[int(path.name)] = int(facts[1]), int(facts[19]), title
    return found


STORE_KEYS = {
    "AWS_ACCESS_KEY_ID": "somebody",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""By which an object store of the tests is opened, also by Ray's workers."""
_CPUS, _GPUS = 4, 2


@contextmanager
def shared_ray() -> Iterator[None]:
    """Within, `connected` to this machine alone gives one Ray, which is started once a process.

    To start one costs 9 s of CPU. It has four CPUs, and two GPUs that are none; its workers are
    forked, and evaluate quickly, as this process does meanwhile.
    """
    if not ray.is_initialized():
        _start_ray()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in forked.QUICK.items():
            patch.setattr(name, value)
        patch.setattr(cluster, "_start", lambda: None)
        patch.setattr(ray, "shutdown", lambda: None)
        try:
            yield
        finally:  # a search that was broken off leaves workers that would train on
            for actor in state.actors().values():
                if actor["State"] == "ALIVE":
                    with suppress(ProcessLookupError):
                        os.kill(actor["Pid"], signal.SIGKILL)


def _start_ray() -> None:
    here = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **STORE_KEYS}
    here[forked.ADDRESS] = forked.serve_workers(forked.clean())
    with pytest.MonkeyPatch.context() as patch:
        for name, value in here.items():
            patch.setenv(name, value)
        patch.setattr(cluster, "local_cores", lambda: _CPUS)
        patch.setattr(ray_constants, "SETUP_WORKER_FILENAME", forked.__file__)
        more = {"prestart_worker_first_driver": False, "enable_worker_prestart": False}
        init = ray.init

        def start(_system_config: dict[str, Any], **given: Any) -> None:
            init(**given, num_gpus=_GPUS, _system_config={**_system_config, **more})

        patch.setattr(ray, "init", start)
        cluster._start()


class Place:
    """A folder with a space of its own, in which searches are started and watched."""

    def __init__(self, folder: Path, data: str, *flags: str, study: str = "chaos"):
        self.folder, self.study = folder, study
        self.flags = [
            "--space", "their_space:tiny", "--data", data, "--image-size", "32",
            "--features", "efficientnet-lite0", "--backbone", "none", "--study", study, *flags,
        ]  # fmt: skip
        self._seen: dict[int, int] = {}  # pid: when it began, as pids are used again
        (folder / "their_space.py").write_text(SPACE)
        self.log = folder / f"{study}.log"
        self.store = f"sqlite:///{folder / 'runs' / 'mlflow.db'}"

    def start(self, module: str, *flags: str) -> subprocess.Popen[bytes]:
        """Start one of our commands; its output goes to the log."""
        path = f"{ROOT}{os.pathsep}{self.folder}"
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *flags],
                cwd=self.folder, env={**os.environ, "PYTHONPATH": path},
                stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self._seen[process.pid] = _processes()[process.pid][1]
        return process

    def fork(self, module: str, *flags: str) -> forked.Command:
        """The same, forked from a process that has imported: see `tests.helpers.forked`.

        `tests.searches.chaos` and `tests.searches.cluster` keep to `start`.
        """
        process = forked.Command(module, flags, self.folder, self.log)
        self._seen[process.pid] = _processes()[process.pid][1]
        return process

    def run(self, module: str, *flags: str, screen: io.StringIO | None = None) -> tuple[int, str]:
        """A command's exit code and what it printed, run in this process, on the shared Ray.

        A process of its own would import for 6 s.
        """
        screen = screen or io.StringIO()
        with pytest.MonkeyPatch.context() as patch, shared_ray():
            patch.chdir(self.folder)
            patch.syspath_prepend(str(self.folder))
            patch.delitem(sys.modules, "their_space", raising=False)  # another place's
            with redirect_stdout(screen), redirect_stderr(screen):
                code = importlib.import_module(module).main(list(flags))
        assert "Traceback" not in screen.getvalue(), screen.getvalue()
        return code, screen.getvalue()

    def flags_now(self, *flags: str) -> list[str]:
        """Of a search that begins the study, or goes on with it if there is one."""
        if study_folder.StudyFolder(self.folder / "runs" / self.study).began:
            return ["--resume", self.study, *flags]
        return [*self.flags, *flags]

    def search(self, *flags: str) -> subprocess.Popen[bytes]:
        """Begin the study, or go on with it, in a process of its own."""
        return self.start("search.run", *self.flags_now(*flags))

    def watch(self) -> None:
        """Take note of all that descends from what we started; an orphan has no parent to tell."""
        table = _processes()
        for pid, (parent, began, _) in sorted(table.items(), key=lambda item: item[1][1]):
            if parent in self._seen and parent in table:
                self._seen[pid] = began

    def alive(self) -> dict[int, str]:
        """Titles of the living processes that descend from ours, whoever their parent is now."""
        self.watch()
        table = _processes()
        return {
            pid: title for pid, (_, began, title) in table.items() if self._seen.get(pid) == began
        }

    def workers(self) -> list[int]:
        """Processes that train trials."""
        return [
            pid
            for pid, title in self.alive().items()
            if title.startswith("ray::") and "Trainable" in title
        ]

    def kill_a_worker(self, rng: random.Random) -> bool:
        """Kill a training process, if there is one."""
        workers = self.workers()
        if workers:
            with suppress(ProcessLookupError):
                os.kill(rng.choice(workers), signal.SIGKILL)
        return bool(workers)

    def reports(self) -> dict[tuple[int, int], float]:
        """The objective of each report in the database, by trial and resource."""
        path = self.folder / "runs" / self.study
        if not study_folder.StudyFolder(path).began:
            return {}
        try:
            study = load_study(self.study, open_storage(StudyFolder(path).database_url))
        except KeyError:  # the file is there, and the study will be
            return {}
        records = read_records(study)
        return {(x.number, r["resource"]): r["objective"] for x in records for r in x.reports}

    def check(self, trials: int, uri: str) -> None:
        """Every promise about a finished study, held against the database and MLflow."""
        path = self.folder / "runs" / self.study
        study = load_study(self.study, open_storage(StudyFolder(path).database_url))
        config = StudyConfig.from_json(study.user_attrs["config"])
        records = read_records(study)
        ended = {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL}
        assert {t.state for t in study.trials} <= ended, "a trial is left open"
        assert len(records) == trials, f"{len(records)} trials, not {trials}"
        assert [r.number for r in records] == list(range(trials))
        orders = [r["order"] for record in records for r in record.reports]
        assert len(orders) == len(set(orders))
        # What ASHA decided over all lives is what it decides on the whole history in one.
        _, stopped = replayed(config, records)
        pruned = {r.number for r in records if r.status is Status.PRUNED}
        assert stopped == pruned, f"ASHA stops {stopped} on the history, but {pruned} were"
        for record in records:
            reached = record.last["resource"] if record.last else 0
            planned = [e for e in config.evaluations if e <= reached]
            assert [r["resource"] for r in record.reports] == planned, record.number
        self.check_mlflow(trials, uri)

    def check_mlflow(self, trials: int, uri: str) -> None:
        """MLflow has one run a trial, with every report once and no other value."""
        client = connect(uri)
        path = self.folder / "runs" / self.study
        study = load_study(self.study, open_storage(StudyFolder(path).database_url))
        experiment = client.get_experiment_by_name(EXPERIMENT)
        assert experiment is not None
        mine = f"tags.`cgan.study` = '{study_key(study)}'"
        runs = list(client.search_runs([experiment.experiment_id], mine, max_results=5000))
        children = [r for r in runs if "cgan.trial" in r.data.tags]
        assert len(runs) == 1 + len(children)
        numbers = sorted(int(r.data.tags["cgan.trial"]) for r in children)
        assert numbers == list(range(trials)), f"MLflow has {len(numbers)} runs: {numbers}"
        reports = self.reports()
        epochs = {
            (record.number, r["epoch"]): r["objective"]
            for record in read_records(study) for r in record.reports
        }  # fmt: skip
        assert len(epochs) == len(reports)
        for run in children:
            number = int(run.data.tags["cgan.trial"])
            points = client.get_metric_history(run.info.run_id, "objective")
            assert len(points) == len({p.step for p in points}), f"a point twice: {number}"
            there = {(number, p.step): p.value for p in points}
            assert there == {k: v for k, v in epochs.items() if k[0] == number}, number

    def no_orphans(self, within: float = 120.0) -> None:
        """Nothing that descends from us stays alive.

        Ray's own agents try for a minute to tell a head that is gone of what killed the raylet.
        """
        deadline = time.monotonic() + within
        while (alive := self.alive()) and time.monotonic() < deadline:
            time.sleep(0.5)
        assert not alive, f"orphans: {alive}"


def wait_for_reports(
    place: Place, count: int, process: subprocess.Popen[bytes] | forked.Command
) -> None:
    """Until the study has `count` reports."""
    while len(place.reports()) < count:
        assert process.poll() is None, place.log.read_text()[-3000:]
        time.sleep(0.3)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]
