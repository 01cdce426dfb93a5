"""Which trials win, what the leaderboard shows, and what an objective is."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from search.study.gates import GATES
from search.study.records import TrialRecord
from search.winners.leaderboard import (
    Row,
    candidates,
    differences,
    differing,
    rank,
    table,
    write_csv,
)
from tests.helpers.fake_tune import YARDSTICK, config, made_report
from tests.helpers.refusals import refused, tells
from trainable.metrics.intervals import Interval
from trainable.metrics.scores import RealSet, evaluation_scores
from trainable.metrics.seed_noise import FID_NOISE
from trainable.trial.evaluation import Assessment
from trainable.trial.objective import Objective
from trainable.trial.report import Status


def record(
    number: int, fid: float | None, status: str = "complete", epoch: int = 12, **more: float
) -> TrialRecord:
    scores = {"fid": fid, "objective": fid, "train_seconds": 5.0, **more}
    reports = () if fid is None else (made_report(epoch, status, **scores),)
    params = {"g_lr": 0.001 * (number + 1), "loss": "hinge"}
    searched = {"g_lr": params["g_lr"]}
    return TrialRecord(number, Status(status), "", params, searched, reports, 0.0, 1.0)


def test_winners_are_finished_trials_first():
    records = [
        record(0, 60.0), record(1, 50.0, "pruned", 2), record(2, 55.0), record(3, 10.0, "diverged"),
        record(4, None, "failed"),
    ]  # fmt: skip
    assert [r.number for r in candidates(records)] == [2, 0, 1]


def test_who_passes_the_gates_at_the_last_evaluation_is_scored_again_first():
    """FID pays for less variety, so that the lowest may be of those that cannot win."""
    records = [
        record(0, 60.0, diversity=0.9), record(1, 50.0, diversity=0.7),
        record(2, 55.0, diversity=0.9), record(3, 40.0, diversity=0.7),
        record(4, 30.0, "pruned", 2, diversity=0.9),
    ]  # fmt: skip
    assert [r.number for r in candidates(records)] == [2, 0, 3, 1, 4]
    records[1] = replace(records[1], origin="default")  # then 0.7 is what this study can do
    assert [r.number for r in candidates(records)] == [3, 1, 2, 0, 4]


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
    copied, covered = rows[3].failed
    assert tells(copied, "copy rate", 0.31, 0.25)
    assert tells(covered, "coverage", "0.00", 0.005)
    assert [r.tie for r in rows] == [False, True, True, False, False, False]
    assert rows[0].over_floor == pytest.approx(61 / 30)
    assert differing(rows) == ["g_lr"]
    write_csv(tmp_path / "l.csv", rows)
    first, *_, copies, _, last = csv.DictReader((tmp_path / "l.csv").open())
    assert (first["trial"], first["fid"], first["fresh_fid_mean"]) == ("0", "60.0", "61.0")
    assert (first["fresh_fid_low"], first["fresh/fid"], first["fresh_images"]) == (
        "59.0",
        "41.0",
        "2000",
    )
    assert first["fresh_kid_mean"] == "0.01"
    assert copies["failed_gates"].startswith(copied)
    assert (last["trial"], last["status"], last["fid"]) == ("1", "failed", "")


def test_who_varies_as_little_as_the_default_may_win():
    records = [record(0, 60.0, diversity=0.76), record(1, 50.0), record(2, 40.0)]
    assessed = {n: assessment(r.fid, diversity=0.76 - 0.04 * n) for n, r in enumerate(records)}
    for origin, winners in (("", []), ("default", [1, 0])):
        records[0] = replace(records[0], origin=origin)
        rows = rank(records, assessed, Objective.parse("fid"), YARDSTICK)
        assert [row.record.number for row in rows if row.wins] == winners


def ranked_by_fid(*fresh: Assessment) -> list[Row]:
    last: dict[str, Any] = {"kid": 0.1, "copy_rate": 0.05, "cas": 0.8}
    records = [record(number, 60.0, **last) for number in range(len(fresh))]
    return rank(records, dict(enumerate(fresh)), Objective.parse("fid"), YARDSTICK)


def test_two_trainings_of_one_configuration_tie_and_a_quarter_more_fid_does_not():
    rng = np.random.default_rng(0)

    def ties(times: float) -> float:
        pairs = 55 * np.exp(FID_NOISE.sd * rng.standard_normal((400, 2))) * (1, times)
        pairs += 2 / 1.96 * rng.standard_normal((400, 2))  # an assessment is known to +-2
        tied = [any(r.tie for r in ranked_by_fid(*map(assessment, pair))) for pair in pairs]
        return float(np.mean(tied))

    assert ties(1) >= 0.95
    assert ties(1.25) < 0.3
    assert ties(1.5) < 0.01
    assert not any(r.tie for r in ranked_by_fid(assessment(55.0), assessment(1.25 * 55)))


def test_ties_rank_by_kid_and_the_rest_by_fid():
    """FID rewards less variety where images are fewer than features; KID does not."""
    fresh = [assessment(80.0, kid=0.01), assessment(50.0, kid=0.04), assessment(54.0, kid=0.03)]
    fresh += [assessment(44.0, kid=0.02, diversity=0.5), assessment(70.0, kid=0.02)]
    rows = ranked_by_fid(*fresh)
    assert [(row.record.number, row.tie) for row in rows] == [
        (2, False), (1, True), (4, False), (0, False), (3, False)
    ]  # fmt: skip
    shown = table(rows, config(hold_back=0.25), HELD)
    assert tells(str(shown.caption), "FID", "5.2%", "KID")
    kids = next(column for column in shown.columns if column.header == "KID")
    assert list(kids.cells) == ["30.0", "40.0", "20.0", "10.0", "20.0"]
    assert [row.record.number for row in rank(
        [row.record for row in rows], dict(enumerate(fresh)), Objective.parse("fid,kid"), YARDSTICK
    )] == [1, 0, 4, 2, 3]  # fmt: skip


@pytest.mark.parametrize("real", [100, 200])
def test_less_variety_that_fid_pays_for_fails_the_gate_and_other_reals_pass(real):
    """Of images fewer than features; in a spectrum of theirs that falls as that of X-rays does."""
    rng = np.random.default_rng(0)

    def drawn(n: int) -> torch.Tensor:
        return torch.tensor(rng.standard_normal((n, 512)) / np.arange(1, 513) ** 0.5).float()

    (gate,) = [gate for gate in GATES if gate.score == "diversity"]
    reals, fakes = RealSet.of(drawn(real), torch.arange(real) % 2, 2), drawn(200)
    labels, logits = torch.arange(200) % 2, torch.zeros(200, 2)
    means = torch.stack([fakes[labels == k].mean(0) for k in (0, 1)])[labels]
    scores = {
        spread: evaluation_scores(reals, means + spread * (fakes - means), labels, logits)
        for spread in np.linspace(0.5, 1, 26).tolist()
    }
    assert gate.fault(scores[1.0]) is None
    best = min(scores.values(), key=lambda of: of["fid"])
    assert best["fid"] < 0.97 * scores[1.0]["fid"]
    assert best["kid"] > scores[1.0]["kid"]
    assert gate.fault(best) is not None


HELD: Any = {
    **YARDSTICK, "protocol": "efficientnet-lite0/bilinear-224", "n_generated": 200, "cas": 0.95,
}  # fmt: skip


def with_cas(fid: float, cas: float) -> Assessment:
    """An assessment whose CAS is known to +-1 %."""
    return replace(assessment(fid, cas=cas), cas=Interval(cas - 0.01, cas + 0.01, cas))


@pytest.mark.parametrize(
    ("objective", "ranked", "ties"),
    [("classifier", [2, 0, 1], [0, 1]), ("fid", [1, 2, 0], [2]),
     ("fid+classifier", [2, 0, 1], [0, 1]), ("is", [1, 2, 0], [2, 0]),
     ("fid,classifier", [1, 2, 0], [2])],
)  # fmt: skip
def test_nothing_is_told_by_an_objective_whose_training_noise_is_not_known(objective, ranked, ties):
    records = [record(n, 60.0) for n in range(3)]
    yardstick: Any = {**YARDSTICK, "untrained": {"fid": 300.0, "kid": 0.3, "cas": 0.5}}
    found = {0: with_cas(80.0, 0.92), 1: with_cas(61.0, 0.85), 2: with_cas(63.0, 0.93)}
    scores = {0: 1.5, 1: 1.7, 2: 1.6}
    assessed = {
        n: replace(a, scores={**a.scores, "inception_score": scores[n]}) for n, a in found.items()
    }
    rows = rank(records, assessed, Objective.parse(objective), yardstick)
    assert [row.record.number for row in rows] == ranked
    assert [row.record.number for row in rows if row.tie] == ties


def test_the_table_of_a_classifiers_search_shows_what_it_ranks_by_in_80_columns(tmp_path):
    last: dict[str, Any] = {"kid": 0.1234, "copy_rate": 0.05, "cas": 0.87, "train_seconds": 12345.0}
    records = [record(n, 152.34, epoch=1800, **last) for n in (1000, 1001)]
    records += [
        record(1002, 152.34, "out_of_memory", epoch=1800, **last),
        record(3, None, "failed"),
    ]
    assessed = {1000: with_cas(150.0, 0.92), 1001: with_cas(160.0, 0.925)}
    rows = rank(records, assessed, Objective.parse("classifier"), HELD)
    said = io.StringIO()
    study = config(objective="classifier", hold_back=0.25)
    Console(file=said, width=80).print(table(rows, study, HELD))
    lines = said.getvalue().splitlines()
    assert tells(lines[0], "s", "classifier's error", "FID")
    assert "efficientnet-lite0/bilinear-2" in lines[0]
    first, second, third = (line.split() for line in lines if "1800" in line)
    assert first[:4] == ["1", "1001", "152.3", "158-162"]
    assert first[7:] == ["87", "92-94", "1800", "12345", "complete"]
    assert second[0] == "2="
    assert third[-1] == "out_of_memory"
    caption = " ".join(said.getvalue().split())
    assert re.search(r"\breal\b[^.]* 95\.", caption)
    assert re.search(r"classifier's error [^.]*\bnot known", caption)
    write_csv(tmp_path / "l.csv", rows)
    row = next(csv.DictReader((tmp_path / "l.csv").open()))
    assert (row["fresh_cas_low"], row["fresh_cas_mean"], row["tie"]) == ("0.915", "0.925", "")


def test_devices_are_named_where_they_differ():
    def shown(*devices: str) -> str:
        last: dict[str, Any] = {"kid": 0.1, "copy_rate": 0.05, "cas": 0.8}
        kinds: list[dict[str, Any]] = [{"device": device} for device in devices]
        records = [record(n, 50.0 + n, **last, **kind) for n, kind in enumerate(kinds)]
        rows = rank(records, {}, Objective.parse("fid"), HELD)
        out = io.StringIO()
        Console(file=out, width=200).print(table(rows, config(hold_back=0.25), HELD))
        return out.getvalue()

    assert "NVIDIA" not in shown("NVIDIA L4", "NVIDIA L4")
    assert "NVIDIA T4" in shown("NVIDIA L4", "NVIDIA T4")


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
    values = {t: Objective.parse(t).values(scores, untrained) for t in ("fid", "kid", "is")}
    assert values == {"fid": (60.0,), "kid": (0.03,), "is": (-1.7,)}
    (weighted,) = Objective.parse("0.5*fid+1.5*kid").values(scores, untrained)
    assert weighted == pytest.approx((0.5 * 0.2 + 1.5 * 0.1) / 2)


def test_a_classifier_counts_by_its_error_alone_in_a_sum_and_beside_another():
    scores, untrained = {"fid": 60.0, "cas": 0.9}, {"fid": 300.0, "cas": 0.5}
    for text, values in {
        "classifier": (0.1,), "fid+classifier": (0.2,), "fid,classifier": (60.0, 0.1),
        "classifier,fid+2*classifier": (0.1, 0.2),
    }.items():  # fmt: skip
        objective = Objective.parse(text)
        assert objective.values(scores, untrained) == pytest.approx(values)
        assert objective.needs_validation
    assert not Objective.parse("fid,kid").needs_validation


@pytest.mark.parametrize(
    "text",
    ["", "fids", "2*fid", "fid+is", "fid+fid", "fid-kid", "0*fid+0*kid", "fid,", "fid,fid", "1,2",
     "fid,kid,classifier", "0*classifier+fid", "fid+kid,kid+fid", "fid+kid,2*kid+2*fid"],
)  # fmt: skip
def test_texts_that_are_no_objectives(text):
    with refused("--objective", repr(text), "fid, kid, is, classifier"):
        Objective.parse(text)


def test_goals_are_named_and_shown_for_a_reader():
    goals = Objective.parse("fid+0.5*classifier,is").goals + Objective.parse("fid,classifier").goals
    assert [(goal.name, goal.shown(0.0713)) for goal in goals] == [
        ("FID+0.5*classifier's error", "0.0713"), ("negative IS", "0.0713"),
        ("FID", "0.1"), ("classifier's error", "7.1%"),
    ]  # fmt: skip


def test_of_two_goals_the_front_comes_first_and_its_ends_before_its_middle():
    values = {0: (60.0, 0.30), 1: (50.0, 0.40), 2: (55.0, 0.35), 3: (65.0, 0.35), 4: (90.0, 0.10)}
    records = [record(n, fid, objective_2=error) for n, (fid, error) in values.items()]
    assert [r.number for r in candidates(records)] == [1, 4, 0, 2, 3]
    assessed = {n: assessment(fid, cas=1 - error) for n, (fid, error) in values.items() if n != 0}
    rows = rank(records, assessed, Objective.parse("fid,classifier"), YARDSTICK)
    assert [row.record.number for row in rows] == [1, 4, 2, 3, 0]  # 0 was not assessed


def test_a_study_without_a_trial_has_no_rows():
    assert rank([], {}, Objective.parse("fid"), YARDSTICK) == []


def test_names_of_differences_keep_their_ends_in_80_columns():
    name, long = "instance_noise_halflife_kimg", "translation+brightness+contrast"
    params = {name: 11.4, "augment": f"zoom+{long}"}
    rows = [
        Row(n, replace(record(n, 50.0), params=params), None, GATES, (), False, 1)
        for n in (1, 2, 3)
    ]
    out = io.StringIO()
    console = Console(file=out, width=80)
    console.print(differences(rows, {name: 5.5, "augment": long}))
    said = out.getvalue()
    assert {name, "augment"} <= set(said.split())
    assert "…" not in said
    assert sum(said.count(letter) for letter in "zq") == 3  # of each trial
    assert said.count("+") == 2 + 3 * 3
