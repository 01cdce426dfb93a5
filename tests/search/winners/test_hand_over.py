"""What is handed over and said of trials that pass the gates, and of those that fail."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.study.folder import NO_WINNERS, WINNERS
from search.tracking.champion import Verdict
from search.winners import conclude as winners
from search.winners.conclude import arrange, hand_over, print_winners
from search.winners.leaderboard import Row, rank
from tests.helpers.fake_tune import YARDSTICK
from tests.helpers.refusals import refused, tells
from tests.helpers.studies import GOOD, PASSING, Ended, record
from trainable.basics.terminal import make_console
from trainable.data.dataset import Dataset
from trainable.data.film import PICTURE
from trainable.generators.export import CONFIG, WEIGHTS
from trainable.metrics.intervals import Interval
from trainable.tracking.names import gate_limit
from trainable.trial.evaluation import Assessment
from trainable.trial.objective import Objective

FAILING = {**PASSING, "copy_rate": 0.5}


class Study:
    """What `hand_over` asks of a study."""

    study_name = "films"
    user_attrs = {"id": "0123456789ab"}  # noqa: RUF012


def rows(*scores: dict[str, float], diversity: float = 0.95) -> list[Row]:
    """Trials assessed so, and one that was not, of which the default varies as given."""
    intervals = Interval(58, 62, 60), Interval(0.01, 0.01, 0.01)
    assessed = {
        n: Assessment({**own, "fid": 50.0, "kid": 0.01}, 2000, *intervals)
        for n, own in enumerate(scores)
    }
    records = [record(n, 50.0 + n) for n in range(len(scores))]
    records.append(record(len(scores), 50.0, origin="default", diversity=diversity))
    return rank(records, assessed, Objective.parse("fid"), YARDSTICK)


@pytest.fixture
def logged(monkeypatch) -> list[tuple[str, int, tuple[str, ...]]]:
    """Folder, rank and failed gates of each generator that is handed to MLflow."""
    told = []
    monkeypatch.setattr(winners, "clear_winners", lambda *_: None)
    monkeypatch.setattr(winners, "withdraw_champion", lambda *_: told.clear())

    def log(uri: str, run: str, trial: Path, kept: Path, verdict: Verdict) -> None:
        told.append((str(kept), verdict.rank, verdict.failed))

    monkeypatch.setattr(winners, "log_winner", log)
    monkeypatch.setattr(winners, "register_champion", lambda uri, run, kept, *_: str(kept))
    monkeypatch.setattr(winners, "champion_of_another", lambda *_: None)
    monkeypatch.setattr(winners, "log_best", lambda *_: None)
    monkeypatch.setattr(winners, "card_of", lambda kept: "")
    return told


def handed_over(found: list[Row], folder: Path) -> str | None:
    return hand_over(found, Study(), folder / "trials", folder, "uri", str)  # pyright: ignore


def test_generators_that_fail_a_gate_are_not_kept_among_the_winners(logged, tmp_path):
    champion = handed_over(rows(FAILING, PASSING), tmp_path)
    assert champion == str(tmp_path / WINNERS / "1")
    (first, place, none), (second, other, failed) = logged
    assert (first, place, none) == (champion, 1, ())
    assert (second, other) == (str(tmp_path / WINNERS / NO_WINNERS / "2"), 2)
    (fault,) = failed
    assert tells(fault, "copy rate", "0.50", 0.25)


@pytest.mark.parametrize("found", [rows(FAILING), rows()])
def test_where_none_passes_a_former_champion_is_withdrawn(logged, tmp_path, found):
    logged.append("of an earlier session")
    assert handed_over(found, tmp_path) is None
    assert logged == []


def test_who_displaces_another_studys_champion_is_told_so(logged, tmp_path, monkeypatch):
    monkeypatch.setattr(winners, "champion_of_another", lambda *_: "7")
    assert tells(handed_over(rows(PASSING), tmp_path) or "", "version 7", "another study")


def test_the_folder_of_winners_has_those_that_fail_apart(tmp_path, monkeypatch):
    ended = Ended(tmp_path / "s", monkeypatch)
    monkeypatch.setitem(GOOD, "copy_rate", 0.9)

    def export(run: Any, data: Dataset, out: Path, *_: Any) -> None:
        out.mkdir(parents=True)
        (out / WEIGHTS).touch()

    monkeypatch.setattr(winners, "export_generator", export)
    ended.conclude()
    assert sorted(ended.kept()) == [
        "best.json", "leaderboard.csv", f"winners/failed_gates/1/{WEIGHTS}",
        f"winners/failed_gates/1/{PICTURE}",
    ]  # fmt: skip


def test_where_nothing_won_the_terminal_names_what_there_is():
    for scores, parts in (((FAILING,), [f"{WINNERS}/{NO_WINNERS}"]), ((), [])):
        out = io.StringIO()
        print_winners(rows(*scores), {}, make_console(file=out, width=500))
        last = out.getvalue().splitlines()[-1]
        assert tells(last, "no trial", "champion", *parts)
        assert (NO_WINNERS in last) == bool(scores)
    out = io.StringIO()
    print_winners(rows(PASSING), {}, make_console(file=out, width=500))
    assert "no trial" not in out.getvalue()
    assert "usual" not in out.getvalue()


def test_a_winner_by_a_moved_gate_is_told_on_the_terminal_and_to_mlflow(
    logged, tmp_path, monkeypatch
):
    found = rows({**PASSING, "diversity": 0.75}, PASSING, diversity=0.77)
    out = io.StringIO()
    print_winners(found, {}, make_console(file=out, width=500))
    (said,) = (line for line in out.getvalue().splitlines() if "usual" in line)
    assert tells(said, "trial 0", "diversity 0.75", 0.82, 0.72)
    told: list[Verdict] = []
    monkeypatch.setattr(winners, "log_winner", lambda *args: told.append(args[-1]))
    handed_over(found, tmp_path)
    assert [v.scores[gate_limit("diversity")] for v in told] == pytest.approx([0.72, 0.72])
    told.clear()
    handed_over(rows(PASSING), tmp_path)
    assert gate_limit("diversity") not in told[0].scores


def test_the_best_are_laid_beside_the_default():
    base = {"loss": "hinge", "g_lr": 0.0002, "depth": 3, "leaky_slope": 0.2}
    found = rows(PASSING, PASSING, FAILING, PASSING)
    own = {"loss": "hinge", "g_lr": 0.00012345, "depth": 3, "note": "a" * 20}
    # In the order of the leaderboard: who fails a gate comes behind those who pass.
    given = {0: {**base, "depth": 4}, 1: own, 2: base, 3: own}
    found = [
        replace(row, record=replace(row.record, params=given.get(row.record.number, {})))
        for row in found
    ]
    out = io.StringIO()
    print_winners(found, base, make_console(file=out, width=80))
    lines = out.getvalue().splitlines()
    assert all(len(line) <= 80 for line in lines)
    at = next(i for i, line in enumerate(lines) if "Differences" in line)
    assert [line.split() for line in lines[at + 1 : at + 5]] == [
        ["default", "trial", "0", "trial", "1", "trial", "3"],
        ["depth", "3", "4"],
        ["g_lr", "0.0002", "0.000123", "0.000123"],
        ["note", "-", "a" * 20, "a" * 20],
    ]
    assert "trial 2 is the default configuration" in lines
    assert any(line.startswith("trial 2 is no winner: ") for line in lines)


def exported(folder: Path, place: str, trial: int) -> None:
    """What `conclude` leaves of a trial, by its name alone."""
    (folder / WINNERS / place).mkdir(parents=True)
    (folder / WINNERS / place / CONFIG).write_text(json.dumps({"trial": trial}))


def test_an_export_is_known_by_its_trial_where_gates_have_moved_since(tmp_path):
    """An earlier version had all in one place, by ranks that a stricter gate has exchanged."""
    found = rows(FAILING, PASSING)
    exported(tmp_path, "1", 0)
    exported(tmp_path, "2", 1)
    assert arrange(found, tmp_path)
    places = {"1": 1, f"{NO_WINNERS}/2": 0}
    records = {place: tmp_path / WINNERS / place / CONFIG for place in places}
    assert {p: json.loads(r.read_text())["trial"] for p, r in records.items()} == places
    assert not (tmp_path / WINNERS / "2").exists()
    first = (tmp_path / "leaderboard.csv").read_text().splitlines()[1]
    assert first.startswith("1,1,")
    assert not arrange(found, tmp_path)


def test_a_trial_that_was_not_exported_is_named(tmp_path):
    exported(tmp_path, "1", 1)
    with refused(tmp_path / WINNERS, "trial 0", "resume"):
        arrange(rows(FAILING, PASSING), tmp_path)
    assert (tmp_path / WINNERS / "1").exists()
