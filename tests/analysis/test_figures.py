"""A study read back from MLflow, and its figure of FID against training time."""

import math
import socket
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.font_manager import fontManager
from mlflow.tracking import MlflowClient
from PIL import Image

from analysis import compare as compare_command
from analysis.fid_vs_time import main
from analysis.figures import compare
from analysis.figures.fid_vs_time import draw, recommended, summary
from analysis.figures.style import STYLES, canvas, legible, save
from analysis.study.table import StudyTable, load_study
from analysis.study.trials import assessed, winners
from spaces.errors import InputError
from tests.helpers.refusals import refused, tells
from trainable.tracking.names import (
    EXPERIMENT,
    FAILED,
    PROTOCOL,
    RANK,
    STATUS,
    STUDY,
    TRIAL,
    WINNER,
)
from trainable.trial.report import Status

NAME, KEY = "planted", "planted-0123456789ab"
# Trial: status, winner, and (epoch, fid, train_seconds) of each evaluation.
TRIALS = {
    0: ("complete", 2, [(1, 90.0, 10.0), (2, 60.0, 20.0), (3, 50.0, 30.0)]),
    1: ("pruned", None, [(1, 80.0, 5.0)]),
    2: ("diverged", None, [(1, 40.0, 4.0)]),
    3: ("diverged", None, []),
    4: ("complete", 1, [(3, 48.0, 60.0), (1, 95.0, 20.0)]),  # written out of order
    10: ("running", None, [(1, 99.0, 7.0)]),
}


def plant_parent(client, experiment, key, start, **metrics):
    run = client.create_run(experiment, start, {STUDY: key}, run_name=key[:-13])
    client.set_tag(run.info.run_id, PROTOCOL, "tiny/1")
    for name, value in metrics.items():
        client.log_metric(run.info.run_id, name, value)
    return run.info.run_id


def plant_trial(client, experiment, parent, key, number, status, winner, points, later=0):
    tags = {STUDY: key, TRIAL: str(number), STATUS: status, "mlflow.parentRunId": parent}
    run_id = client.create_run(experiment, 1000 + number + later, tags).info.run_id
    for name, value in {"g_lr": 0.1 * number, "loss": "hinge", "spectral_norm": True}.items():
        client.log_param(run_id, name, value)
    if number:
        client.log_param(run_id, "momentum", 0.5)
    for epoch, fid, seconds in points:
        client.log_metric(run_id, "fid", fid, step=epoch)
        client.log_metric(run_id, "train_seconds", seconds, step=epoch)
        client.log_metric(run_id, "eval_seconds", 2.0 * epoch, step=epoch)
    if winner:  # as search/tracking/champion.py: the rank, and scores without a step
        client.log_metric(run_id, "fid", points[-1][1])
        client.set_tag(run_id, WINNER, winner)


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    """One store for all: its tables take seconds."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"
    client = MlflowClient(uri, uri)
    experiment = client.create_experiment(EXPERIMENT)
    yardstick = {"floor": 20.0, "untrained/fid": 120.0, "n_generated": 200.0}
    parent = plant_parent(client, experiment, KEY, 1000, **yardstick)
    for number, (status, winner, points) in TRIALS.items():
        plant_trial(client, experiment, parent, KEY, number, status, winner, points)
    # A run of the same trial that a lost answer made a second time; the first one counts.
    plant_trial(client, experiment, parent, KEY, 10, "complete", None, [], later=500)
    for key, start, fid in [("twice-aaaaaaaaaaaa", 5, 70.0), ("twice-bbbbbbbbbbbb", 9, 60.0)]:
        parent = plant_parent(client, experiment, key, start)
        plant_trial(client, experiment, parent, key, 0, "complete", None, [(1, fid, 1.0)])
    parent = plant_parent(client, experiment, "unscored-cccccccccccc", 7)
    plant_trial(client, experiment, parent, "unscored-cccccccccccc", 0, "running", None, [])
    parent = plant_parent(client, experiment, "ended-dddddddddddd", 7)
    for number, status in enumerate(("failed", "failed", "out_of_memory")):
        plant_trial(client, experiment, parent, "ended-dddddddddddd", number, status, None, [])
    (failed, *_) = client.search_runs([experiment], "tags.status = 'failed'")
    client.set_tag(failed.info.run_id, "reason", "no such device")
    client.set_terminated(parent, "KILLED")
    gone = plant_parent(client, experiment, "gone-eeeeeeeeeeee", 8)
    client.delete_run(gone)
    return uri


@pytest.fixture(scope="module")
def table(uri):
    return load_study(NAME, uri)


def made(rows) -> StudyTable:
    """A table of (status, fid, train_seconds, winner)."""
    trials = pd.DataFrame(rows, columns=["status", "fid", "train_seconds", "winner"])
    trials.insert(0, "number", range(len(trials)))
    trials["device"] = "cpu"
    return StudyTable("made", "tiny/1", 200, 20.0, 120.0, trials, pd.DataFrame())


def test_every_status_has_its_own_mark_and_colour():
    assert set(STYLES) == {status.value for status in Status}
    assert all(len({style[i] for style in STYLES.values()}) == len(STYLES) for i in (0, 1))


def test_the_study_is_read_whole(table):
    assert (table.name, table.protocol, table.n_generated) == (NAME, "tiny/1", 200)
    assert (table.floor, table.untrained, table.note) == (20.0, 120.0, "")
    assert table.score == "FID (tiny/1, 200 generated)"
    trials = table.trials.set_index("number")
    assert list(trials.index) == list(TRIALS)
    assert list(trials["status"]) == [status for status, _, _ in TRIALS.values()]
    assert trials["winner"].dropna().to_dict() == {0: 2, 4: 1}
    assert trials["fid"].dropna().to_dict() == {0: 50.0, 1: 80.0, 2: 40.0, 4: 48.0, 10: 99.0}
    assert trials["train_seconds"].dropna().to_dict() == {0: 30.0, 1: 5.0, 2: 4.0, 4: 60.0, 10: 7.0}
    assert trials.loc[0, "epoch"] == 3
    assert trials.loc[0, "eval_seconds"] == 6.0
    assert trials.loc[3, ["fid", "epoch", "train_seconds", "eval_seconds"]].isna().all()


def test_parameters_have_their_types_back(table):
    trials = table.trials.set_index("number")
    assert trials.loc[4, "params.g_lr"] == pytest.approx(0.4)
    assert trials["params.spectral_norm"].dtype == bool
    assert set(trials["params.loss"]) == {"hinge"}
    assert trials["params.momentum"].isna().to_dict() == {n: n == 0 for n in TRIALS}


def test_curves_hold_the_evaluations_and_no_winners_score(table):
    curves = {n: list(g[["epoch", "fid", "train_seconds"]].itertuples(index=False, name=None))
              for n, g in table.curves.groupby("number")}  # fmt: skip
    assert curves == {n: sorted(points) for n, (_, _, points) in TRIALS.items() if points}


def test_how_many_trials_are_read_is_told(uri):
    steps = []
    load_study(NAME, uri, lambda done, total: steps.append((done, total)))
    assert steps == [(i + 1, len(TRIALS)) for i in range(len(TRIALS))]


def test_of_two_studies_of_one_name_the_newest_is_read(uri):
    table = load_study("twice", uri)
    assert list(table.trials["fid"]) == [60.0]
    assert tells(table.note, "2 studies", "twice")
    assert math.isnan(table.floor)
    assert table.score == "FID (tiny/1)"


def test_unknown_study_is_told_what_there_is(uri):
    with refused("--study plante_", "ended", "planted, twice, unscored"):
        load_study("plante_", uri)


def test_study_without_a_score(uri):
    with refused("--study unscored", "1 trials", "python -m search.run --resume unscored"):
        load_study("unscored", uri)
    counts = ("3 trials", "2 failed", "1 out of memory", "no such device")
    with refused("--study ended", *counts) as caught:
        load_study("ended", uri)
    assert "--resume" not in str(caught.value)  # nothing is to come


def test_what_was_deleted_in_mlflow_is_named_with_the_remedy(uri):
    with refused("--study gone", "python -m search.publish gone"):
        load_study("gone", uri)
    client = MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    try:
        with pytest.raises(InputError) as caught:
            load_study(NAME, uri)
    finally:
        client.restore_experiment(experiment.experiment_id)
    assert tells(str(caught.value), f"--study {NAME}", "experiment cgan-search", "deleted")
    assert str(caught.value).endswith(
        f" env MLFLOW_TRACKING_URI={uri} mlflow experiments restore --experiment-id "
        f"{experiment.experiment_id}"
    )
    assert len(load_study(NAME, uri).trials) == len(TRIALS)


@pytest.mark.parametrize("later", [True, False])
def test_what_the_gates_said_is_read_of_this_version_and_of_earlier_ones(uri, later):
    client = MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    name = f"gates-{later}"
    key, place = f"{name}-0123456789ab", experiment.experiment_id
    parent = plant_parent(client, place, key, 3)
    for number, (failed, rank) in enumerate([(1, 3), (0, 1), (2, 2), (None, None)]):
        won = rank if failed == 0 else None
        points = [(1, 50.0, 5.0)]
        plant_trial(client, place, parent, key, number, "complete", won, points)
        (run,) = client.search_runs(
            [place], f"tags.`{STUDY}` = '{key}' AND tags.`{TRIAL}` = '{number}'"
        )
        metrics = {"copy_rate": 0.5, "coverage": 0.25}
        if failed is not None:
            metrics |= {"gates_failed": failed, "fresh_fid_mean": 40.0 + number}
            metrics |= {"fresh_2000/copy_rate": 0.01 * number, "fresh_2000/cas": 0.9}
        for metric, value in metrics.items():
            client.log_metric(run.info.run_id, metric, value)
        # Of a trial that is no longer among the assessed, the scores stay.
        if later and failed is not None and number:
            client.set_tag(run.info.run_id, RANK, rank)
            client.set_tag(run.info.run_id, FAILED, "; ".join(["coverage 0.00"] * failed))
    found = load_study(name, uri)
    rows = {row["number"]: row for row in found.trials.to_dict("records")}
    failed = [None, "", "coverage 0.00; coverage 0.00", None]
    if not later:
        failed = ["1 of the gates", "", "2 of the gates", None]
    assert [None if row["failed"] != row["failed"] else row["failed"] for row in rows.values()] == (
        failed
    )
    assert [rows[n]["copy_rate"] for n in range(4)] == pytest.approx([0, 0.01, 0.02, 0.5])
    assert rows[1]["coverage"] == 0.25
    assert winners(found) == [1]
    assert assessed(found) == ([1, 2] if later else [1, 0, 2])


def test_a_missing_database_is_not_created(tmp_path):
    missing = tmp_path / "none" / "mlflow.db"
    with refused("--tracking-uri", missing, "no file"):
        load_study(NAME, f"sqlite:///{missing}")
    assert not missing.parent.exists()


@pytest.mark.parametrize(("content", "word"), [(b"", "MLflow"), (b"x" * 4096, "read")])
def test_a_foreign_file_is_left_as_it_is(tmp_path, content, word):
    path = tmp_path / "study.db"
    path.write_bytes(content)
    with refused("--tracking-uri", path, word):
        load_study(NAME, f"sqlite:///{path}")
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_dead_server_is_said_without_the_password(monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with refused("--tracking-uri", f"127.0.0.1:{port}", "refused") as caught:
        load_study(NAME, f"http://me:secret@127.0.0.1:{port}")
    assert "secret" not in str(caught.value)


def test_a_path_is_no_tracking_uri():
    with refused("--tracking-uri", "runs/mlflow.db", "sqlite:///"):
        load_study(NAME, "runs/mlflow.db")


def test_summary_names_best_and_fastest_near_it(table):
    best, near = summary(table).split("; ")
    assert tells(best, "FID (tiny/1, 200 generated)", "48.0", "trial 4", "60 s")
    assert tells(near, "10 %", "50.0", "trial 0", "30 s")
    alone = made([("complete", 48.0, 60.0, 1.0), ("diverged", 40.0, 4.0, math.nan)])
    assert tells(summary(alone).split("; ")[-1], "no trial", "10 %")
    broken = made([("diverged", 40.0, 4.0, math.nan)])
    assert "every trial" in summary(broken)


def test_seconds_of_different_devices_are_not_compared():
    rows = [("complete", fid, seconds, math.nan) for fid, seconds in
            ((90.0, 5.0), (60.0, 50.0), (80.0, 10.0), (70.0, 20.0))]  # fmt: skip
    mixed = made(rows)
    assert "compare" not in summary(mixed)
    mixed.trials["device"] = ["NVIDIA L4", "NVIDIA L4", "NVIDIA T4", "NVIDIA T4"]
    assert tells(summary(mixed), "comparable", "2 on NVIDIA L4, 2 on NVIDIA T4")
    figure = draw(mixed)
    l4, t4 = figure.axes[0].lines[:2]
    assert list(np.asarray(l4.get_ydata())) == [90.0, 60.0, 60.0]
    assert list(np.asarray(t4.get_ydata())) == [80.0, 70.0, 70.0]
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    on_l4, on_t4 = (text for text in said if "Pareto front" in text)
    assert tells(on_l4, "NVIDIA L4")
    assert tells(on_t4, "NVIDIA T4")


def test_figure_shows_what_the_table_holds(table):
    figure = draw(table)
    (ax,) = figure.axes
    assert ax.get_xlabel().endswith(" / s")
    assert ax.get_ylabel().startswith("FID (tiny/1, 200 generated)")
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert said[:4] == ["complete (2)", "pruned (1)", "running (1)", "diverged (1)"]
    assert tells(said[-1], "not shown", "1 diverged")
    written = [text.get_text() for text in ax.texts]
    assert [t for t in written if t.startswith("trial")] == ["trial 4", "trial 0"]
    front, floor, untrained = ax.lines[:3]
    # Of feasible trials only; the last step goes on to the edge.
    assert list(np.asarray(front.get_ydata())) == [80.0, 50.0, 48.0, 48.0]
    assert list(np.asarray(front.get_xdata()))[:3] == [5.0, 30.0, 60.0]
    assert (np.asarray(floor.get_ydata())[0], floor.get_linestyle()) == (20.0, "--")
    assert (np.asarray(untrained.get_ydata())[0], untrained.get_linestyle()) == (120.0, ":")


def test_wide_values_and_missing_yardstick_are_drawn(uri):
    wide = draw(made([("complete", 30.0, 1.0, 1.0), ("diverged", 9000.0, 500.0, math.nan)]))
    assert (wide.axes[0].get_xscale(), wide.axes[0].get_yscale()) == ("log", "log")
    bare = draw(load_study("twice", uri))
    assert (bare.axes[0].get_xscale(), bare.axes[0].get_yscale()) == ("linear", "linear")


def test_command_writes_both_figures_and_leaves_matplotlib_alone(uri, tmp_path, capsys):
    before = dict(matplotlib.rcParams)
    had_pyplot = "matplotlib.pyplot" in sys.modules
    assert main(["--study", NAME, "--tracking-uri", uri, "--out", str(tmp_path / "a" / "b")]) == 0
    png, svg = tmp_path / "a" / "b" / "fid_vs_time.png", tmp_path / "a" / "b" / "fid_vs_time.svg"
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == [str(png), str(svg)]
    assert tells(out[2], "FID (tiny/1, 200 generated)", "48.0", "trial 4")
    with Image.open(png) as image:
        image.load()
        assert min(image.size) > 700
        assert len(set(image.convert("L").tobytes())) > 20  # something is drawn
    root = ET.parse(svg).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "floor 20.0" in svg.read_text()
    assert dict(matplotlib.rcParams) == before
    assert had_pyplot or "matplotlib.pyplot" not in sys.modules
    first = svg.read_bytes()
    assert main(["--study", NAME, "--tracking-uri", uri, "--out", str(tmp_path / "a" / "b")]) == 0
    assert svg.read_bytes() == first


def test_command_says_bad_input_in_one_line(uri, tmp_path, capsys):
    (tmp_path / "file").touch()
    for more in (["--study", "none"], ["--study", NAME, "--out", str(tmp_path / "file" / "b")]):
        assert main(["--tracking-uri", uri, *more]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("error: --")
        assert err.count("\n") == 1


def test_within_a_time_the_trial_that_had_got_furthest_is_named(table, uri, tmp_path, capsys):
    # Trial 0 was at 60 after 20 s and ends at 50; trial 2 was better, but broke down.
    assert tells(recommended(table, 20), "20 s", "trial 0", "FID 60.0", "epoch 2")
    assert "(g_lr=0)" in recommended(table, 20)  # the others have one value in common
    assert tells(recommended(table, 4), "4 s", "no trial")
    for seconds, parts in ((20, ["trial 0", "epoch 2"]), (4, ["none"])):
        legend = [text.get_text() for text in draw(table, seconds).legends[0].get_texts()]
        (line,) = [text for text in legend if f"within {seconds} s" in text]
        assert tells(line, *parts)
    flags = ["--study", NAME, "--tracking-uri", uri, "--out", str(tmp_path)]
    assert main([*flags, "--within", "1m"]) == 0
    assert tells(capsys.readouterr().out, "within 60 s: trial 4", "FID 48.0", "epoch 3")
    assert main([*flags, "--within", "soon"]) == 2
    assert "'soon'" in capsys.readouterr().err


def sibling(table, **changes):
    """The same study under another name, its trials all 10 better and assessed."""
    trials = table.trials.assign(fid=table.trials["fid"] - 10)
    trials["fresh"], trials["fresh_low"], trials["fresh_high"] = 40.0, 38.0, 43.0
    return replace(table, name="other", trials=trials, **changes)


def test_studies_side_by_side(table):
    other = sibling(table)
    assert compare.check([table, other]) == []
    figure = compare.draw([table, other])
    left, right = figure.axes
    figure.draw_without_rendering()
    ticks = [t.get_text() for ax in figure.axes for t in ax.get_xticklabels(which="both")]
    assert not any("$" in text for text in ticks)  # nothing is read as a formula
    said = [line.get_label() for line in left.lines[:2]]
    assert said == ["planted: 6 trials", "other: 6 trials"]
    # Of every evaluation of trials that train: 80 after 5 s, 60 after 20, 50 after 30, 48 after 60.
    assert list(np.asarray(left.lines[0].get_ydata())) == [80.0, 60.0, 50.0, 48.0, 48.0]
    assert [t.get_text() for t in right.get_xticklabels()] == ["planted", "other"]
    assert tells(right.get_title(loc="left"), "bars", "winners", "fresh")
    assert compare.fresh_fids(table) == []
    assert compare.fresh_fids(other) == [(40.0, 38.0, 43.0)] * 2
    assert tells(compare.summary(other), "FID 38.0", "trial 4", "fresh", "40.0 (38.0 to 43.0)")


def test_no_bars_of_winners_are_promised_where_there_are_none(table):
    trials = table.trials.assign(winner=math.nan, failed=None)
    lost = replace(table, trials=trials)
    _, right = compare.draw([lost, replace(lost, name="other")]).axes
    assert tells(right.get_title(loc="left"), "no", "winner")
    assert "bars" not in right.get_title(loc="left")
    assert tells(compare.summary(lost), "no winner", "no trial")
    trials["failed"] = [f"coverage 0.0{n}" if n < 2 else None for n in range(len(trials))]
    assert tells(compare.summary(lost), "no winner", "none", "2 trials")


def test_letters_that_the_font_lacks_are_drawn_by_another_or_said(monkeypatch, tmp_path, recwarn):
    figure = canvas(3, 2)
    ax = figure.add_subplot()
    ax.set_title("a circled letter: \u24b6, and $a$b")
    assert legible(figure) == ""  # matplotlib brings a font that has it
    assert len(ax.title.get_fontfamily()) > 1
    monkeypatch.setattr(fontManager, "ttflist", [])
    ax.set_title("\u80ba\u708e")
    assert tells(legible(figure), "font", "\u708e\u80ba")
    save(figure, tmp_path, "letters")
    assert not recwarn.list


def test_winners_of_two_studies_are_told_apart_by_more_than_their_own_intervals(table):
    near, far = sibling(table), replace(sibling(table), name="far")
    far.trials["fresh"], far.trials["fresh_low"], far.trials["fresh_high"] = 50.0, 48.0, 53.0
    between = replace(far, name="between", trials=far.trials.assign(fresh=44.0, fresh_low=43.5))
    assert compare.told([table, near]) == []  # one has no winner
    assert compare.told([far, sibling(table, settings={"data_digest": "x"})]) == []
    alike, higher = compare.told([near, far, between])
    assert tells(alike, "between", "FID", "not distinguishable", "other", "1.10 times")
    assert tells(higher, "far", "higher FID", "other", "1.25 times")


def test_unequal_studies_do_not_compare_or_with_a_note(table):
    with refused("planted", "FID (tiny/1, 200 generated)", "other", "FID (tiny/2, 200 generated)"):
        compare.check([table, sibling(table, protocol="tiny/2")])
    (note,) = compare.check([table, sibling(table, settings={"data_digest": "x"})])
    assert tells(note, "images", "compare")


def test_compare_as_a_command(uri, tmp_path, capsys):
    flags = ["--tracking-uri", uri, "--out", str(tmp_path)]
    assert compare_command.main([NAME, *flags]) == 2
    assert tells(capsys.readouterr().err, "two studies", NAME)
    assert compare_command.main([NAME, "none", *flags]) == 2
    assert tells(capsys.readouterr().err, "none", "planted, twice, unscored")
    assert (
        compare_command.main([NAME, "twice", *flags]) == 2
    )  # which does not say how it was scored
    assert tells(capsys.readouterr().err, NAME, "twice", "FID (tiny/1, 200 generated)")
