"""A study as MLflow holds it, read into tables.

Nothing here writes: a database that is not there is not created, and a study may be read while its
search runs.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from analysis.study.rows import read_trials
from spaces.errors import InputError
from trainable.basics.addresses import pasted, sqlite_file, without_password
from trainable.basics.progress import Progress
from trainable.basics.terminal import NAME, command
from trainable.tracking.client import (
    TRACKING,
    check_tracking,
    find_experiment,
    quiet_mlflow,
    reason,
    search_runs,
)
from trainable.tracking.names import (
    EXPERIMENT,
    OF_PATIENTS,
    PROTOCOL,
    STUDY,
    TRIAL,
    study_name,
)
from trainable.trial.report import CAS

if TYPE_CHECKING:  # importing mlflow costs seconds: only those who read pay
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient


@dataclass(frozen=True, eq=False)  # one is itself alone, so that what is found of it can be kept
class StudyTable:
    """A study's trials and what their scores are held against.

    Attributes:
        name: the study's name.
        protocol: extractor and resize rule behind every FID here; empty if not recorded.
        n_generated: generated images behind each FID; 0 if not recorded.
        floor: FID of real images against other real ones; NaN if not recorded.
        untrained: that of a generator before its first step; NaN if not recorded.
        real_cas: classification accuracy score of the real training images; NaN if none were held
            back for it.
        trials: a row a trial, by number: ``number``, ``status``, ``winner`` (rank from 1, or NaN),
            ``fid``, ``epoch`` and ``train_seconds`` of the last evaluation (NaN without one),
            ``cas`` likewise, ``eval_seconds``, ``fresh``, ``fresh_low`` and ``fresh_high`` (FID on
            fresh images, mean and 95 % interval; NaN but for assessed trials), ``afresh`` (FID of
            each further training of its configuration that chose nothing, a tuple of `Interval`),
            those of `trainable.tracking.names.IMPROVEMENT` (NaN where unknown), ``fresh_cas``,
            ``rank`` (among the assessed, from 1, or NaN), ``failed`` (the gates that an assessed
            trial does not pass, in words; empty if it passes all, NaN if it was not assessed),
            ``tie`` (whether it cannot be told from the best; earlier versions do not say),
            ``copy_rate`` and ``coverage`` (of fresh images where there are any, else of the last
            evaluation), ``reason`` (why it ended as it did), ``device`` (the last one it trained
            on), and ``params.NAME`` for each parameter.
        curves: a row an evaluation: ``number``, ``epoch``, ``fid``, ``train_seconds``, ``cas``.
        settings: how the study was searched, as text, such as ``grace`` and ``eta``.
        note: what the reader should be told, such as that an older study has the same name.
        uri: the store it was read from.
        runs: the id of each trial's run, by its number.
        run: the id of the study's own run.
        counts: real images by class, the classes in the order of their indices, by their own
            names; empty if not recorded.
        of_patients: whether the images are known to be of patients.
        ranked_by: the ``--objective`` that ranks as the curves' ``fid`` does: ``fid``, or what
            stands in its place.
    """

    name: str
    protocol: str
    n_generated: int
    floor: float
    untrained: float
    trials: pd.DataFrame
    curves: pd.DataFrame
    settings: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    uri: str = ""
    runs: Mapping[int, str] = field(default_factory=dict)
    run: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    real_cas: float = math.nan
    of_patients: bool = False
    ranked_by: str = "fid"

    @property
    def score(self) -> str:
        """What an FID here is: ``FID (efficientnet-lite0/bilinear-224, 200 generated)``."""
        facts = [self.protocol, f"{self.n_generated} generated" if self.n_generated else ""]
        known = ", ".join(fact for fact in facts if fact)
        return f"FID ({known})" if known else "FID"


def load_study(name: str, uri: str, progress: Progress | None = None) -> StudyTable:
    """Read study `name` from the MLflow store at `uri`; of several so named, the newest.

    `progress` is told how many trials are read.

    Raises:
        InputError: the store cannot be read, has no such study, or the study has no score yet.
    """
    check_tracking(uri)
    quiet_mlflow()
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient
    from sqlalchemy.exc import SQLAlchemyError

    try:
        client = MlflowClient(uri, uri)
        parent, note = _find_parent(client, name, uri)
        trials, curves, runs = read_trials(client, parent, progress)
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        raise InputError(
            f"--tracking-uri {without_password(uri)} cannot be read ({reason(error)}); check the "
            "address, and that the server is running"
        ) from error
    if curves.empty:
        raise InputError(f"--study {name}: {_unscored(name, uri, parent, trials)}")
    metrics, params = parent.data.metrics, parent.data.params
    return StudyTable(
        name=name,
        protocol=parent.data.tags.get(PROTOCOL, ""),
        n_generated=int(params.get("n_generated", metrics.get("n_generated", 0))),  # once a metric
        floor=metrics.get("floor", float("nan")),
        untrained=metrics.get("untrained/fid", float("nan")),
        real_cas=metrics.get(CAS, float("nan")),
        trials=trials,
        curves=curves,
        counts=_counts(parent),
        of_patients=parent.data.tags.get(OF_PATIENTS) != "False",  # older ones do not say
        settings=params,
        note=note,
        uri=uri,
        runs=runs,
        run=parent.info.run_id,
    )


def _find_parent(client: MlflowClient, name: str, uri: str) -> tuple[Run, str]:
    """The study's own run, the newest of that name, and a note if there are more."""
    try:
        experiment = find_experiment(client, EXPERIMENT, uri)
    except InputError as error:
        raise InputError(f"--study {name}: {error}") from error
    parents, deleted = [], []
    is_parent = f"tags.`{STUDY}` IS NOT NULL AND tags.`{TRIAL}` IS NULL"
    if experiment is not None:
        parents = search_runs(client, experiment.experiment_id, is_parent)
    named = [run for run in parents if _study_name(run) == name]
    if experiment is not None and not named:
        deleted = search_runs(client, experiment.experiment_id, is_parent, deleted=True)
    if any(_study_name(run) == name for run in deleted):
        again = again_by("publish", name, uri)
        raise InputError(
            f"--study {name}: its run was deleted in MLflow; if its folder still exists, {again} "
            "writes it again"
        )
    if not named:
        there = sorted({_study_name(run) for run in parents})
        raise InputError(
            f"--study {name}: {without_password(uri)} has no such study; "
            + (f"it has {', '.join(there)}" if there else "it has none yet")
        )
    newest = named[-1]
    if len(named) == 1:
        return newest, ""
    started = datetime.fromtimestamp((newest.info.start_time or 0) / 1000)
    return newest, (
        f"{len(named)} studies are called {name}; this is the newest, started "
        f"{started:%Y-%m-%d %H:%M}"
    )


def _study_name(run: Run) -> str:
    return study_name(run.data.tags[STUDY])


def _counts(parent: Run) -> dict[str, int]:
    """Images by class, as search/tracking/dataset.py recorded them; empty if it did not.

    Not from the metrics of the counts: their keys are the classes' names with what MLflow does not
    allow taken out, in the order of the alphabet.
    """
    for given in parent.inputs.dataset_inputs if parent.inputs else ():
        try:
            return json.loads(given.dataset.profile or "")["counts"]
        except (ValueError, KeyError, TypeError):  # another's
            continue
    return {}


def again_by(what: str, name: str, uri: str) -> str:
    """The command that does so with a study of that store: with its folder where that lies beside
    the store's file or at the usual place, else with DIR to be filled in."""
    if uri == TRACKING:
        return command(NAME, what, name)
    files = [file for file in map(sqlite_file, (uri, TRACKING)) if file is not None]
    output = next((file.parent for file in files if (file.parent / name).is_dir()), "DIR")
    words: list[str | Path] = ["--output", output]
    if sqlite_file(uri) != Path(output, files[-1].name):
        words += ["--tracking-uri", pasted(uri, "URI")]
    return command(NAME, what, name, *words)


def _unscored(name: str, uri: str, parent: Run, trials: pd.DataFrame) -> str:
    """Why there is nothing to draw, and what to do about it."""
    if parent.info.status == "RUNNING":
        again = again_by("resume", name, uri)
        return (
            f"none of its {len(trials)} trials has a score yet; wait for the first evaluation, "
            f"or, if the search was killed, resume it with {again}"
        )
    if trials.empty:
        return "its search ended before a trial began; there is nothing to draw"
    counts = Counter(trials["status"].tolist())
    ends = ", ".join(f"{n} {status.replace('_', ' ')}" for status, n in counts.most_common())
    reasons = Counter(filter(None, trials["reason"].tolist())).most_common(1)
    why = f", most often as: {reasons[0][0]}" if reasons else ""
    return (
        f"its search has ended and none of its {len(trials)} trials has a score ({ends}{why}); "
        "there is nothing to draw"
    )
