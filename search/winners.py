"""The end of a search: winners scored again, ranked, kept on disk and handed to MLflow."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from rich.console import Console

from search.champion import clear_winners, export_generator, log_winner, register_champion
from search.launch import FRESH_DRAWS, score_again
from search.leaderboard import Row, differences, pick_winners, rank, table, write_csv
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
    """Score the winners again on Ray, print and save the leaderboard, export the winners.

    Returns the leaderboard's rows. Files go under `folder`: ``leaderboard.csv``, and
    ``winners/<rank>/`` with generator, weights and config of each.
    """
    yardstick = study.user_attrs["yardstick"]
    records = read_records(study)
    winners = pick_winners(records, config.top_k)
    with console.status(f"scoring {len(winners)} winners again on fresh latents"):
        fresh = score_again(job, winners, where)
    rows = rank(records, fresh, yardstick["floor"])
    write_csv(folder / "leaderboard.csv", rows)
    shutil.rmtree(folder / "winners", ignore_errors=True)
    for row in _winning(rows):
        export_generator(
            trial_folder(job.trials, row.record.number),
            row.record.params,
            job.data.task,
            job.data.classes,
            folder / "winners" / str(row.rank),
            study=config.name,
            number=row.record.number,
            scores=_scores(row, yardstick),
        )
    console.print(table(rows, config, yardstick))
    return rows


def print_differences(rows: list[Row], base: Mapping[str, Any], console: Console) -> None:
    """Say in what each winner differs from the default configuration."""
    for row in _winning(rows):
        text = f"{row.rank}. trial {row.record.number} differs from the default in: "
        console.print(text + differences(row, base), soft_wrap=True, markup=False)


def hand_over(
    rows: list[Row], study: optuna.Study, job: Job, folder: Path, uri: str, tracker: Tracker
) -> str | None:
    """Mark the winners in MLflow and register the best; returns the champion's version.

    None if no trial has a score. The exports of `conclude` must be there.

    Raises:
        Exception: MLflow did not take it all.
    """
    winners = _winning(rows)
    if not winners:
        return None
    if not tracker.flush():
        raise ConnectionError(tracker.problem or "MLflow is slow to answer")
    clear_winners(uri, study_key(study))
    champion = None
    for row in winners:
        number = row.record.number
        run_id = tracker.projection.run_id(number)
        assert run_id is not None  # flush has written every trial
        exported = folder / "winners" / str(row.rank)
        scores = _scores(row, study.user_attrs["yardstick"])
        log_winner(uri, run_id, trial_folder(job.trials, number), exported, row.rank, scores)
        if champion is None:
            champion = register_champion(uri, run_id, exported, study.study_name)
    return champion


def _winning(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.fresh is not None]


def _scores(row: Row, yardstick: Mapping[str, Any]) -> dict[str, float]:
    """What a winner's run and card say of its quality."""
    assert row.fresh is not None
    mean, sd = row.fresh
    return {
        "fid_search": row.record.fid,
        "fid_fresh": mean,
        "fid_fresh_sd": sd,
        "fid_fresh_draws": FRESH_DRAWS,
        "fid_over_floor": mean / yardstick["floor"],
    }
