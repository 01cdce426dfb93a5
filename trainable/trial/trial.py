"""One trial: a run trained from evaluation to evaluation, each followed by a report.

A trial lives in a folder of its own. There it keeps checkpoints, from which it goes on after
anything (see `trainable.trial.checkpoints`), and a sample grid for each evaluation, and for the
untrained generator.
"""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import torch

from spaces.errors import InputError
from spaces.task import Params
from trainable.data.sheets import draw_grid, grid_file
from trainable.gan.config import TrialConfig
from trainable.gan.gpu_memory import limit_memory
from trainable.gan.run import DivergedError
from trainable.pretrained.weights import first_line
from trainable.trial.checkpoints import Attempt, newest, times_hung
from trainable.trial.evaluation import Assessment
from trainable.trial.report import (
    ASKED,
    GOALS,
    LONGEST,
    SPENT,
    Report,
    ScoredReport,
    Status,
    trial_folder,
    trial_seed,
)
from trainable.trial.workload import Workload

GRID_COLUMNS = 8
HANGS = 1
"""Times a trial that hangs is tried again."""
COLLAPSE = 0.4
"""Within-class diversity, real images having 1, below which a class has collapsed. Five images in
place of a hundred have 0.66, two 0.4."""
COLLAPSE_AFTER = 4.0
"""Thousands of images seen before that is looked at: an untrained generator's are alike too."""


class ForeignCheckpointError(InputError):
    """What is trained is there, but this version cannot go on from it."""


class Trial:
    """A trial under way. Build it anew to go on from its last checkpoint.

    Attributes:
        workload, folder: what all trials share, and where this one keeps its files.
        run: what is trained.
        scoring: whether it is scored now.
    """

    def __init__(
        self,
        workload: Workload,
        number: int,
        params: Params,
        *,
        heard: int = 0,
        deadline: float | None = None,
    ):
        """`heard`: reports up to this resource are known and not repeated.

        `deadline`, in seconds since 1970, is when the trial must have stopped, whole or not.
        """
        _prepare_process(workload)
        self.workload = workload
        self.folder = trial_folder(workload.trials, number)
        if workload.object_store is not None:
            workload.object_store.refill(self.folder)
        self.attempt = Attempt(self.folder)
        self._push()
        self._params = params
        self._deadline, self._asked = deadline, False
        config = TrialConfig.from_params(params)
        self.run = workload.build_run(config, trial_seed(workload.seed, number))
        self.evaluator = workload.evaluator
        self.scoring = False
        self.eval_seconds = 0.0
        self._reports: list[ScoredReport] = []
        state = self.attempt.resume(params, workload.device)
        if state is not None:
            try:
                self.run.load_state(state["run"])
                self.eval_seconds = state["eval_seconds"]
                self._reports = state["reports"]
            except (torch.OutOfMemoryError, torch.AcceleratorError):  # the GPU's, not the file's
                raise
            except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                raise ForeignCheckpointError(
                    f"the checkpoints in {self.folder} are from another version of cgan-search "
                    f"({type(error).__name__}: {first_line(error)}); use that version"
                ) from error
        self._unheard = [r for r in self._reports if r["resource"] > heard]

    @property
    def reports(self) -> tuple[ScoredReport, ...]:
        """All reports with scores, those of former attempts included."""
        return tuple(self._reports)

    def stop(self) -> None:
        """Have `advance` save and stop when the epoch or evaluation under way has ended."""
        self._asked = True

    def advance(self, watch: Callable[[], None] = lambda: None) -> Report:
        """Train to the next evaluation, score, save, and report; `watch` is called every epoch.

        After a load, reports of the saved past that were never heard come first. Breakdowns of the
        configuration itself (not finite, out of GPU memory) are a status, and so is a full disk,
        which interrupts. Past the deadline the trial saves where it stands and is interrupted.
        """
        if self._unheard:
            return self._unheard.pop(0)
        if times_hung(self.folder) > HANGS:
            return self._report(Status.FAILED, "it hung again on retry")
        losses: dict[str, float] = {}
        try:
            if self.run.epoch == 0:
                self._draw()  # what the untrained generator makes of the latents
            while not self._due():
                spent = self._deadline is not None and time.time() >= self._deadline
                if self._asked or spent:
                    self._save()
                    reason = ASKED if self._asked else SPENT
                    return self._report(Status.INTERRUPTED, reason)
                losses = self.run.train_epoch()
                watch()
            started, self.scoring = time.perf_counter(), True
            scores = self.evaluator.scores(self.run, seed=self.workload.seed)
            self._draw()
        except Exception as error:
            return self._broken(error)
        finally:
            self.scoring = False
        self.eval_seconds += time.perf_counter() - started
        goals = self.workload.objective.values(scores, self.workload.untrained)
        said = dict(zip(GOALS, goals, strict=False))  # one or two
        report = cast(ScoredReport, {**self._report(self._standing()), **said, **scores, **losses})
        if report["status"] == Status.PRUNED:
            report["reason"] = f"it reached --max-trial-time ({self.workload.max_seconds:g} s)"
        if reason := self._collapsed(scores):
            report["status"], report["reason"] = Status.COLLAPSED.value, reason
        self._reports.append(report)
        try:
            self._save()
        except OSError as error:
            self._reports.pop()  # not kept, so not said: the resumed trial scores it again
            return self._broken(error)
        return report

    def _spent(self) -> float:
        """Seconds of training and evaluations, those of former attempts included."""
        return self.run.train_seconds + self.eval_seconds

    @property
    def progress(self) -> float:
        """How much the trial has had of what it is given."""
        return self.run.epoch if self.workload.resource == "epoch" else self.run.train_seconds

    def _due(self) -> bool:
        """Whether the next evaluation is due: by plan, or because the trial's time is up."""
        reached = self._reports[-1]["resource"] if self._reports else 0
        if self.progress >= next(e for e in self.workload.evaluations if e > reached):
            return True
        limit = self.workload.max_seconds
        return limit is not None and self._spent() >= limit and self.run.epoch > 0

    def _standing(self) -> Status:
        """How the trial stands after an evaluation."""
        if self.progress >= self.workload.evaluations[-1]:
            return Status.COMPLETE
        limit = self.workload.max_seconds
        return Status.PRUNED if limit is not None and self._spent() >= limit else Status.RUNNING

    def _collapsed(self, scores: Mapping[str, float]) -> str | None:
        """Which class's images are all alike, at this evaluation and at the one before."""
        last = self._reports[-1] if self._reports else None
        if last is None or last["images_seen"] < 1000 * COLLAPSE_AFTER:
            return None
        for index, name in enumerate(self.workload.data.classes):
            now, before = (s[f"diversity/{index}"] for s in (scores, last))
            if now < COLLAPSE and before < COLLAPSE:
                return (
                    f"images of {name} are alike: within-class diversity {before:.2f} and "
                    f"{now:.2f}, at least {COLLAPSE:g}; see {self._grid()}"
                )
        return None

    def _grid(self) -> Path:
        """The file of the present epoch's sample grid."""
        return grid_file(self.folder, self.run.epoch)

    def _resource(self) -> int:
        """What a report counts for: the evaluation that was due, lest an epoch's end that came a
        second later than another's keep two trials from meeting in a rung."""
        reached = self._reports[-1]["resource"] if self._reports else 0
        passed = [e for e in self.workload.evaluations if reached < e <= self.progress]
        return passed[-1] if passed else max(reached + 1, int(self.progress))

    def _report(self, status: Status, reason: str | None = None) -> Report:
        device = self.run.device
        on_gpu = device.type == "cuda"
        report: Report = {
            "resource": self._resource(),
            "epoch": self.run.epoch,
            "status": status.value,
            "images_seen": self.run.images_seen,
            "train_seconds": self.run.train_seconds,
            "eval_seconds": self.eval_seconds,
            "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
        }
        if on_gpu:
            report["gpu_memory_mb"] = torch.cuda.max_memory_reserved(device) // 2**20
        if reason is not None:
            report["reason"] = reason
        return report

    def _broken(self, error: Exception) -> Report:
        """The report of a breakdown that is a status; any other error is raised again."""
        found = breakdown(error)
        if found is None:
            raise error
        return self._report(*found)

    def _draw(self) -> None:
        """Write the sample grid: the same latents every time, a row a class."""
        classes = len(self.workload.data.classes)
        labels = torch.arange(classes).repeat_interleave(GRID_COLUMNS)
        images = self.run.sample(labels, seed=self.workload.seed + 1).cpu().numpy()
        draw_grid(images, GRID_COLUMNS).save(self._grid())

    def _save(self) -> None:
        state = {
            "run": self.run.state(),
            "eval_seconds": self.eval_seconds,
            "reports": self._reports,
        }
        self.attempt.save(self.run.images_seen, self._params, state)
        self._push()

    def _push(self) -> None:
        """Let the object store have what is new."""
        if self.workload.object_store is not None:
            self.workload.object_store.push(self.folder, self.attempt.number)


def breakdown(error: Exception) -> tuple[Status, str] | None:
    """The status that an error amounts to, and why; None if it is a crash.

    A configuration may diverge or not fit; a full disk, or what another version left, is nobody's
    fault and only interrupts.
    """
    if isinstance(error, ForeignCheckpointError):
        return Status.INTERRUPTED, str(error)
    if isinstance(error, DivergedError):
        return Status.DIVERGED, str(error)
    if isinstance(error, torch.OutOfMemoryError):
        return Status.OUT_OF_MEMORY, str(error).split(". ")[0]
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Status.INTERRUPTED, f"{error.strerror}: {error.filename or 'a checkpoint'}"
    return None


def assess(workload: Workload, number: int, params: Params, per_class: int) -> Assessment:
    """A trial's last checkpoint, scored on `per_class` images a class that the search never saw.

    Raises:
        FileNotFoundError: the trial has no valid checkpoint.
    """
    workload = workload.on_this_node()
    _prepare_process(workload)
    run = workload.build_run(TrialConfig.from_params(params), workload.seed)
    folder = trial_folder(workload.trials, number)
    if workload.object_store is not None:
        workload.object_store.refill(folder, "*.pt")
    with _let_go(workload, folder):
        run.load_state(newest(folder, workload.device)["run"])
        return workload.evaluator.assess(run, per_class, seed=workload.seed + 1000)


def train_afresh(
    workload: Workload, number: int, params: Params, per_class: int
) -> Assessment | None:
    """A whole training of `params` as trial `number`, scored as by `assess`; None if it broke down.

    It goes on from its last checkpoint, if there is one.
    """
    workload = workload.on_this_node()
    trial = Trial(workload, number, params, heard=LONGEST)
    with _let_go(workload, trial.folder):
        while trial.progress < workload.evaluations[-1]:
            report = trial.advance()
            if report["status"] == Status.INTERRUPTED:
                raise OSError(report.get("reason", Status.INTERRUPTED.value))
            if Status(report["status"]) not in (Status.RUNNING, Status.COMPLETE):
                return None
        return workload.evaluator.assess(trial.run, per_class, seed=workload.seed + 1000)


@contextmanager
def _let_go(workload: Workload, folder: Path) -> Iterator[None]:
    """Afterwards leave nothing of a trial on this node, if an object store has it."""
    try:
        yield
    finally:
        if workload.object_store is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _prepare_process(workload: Workload) -> None:
    torch.set_num_threads(workload.threads)
    torch.set_flush_denormal(True)  # denormals in dying units slow a CPU step severalfold
    limit_memory(workload.device, workload.gpu_memory_mb)
