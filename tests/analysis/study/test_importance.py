"""What hyperparameters matter, on studies whose truth is planted; and trials at a common rung."""

from __future__ import annotations

import math
from argparse import Namespace
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import create_trial

from analysis.figures import hyperparameters, interactions, learning_curves, parallel
from analysis.study import importance
from analysis.study.importance import beyond_chance, common_rungs, importances, searched, values_of
from analysis.study.rungs import at_rung, rungs
from analysis.study.table import StudyTable
from analysis.study.trials import lowest_fid
from tests.helpers.refusals import refused, tells
from tests.helpers.tables import ETA, GRACE, planted, study


def test_rungs_are_the_searchs_and_end_with_the_whole_length():
    table = study({0: ("complete", {}, [(10, 50.0)])})
    assert rungs(table) == (10, 30, 90)
    assert rungs(study({0: ("complete", {}, [(4, 9.0)])}, grace="x")) == (4,)


def test_at_a_rung_each_trial_stands_for_what_is_known_of_it():
    table = study(
        {
            0: ("complete", {}, [(10, 80.0), (30, 60.0), (90, 50.0)]),
            1: ("pruned", {}, [(10, 90.0)]),
            2: ("diverged", {}, []),
            3: ("diverged", {}, [(12, 70.0), (33, 65.0)]),  # after the rung, evaluated late
            5: ("running", {}, [(9, 99.0)]),
        }
    )
    assert at_rung(table, 10).fid.to_dict() == pytest.approx(
        {0: 80.0, 1: 90.0, 2: math.inf, 3: 70.0, 5: math.nan}, nan_ok=True
    )
    second = at_rung(table, 30)
    assert second.fid.to_dict() == pytest.approx(
        {0: 60.0, 1: math.nan, 2: math.inf, 3: 65.0, 5: math.nan}, nan_ok=True
    )
    assert second.observed.to_dict() == {0: 60.0, 3: 65.0}


def test_rungs_of_seconds_are_read_on_the_clock():
    table = study({0: ("complete", {}, [(10, 80.0), (30, 60.0)])}, resource="seconds")
    table.curves["train_seconds"] = [5.0, 12.0]
    assert at_rung(table, 10).fid.to_dict() == {0: 60.0}


@pytest.mark.parametrize("seed", [0, 1])
def test_a_planted_ranking_is_found_at_the_first_rung_and_at_the_last(seed):
    table = planted(seed=seed)
    first, last = common_rungs(table)
    assert (first, last) == (10, 90)
    for rung in (first, last):
        found = importances(table, rung)
        assert found is not None
        assert list(found.by_name)[:2] == ["rate", "width"]
        rate, width = found.by_name["rate"], found.by_name["width"]
        assert not rate.chance
        assert rung > first or not width.chance  # of a handful of good ones less can be said
        assert rate.low > max(found.by_name[n].share for n in ("idle", "patience", "depth"))
        assert rate.low <= rate.share <= 1
        assert sum(of.share for of in found.by_name.values()) == pytest.approx(1)
    there = importances(table, last)
    assert there is not None
    assert there.observed < 30 < there.trials < 160  # less the interrupted
    assert there.good <= 2 * there.observed / 3


def test_trials_read_in_place_say_what_optunas_own_study_says(monkeypatch):
    def plain(drawn):
        made = optuna.create_study()
        for one in drawn:
            kinds: Any = {n: CategoricalDistribution(kind.choices) for n, (_, kind) in one.items()}
            values = {name: value for name, (value, _) in one.items()}
            made.add_trial(create_trial(params=values, distributions=kinds, value=0.0))
        return made

    for name in ("_SHUFFLES", "_RESAMPLES"):
        monkeypatch.setattr(importance, name, 3)
    ours = importances(planted(n=40), 10)
    monkeypatch.setattr(importance, "_Study", plain)
    assert importances(planted(n=40), 10) == ours  # of another table, as what is found is kept


def test_last_scores_would_have_told_another_story():
    """Why it is done at rungs: a trial that is stopped earlier has the worse last FID."""
    table = planted(n=200)
    there = (table.trials["status"] != "diverged") & (table.trials["epoch"] >= ETA * GRACE)
    reached = table.trials.loc[there, ["fid", "params.patience"]]
    last = np.corrcoef(reached.to_numpy().T)[0, 1]
    fid = at_rung(table, ETA * GRACE).observed
    common = np.corrcoef(fid, values_of(table, "patience")[fid.index])[0, 1]
    assert last < common - 0.1
    assert abs(common) < 0.1


def test_of_many_that_decide_nothing_few_studies_name_any(monkeypatch):
    """Ten null hyperparameters of all kinds: one study in twenty may name one, not one in two."""
    monkeypatch.setattr(importance, "_RESAMPLES", 2)  # of the intervals, which nothing here is of
    named = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        trials = {}
        for n in range(30):
            params = {f"p{i}": rng.uniform() for i in range(5)}
            params |= {f"q{i}": str(rng.choice(list("abcd")[: i + 2])) for i in range(3)}
            params |= {"rare": int(rng.integers(1, 4))} if params["q0"] == "a" else {}
            trials[n] = ("complete", params | {"flag": bool(n % 2)}, [(90, rng.uniform(50, 90))])
        found = importances(study(trials), 90)
        assert found is not None
        assert len(found.by_name) == 10
        named += any(not of.chance for of in found.by_name.values())
    assert named <= 1


def test_the_largest_of_each_shuffle_decides_whatever_the_scales():
    """The rate of studies that name any is the nominal one, and what stands out is still named."""
    rng = np.random.default_rng(3)
    degrees = np.array([1, 1, 2, 2, 4, 4, 4, 4, 4, 4])
    null = rng.chisquare(degrees, (600, 100, 10)) * 10.0 ** np.arange(10)
    clear = [beyond_chance(draws[0], draws[1:]) for draws in null]
    rate = np.mean([any(one) for one in clear])
    assert 0.03 < rate < 0.07
    assert np.sum(clear, axis=0).max() < 15  # none of them is favoured: 600 x 0.05 / 10 is 3
    null[:, 0, 7] = 40e7
    found = np.mean([beyond_chance(draws[0], draws[1:]) for draws in null], axis=0)
    assert found[7] > 0.99
    assert found.sum() - found[7] < 0.07
    assert not beyond_chance(np.zeros(2), np.zeros((99, 2))).any()


def test_a_hyperparameter_of_a_single_trial_is_no_reason_to_fail():
    """A resample may not hold it; nor may the trials that got far enough."""
    rng = np.random.default_rng(5)
    trials = {}
    for n in range(14):
        params = {"x": rng.uniform(), **({"rare": n} if n in (2, 3) else {})}
        trials[n] = ("complete", params, [(10, 50 + 10 * params["x"])])
    for n in (14, 15):
        trials[n] = ("interrupted", {"x": 0.5, "gone": n}, [(5, 99.0)])
    found = importances(study(trials), 10)
    assert found is not None
    assert set(found.by_name) == {"x", "rare", "gone"}
    assert (found.by_name["gone"].share, found.by_name["gone"].chance) == (0, True)
    for draw in (hyperparameters.draw, parallel.draw):
        draw(study(trials)).draw_without_rendering()


def test_equal_configurations_have_no_hyperparameters_to_draw():
    table = study({n: ("complete", {"x": 1}, [(10, 50.0 + n)]) for n in range(12)})
    for draw in (hyperparameters.draw, parallel.draw):
        with refused("--study planted", "same configuration"):
            draw(table)


def test_as_many_trials_as_are_asked_for_are_enough():
    trials = {n: ("complete", {"x": float(n)}, [(10, 50.0 + n)]) for n in range(10)}
    assert importances(study(trials), GRACE) is not None
    early = {
        n: (("pruned", p, c) if n < 5 else ("pruned", p, [])) for n, (_, p, c) in trials.items()
    }
    assert importances(study(early), GRACE) is not None
    early[4] = early[5]
    with refused("--study planted", "10 trials", "4 of them", "epoch 10"):
        hyperparameters.found(study(early))


def test_pairs_that_never_differ_together_are_said():
    """Each of two hyperparameters occurs where the other does not."""
    trials = {
        n: ("complete", {"one" if n % 2 else "other": n}, [(10, 50.0 + n)]) for n in range(24)
    }
    with refused("--study planted", "no two hyperparameters"):
        interactions.strongest(study(trials))


def test_a_pair_of_many_can_be_told_from_chance():
    """Among 28 pairs as among six: shuffles are enough for the least p of them all together."""
    rng = np.random.default_rng(4)
    trials = {}
    for number in range(90):
        params = {f"x{i}": rng.uniform(-1, 1) for i in range(8)}
        level = 60 * params["x0"] * params["x1"] + 2 * rng.standard_normal()
        trials[number] = ("complete", params, [(10, 150 + level)])
    pairs = interactions.strongest(study(trials, grace="10", length="10"))
    assert len(pairs) == 28
    (line,) = interactions.summary(pairs)
    assert tells(line, "28 pairs")
    assert set(pairs[0].names) == {"x0", "x1"}
    assert line.count(" with ") == 1


def test_scale_and_outliers_do_not_matter():
    rng = np.random.default_rng(2)
    values = rng.uniform(0, 1, 50)
    plain, bent = (
        study({n: ("complete", {"x": f(v), "y": (n * 7) % 10}, [(90, 50 + v)])
               for n, v in enumerate(values)})
        for f in (lambda v: v, lambda v: math.exp(30 * v))
    )  # fmt: skip
    assert importances(plain, 90) == importances(bent, 90)


def test_searched_are_those_that_differ():
    table = planted(30)
    table.trials["params.fixed"] = 3
    assert set(searched(table)) == {"rate", "width", "idle", "patience", "mode", "depth"}
    assert set(values_of(table, "depth").index) == set(
        table.trials.loc[table.trials["params.mode"] == "a", "number"]
    )


def test_too_few_trials_are_said():
    table = study({n: ("complete", {"x": n}, [(90, 50.0 + n)]) for n in range(9)})
    assert importances(table, 90) is None
    with refused("--study planted", "9 trials", "9 of them"):
        hyperparameters.draw(table)


def test_the_figure_names_what_was_found():
    table = planted()
    figure = hyperparameters.draw(table)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[:2] == ["rate", "width"]
    titles = [ax.get_title(loc="left") for ax in figure.axes[:2]]
    assert tells(titles[0], "epoch 10")
    assert tells(titles[1], "epoch 90")
    first, last, _ = hyperparameters.summary(table)
    assert tells(first, "epoch 10")
    assert ": rate " in first
    assert ": rate " in last


def test_what_matters_for_classifiers_is_found_by_their_error():
    """Where that ranks trials as FID does, the same matters."""
    table = planted()
    without = replace(table, curves=table.curves.assign(cas=math.nan))
    with refused("--study planted", "--hold-back"):
        hyperparameters.drawn(without, Namespace(score="classifier"))
    fid = table.curves["fid"]
    other = replace(
        table,
        curves=table.curves.assign(cas=1 - fid / fid.max() / 2),
        settings={**table.settings, "objective": "classifier"},
    )
    drawn = hyperparameters.drawn(other, Namespace(score="classifier"))
    *said, ways = hyperparameters.drawn(table, Namespace(score="fid")).said
    assert drawn.said == [*said, ways.replace("FID", "classifiers' error")]
    assert tells(drawn.figure.axes[2].get_ylabel(), "classifiers' error")


@pytest.mark.parametrize(
    ("objective", "score"),
    [("fid", "classifier"), ("classifier", "fid"), ("fid,classifier", "fid"), ("fid+kid", "fid")],
)
def test_what_decides_who_is_stopped_is_not_what_matters_for_another_score(objective, score):
    """ASHA stops by ``a``; nothing decides about the score that is asked about."""
    rng = np.random.default_rng(0)
    trials: dict[int, Any] = {}
    for n in range(60):
        params = {"a": rng.uniform(), "b": rng.uniform()}
        noise = 60 + 5 * rng.standard_normal()
        curve = [(10, noise), (30, noise - 5), (90, noise - 6)]
        good = params["a"] < 1 / 3
        trials[n] = ("complete" if good else "pruned", params, curve if good else curve[:1])
    table = study(trials, objective=objective)
    table = replace(table, curves=table.curves.assign(cas=1 - table.curves["fid"] / 100))
    first, ways = hyperparameters.drawn(table, Namespace(score=score)).said
    assert tells(first, "epoch 10", "60 of 60 trials", "beyond chance", f"--objective {objective}")
    assert tells(ways, "none")


def test_learning_curves_count_who_got_where():
    table = planted()
    assert tells(learning_curves.summary(table), "epoch 10", len(at_rung(table, 10).observed))
    figure = learning_curves.draw(table)
    (ax,) = figure.axes
    said = [text.get_text() for text in ax.texts]
    there = [f"{len(at_rung(table, rung).observed)} trials" for rung in (10, 30, 90)]
    assert said[-3:] == there  # before them, what scores are held against
    assert ax.get_yscale() == "log"
    best = lowest_fid(table)
    sound = table.trials[table.trials.status != "diverged"]
    assert dict(zip(sound.number, sound.fid, strict=True))[best] == sound.fid.min()


def test_all_broken_is_drawn_too():
    table = study({0: ("diverged", {"x": 1}, [(10, 99.0)]), 1: ("diverged", {"x": 2}, [])})
    assert lowest_fid(table) is None
    learning_curves.draw(table).draw_without_rendering()


def paired(n: int = 90, strength: float = 1.0) -> StudyTable:
    """Rate and batch are good together, high or low; kind has an effect of its own."""
    rng = np.random.default_rng(4)
    trials = {}
    for number in range(n):
        rate, batch = rng.uniform(-1, 1), int(rng.choice([8, 16, 32]))
        kind = str(rng.choice(["a", "b"]))
        level = -30 * strength * rate * (batch / 12 - 1.5) + 25 * (kind == "a")
        params = {"rate": 10**rate, "batch": batch, "kind": kind, "idle": rng.uniform()}
        trials[number] = ("complete", params, [(10, 150 + level + 5 * rng.standard_normal())])
    return study(trials, grace="10", length="10")


def test_a_planted_pair_is_found_and_effects_of_one_are_no_pair():
    pairs = interactions.strongest(paired())
    assert set(pairs[0].names) == {"rate", "batch"}
    assert pairs[0].strength > 0.2
    (line,) = interactions.summary(pairs)
    assert tells(line, "6 pairs")
    assert line.count(" with ") == 1
    assert interactions.summary(interactions.strongest(paired(strength=0)))[0].endswith(": none")


def test_a_pair_is_starred_only_if_it_stands_out_among_all():
    """One of 28 has a p below 0.05 where nothing is to be found."""
    table = paired(strength=0)
    pairs = [replace(pair, p=0.02) for pair in interactions.strongest(table)]
    assert not any("*" in ax.get_title() for ax in interactions.draw(table, pairs).axes)
    pairs[0] = replace(pairs[0], p=0.0005)
    stars = ["*" in ax.get_title() for ax in interactions.draw(table, pairs).axes]
    assert (stars[0], sum(stars)) == (True, 1)


def test_pairs_are_drawn_with_the_trials_behind_each_cell():
    table = paired()
    pairs = interactions.strongest(table)
    figure = interactions.draw(table, pairs)
    first = figure.axes[0]
    assert {first.get_xlabel(), first.get_ylabel()} == {"rate", "batch"}
    counts = [int(text.get_text().partition("(")[2][:-1]) for text in first.texts]
    assert sum(counts) == 90
    ticks = [label.get_text() for label in (*first.get_xticklabels(), *first.get_yticklabels())]
    assert {"8", "16", "32"} <= set(ticks)


def test_parallel_draws_a_line_for_each_trial_that_got_to_the_first_rung():
    table = planted()
    figure = parallel.draw(table)
    ax = figure.axes[0]
    assert len(ax.patches) == len(at_rung(table, GRACE).observed) + 1  # the best in the end
    strong = [patch for patch in ax.patches if patch.get_linewidth() > 1.7]
    assert len(strong) == math.ceil(0.1 * (len(ax.patches) - 1))
    said = {text.get_text() for text in ax.texts}
    assert {"rate", "width", "mode", "8", "16", "32", "a", "b", "c", "not used"} <= said


def test_parallel_does_not_take_the_best_at_the_first_rung_for_the_best():
    params = {n: {"x": 0.1 * n, "y": n % 3} for n in range(12)}
    trials = {n: ("pruned", params[n], [(10, 100.0 + n)]) for n in range(12)}
    trials[7] = ("complete", params[7], [(10, 107.0), (90, 50.0)])
    table = study(trials)
    for failed, winner, parts in (
        (None, math.nan, ["final FID", "not a winner"]),
        ("copies", math.nan, ["fresh", "not a winner"]),
        ("", 1.0, ["the winner"]),
    ):
        table.trials["failed"] = [failed if n == 7 else None for n in range(12)]
        table.trials["winner"] = [winner if n == 7 else math.nan for n in range(12)]
        (ax, _) = parallel.draw(table).axes
        title = ax.get_title(loc="left")
        *_, strong, black = title.splitlines()
        assert tells(strong, "tenth", "epoch 10")
        assert tells(black, "trial 7", *parts)
        (best,) = [patch for patch in ax.patches if patch.get_edgecolor()[:3] == (0, 0, 0)]
        assert np.asarray(best.get_path().vertices)[0, 1] == pytest.approx(7 / 11)
    strong = [patch for patch in ax.patches if patch.get_linewidth() > 1.7]
    assert len(strong) == 2  # of the first rung


@pytest.mark.parametrize("name", ["parallel", "interactions", "hyperparameters"])
def test_one_trial_alone_is_too_few(name, monkeypatch, capsys):
    alone = study({0: ("complete", {"x": 1}, [(10, 50.0)])})
    monkeypatch.setattr("analysis.study.table.load_study", lambda *_: alone)
    command = import_module(f"analysis.{name}")
    assert command.main(["--study", "planted", "--tracking-uri", "http://x"]) == 2
    assert capsys.readouterr().err.startswith("error: --study planted: ")
