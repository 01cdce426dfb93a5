"""Figures of a study that MLflow holds: FID against training time, and studies side by side."""

import math
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.font_manager import fontManager
from PIL import Image

from analysis import compare as compare_command
from analysis.fid_vs_time import main
from analysis.figures import compare
from analysis.figures.fid_vs_time import draw, recommended, summary
from analysis.figures.style import STYLES, Yardmark, canvas, fid_axis, legible, save
from analysis.study.table import StudyTable, load_study
from tests.helpers.planted import NAME, planted_store
from tests.helpers.refusals import refused, tells
from trainable.trial.report import Status


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    """One store for all: its tables take seconds."""
    return planted_store(tmp_path_factory.mktemp("store") / "mlflow.db")


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
    untrained, front = ax.lines[:2]
    # Of feasible trials only; the last step goes on to the edge.
    assert list(np.asarray(front.get_ydata())) == [80.0, 50.0, 48.0, 48.0]
    assert list(np.asarray(front.get_xdata()))[:3] == [5.0, 30.0, 60.0]
    assert "floor 20.0: real images against real ▼" in written  # a line would squeeze the rest
    assert (np.asarray(untrained.get_ydata())[0], untrained.get_linestyle()) == (120.0, ":")


def test_wide_values_and_missing_yardstick_are_drawn(uri):
    wide = draw(made([("complete", 30.0, 1.0, 1.0), ("diverged", 9000.0, 500.0, math.nan)]))
    assert (wide.axes[0].get_xscale(), wide.axes[0].get_yscale()) == ("log", "log")
    bare = draw(load_study("twice", uri))
    assert (bare.axes[0].get_xscale(), bare.axes[0].get_yscale()) == ("linear", "log")


def test_what_scores_are_held_against_does_not_squeeze_them():
    near, far = Yardmark(32.0, "--", "near"), Yardmark(300.0, ":", "far")
    ax = canvas(6, 4).add_subplot()
    fid_axis(ax, [40.0, 60.0, math.nan, math.inf], [near, far, Yardmark(math.nan, ":", "unknown")])
    low, high = ax.get_ylim()
    assert low < 32 < 60 < high < 300
    assert math.log(60 / 40) / math.log(high / low) > 0.45
    assert [list(np.asarray(line.get_ydata())) for line in ax.lines] == [[32.0, 32.0]]
    assert [text.get_text() for text in ax.texts] == ["near", "far ▲"]
    assert 4 <= sum(low <= tick <= high for tick in ax.get_yticks()) <= 12


@pytest.mark.parametrize(("low", "high"), [(41, 44), (30, 70), (9, 90), (0.2, 9000), (50, 50)])
def test_logarithmic_axes_have_some_round_ticks(low, high):
    ax = canvas(6, 4).add_subplot()
    fid_axis(ax, [low, high], [])
    shown = [tick for tick in ax.get_yticks() if ax.get_ylim()[0] <= tick <= ax.get_ylim()[1]]
    assert 3 <= len(shown) <= 16
    assert all(float(f"{tick:.3g}") == pytest.approx(tick) for tick in shown)


def test_marks_beyond_one_edge_stand_one_above_another():
    figure = canvas(4, 3)
    ax = figure.subplots()
    fid_axis(ax, [200.0, 260.0], [Yardmark(fid, ":", f"floor {fid}") for fid in (19.6, 20.8)])
    figure.draw_without_rendering()
    one, other = (text.get_window_extent() for text in ax.texts)
    assert not one.overlaps(other)


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
    trials = table.trials.assign(fid=table.trials["fid"] - 10, afresh=[()] * len(table.trials))
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
    far.trials["fresh"], far.trials["fresh_low"], far.trials["fresh_high"] = 56.0, 54.0, 59.0
    between = replace(far, name="between", trials=far.trials.assign(fresh=44.0, fresh_low=43.5))
    unscored = replace(table, trials=table.trials.assign(afresh=[()] * len(table.trials)))
    for without in (unscored, replace(table, trials=table.trials.assign(winner=math.nan))):
        assert compare.told([without, near]) == []
    assert compare.told([far, sibling(table, settings={"data_digest": "x"})]) == []
    alike, higher = compare.told([near, far, between])
    assert tells(alike, "between", "FID", "not distinguishable", "other", "1.10 times")
    assert tells(higher, "far", "higher FID", "other", "1.40 times")
    # One pair of many that chance would set as far apart: 40 and 50.
    fourth = replace(
        far, name="fourth", trials=far.trials.assign(fresh=50.0, fresh_low=49.0, fresh_high=51.0)
    )
    assert tells(compare.told([near, fourth])[0], "higher FID", "1.25 times")
    among = compare.told([near, far, between, replace(between, name="again"), fourth])
    assert tells(next(line for line in among if line.startswith("fourth")), "not distinguishable")
    nought = replace(far, trials=far.trials.assign(fresh=0.0, fresh_low=0.0, fresh_high=0.0))
    assert tells(compare.told([near, nought])[0], "other", "not distinguishable")
    # Trainings that chose nothing stand for the one that was chosen: 47 and 51 for 48.
    (against,) = compare.told([table, near])
    assert tells(
        against, "planted", f"{(47 * 51) ** 0.5 / 40:.2f} times", "2 against 1", "other was chosen"
    )


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
