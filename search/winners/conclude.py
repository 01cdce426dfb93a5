"""The end of a search: the best assessed on fresh images, ranked, kept, and handed to MLflow."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import optuna
from rich.console import Console

from search.study.config import StudyConfig
from search.study.folder import BEST, LEADERBOARD, NO_WINNERS, WINNERS
from search.study.gates import GATES, failed_gates, gates_of
from search.study.records import TrialRecord, read_records
from search.study.trial_files import fetch
from search.tracking.champion import (
    Verdict,
    champion_of_another,
    clear_winners,
    log_best,
    log_winner,
    register_champion,
    withdraw_champion,
)
from search.tracking.projection import study_key
from search.winners.afresh import Improvement
from search.winners.assess import assess_on_ray
from search.winners.leaderboard import (
    Row,
    candidates,
    differences,
    may_pass,
    rank,
    table,
    write_csv,
)
from search.winners.model_card import card_of
from spaces.errors import InputError
from spaces.task import Params
from trainable.basics.files import replaced_folder, whole_file, write_whole
from trainable.basics.progress import stage
from trainable.basics.terminal import say
from trainable.data.film import PICTURE, write_last
from trainable.data.sheets import grid_files
from trainable.distributed.resources import Resources
from trainable.generators.export import (
    CONFIG,
    EXPORTED,
    WEIGHTS,
    Provenance,
    export_generator,
)  # fmt: skip
from trainable.tracking.names import FRESH_IMAGES, GATES_FAILED, fresh_score, gate_limit
from trainable.trial.checkpoints import newest
from trainable.trial.evaluation import Assessment
from trainable.trial.objective import Objective
from trainable.trial.report import trial_folder
from trainable.trial.workload import Workload

COMPARED = 3
"""Configurations laid beside the default on the terminal: more do not fit its 80 columns."""


def conclude(
    study: optuna.Study,
    config: StudyConfig,
    workload: Workload,
    where: Resources,
    folder: Path,
    console: Console,
    avoided: frozenset[str] = frozenset(),
) -> list[Row]:
    """Assess the best trials on Ray, print and save the leaderboard, export the assessed.

    Where none of them wins but others may, those are assessed too. What an earlier session assessed
    and exported of a trial that has not gone on since is taken over.

    Returns the leaderboard's rows. Files go under `folder`: ``leaderboard.csv``, ``best.json`` (for
    --enqueue), and generator, weights, config and last samples of each assessed trial, under
    ``winners/<rank>/`` if it passes the gates, else under ``winners/failed_gates/<rank>/``.
    Nothing runs on the nodes at the addresses `avoided`. What an earlier session left of these
    stays until all is there anew.

    Raises:
        OSError: something cannot be written.
    """
    images = config.winner_images * len(workload.data.classes)
    records = read_records(study)
    waiting, gates = candidates(records), gates_of(records)
    exports = _exports(folder)
    earlier = {k: v for k, v in _standing(study, records).items() if k in exports}
    even = len(set(workload.data.counts.values())) == 1
    known = {
        k: v for k, v in earlier.items() if v.generated == images and (even or v.whole is not None)
    }
    assessed: dict[int, Assessment] = {}
    while waiting:
        best, waiting = waiting[: config.top_k], waiting[config.top_k :]
        found = {r.number: known[r.number] for r in best if r.number in known}
        faults: dict[int, str] = {}
        if new := [record for record in best if record.number not in found]:
            said = f"scoring the best {len(new)} again on {images} fresh images each"
            with stage(console, said, len(new)) as progress:
                scored = assess_on_ray(
                    workload, new, config.winner_images, where, progress, avoided
                )
            found |= {n: score for n, score in scored.items() if isinstance(score, Assessment)}
            faults = {n: fault for n, fault in scored.items() if isinstance(fault, str)}
        for number, fault in faults.items():
            if number in earlier:
                found[number] = earlier[number]
                said = f"keeps its score on {earlier[number].generated} fresh images"
            else:
                said = "is not scored"
            say(console, f"trial {number} {fault}; it {said}")
        assessed |= found
        won = any(not failed_gates(assessment.scores, gates) for assessment in found.values())
        if won or not any(may_pass(record, gates) for record in waiting):
            break
    kept = {str(number): assessment.to_json() for number, assessment in assessed.items()}
    study.set_user_attr("assessed", kept)
    rows = leaderboard(study, workload.objective)
    console.print(table(rows, config, study.user_attrs["yardstick"]))
    winners = _assessed(rows)
    with (
        replaced_folder(folder / WINNERS) as exported,
        stage(console, "exporting generators", len(winners)) as progress,
    ):
        for done, row in enumerate(winners, start=1):
            number, place = row.record.number, _export(exported, row)
            if row.assessment == earlier.get(number) and _says(exports[number], row):
                shutil.copytree(exports[number], place)
            else:
                _write_export(row, place, config, workload)
            progress(done, len(winners))
    _write_board(folder, rows)
    return rows


def _write_export(row: Row, place: Path, config: StudyConfig, workload: Workload) -> None:
    trial = trial_folder(workload.trials, row.record.number)
    fetch(trial, "*.pt")
    fetch(trial, "*.png")
    provenance = Provenance(
        study=config.name,
        trial=row.record.number,
        params=row.record.params,
        settings=config.identity.settings,
        seen=workload.seen,
    )
    export_generator(newest(trial)["run"], workload.data, place, provenance, _scores(row))
    write_last(place / PICTURE, grid_files(trial), workload.data.classes, row.record.fids)


def _write_board(folder: Path, rows: list[Row]) -> None:
    searched = [row.record.searched for row in _assessed(rows)]
    write_whole(folder / BEST, json.dumps(searched, indent=2) + "\n")
    with whole_file(folder / LEADERBOARD) as part:
        write_csv(part, rows)


def arrange(rows: list[Row], folder: Path) -> bool:
    """Have what `conclude` left in `folder` say what `rows` do; returns whether it did not.

    Gates may have moved since a former version wrote it, which also kept those that fail among the
    winners. So an export is known by the trial that its record names, never by its place.

    Raises:
        InputError: an assessed trial was not exported.
        OSError: something cannot be read or written.
    """
    kept = _exports(folder)
    wanted = {row.record.number: _export(folder / WINNERS, row) for row in _assessed(rows)}
    if lacking := sorted(wanted.keys() - kept):
        raise InputError(
            f"{folder / WINNERS} lacks trial {lacking[0]}, which was scored on fresh images; "
            "resume the search, which scores and exports it again"
        )
    if all(kept[number] == place for number, place in wanted.items()):
        return False
    with replaced_folder(folder / WINNERS) as exported:
        for row in _assessed(rows):
            shutil.copytree(kept[row.record.number], _export(exported, row))
    _write_board(folder, rows)
    return True


def leaderboard(study: optuna.Study, objective: Objective) -> list[Row]:
    """The study's rows, with the winners' scores as the last search's end left them."""
    return rank(read_records(study), _assessments(study), objective, study.user_attrs["yardstick"])


def print_winners(rows: list[Row], base: Params, console: Console) -> None:
    """Say in what the best of the assessed trials differ from the default, and who fails a gate."""
    assessed = _assessed(rows)
    for row in assessed:
        if row.record.params == base:
            say(console, f"trial {row.record.number} is the default configuration")
    if changed := [row for row in assessed if row.record.params != base][:COMPARED]:
        console.print(differences(changed, base))
    for row in assessed:
        if row.failed:
            say(console, f"trial {row.record.number} is no winner: {'; '.join(row.failed)}")
        elif row.assessment and (usual := failed_gates(row.assessment.scores, GATES)):
            here = ", ".join(f"{gate.limit:.2f}" for gate in row.gates if gate not in GATES)
            short = f"trial {row.record.number} wins short of the usual limit ({'; '.join(usual)})"
            say(console, f"{short}: here it is {here}, by what the default reaches")
    if not any(row.wins for row in rows):
        kept = f"; those scored again are in {WINNERS}/{NO_WINNERS}" if assessed else ""
        say(console, f"no trial passes the gates, so no champion is registered{kept}")


def hand_over(
    rows: list[Row],
    study: optuna.Study,
    trials: Path,
    folder: Path,
    uri: str,
    run_id: Callable[[int | None], str | None],
) -> str | None:
    """Keep the assessed trials' generators in MLflow, and register the best that passes the gates.

    `trials` holds the trials' folders; `run_id` gives the run of a trial, or of the study, which
    must be written already. Needs what `conclude` exported, where the rows have it (`arrange`).
    Returns the champion's version, and which of another study it displaced; None if none passes,
    and then what an earlier session registered is champion no more.

    Raises:
        Exception: MLflow did not take it all.
    """
    assessed = _assessed(rows)
    clear_winners(uri, study_key(study))
    champion, known = None, Improvement.of(study)
    for row in assessed:
        run = run_id(row.record.number)
        if run is None:
            raise ConnectionError(f"trial {row.record.number} is not in MLflow yet")
        trial = trial_folder(trials, row.record.number)
        kept = _export(folder / WINNERS, row)
        scores, afresh = _scores(row), ()
        if known is not None and known.trial == row.record.number:
            scores, afresh = scores | known.scores, known.best
        verdict = Verdict(row.rank, scores, row.failed, row.tie, afresh, row.record.fids)
        log_winner(uri, run, trial, kept, verdict)
        if champion is None and row.wins:
            other = champion_of_another(uri, study.study_name, study_key(study))
            champion = register_champion(uri, run, kept, study.study_name, card_of(kept))
            if other is not None:
                champion += f"; version {other} was it before, of another study of that name"
            log_best(uri, run_id(None), kept, {"trial": row.record.number, **scores})
    if champion is None:
        log_best(uri, run_id(None), None, {})
        withdraw_champion(uri, study.study_name, study_key(study))
    return champion


def _assessed(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.assessment is not None]


def _standing(study: optuna.Study, records: list[TrialRecord]) -> dict[int, Assessment]:
    """Assessments of generators that have not been trained on since."""
    found = _assessments(study)
    seen = {r.number: r.last["images_seen"] for r in records if r.last and r.ended is not None}
    return {
        number: assessment
        for number, assessment in found.items()
        if assessment.images_seen == seen.get(number, -1)
    }


def _assessments(study: optuna.Study) -> dict[int, Assessment]:
    """Those of the last search's end, by trial."""
    found = study.user_attrs.get("assessed", {})
    return {int(number): Assessment.from_json(values) for number, values in found.items()}


def _exports(folder: Path) -> dict[int, Path]:
    """Where the exports of the last search's end are, by trial; without those not readable."""
    found: dict[int, Path] = {}
    for path in (folder / WINNERS).glob(f"**/{CONFIG}"):
        with suppress(ValueError, TypeError, KeyError):
            found[json.loads(path.read_text())["trial"]] = path.parent
    return found


def _says(export: Path, row: Row) -> bool:
    """Whether an export is whole, of the generator that the row has scored, and says what the row
    does: gates may have moved."""
    files = [export / name for name in (EXPORTED, WEIGHTS, PICTURE)]
    about, assessment = json.loads((export / CONFIG).read_text()), row.assessment
    seen = assessment and assessment.images_seen
    same = about.get("images_seen") == seen and about.get("scores") == _scores(row)
    return same and all(file.is_file() and file.stat().st_size for file in files)


def _export(folder: Path, row: Row) -> Path:
    """Where the export of a row is within the folder of winners."""
    return folder / ("" if row.wins else NO_WINNERS) / str(row.rank)


def _scores(row: Row) -> dict[str, float]:
    """What an assessed trial's run and card say of its quality."""
    found = row.assessment
    assert found is not None
    return {
        **found.ends,
        FRESH_IMAGES: float(found.generated),
        **{fresh_score(k): v for k, v in found.scores.items()},
        "fid_over_floor": row.over_floor,
        GATES_FAILED: float(len(row.failed)),
        **{gate_limit(gate.score): gate.limit for gate in row.gates if gate not in GATES},
    }
