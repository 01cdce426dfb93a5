"""What MLflow's pages say of a study in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.study.folder import StudyFolder
from search.study.records import TrialRecord
from search.tracking.text import code_tags, description, trial_name, trial_tags
from search.winners.leaderboard import rank, write_csv
from tests.helpers.fake_tune import YARDSTICK, config, made_report
from tests.helpers.refusals import tells
from tests.helpers.studies import PASSING, record
from trainable.metrics.intervals import Interval
from trainable.trial.evaluation import Assessment
from trainable.trial.objective import Objective
from trainable.trial.report import Status

RUNGS = (2, 6)
CONFIG = config(name="films", data="/somewhere/chest films", trials=3)
MEASURED: Any = {**YARDSTICK, "counts": {"normal": 100, "ill": 90}}


@pytest.mark.parametrize(
    ("origin", "name"),
    [("", "trial-00007"), ("default", "trial-00007 default"), ("enqueued", "trial-00007 enqueued")],
)
def test_a_trial_is_named_by_its_number_and_its_origin(origin, name):
    assert trial_name(replace(record(7, 50.0), origin=origin)) == name


@pytest.mark.parametrize(
    ("status", "reason", "resource", "rung"),
    [
        ("pruned", "", 2, "2"),
        ("pruned", "", 6, "6"),
        ("pruned", "", 5, "2"),  # an epoch may be longer than the way between evaluations
        ("pruned", "too slow", 6, None),
        ("complete", "", 12, None),
        ("running", "", 2, None),
    ],
)
def test_who_was_stopped_by_asha_says_at_which_rung(status, reason, resource, rung):
    tags = trial_tags(replace(record(0, 50.0, status, resource), reason=reason), RUNGS)
    assert tags.get("pruned_at") == rung
    assert tags["status"] == status
    assert tags.get("reason", "") == reason


def test_a_trial_without_a_report_has_no_rung():
    tags = trial_tags(replace(record(0, 50.0, "pruned"), reports=()), RUNGS)
    assert "pruned_at" not in tags


def test_the_code_is_tagged_as_mlflow_shows_it():
    source = {"mlflow.source.name": "python -m search.run", "mlflow.source.type": "LOCAL"}
    assert code_tags({}) == source
    assert code_tags({"version": "0.1.0"}) == {**source, "cgan.version": "0.1.0"}
    assert code_tags({"version": "0.1.0+abc.dirty", "commit": "abcd"}) == {
        **source, "cgan.version": "0.1.0+abc.dirty", "mlflow.source.git.commit": "abcd"
    }  # fmt: skip


def describe(folder: Path, records: list[TrialRecord], **stores: str) -> str:
    stores = {
        "tracking": f"sqlite:///{folder.parent.resolve()}/mlflow.db",
        "database": StudyFolder(folder).database_url,
        **stores,
    }
    return description(CONFIG, MEASURED, records, folder, **stores, run_flags=["--devices cpu"])


def cell(said: str, name: str) -> str:
    """What a description's table says in the row whose first cell begins so."""
    (row,) = [line for line in said.splitlines() if line.startswith(f"| {name}")]
    return row.split(" | ", 1)[1]


def test_a_finished_study_says_how_it_ended_and_where_its_figures_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("runs/films")
    folder.mkdir(parents=True)
    records = [record(0, 61.04), record(1, 55.5), record(2, 40.0, "pruned", 2)]
    said = describe(folder, records)
    assert tells(said.splitlines()[0], "**films**", "full")
    assert tells(cell(said, "data"), "chest films", "32 pixels", "100 normal", "90 ill")
    assert tells(cell(said, "trials"), "3 of 3", "2 complete", "1 pruned")
    assert tells(cell(said, "best FID"), 55.5, "trial 1")  # of complete ones
    assert tells(cell(said, "floor"), "30.0")
    store = f"--tracking-uri sqlite:///{tmp_path}/runs/mlflow.db --out {tmp_path}/{folder}/figures"
    assert f"`cgan-search report --study films {store}`" in said
    assert "fresh" not in said
    assert "search.run" not in said

    intervals = Interval(58, 62, 60), Interval(0.01, 0.01, 0.01)
    assessed = {0: Assessment({**PASSING, "fid": 50.0, "kid": 0.01}, 2000, *intervals)}
    rows = rank(records, assessed, Objective.parse("fid"), YARDSTICK)
    write_csv(folder / "leaderboard.csv", rows)
    found = cell(describe(folder, records), "FID on fresh")
    assert tells(found, "60.0 (58.0 to 62.0)", "trial 0")
    assert "fails" not in found
    copies = Assessment({**assessed[0].scores, "copy_rate": 0.5}, 2000, *intervals)
    rows = rank(records, {0: copies}, Objective.parse("fid"), YARDSTICK)
    write_csv(folder / "leaderboard.csv", rows)
    found = cell(describe(folder, records), "FID on fresh")
    assert tells(found, "trial 0", "fails", "copy rate", "0.50")


def test_names_are_no_markup(tmp_path):
    """A bar ends a cell, a line break a row; markup is the users' own business, but not here."""
    study = config(name="films", data="/somewhere/chest_xray | old *1*", trials=2)
    yardstick: Any = {**YARDSTICK, "counts": {"a|`b`": 3, "two\nlines": 2, "<script>": 1, "$x$": 1}}
    folder = tmp_path / "a `b` c" / "films"
    said = description(study, yardstick, [], folder, "x", "y", ["--data a``b"])
    data = cell(said, "data")
    assert data.startswith(r"chest_xray \| old \*1\*, ")
    assert data.endswith(r": 3 a\|\`b\`, 2 two lines, 1 &lt;script>, 1 \$x\$ |")
    (again,) = [line for line in said.splitlines() if "cgan-search resume" in line]
    assert "```cgan-search resume films " in again
    assert again.endswith("--data a``b```")


def test_a_study_with_other_goals_says_its_best_in_each(tmp_path):
    def at(number: int, fid: float, error: float) -> TrialRecord:
        report = made_report(12, fid=fid, objective=fid, objective_2=error, cas=0.9)
        return replace(record(number, fid), reports=(report,))

    records = [at(0, 60.0, 0.1), at(1, 50.0, 0.2)]
    some = Interval(58, 62, 60)
    found = Assessment(PASSING, 2000, some, some, Interval(0.9, 0.94, 0.92))
    goals = "fid,classifier"
    write_csv(
        tmp_path / "leaderboard.csv", rank(records, {0: found}, Objective.parse(goals), YARDSTICK)
    )
    study = config(objective=goals, hold_back=0.25)
    said = description(study, MEASURED, records, tmp_path, "x", "y", [])
    assert tells(cell(said, "best FID"), "50.0", "trial 1")
    assert tells(cell(said, "best classifier's error"), "10.0%", "trial 0")
    assert tells(cell(said, "CAS on fresh"), "92.0% (90.0% to 94.0%)", "trial 0")


def test_a_stopped_study_says_how_to_go_on_and_no_password(tmp_path):
    folder = tmp_path / "films"
    records = [replace(record(0, 61.0), ended=None, status=Status.INTERRUPTED)]
    said = describe(folder, records)
    assert tells(cell(said, "trials"), "0 of 3", "1 interrupted")
    assert "best FID" not in said
    again = f"cgan-search resume films --output {tmp_path}"
    assert f"`{again} --devices cpu`\n" in said
    store = f"--tracking-uri sqlite:///{tmp_path}/mlflow.db --out {folder}/figures"
    assert f"`cgan-search report --study films {store}`" in said
    said = describe(
        folder,
        records,
        tracking="http://me:secret@host:5000",
        database="mysql:///x?password=secret",
    )
    assert f"`{again} --tracking-uri URI --database URL --devices cpu`\n" in said
    assert "secret" not in said
