"""`python -m analysis.samples`: pictures of a trial, out of MLflow."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from analysis import samples as samples_command
from analysis.figures import neighbours, samples
from analysis.figures.style import legible, save
from analysis.study.artifacts import fetch_generator, fetch_grids, keep
from analysis.study.table import load_study
from search.tracking import champion
from search.tracking import sample_grids as grids
from search.tracking.projection import connect
from tests.helpers.films import frames_in
from tests.helpers.refusals import refused, tells
from tests.helpers.toys import (
    export_trial,
    fids,
    make_data,
    make_workload,
    small_params,
    write_pictures,
)
from trainable.data.sources import load
from trainable.data.split.hold_back import hold_back
from trainable.generators.export import WEIGHTS
from trainable.generators.weights_file import read_generator
from trainable.tracking.names import EXPERIMENT, STATUS, STUDY, TRIAL, WINNER
from trainable.trial.trial import Trial

NAME = "pictured"


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> SimpleNamespace:
    """Trial 0 won and kept its generator, 1 has grids alone, 2 nothing."""
    folder = tmp_path_factory.mktemp("study")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = connect(uri)
    place = (folder / "artifacts").as_uri()
    experiment = client.create_experiment(EXPERIMENT, artifact_location=place)
    key = {STUDY: f"{NAME}-0123456789ab"}
    client.create_run(experiment, 1, key)
    data = make_data()
    workload = make_workload(data, folder, tuple(range(1, 9)))
    trials = []
    for number in range(3):
        trial = Trial(workload, number, small_params(data))
        tags = {**key, TRIAL: str(number), STATUS: "complete" if number < 2 else "pruned"}
        run_id = client.create_run(experiment, 2 + number, tags).info.run_id
        for epoch in range(1, 9 if number == 0 else 3):
            ((_, fid),) = fids([trial.advance()])
            client.log_metric(run_id, "fid", fid, step=epoch)
            client.log_metric(run_id, "train_seconds", 1.0 * epoch, step=epoch)
        trials.append(trial)
        if number == 0:
            export_trial(trial, folder / "out", study=NAME, settings={})
            verdict = champion.Verdict(1, {})
            champion.log_winner(uri, run_id, trial.folder, folder / "out", verdict)
        elif number == 1:
            grids.log_grids(client, run_id, trial.folder, [1, 2], set())
    return SimpleNamespace(uri=uri, trials=trials, out=folder / "out")


@pytest.fixture
def table(study):
    return load_study(NAME, study.uri)


def test_grids_come_back_as_they_were_drawn(study, table):
    found = fetch_grids(table, 0)
    assert list(found) == list(range(9))
    with Image.open(study.trials[0].folder / "samples_000008.png") as drawn:
        np.testing.assert_array_equal(np.asarray(found[8]), np.asarray(drawn))
    assert list(fetch_grids(table, 1)) == [0, 1, 2]
    assert fetch_grids(table, 2) == {}


def test_a_file_is_kept_in_the_studys_run_or_it_is_said_why_not(table, tmp_path):
    (tmp_path / "report.html").write_text("page")
    assert keep(table, tmp_path / "report.html") is None
    client = connect(table.uri)
    assert "report.html" in [f.path for f in client.list_artifacts(table.run)]
    assert tells(str(keep(replace(table, run="0" * 32), tmp_path / "report.html")), "0" * 32)


def test_a_winners_generator_comes_back_and_no_others(study, table):
    start = fetch_generator(table, 0)
    assert start is not None
    weights, _ = read_generator(study.out / WEIGHTS)
    assert all(torch.equal(start.tensors[k], v) for k, v in weights.items())
    assert fetch_generator(table, 1) is None


def test_progress_runs_from_the_first_evaluation_to_the_last(table):
    strips = samples.progress(table, 0)
    names = [strip.name.partition("\n")[0] for strip in strips]
    assert names == ["epoch 0", "epoch 2", "epoch 3", "epoch 5", "epoch 6", "epoch 8"]
    fid = table.curves[(table.curves["number"] == 0) & (table.curves["epoch"] == 8)]["fid"]
    assert strips[-1].name == f"epoch 8\nFID {fid.item():.1f}"


def test_between_begins_and_ends_with_what_the_generator_draws(table):
    start = fetch_generator(table, 0)
    assert start is not None
    strips = samples.between(start)
    assert [s.name for s in strips] == [
        "class0\nbetween latents", "class1\nbetween latents", "class0\nto class1",
        "class0\nto class1",
    ]  # fmt: skip
    images, _, latent = start.image_generator()
    z = torch.randn(4, latent, generator=torch.Generator().manual_seed(0))
    for strip, latents, classes in ((strips[0], (0, 1), (0, 0)), (strips[2], (0, 0), (0, 1))):
        y = torch.eye(2)[list(classes)]
        with torch.inference_mode():
            ends = images(z[list(latents)], y)[:, 0].numpy().astype(int)
        row = np.asarray(strip.picture).astype(int)
        assert np.abs(row[:, :32] - ends[0]).max() <= 1  # batches of other sizes round differently
        assert np.abs(row[:, -32:] - ends[1]).max() <= 1


def test_the_arc_keeps_the_length_of_latents():
    a, b = torch.randn(2, 400, generator=torch.Generator().manual_seed(1))
    norms = samples._arc(a, b, torch.linspace(0, 1, 9)).norm(dim=1) / math.sqrt(400)
    assert (norms > 0.9).all()
    assert ((a + b) / 2).norm() / math.sqrt(400) < 0.8


def test_which_trial_is_shown(table):
    assert samples.shown_trial(table, None) == 0
    assert samples.shown_trial(table, 2) == 2
    with refused("--trial", 7, "study pictured", "0 to 2"):
        samples.shown_trial(table, 7)
    table.trials["winner"] = math.nan
    assert samples.shown_trial(table, None) == 0  # scored on fresh images, if no winner
    table.trials["failed"] = None
    best = table.trials.sort_values("fid")["number"].tolist()[0]
    assert samples.shown_trial(table, None) == best
    table.trials["status"] = "diverged"
    with refused("--study pictured", "--trial"):
        samples.shown_trial(table, None)


def test_the_command(study, tmp_path, capsys):
    flags = ["--study", NAME, "--tracking-uri", study.uri, "--out", str(tmp_path)]
    assert samples_command.main(flags) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "trial 0"
    assert len(frames_in(tmp_path / "training.gif")) == 9
    assert samples_command.main([*flags, "--trial", "1"]) == 0
    assert tells(capsys.readouterr().out, "latents", "fresh")
    assert samples_command.main([*flags, "--trial", "2"]) == 2
    assert tells(capsys.readouterr().err, "MLflow", "grids", "trial 2")
    assert WINNER == champion.WINNER


def test_a_broken_picture_is_said(table, monkeypatch, tmp_path):
    (tmp_path / "samples_step_1_.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    monkeypatch.setattr("analysis.study.artifacts._fetched", lambda *_: nullcontext(tmp_path))
    with refused("--study pictured", "samples_step_1_.png", "trial 0"):
        fetch_grids(table, 0)


def test_names_of_classes_are_no_formulas(table, tmp_path):
    """And are what they are, in the order of the rows."""
    names = ["$a$b", "a_$x^{$", "COVID+", "COVID-", "</script>", "two\nlines"]
    figure, _ = samples.draw(replace(table, counts=dict.fromkeys(names, 3)), 1)
    said = "($a$b, a_$x^{$, COVID+, COVID-, </script>, two\\nlines)"
    assert said in figure.get_suptitle().replace("\n", " ")
    save(figure, tmp_path, "samples")
    assert (
        "$a$b, a_$x^{$, COVID+, COVID-, &lt;/script&gt;" in (tmp_path / "samples.svg").read_text()
    )


def test_names_written_to_the_left_stay_in_the_order_of_the_rows(table):
    names = ["ab", "\u0645\u0631", "\u05d0\u05d1"]
    figure, _ = samples.draw(replace(table, counts=dict.fromkeys(names, 3)), 1)
    mark = "\u200e"
    assert f"(ab, {mark}{names[1]}{mark}, {mark}{names[2]}{mark})" in figure.get_suptitle()
    assert legible(figure) == ""


def test_a_title_of_many_classes_is_within_the_figure_and_above_its_pictures(table):
    names = [f"{n} of a dozen classes" for n in range(12)]
    figure, _ = samples.draw(replace(table, counts=dict.fromkeys(names, 3)), 1)
    figure.draw_without_rendering()
    (title,) = figure.texts
    box = title.get_window_extent()
    assert all(name[:19] in title.get_text().replace("\n", " ") for name in names)
    assert box.x1 <= figure.bbox.x1
    assert box.y1 <= figure.bbox.y1
    assert box.y0 >= max(ax.get_window_extent().y1 for ax in figure.axes)


def test_neighbours_are_looked_for_in_the_studys_own_images(study, table, tmp_path, monkeypatch):
    data = make_data()
    folder = tmp_path / "pictures"
    write_pictures(folder, data)
    there = load(str(folder), 32)
    table.settings.update(  # pyright: ignore
        data=str(folder), image_size="32", fit="crop", data_digest=there.digest
    )
    assert neighbours.training_images(table, None).digest == there.digest
    rows = [
        f"{source},{there.classes[label]}"
        for source, label in zip(there.sources, there.labels, strict=True)
    ]
    (tmp_path / "moved.csv").write_text("\n".join(["file,label", *rows]))
    table.settings["labels"] = str(tmp_path / "labels.csv")  # pyright: ignore
    with refused("study pictured", tmp_path / "labels.csv", "--labels"):
        neighbours.training_images(table, None)
    moved = neighbours.training_images(table, None, str(tmp_path / "moved.csv"))
    assert moved.digest == there.digest
    del table.settings["labels"]  # pyright: ignore
    monkeypatch.setattr(neighbours, "PER_CLASS", 50)
    generated, copies = neighbours.nearest(table, 0, there)
    assert generated.shape == (100, 1, 32, 32)
    assert copies.similarity.shape == (100,)
    (ax,) = neighbours.draw(generated, copies, there).axes
    assert ax.get_images()
    write_pictures(tmp_path / "others", make_data(n=30))
    with refused(tmp_path / "others", "study pictured", "--data"):
        neighbours.training_images(table, str(tmp_path / "others"))
    with refused("study pictured", tmp_path / "nowhere", "--data"):
        neighbours.training_images(table, str(tmp_path / "nowhere"))
    with refused("--study pictured", "generator", "trial 1"):
        neighbours.nearest(table, 1, there)


def test_of_images_held_back_none_is_a_neighbour(table, tmp_path):
    write_pictures(tmp_path, make_data())
    whole = load(str(tmp_path), 32)
    kept, held, _ = hold_back(whole, 0.25)
    table.settings.update(
        data=str(tmp_path), image_size="32", fit="crop", hold_back="0.25", data_digest=kept.digest
    )
    found = neighbours.training_images(table, None)
    assert found.sources == kept.sources
    assert not set(found.sources) & set(held.sources)
    table.settings.update(hold_back="0.0")
    with refused(tmp_path, "study pictured", "--data"):
        neighbours.training_images(table, None)


def test_a_generator_that_copies_is_seen_to(study, table, monkeypatch):
    """Its own images as training images: each resembles itself most."""
    monkeypatch.setattr(neighbours, "PER_CLASS", 50)
    data = make_data(n=100)
    drawn, _ = neighbours.nearest(table, 0, data)
    own = replace(data, images=drawn)
    again, copies = neighbours.nearest(table, 0, own)
    assert (again == drawn).all()
    assert (copies.nearest.numpy() == np.arange(100)).all()


def test_files_that_were_kept_and_are_gone_are_not_denied(table, monkeypatch):
    monkeypatch.setattr("analysis.study.artifacts._fetched", lambda *_: nullcontext(None))
    for absent in (
        lambda n: samples.draw(table, n),
        lambda n: neighbours.nearest(table, n, make_data()),
    ):
        with refused("trial 0", f"cgan-search publish {NAME}"):
            absent(0)
        with refused("trial 2"):
            absent(2)
