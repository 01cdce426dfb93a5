"""The study's one writer: faithful to what was drawn, and calm when the database fails."""

from __future__ import annotations

import threading
import time
import warnings

import optuna
import pytest
import sqlalchemy.event
import sqlalchemy.exc
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from ray.tune.search import Searcher

from search.proposals import writer
from search.proposals.history import SHORTFALL
from search.proposals.ledger import Ledger
from search.study.database import load_study, open_storage
from search.study.records import read_records
from search.study.trial_rows import add_trial
from spaces.presets import default
from tests.helpers.fake_tune import TASK, Search, config, drawn, made_report, space
from tests.helpers.refusals import tells
from trainable.distributed.code import code_version
from trainable.trial.report import Status


def disk_error(error: str = "disk I/O error") -> StorageInternalError:
    """What Optuna raises when SQLite says that."""
    try:
        try:
            raise sqlalchemy.exc.OperationalError("INSERT", {}, Exception(error))
        except sqlalchemy.exc.OperationalError as cause:
            raise StorageInternalError("An exception is raised during the commit.") from cause
    except StorageInternalError as found:
        return found


def hold_up(search: Search) -> threading.Event:
    """Let the writer wait for an event, as it may for a slow disk."""
    gate = threading.Event()

    def wait(_: object) -> None:
        gate.wait()

    assert search.ledger._writer is not None
    search.ledger._writer.put(wait)
    return gate


def wait_for_problem(search: Search) -> None:
    deadline = time.monotonic() + 20
    while search.searcher.halted is None and time.monotonic() < deadline:
        time.sleep(0.005)


@pytest.mark.parametrize("call", ["_get_prepared_new_trial", "check_trial_is_updatable"])
def test_a_database_that_fails_halts_the_search_and_keeps_what_it_had(tmp_path, monkeypatch, call):
    s = Search(tmp_path / "s", trials=9)
    s.start("a")
    s.report("a", 1, 50.0)
    s.ledger.flush()
    assert s.searcher.halted is None

    def fail(*args: object, **kwargs: object) -> None:
        raise disk_error()

    with monkeypatch.context() as patch:
        patch.setattr(s.storage, call, fail)
        s.start("b")
        s.ledger.flush()  # else both might be one transaction
        s.report("a", 2, 40.0)
        wait_for_problem(s)
        assert s.ledger.problem is not None
        assert "disk I/O error" in s.ledger.problem
        assert "\n" not in s.ledger.problem
        assert s.searcher.halted == s.ledger.problem
        assert s.searcher.suggest("c") == Searcher.FINISHED
    # The disk has room again, but what comes after a lost write is not written either.
    s.report("b", 1, 45.0)
    s.report("a", 3, 39.0)
    s.searcher.interrupt_rest()
    s.ledger.flush()
    s.ledger.close()
    records = read_records(s.study)
    assert len(records) == (1 if call == "_get_prepared_new_trial" else 2)
    assert [r["resource"] for r in records[0].reports] == [1]
    again = Search(tmp_path / "s", trials=9)
    assert [again.start("x"), again.start("y")] == [0, 1]
    assert again.report("x", 2, 40.0)
    assert [r["resource"] for r in again.records()[0].reports] == [1, 2]


def test_a_disk_that_is_really_full_is_named_and_nothing_hangs(tmp_path):
    """SQLite's own limit on a file's pages, which gives its own error."""
    s = Search(tmp_path / "s", trials=50)
    s.start("a")
    s.ledger.flush()

    @sqlalchemy.event.listens_for(s.storage.engine, "connect")
    def limit(connection, _) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    s.storage.scoped_session.remove()
    s.storage.engine.dispose()
    for resource in range(1, 12):
        s.report("a", resource, 100.0 - resource, filler="x" * 2000)
    s.report("a", 12, 50.0, "complete", filler="x" * 20000)
    for name in map(str, range(20)):
        if s.suggest(name) == Searcher.FINISHED:
            break
        s.report(name, 1, 50.0, filler="x" * 20000)
    wait_for_problem(s)
    assert tells(s.searcher.halted or "", "disk is full")
    assert "\n" not in str(s.searcher.halted)
    assert s.searcher.suggest("x") == Searcher.FINISHED
    s.searcher.interrupt_rest()
    s.ledger.close()
    s.storage.scoped_session.remove()
    s.storage.engine.dispose()
    sqlalchemy.event.remove(s.storage.engine, "connect", limit)
    again = Search(tmp_path / "s", trials=50)
    assert again.start("x") == 0
    assert again.searcher.halted is None


def test_a_trial_that_something_else_adds_is_noticed(tmp_path):
    s = Search(tmp_path / "s")
    s.start("a")
    s.ledger.flush()
    optuna.load_study(study_name="s", storage=s.storage).ask()
    s.start("b")
    wait_for_problem(s)
    assert tells(str(s.searcher.halted), "trial 1", 2)
    assert s.searcher.suggest("c") == Searcher.FINISHED
    s.ledger.close()


def test_what_is_written_is_what_was_drawn_however_late_the_writer_comes(tmp_path, monkeypatch):
    """A slow disk: a trial's reports come before the trial itself is written."""
    s = Search(tmp_path / "s")
    gate, reports = hold_up(s), []
    s.start("a")
    for resource in range(1, 7):
        s.report("a", resource, 50.0 - resource)

    def add(storage, study_id, trial):
        reports.append(dict(trial.intermediate_values))
        return add_trial(storage, study_id, trial)

    monkeypatch.setattr(writer, "add_trial", add)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Optuna warns of a value that it has already
        gate.set()
        s.ledger.close()
    assert s.ledger.problem is None
    assert reports == [{}]
    assert s.trials[0].intermediate_values == {e: 50.0 - e for e in range(1, 7)}


def test_what_is_known_at_the_start_is_written_with_the_trial(tmp_path, monkeypatch):
    """Not in transactions of its own."""
    s = Search(tmp_path / "s", queue=[{"g_lr": default(TASK)["g_lr"]}, {"g_lr": 5e-3}])
    written = []
    write = s.storage.set_trial_user_attr
    monkeypatch.setattr(
        s.storage, "set_trial_user_attr", lambda *a: (written.append(a[1]), write(*a))
    )
    for name in "abc":
        s.start(name)
    s.ledger.flush()
    assert written == []
    records = s.records()
    assert [r.origin for r in records] == ["default", "enqueued", ""]
    assert [r.code for r in records] == [code_version()] * 3


def test_a_trial_bears_the_code_that_trained_it_last(tmp_path, monkeypatch):
    codes = iter([{"version": "1"}, {"version": "1"}, {"version": "2"}])
    monkeypatch.setattr("search.proposals.ledger.code_version", lambda: next(codes))
    s = Search(tmp_path / "s", trials=2)
    s.start("a")
    s.start("b")
    s.report("a", 1, 50.0)
    s.report("b", 1, 50.0)
    last = made_report(12, "complete", objective=40.0, fid=40.0)
    s.ledger.report(s.searcher._live["a"], last)  # the search dies before it tells the end
    s.ledger.close()
    s = Search(tmp_path / "s", trials=2)
    assert s.start("x") == 1
    records = s.records()
    assert [r.status for r in records] == [Status.COMPLETE, Status.RUNNING]
    assert [r.code["version"] for r in records] == ["1", "2"]


def test_the_driver_does_not_wait_for_the_disk(tmp_path):
    """Proposals, reports and ends go on while a write takes its time, and are written after it."""
    s = Search(tmp_path / "s", trials=3)
    gate = hold_up(s)
    for name in ("a", "b"):
        s.start(name)
        s.ledger.report(s.searcher._live[name], made_report(1, objective=9.0))
    s.report("a", 12, 8.0, "complete")
    assert s.start("c") == 2
    assert read_records(s.study) == []
    gate.set()
    assert [len(r.reports) for r in s.records()] == [2, 1, 0]


def test_without_a_study_nothing_is_kept():
    """For benchmarks and dry runs."""
    ledger = Ledger(config(), None, None)
    entry = drawn(ledger, space)
    ledger.report(entry, made_report(1, objective=50.0))
    ledger.end(entry, Status.COMPLETE)
    ledger.flush()
    ledger.close()
    assert (entry.number, ledger.ended, ledger.problem) == (0, 1, None)


def test_two_readers_see_the_study_while_it_is_written(tmp_path):
    """Another process may look at any time: what it sees is whole trials and whole reports."""
    s = Search(tmp_path / "s", trials=30)
    other = load_study("s", open_storage(f"sqlite:///{tmp_path / 's' / 'study.db'}"))
    seen = []
    for name in map(str, range(8)):
        s.start(name)
        s.report(name, 1, 50.0)
        seen.append(read_records(other))
        s.report(name, 12, 40.0, "complete")
    assert [r.status for r in s.records()] == [Status.COMPLETE] * 8
    for records in seen:
        assert all(r.params and r.started for r in records)
        assert all({"epoch", "objective", "order"} <= set(x) for r in records for x in r.reports)
    assert {t.state for t in other.trials} == {TrialState.COMPLETE}


def test_the_sampler_learns_by_how_much_a_complete_trial_misses_the_gates(tmp_path):
    """From its last report, also in a resumed study."""
    s = Search(tmp_path / "s", trials=3)
    for name, end, diversity in (("a", "complete", 0.41), ("b", "complete", 0.9)):
        s.start(name)
        s.report(name, 2, 60.0, diversity=0.2)
        s.report(name, 12, 50.0, end, diversity=diversity)
    s.start("c")
    s.report("c", 2, 60.0, diversity=0.2)
    s.ledger.close()
    for search in (s, Search(tmp_path / "s", trials=3)):
        missed = [t.user_attrs.get(SHORTFALL) for t in search.ledger._sampled.trials]
        assert missed == [pytest.approx(0.5), 0.0, None]


def test_reports_are_in_order_however_many_digits_an_epoch_has(tmp_path):
    s = Search(tmp_path / "s", length=2_000_000, eval_every=999_900, grace=999_900)
    s.start("a")
    for resource in (999_900, 1_000_000, 1_200_000):
        s.report("a", resource, 50.0)
    (record,) = s.records()
    assert [report["resource"] for report in record.reports] == [999_900, 1_000_000, 1_200_000]
