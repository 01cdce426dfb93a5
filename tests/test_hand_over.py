"""What is handed over and said of trials that pass the gates, and of those that fail."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from search import winners
from search.leaderboard import Row, rank
from search.winners import NO_WINNERS, WINNERS, hand_over, print_winners
from tests.by_hand import YARDSTICK
from tests.test_labels import PASSING, record
from tests.test_winners import GOOD, Ended
from trainable.basics.terminal import make_console
from trainable.data import Dataset
from trainable.evaluation import Assessment
from trainable.export import WEIGHTS
from trainable.metrics.intervals import Interval
from trainable.objective import Objective

FAILING = {**PASSING, "copy_rate": 0.5}


class Study:
    """What `hand_over` asks of a study."""

    study_name = "films"
    user_attrs = {"id": "0123456789ab"}  # noqa: RUF012


def rows(*scores: dict[str, float]) -> list[Row]:
    """Trials assessed so, and one that was not."""
    intervals = Interval(58, 62, 60), Interval(0.01, 0.01, 0.01)
    assessed = {
        n: Assessment({**own, "fid": 50.0, "kid": 0.01}, 2000, *intervals)
        for n, own in enumerate(scores)
    }
    records = [record(n, 50.0 + n) for n in range(len(scores) + 1)]
    return rank(records, assessed, Objective.parse("fid"), YARDSTICK)


@pytest.fixture
def logged(monkeypatch) -> list[tuple[str, int, tuple[str, ...]]]:
    """Folder, rank and failed gates of each generator that is handed to MLflow."""
    told = []
    monkeypatch.setattr(winners, "clear_winners", lambda *_: None)
    monkeypatch.setattr(
        winners, "log_winner", lambda *args: told.append((str(args[3]), args[4], args[6]))
    )
    monkeypatch.setattr(winners, "register_champion", lambda uri, run, kept, name: str(kept))
    return told


def handed_over(found: list[Row], folder: Path) -> str | None:
    return hand_over(found, Study(), folder / "trials", folder, "uri", str)  # pyright: ignore


def test_generators_that_fail_a_gate_are_not_kept_among_the_winners(logged, tmp_path):
    champion = handed_over(rows(FAILING, PASSING), tmp_path)
    assert champion == str(tmp_path / WINNERS / "1")
    (first, place, none), (second, other, failed) = logged
    assert (first, place, none) == (champion, 1, ())
    assert (second, other) == (str(tmp_path / WINNERS / NO_WINNERS / "2"), 2)
    assert failed == ("copy rate in features 0.50, at most 0.25",)


def test_the_folder_of_winners_has_those_that_fail_apart(tmp_path, monkeypatch):
    ended = Ended(tmp_path / "s", monkeypatch)
    monkeypatch.setitem(GOOD, "copy_rate", 0.9)

    def export(trial: Path, params: dict[str, Any], data: Dataset, out: Path, **_: Any) -> None:
        out.mkdir(parents=True)
        (out / WEIGHTS).touch()

    monkeypatch.setattr(winners, "export_generator", export)
    ended.conclude()
    assert sorted(ended.kept()) == [
        "best.json", "leaderboard.csv", f"winners/failed_gates/1/{WEIGHTS}"
    ]  # fmt: skip


def test_a_study_of_an_earlier_version_is_handed_over_too(logged, tmp_path):
    (tmp_path / "winners" / "1").mkdir(parents=True)
    assert handed_over(rows(FAILING), tmp_path) is None
    assert logged[0][0] == str(tmp_path / "winners" / "1")


def test_where_nothing_won_the_terminal_names_what_there_is():
    for scores, said in (
        ((FAILING,), f"registered as champion; {WINNERS}/{NO_WINNERS} has the assessed"),
        ((), "none is registered as champion"),
    ):
        out = io.StringIO()
        print_winners(rows(*scores), {}, make_console(file=out, width=500))
        last = out.getvalue().splitlines()[-1]
        assert said in last
        assert (NO_WINNERS in last) == bool(scores)
    out = io.StringIO()
    print_winners(rows(PASSING), {}, make_console(file=out, width=500))
    assert "none" not in out.getvalue()
