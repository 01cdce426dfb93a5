"""What the doctor looks at, and the page that it prints."""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from search.capacity.estimate import budgeted, speed_of, total_seconds
from search.capacity.nodes import Node, faults, local_gpus, local_versions, shown, survey
from search.resolve import Prepared, make_workload, prepare
from search.study.database import open_storage
from search.study.folder import check_output, default_tracking
from search.study.trial_files import create_storage, existing_storage
from search.tracking.projection import check
from spaces.errors import InputError
from spaces.presets import default
from trainable.basics.addresses import sqlite_file, without_password
from trainable.basics.machine import file_system, local_cores, memory_bytes
from trainable.basics.progress import stage
from trainable.basics.terminal import make_console, say
from trainable.basics.wording import counted, format_duration
from trainable.distributed.cluster import connected
from trainable.distributed.resources import Resources, resolve_resources
from trainable.gan.config import TrialConfig
from trainable.trial.evaluation import real_set
from trainable.trial.object_store import ObjectStore
from trainable.trial.workload import Workload

GOOD, NOTE, BREAKS = "ok", "note", "BREAKS"
_GRID_BYTES = 60_000
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "lustre", "fuse.sshfs", "ceph", "9p"}


@dataclass
class Page:
    """What is found, printed line by line.

    Attributes:
        broken: lines that say that the search would not work.
    """

    console: Console
    broken: int = 0

    def line(self, verdict: str, subject: str, fact: str) -> None:
        """A verdict on a subject, and the fact behind it."""
        self.broken += verdict == BREAKS
        text = f"{verdict:<7}{subject:<10}{fact}"
        say(self.console, text)

    @contextmanager
    def about(self, subject: str) -> Iterator[None]:
        """Bad input raised inside is a line that breaks."""
        try:
            yield
        except InputError as error:
            self.line(BREAKS, subject, str(error))


def examine(args: argparse.Namespace, console: Console) -> int:
    """Look at everything, and print the page; returns the exit code, 1 if something would break."""
    page = Page(console)
    began = time.time()
    places = [args.output, *([Path(args.storage)] if args.storage else [])]
    with _nothing_left(places):
        _examine(page, args, began)
    broken = f"{counted(page.broken, 'problem')} would stop this search"
    say(console, broken if page.broken else "no problem would stop this search")
    return 1 if page.broken else 0


@contextmanager
def _nothing_left(places: list[Path]) -> Iterator[None]:
    """Folders that are made inside, and stay empty, are removed."""
    absent = [p for place in places for p in (place, *place.parents) if not p.exists()]
    try:
        yield
    finally:
        for path in absent:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()


def _examine(page: Page, args: argparse.Namespace, began: float) -> None:
    _this_machine(page)
    where = prepared = place = None
    with page.about("output"):
        check_output(args.output)
        _folder(page, "output", args.output)
        place = args.output
    resumed = args.resume and (args.output / args.resume).exists()  # else "search" says so
    if args.storage or resumed:
        with page.about("storage"):
            place = None
            place = _storage(args)
            _folder(page, "storage", place)
    with page.about("resources"):
        where = resolve_resources(args)
    with page.about("search"):
        prepared = prepare(args, make_console(stderr=True, force_terminal=False, quiet=True))
        _search(page, prepared)
    _stores(page, args)
    if where is not None:
        with page.about("Ray"), connected(where, lambda s: page.line(NOTE, "Ray", s)) as found:
            where, workers = found
            if where.cluster is not None and place is not None:
                _cluster(page, survey(place))
            at_work = f"{counted(workers, 'trial')} at a time on {where.device}"
            page.line(GOOD, "Ray", f"{where.cluster or 'this machine alone'}: {at_work}")
            if prepared is not None:
                with page.about("time"):
                    _time(page, place, prepared, where, workers, began)


def _this_machine(page: Page) -> None:
    here = local_versions()
    said = f"cgan-search {here['project']} (code {here['code']}), Python {here['Python']}, "
    page.line(GOOD, "versions", f"{said}torch {here['torch']}, Ray {here['Ray']}")
    memory = memory_bytes()
    known = "memory unknown" if memory is None else f"{memory / 1e9:.0f} GB of memory"
    page.line(GOOD, "machine", f"{local_cores()} cores, {known}")
    gpus = local_gpus()
    usable = torch.cuda.device_count()
    said = ", ".join(f"{name} {memory / 1000:.0f} GB" for name, memory in gpus) or "no GPU"
    if len(gpus) > usable:
        hidden = f"; PyTorch can use {usable} of them: is the driver older than its CUDA "
        page.line(NOTE, "GPUs", f"{said}{hidden}({torch.version.cuda})?")
    else:
        page.line(GOOD, "GPUs", said)


def _folder(page: Page, what: str, place: Path | ObjectStore) -> None:
    free = None if isinstance(place, ObjectStore) else shutil.disk_usage(place).free
    room = "an object store" if free is None else f"{free / 1e9:.0f} GB free"
    page.line(GOOD, what, f"{shown(place)}: {room}")


def _storage(args: argparse.Namespace) -> Path | ObjectStore:
    """Where the search would keep its trials' files, or a resumed one does."""
    return (
        create_storage(args.storage, "")
        if args.storage
        else existing_storage(args.output / args.resume)
    )


def _search(page: Page, prepared: Prepared) -> None:
    data = prepared.inputs.data
    page.line(GOOD, "data", f"{data.name}: {data.counted} ({data.report})")
    for line in prepared.said:
        page.line(GOOD, "weights" if line == prepared.said[-1] else "data", line)
    if prepared.inputs.networks.backbone is not None:
        page.line(GOOD, "weights", f"backbone {prepared.config.backbone}")
    for line in str(prepared.config).splitlines():
        page.line(GOOD, "search", line.strip())


def _stores(page: Page, args: argparse.Namespace) -> None:
    """MLflow, without which a search goes on, and the database, without which it does not."""
    uri = args.tracking_uri or default_tracking(args.output)
    file = sqlite_file(uri)
    there = file is None or file.exists()
    problem = check(uri) if there else None
    if problem:
        fault = f"{without_password(uri)} does not answer ({problem}); it can be filled later"
        page.line(NOTE, "MLflow", fault)
    else:
        page.line(GOOD, "MLflow", without_password(uri) if there else f"{uri}, to be created")
    with page.about("database"):
        if args.database:
            open_storage(args.database)
            page.line(GOOD, "database", without_password(args.database))
            return
        kind = file_system(args.output.resolve())
        fact = f"SQLite in {args.output}, on {kind or 'an unknown file system'}"
        if kind in _NETWORK:
            page.line(NOTE, "database", (
                f"{fact}: for one machine only, as locks fail over a network; for several, use "
                "--database postgresql://…"
            ))  # fmt: skip
        else:
            page.line(GOOD, "database", fact)


def _cluster(page: Page, nodes: list[Node]) -> None:
    for node in nodes:
        if node.problem is None:
            gpus = ", ".join(f"{name} {memory / 1000:.0f} GB" for name, memory in node.gpus)
            free = "?" if node.free_bytes is None else f"{node.free_bytes / 1e9:.0f}"
            page.line(
                GOOD, "node", f"{node.name}: {node.cpus:g} CPUs for trials, {gpus or 'no GPU'}, "
                f"{free} GB free, clock within {abs(node.ahead[0]) + node.ahead[1]:.1f} s",
            )  # fmt: skip
    for fault in faults(nodes):
        page.line(BREAKS, "node", fault.removeprefix("node "))


def _time(
    page: Page, place: Path | ObjectStore | None, prepared: Prepared, where: Resources,
    workers: int, began: float,
) -> None:  # fmt: skip
    inputs = prepared.inputs
    with stage(page.console, "measuring the real images") as progress:
        real = real_set(inputs.data, inputs.networks.extractor, lambda _: None, progress)
    with tempfile.TemporaryDirectory() as scratch:
        workload = make_workload(prepared, real, where, Path(scratch))
        speed = speed_of(workload, where)
    note = partial(page.line, NOTE, "time")
    config, _ = budgeted(
        prepared.config, inputs.data, speed, workers, began, left_open=prepared.left_open, say=note
    )
    seconds = total_seconds(config, inputs.data, speed, workers)
    limit = config.time_budget
    said = f"about {format_duration(min(seconds, limit or seconds))} for this search"
    if limit is not None and seconds > limit:
        said += f", its budget; all {config.trials} trials would take {format_duration(seconds)}"
    rate = f"the default configuration trains on {speed.trained:.0f} images a second"
    page.line(GOOD, "time", f"{said}; {rate}")
    needed = config.trials * _trial_bytes(workload)
    fact = f"{needed / 1e9:.1f} GB for checkpoints and pictures"
    if isinstance(place, ObjectStore):
        page.line(GOOD, "disk", f"{fact}, in the object store")
    elif place is not None:
        free = shutil.disk_usage(place).free
        fact += f", {free / 1e9:.0f} GB free"
        page.line(BREAKS if needed > free else GOOD, "disk", fact)


def _trial_bytes(workload: Workload) -> int:
    """What a trial of the default configuration leaves on disk, roughly: two checkpoints, grids."""
    run = workload.build_run(TrialConfig.from_params(default(workload.task)), workload.seed)
    with tempfile.TemporaryFile() as file:
        torch.save(run.state(), file)
        size = file.tell()
    return 2 * size + len(workload.evaluations) * _GRID_BYTES
