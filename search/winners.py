"""The end of a search: the best assessed on fresh images, ranked, kept, and handed to MLflow."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from rich.console import Console

from search.champion import clear_winners, export_generator, log_winner, register_champion
from search.launch import assess_on_ray
from search.leaderboard import Row, candidates, differences, rank, table, write_csv
from search.projection import study_key
from search.resources import Resources
from search.settings import StudyConfig
from search.study import read_records
from search.tracking import Tracker
from trainable.trial import Job, trial_folder


def conclude(
    study: optuna.Study,
    config: StudyConfig,
    job: Job,
    where: Resources,
    folder: Path,
    console: Console,
) -> list[Row]:
    """Assess the best trials on Ray, print and save the leaderboard, export the assessed.

    Returns the leaderboard's rows. Files go under `folder`: ``leaderboard.csv``, and
    ``winners/<rank>/`` with generator, weights and config of each assessed trial.
    """
    yardstick = study.user_attrs["yardstick"]
    records = read_records(study)
    best = candidates(records, config.top_k)
    images = config.winner_images * len(job.data.classes)
    with console.status(f"scoring {len(best)} winners again on {images} fresh images each"):
        assessed = assess_on_ray(job, best, config.winner_images, where)
    rows = rank(records, assessed, job.objective, yardstick)
    write_csv(folder / "leaderboard.csv", rows)
    shutil.rmtree(folder / "winners", ignore_errors=True)
    for row in _assessed(rows):
        export_generator(
            trial_folder(job.trials, row.record.number),
            row.record.params,
            job.data.task,
            job.data.classes,
            _export(folder, row),
            study=config.name,
            number=row.record.number,
            scores=_scores(row),
        )
    console.print(table(rows, config, yardstick))
    return rows


def print_winners(rows: list[Row], base: Mapping[str, Any], console: Console) -> None:
    """Say in what each assessed trial differs from the default, and which gates it fails."""
    for row in _assessed(rows):
        text = f"{row.rank}. trial {row.record.number} differs from the default in: "
        console.print(text + differences(row, base), soft_wrap=True, markup=False)
        if row.failed:
            faults = "; ".join(row.failed)
            console.print(f"   is no winner: {faults}", soft_wrap=True, markup=False)
    if not any(row.wins for row in rows):
        console.print("no trial passes the gates: none is registered as champion", markup=False)


def hand_over(
    rows: list[Row], study: optuna.Study, job: Job, folder: Path, uri: str, tracker: Tracker
) -> str | None:
    """Keep the assessed trials' generators in MLflow, and register the best that passes the gates.

    Returns the champion's version, None if no trial passes. Needs what `conclude` exported.

    Raises:
        Exception: MLflow did not take it all.
    """
    assessed = _assessed(rows)
    if not assessed:
        return None
    if not tracker.flush():
        raise ConnectionError(tracker.problem or "MLflow is slow to answer")
    clear_winners(uri, study_key(study))
    champion = None
    for row in assessed:
        run_id = tracker.projection.run_id(row.record.number)
        assert run_id is not None  # flush has written every trial
        trial = trial_folder(job.trials, row.record.number)
        place = row.rank if row.wins else None
        log_winner(uri, run_id, trial, _export(folder, row), place, _scores(row))
        if champion is None and row.wins:
            champion = register_champion(uri, run_id, _export(folder, row), study.study_name)
    return champion


def _assessed(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.assessment is not None]


def _export(folder: Path, row: Row) -> Path:
    return folder / "winners" / str(row.rank)


def _scores(row: Row) -> dict[str, float]:
    """What an assessed trial's run and card say of its quality."""
    found = row.assessment
    assert found is not None
    ends = {"fid_mean": found.fid.mean, "fid_low": found.fid.low, "fid_high": found.fid.high}
    ends |= {"kid_mean": found.kid.mean, "kid_low": found.kid.low, "kid_high": found.kid.high}
    return {
        **{f"fresh_{k}": v for k, v in ends.items()},
        **{f"fresh_{found.generated}/{k}": v for k, v in found.scores.items()},
        "fid_over_floor": row.over_floor,
        "gates_failed": float(len(row.failed)),
    }
