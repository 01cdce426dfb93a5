"""What MLflow's pages say of a study besides its numbers: names, tags, and a description."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from search.study.config import StudyConfig
from search.study.flags import resume_flags
from search.study.folder import StudyFolder
from search.study.records import TrialRecord
from trainable.basics.markdown import code, escaped
from trainable.tracking.names import PRUNED_AT, REASON, STATUS, VERSION
from trainable.trial.objective import Objective
from trainable.trial.report import CAS, Status
from trainable.trial.yardstick import Yardstick


def trial_name(record: TrialRecord) -> str:
    """Such as ``trial-00007``, and ``trial-00000 default`` if it was not the sampler's choice."""
    return f"trial-{record.number:05d} {record.origin}".rstrip()


def trial_tags(record: TrialRecord, rungs: Sequence[int]) -> dict[str, str]:
    """How a trial stands, at which of ASHA's rungs it was stopped, and the code that trains it."""
    tags = {STATUS: record.status.value, **code_tags(record.code)}
    if record.reason:
        tags[REASON] = record.reason
    # The clock prunes with a reason. ASHA compares at the last of the rungs that were passed.
    passed = [rung for rung in rungs if record.last and rung <= record.last["resource"]]
    if record.status is Status.PRUNED and not record.reason and passed:
        tags[PRUNED_AT] = str(passed[-1])
    return tags


def code_tags(code: Mapping[str, str]) -> dict[str, str]:
    """MLflow's own tags for the code of a run, shown as its source and version."""
    tags = {"mlflow.source.name": "python -m search.run", "mlflow.source.type": "LOCAL"}
    names = {"version": VERSION, "commit": "mlflow.source.git.commit"}
    return tags | {name: code[key] for key, name in names.items() if key in code}


def description(
    config: StudyConfig,
    yardstick: Yardstick,
    records: Sequence[TrialRecord],
    folder: Path,
    tracking: str,
    database: str,
    run_flags: Sequence[str],
) -> str:
    """Markdown for a study that has ended or stopped: its result, and what to type next.

    `folder` is the study's, `tracking` and `database` the addresses of its stores, `run_flags` what
    the search was told besides.
    """
    ended = [record for record in records if record.ended is not None]
    counts = Counter(record.status.value for record in records)
    data = ", ".join(f"{n} {escaped(name)}" for name, n in yardstick.get("counts", {}).items())
    rows = {
        "data": f"{escaped(Path(config.data).name)}, {config.image_size} pixels"
        + (data and f": {data}"),
        "trials": f"{len(ended)} of {config.trials} ended: "
        + ", ".join(f"{n} {status}" for status, n in sorted(counts.items())),
    }
    complete = [record for record in ended if record.status is Status.COMPLETE]
    for at, goal in enumerate(Objective.parse(config.objective).goals if complete else ()):
        best = min(complete, key=lambda record: record.goals[at])
        rows[f"best {goal.name}"] = f"{goal.shown(best.goals[at])}, trial {best.number}"
    rows |= _first(StudyFolder(folder).leaderboard)
    if "floor" in yardstick:
        rows["floor"] = f"{yardstick['floor']:.1f}, real images against real ones"
    figures = StudyFolder(folder, tracking).report_command()
    lines = [
        f"**{escaped(config.name)}**, space {escaped(config.space)}",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {said} |" for name, said in rows.items()),
        "",
        f"All figures: {code(figures)}",
    ]
    if len(ended) < config.trials:
        beside = StudyFolder(folder)
        place = StudyFolder(
            folder,
            None if tracking == beside.tracking else tracking,
            None if database == beside.database_url else "URL",  # it may hold a password
        )
        again = place.command("resume", resume_flags(config, run_flags))
        lines += ["", f"To resume: {code(again)}"]
    return "\n".join(lines) + "\n"


def _first(leaderboard: Path) -> dict[str, str]:
    """What the leaderboard says of its first row on fresh images; nothing without one."""
    if not leaderboard.exists():
        return {}
    with leaderboard.open(newline="", encoding="utf-8") as file:
        row = next(csv.DictReader(file), {})
    failed = f"; fails: {row['failed_gates']}" if row.get("failed_gates") else ""
    found = {}
    for name, style in (("fid", ".1f"), (CAS, ".1%")):
        if row.get(f"fresh_{name}_mean"):
            mean, low, high = (
                f"{float(row[f'fresh_{name}_{end}']):{style}}" for end in ("mean", "low", "high")
            )
            said = f"{mean} ({low} to {high}), trial {row['trial']}{failed}"
            found[f"{name.upper()} on fresh images"] = said
    return found
