"""Decisions of the searcher and the scheduler, fed by hand, without Ray."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher
from rich.console import Console

from search.leaderboard import candidates, differing, rank, write_csv
from search.progress import Progress
from search.scheduler import build_scheduler
from search.searcher import StudySearcher, build_sampler
from search.settings import StudyConfig
from search.study import (
    TrialRecord,
    create_study,
    load_study,
    mark_interrupted,
    read_records,
    record_end,
)
from spaces.errors import InputError
from spaces.presets import default
from spaces.task import Task
from trainable.evaluation import Assessment
from trainable.metrics.intervals import Interval
from trainable.objective import Objective
from trainable.trial import Status

TASK = Task(32, 1, 2, 40)
YARDSTICK = {"floor": 30.0, "untrained": {"fid": 300.0, "kid": 0.3}}


def config(**changes: Any) -> StudyConfig:
    values: dict[str, Any] = {
        "name": "s", "space": "full", "data": "phantom", "data_digest": "d", "image_size": 32,
        "fit": "crop", "trials": 9, "time_budget": None, "epochs": 12, "eval_every": 1, "grace": 2,
        "eta": 3, "sampler": "random", "seed": 0, "objective": "fid", "features": "x",
        "protocol": "x", "weights_sha256": "0", "top_k": 2, "winner_images": 20,
    }  # fmt: skip
    return StudyConfig(**{**values, **changes})


def space(trial: optuna.Trial, task: Task) -> dict[str, Any]:
    return {**default(task), "g_lr": trial.suggest_float("g_lr", 1e-4, 1e-2, log=True)}


def stand_in(name: str) -> Any:
    return SimpleNamespace(trial_id=name)


class Search:
    """A study with its searcher and scheduler, driven by hand in Tune's place."""

    def __init__(self, folder: Path, new: bool = True, space=space, **changes: Any):
        self.config = config(name=folder.name, **changes)
        if new:
            folder.mkdir()
            create_study(folder, self.config, YARDSTICK)
        self.study = load_study(folder)
        history = [r for r in read_records(self.study) if r.ended is not None]
        self.scheduler = build_scheduler(self.config, history)
        self.study.sampler = build_sampler(self.config, len(history))
        self.searcher = StudySearcher(self.study, self.config, space, TASK, self.scheduler)

    def report(self, trial_id: str, epoch: int, fid: float, status: str = "running") -> str:
        """Hand over a report as Tune does; returns the scheduler's decision."""
        result = flat(epoch, status, objective=fid, fid=fid)
        decision = self.scheduler.on_trial_result(None, stand_in(trial_id), result)  # pyright: ignore
        if status != "running":
            decision = TrialScheduler.STOP
        if decision == TrialScheduler.STOP:  # then Tune tells the searcher only of the end
            self.searcher.on_trial_complete(trial_id, result)
        else:
            self.searcher.on_trial_result(trial_id, result)
        return decision

    def start(self, trial_id: str) -> int:
        suggestion = self.searcher.suggest(trial_id)
        assert isinstance(suggestion, dict)
        self.scheduler.on_trial_add(None, stand_in(trial_id))  # pyright: ignore
        return suggestion["number"]

    def rungs(self) -> dict[int, list[float]]:
        (bracket,) = self.scheduler._brackets
        return {int(level): sorted(seen.values()) for level, seen in bracket._rungs}


def flat(epoch: int, status: str, **more: Any) -> dict[str, Any]:
    report = {"epoch": epoch, "status": status, "train_seconds": 1.0, **more}
    seen = {k: v for k, v in report.items() if k in ("epoch", "objective")}
    return {**seen, "done": status != "running", **{f"report/{k}": v for k, v in report.items()}}


def test_stopped_by_asha_is_pruned_with_all_its_reports_the_last_included(tmp_path):
    s = Search(tmp_path / "s")
    s.start("a")
    assert [s.report("a", e, 100.0) for e in (1, 2, 3)] == [TrialScheduler.CONTINUE] * 3
    s.start("b")
    assert s.report("b", 1, 200.0) == TrialScheduler.CONTINUE
    assert s.report("b", 2, 200.0) == TrialScheduler.STOP
    trial = s.study.trials[1]
    assert trial.state == TrialState.PRUNED
    assert trial.intermediate_values == {1: 200.0, 2: 200.0}
    record = read_records(s.study)[1]
    assert (record.status, record.fid, len(record.reports)) == (Status.PRUNED, 200.0, 2)


def test_trained_to_the_end_is_complete(tmp_path):
    s = Search(tmp_path / "s")
    s.start("a")
    for epoch in range(1, 12):
        s.report("a", epoch, 100.0 - epoch)
    s.report("a", 12, 42.0, "complete")
    trial = s.study.trials[0]
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 42.0)
    assert len(trial.intermediate_values) == 12


@pytest.mark.parametrize("status", ["diverged", "out_of_memory"])
def test_breakdown_is_infeasible_with_its_reason_and_enters_no_rung(tmp_path, status):
    s = Search(tmp_path / "s")
    s.start("a")
    s.report("a", 1, 50.0)
    broken = flat(3, status, reason="d_loss is nan in epoch 3")
    assert s.scheduler.on_trial_result(None, stand_in("a"), broken) == TrialScheduler.CONTINUE  # pyright: ignore
    s.scheduler.on_trial_complete(None, stand_in("a"), broken)  # pyright: ignore
    s.searcher.on_trial_complete("a", broken)
    assert s.rungs() == {2: [], 6: []}
    (record,) = read_records(s.study)
    assert (record.status.value, record.reason) == (status, "d_loss is nan in epoch 3")
    trial = s.study.trials[0]
    assert trial.state == TrialState.PRUNED
    assert list(trial.constraints.values()) == [1.0]


def test_crashed_after_retries_is_failed(tmp_path):
    s = Search(tmp_path / "s")
    s.start("a")
    s.report("a", 1, 50.0)
    s.searcher.on_trial_complete("a", error=True)
    assert s.study.trials[0].state == TrialState.FAIL
    assert read_records(s.study)[0].status is Status.FAILED


def test_a_repeated_report_is_heard_once(tmp_path):
    s = Search(tmp_path / "s")
    s.start("a")
    s.report("a", 1, 50.0)
    s.report("a", 1, 50.0)
    assert len(read_records(s.study)[0].reports) == 1


def test_the_study_ends_after_its_trials(tmp_path):
    s = Search(tmp_path / "s", trials=2)
    for name in ("a", "b"):
        s.start(name)
        s.report(name, 12, 40.0, "complete")
    assert s.searcher.suggest("c") == Searcher.FINISHED
    assert s.searcher.finished == 2
    assert {t.state for t in s.study.trials} == {TrialState.COMPLETE}


def test_a_space_that_breaks_its_word_fails_that_trial_and_goes_on(tmp_path):
    def sometimes(trial: optuna.Trial, task: Task) -> dict[str, Any]:
        params = space(trial, task)
        return {**params, "batch_size": 4096} if trial.number == 0 else params

    s = Search(tmp_path / "s", space=sometimes)
    assert s.start("a") == 1
    record = read_records(s.study)[0]
    assert record.status is Status.FAILED
    assert "batch_size is 4096" in record.reason


def test_resumed_search_takes_up_the_same_trial_and_the_same_rungs(tmp_path):
    whole = Search(tmp_path / "s")
    for name, fid in (("a", 100.0), ("b", 90.0), ("c", 200.0)):
        whole.start(name)
        for epoch in (1, 2):
            whole.report(name, epoch, fid)
    # a and b are under way, c was pruned at 2; the driver dies here.
    mark_interrupted(whole.study)
    assert [r.status.value for r in read_records(whole.study)] == [
        "interrupted", "interrupted", "pruned",
    ]  # fmt: skip
    again = Search(tmp_path / "s", new=False)
    assert [again.start("x"), again.start("y"), again.start("z")] == [0, 1, 3]
    assert again.rungs() == whole.rungs() == {2: [-200.0, -100.0, -90.0], 6: []}
    records = read_records(again.study)
    assert [r.status.value for r in records] == ["running", "running", "pruned", "running"]
    # The trial repeats the report of its checkpoint: no second decision, no second entry.
    assert again.report("x", 2, 100.0) == TrialScheduler.CONTINUE
    assert again.rungs() == whole.rungs()
    assert len(read_records(again.study)[0].reports) == 2


def test_tpe_keeps_away_from_where_trials_broke_down_however_well_they_began(tmp_path):
    folder = tmp_path / "s"
    folder.mkdir()
    settings = config(sampler="tpe")
    study = create_study(folder, settings, YARDSTICK)
    study.sampler = build_sampler(settings, 0)
    for _ in range(40):
        trial = study.ask()
        x = trial.suggest_float("x", 0.0, 1.0)
        trial.report(10.0 if x > 0.5 else 100.0 + x, 5)
        record_end(study, trial, Status.DIVERGED if x > 0.5 else Status.PRUNED, value=None)
    assert sum(t.params["x"] <= 0.5 for t in study.trials[20:]) >= 17


def test_same_seed_same_proposals(tmp_path):
    proposals = []
    for name in ("a", "b"):
        s = Search(tmp_path / name, sampler="tpe", trials=14)
        seen = []
        for i in range(14):
            s.start(str(i))
            params = s.study.trials[i].params
            s.report(str(i), 12, 100 * abs(math.log10(params["g_lr"]) + 3), "complete")
            seen.append(params["g_lr"])
        proposals.append(seen)
    assert proposals[0] == proposals[1]
    assert len(set(proposals[0])) == 14


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_says_what_runs_what_ended_and_what_is_best(tmp_path, terminal):
    s = Search(tmp_path / "s", trials=4)
    screen, woken = io.StringIO(), []
    console = Console(file=screen, force_terminal=terminal, width=200)
    progress = Progress(console, s.config, YARDSTICK, s.searcher, lambda: woken.append(1))

    def tell(number: int, epoch: int, status: str, done: bool, **scores: Any) -> None:
        report = {"epoch": epoch, "status": status, **scores}
        trial = SimpleNamespace(trial_id=str(number), config={"number": number})
        result = {"epoch": epoch, "report": report, "done": done}
        progress.on_trial_result(0, [], trial, result)

    with progress:
        for number in range(4):
            trial = SimpleNamespace(trial_id=str(number), config={"number": number})
            progress.on_trial_start(0, [], trial)
        tell(0, 2, "running", False, fid=90.0, objective=90.0)
        tell(0, 12, "complete", True, fid=60.0, objective=60.0)
        tell(1, 2, "running", True, fid=120.0, objective=120.0)
        tell(2, 1, "diverged", True, reason="g_loss is nan")
        line = str(progress._line())
    assert line.startswith(
        "1 complete, 1 diverged, 1 pruned, 1 running of 4 | best FID 60.0 (2.0 x"
    )
    assert "trial 0, epoch 12" in line
    assert "left" in line
    assert len(woken) == 4
    assert ("trial    2  diverged  epoch 1" in screen.getvalue()) is not terminal
    assert "running of 4" in screen.getvalue()


def record(
    number: int, fid: float | None, status: str = "complete", epoch: int = 12
) -> TrialRecord:
    scores = {"fid": fid, "objective": fid, "train_seconds": 5.0}
    reports = () if fid is None else ({"epoch": epoch, **scores},)
    params = {"g_lr": 0.001 * (number + 1), "loss": "hinge"}
    return TrialRecord(number, Status(status), "", params, reports, 0.0, 1.0)


def test_winners_are_finished_trials_first():
    records = [
        record(0, 60.0), record(1, 50.0, "pruned", 2), record(2, 55.0), record(3, 10.0, "diverged"),
        record(4, None, "failed"),
    ]  # fmt: skip
    assert [r.number for r in candidates(records, 2)] == [2, 0]
    assert [r.number for r in candidates(records, 9)] == [2, 0, 1]


GOOD = {"copy_rate": 0.01, "pixel_copy_rate": 0.0, "diversity": 0.9, "coverage": 0.6}


def assessment(fid: float, kid: float = 0.01, **scores: float) -> Assessment:
    """An assessment whose FID is known to +-2."""
    intervals = Interval(fid - 2, fid + 2, fid), Interval(kid, kid, kid)
    return Assessment({**GOOD, "fid": fid - 20, "kid": kid, **scores}, 2000, *intervals)


def test_leaderboard_ranks_by_fresh_scores_gates_first(tmp_path):
    records = [record(0, 60.0), record(1, None, "failed"), record(2, 55.0), record(3, 58.0)]
    records += [record(4, 20.0), record(5, 64.0)]
    assessed = {
        0: assessment(61.0), 2: assessment(66.0), 5: assessment(64.0),
        4: assessment(20.0, copy_rate=0.31, coverage=0.0),
    }  # fmt: skip
    rows = rank(records, assessed, Objective.parse("fid"), YARDSTICK)
    assert [(r.rank, r.record.number) for r in rows] == list(enumerate([0, 5, 2, 4, 3, 1], start=1))
    assert [r.wins for r in rows] == [True] * 3 + [False] * 3
    assert rows[3].failed == (
        "copy rate in features 0.31, at most 0.25",
        "coverage 0.00, at least 0.005",
    )
    assert [r.tie for r in rows[:3]] == [False, True, False]  # 61 and 64 are known to +-2
    assert rows[0].over_floor == pytest.approx(61 / 30)
    assert differing(rows) == ["g_lr"]
    write_csv(tmp_path / "l.csv", rows)
    first, *_, copies, _, last = csv.DictReader((tmp_path / "l.csv").open())
    assert (first["trial"], first["fid"], first["fresh_fid_mean"]) == ("0", "60.0", "61.0")
    assert (first["fresh_fid_low"], first["fresh_fid_2000"]) == ("59.0", "41.0")
    assert copies["failed_gates"].startswith("copy rate in features 0.31")
    assert (last["trial"], last["status"], last["fid"]) == ("1", "failed", "")


def test_the_leaderboard_follows_the_objective():
    records = [record(0, 60.0), record(1, 50.0)]
    assessed = {0: assessment(60.0, kid=0.01), 1: assessment(50.0, kid=0.05)}
    best = {
        text: rank(records, assessed, Objective.parse(text), YARDSTICK)[0].record.number
        for text in ("fid", "kid", "fid+kid", "fid+0.1*kid")
    }
    # Of the untrained generator's: FID 0.20 and 0.17, KID 0.03 and 0.17.
    assert best == {"fid": 1, "kid": 0, "fid+kid": 0, "fid+0.1*kid": 1}


def test_objective_values_by_hand():
    scores = {"fid": 60.0, "kid": 0.03, "inception_score": 1.7}
    untrained = {"fid": 300.0, "kid": 0.3}
    values = {t: Objective.parse(t).value(scores, untrained) for t in ("fid", "kid", "is")}
    assert values == {"fid": 60.0, "kid": 0.03, "is": -1.7}
    weighted = Objective.parse("0.5*fid+1.5*kid").value(scores, untrained)
    assert weighted == pytest.approx((0.5 * 0.2 + 1.5 * 0.1) / 2)


@pytest.mark.parametrize(
    "text", ["", "fids", "2*fid", "fid+is", "fid+fid", "fid-kid", "0*fid+0*kid"]
)
def test_texts_that_are_no_objectives(text):
    with pytest.raises(InputError, match="must be fid, kid, is, or a weighted sum"):
        Objective.parse(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 0}, "--trials is 0, but must be at least 1"),
        ({"grace": 13}, "--grace is 13, but must lie between 1 and --epochs, 12"),
        ({"eval_every": 13}, "--eval-every is 13, but must lie between 1 and --epochs, 12"),
        ({"eta": 1}, "--eta is 1, but must be at least 2"),
        ({"sampler": "cma"}, "--sampler is 'cma', but must be one of tpe, random"),
        ({"name": "a/b"}, "--study is 'a/b'"),
        ({"time_budget": 0.0}, "--time-budget"),
    ],
)
def test_settings_out_of_range_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        config(**changes)


def test_config_survives_json_and_names_its_rungs():
    settings = config(epochs=100, eval_every=7, grace=10, eta=3)
    assert StudyConfig.from_json(settings.to_json()) == settings
    assert settings.rungs == (10, 30, 90)
    assert set(settings.rungs) <= set(settings.evaluations)
    assert settings.evaluations[-1] == 100
