"""`python -m trainable.generate`: a synthetic data set from a generator."""

from __future__ import annotations

import csv
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from search.tracking import champion
from search.tracking.projection import connect
from tests.helpers.refusals import refused, tells
from tests.helpers.registered import load_champion
from tests.helpers.toys import export_trial, full, make_data, make_workload, small_params
from trainable import generate
from trainable.data.sources import load
from trainable.generators import synthetic_set
from trainable.generators.export import WEIGHTS
from trainable.generators.weights_file import read_generator, write_generator
from trainable.tracking.names import EXPERIMENT
from trainable.trial.trial import Trial


def train(folder: Path, **changes) -> Path:
    """A trained generator, exported."""
    data = make_data(n=24, **changes)
    params = small_params(data)
    trial = Trial(make_workload(data, folder, (1,)), 0, params)
    trial.advance()
    export_trial(trial, folder / "out", settings={"seed": 0, "data_digest": "d"})
    return folder / "out"


@pytest.fixture(scope="module")
def grey(tmp_path_factory) -> Path:
    return train(tmp_path_factory.mktemp("grey"))


def call(out: Path, *flags: str) -> int:
    return generate.main(["--per-class", "10", "--out", str(out), *flags])


def manifest(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open() as file:
        return list(csv.DictReader(file))


def test_what_it_writes_is_a_data_set(grey, tmp_path, capsys):
    out = tmp_path / "set"
    assert call(out, "--model", str(grey / WEIGHTS)) == 0
    said = capsys.readouterr().out
    assert tells(said, out, "synthetic")
    assert "cgan-search metrics" not in said  # nobody knows where the real images are
    data = load(str(out), 32)
    assert data.counts == {"class0": 10, "class1": 10}
    assert data.images.shape == (20, 1, 32, 32)
    rows = manifest(out)
    assert {row["file"] for row in rows} == set(data.sources)
    assert len({row["seed"] for row in rows}) == 20
    about = json.loads((out / "generated.json").read_text())
    assert (about["seed"], about["per_class"], about["settings"]["data_digest"]) == (0, 10, "d")
    assert not out.with_name("set.part").exists()


def test_what_it_writes_names_no_folders_of_whoever_drew_it(grey, tmp_path):
    """The set is made to be shared; a path may name a user, a project or a patient."""
    settings = {
        "data": str(tmp_path / "films"),
        "labels": "C:\\clinic\\labels.csv",
        "init_from": "models:/films@champion",
        "protocol": "tinyfid/1",
        "image_size": 32,
    }
    tensors, about = read_generator(grey / WEIGHTS)
    model = tmp_path / "g.safetensors"
    write_generator(model, tensors, {**about, "settings": settings})
    assert call(tmp_path / "set", "--model", str(model)) == 0
    written = json.loads((tmp_path / "set" / synthetic_set.ABOUT).read_text())
    assert written["settings"] == {**settings, "data": "films", "labels": "labels.csv"}
    assert written["model"] == "g.safetensors"


@pytest.mark.parametrize("name", ["real", "chest_xray (1)", "o'brien [a]", "$a$b"])
def test_what_it_says_to_do_next_works_from_any_folder(grey, tmp_path, capsys, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    real = tmp_path / name
    real.mkdir()
    tensors, about = read_generator(grey / WEIGHTS)
    write_generator(tmp_path / "g.safetensors", tensors, {**about, "settings": {"data": str(real)}})
    assert call(Path(f"set {name}"), "--model", "g.safetensors") == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    drawn = str(tmp_path / f"set {name}")
    assert [shlex.split(line) for line in lines] == [
        ["cgan-search", "data", "show", drawn, "--out", f"{drawn}.png"],
        ["cgan-search", "metrics", str(real), drawn, "--image-size", "32"],
    ]


def test_no_command_is_named_that_would_refuse_so_few(grey, tmp_path, capsys):
    assert generate.main(
        ["--per-class", "4", "--out", str(tmp_path / "set"), "--model", str(grey / WEIGHTS)]
    ) == 0  # fmt: skip
    assert "cgan-search" not in capsys.readouterr().out
    with refused("4", "at least 10"):
        load(str(tmp_path / "set"), 32)


@pytest.mark.parametrize(
    "settings", [{"classes": "a,b"}, {"labels": "/labels.csv"}, {"fit": "pad"}, {"fit": "stretch"}]
)
def test_what_the_command_would_read_otherwise_than_the_search_is_not_to_be_compared(
    grey, tmp_path, capsys, settings
):
    tensors, about = read_generator(grey / WEIGHTS)
    about = {**about, "settings": {"data": str(tmp_path), **settings}}
    write_generator(tmp_path / "g.safetensors", tensors, about)
    assert call(tmp_path / "set", "--model", str(tmp_path / "g.safetensors")) == 0
    assert "cgan-search metrics" not in capsys.readouterr().out


def test_the_background_of_the_search_is_that_of_the_comparison(grey, tmp_path, capsys):
    tensors, about = read_generator(grey / WEIGHTS)
    settings = {"data": str(tmp_path), "fit": "crop", "background": "#ffeedd"}
    write_generator(tmp_path / "g.safetensors", tensors, {**about, "settings": settings})
    assert call(tmp_path / "set", "--model", str(tmp_path / "g.safetensors")) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "--background '#ffeedd'" in said


@pytest.mark.parametrize(
    ("record", "limits"),
    [({"of_patients": True}, True), ({}, True), ({"of_patients": False}, False)],
)
def test_patients_are_mentioned_where_there_are_some(grey, tmp_path, capsys, record, limits):
    tensors, about = read_generator(grey / WEIGHTS)
    assert about.pop("of_patients") is False
    write_generator(tmp_path / "g.safetensors", tensors, {**about, **record})
    assert call(tmp_path / "set", "--model", str(tmp_path / "g.safetensors")) == 0
    assert ("diagnosis" in capsys.readouterr().out) is limits
    assert ("diagnosis" in (tmp_path / "set" / synthetic_set.ABOUT).read_text()) is limits


def test_the_same_seed_draws_the_same_set_and_another_shares_nothing(grey, tmp_path):
    model = ("--model", str(grey / WEIGHTS))
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert call(tmp_path / name, *model, "--seed", seed) == 0
    a, b, c = (
        {p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("*.png")}
        for name in "abc"
    )
    assert a == b
    assert not set(a.values()) & set(c.values())


def test_the_registered_model_draws_the_same_images(tmp_path, monkeypatch):
    out = train(tmp_path / "colour", channels=3)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = connect(uri)
    place = (tmp_path / "artifacts").as_uri()
    experiment = client.create_experiment(EXPERIMENT, artifact_location=place)
    run_id = client.create_run(experiment).info.run_id
    trial = tmp_path / "colour" / "00000"
    champion.log_winner(uri, run_id, trial, out, champion.Verdict(1, {}))
    champion.register_champion(uri, run_id, out, "planted", "")
    drawn = tmp_path / "set"
    assert call(drawn, "--model", "models:/planted@champion", "--tracking-uri", uri) == 0
    model = load_champion(uri, "planted")
    rows = pd.read_csv(drawn / "manifest.csv")
    images = model.predict(rows[["class", "seed"]])
    for file, image in zip(rows["file"], images, strict=True):
        with Image.open(drawn / file) as there:
            np.testing.assert_array_equal(np.asarray(there), image)


def test_as_jpeg(grey, tmp_path):
    out = tmp_path / "set"
    assert call(out, "--model", str(grey / WEIGHTS), "--format", "jpeg") == 0
    with Image.open(out / manifest(out)[0]["file"]) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "L", (32, 32))


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        ("--per-class 0", ("--per-class", 0, 1)),
        ("--seed -1", ("--seed", "-1", 0)),
        ("--model nowhere.pt", ("--model nowhere.pt", "No such file or directory")),
        ("--model models:/x", ("--model", "models:/x", "models:/NAME@ALIAS")),
        ("--model models:/x@y --tracking-uri sqlite:///nowhere.db", ("nowhere.db",)),
        ("--out full", ("--out full", "exists")),
        ("--out full/file", ("--out full/file", "exists")),
        ("--out full/file/x", ("--out full/file/x", "File exists")),
    ],
)
def test_what_cannot_be_done_is_said(grey, tmp_path, monkeypatch, capsys, flags, parts):
    monkeypatch.chdir(tmp_path)
    Path("full").mkdir()
    Path("full/file").touch()
    if "models:" in flags and "tracking" not in flags:
        flags += " --tracking-uri http://127.0.0.1:9"
    assert call(tmp_path / "set", "--model", str(grey / WEIGHTS), *flags.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert tells(error, *parts)
    assert error.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["full"]
    assert [p.name for p in Path("full").iterdir()] == ["file"]


@pytest.mark.parametrize("fault", ["absent", "bare", "newer", "newer task", "older"])
def test_weights_that_do_not_say_what_they_are(grey, tmp_path, capsys, fault):
    """Or that another version wrote."""
    weights = tmp_path / WEIGHTS
    tensors, record = read_generator(grey / WEIGHTS)
    params, task = record["params"], record["task"]
    records = {
        "absent": {},
        "bare": {"classes": ["a", "b"]},
        "newer": {**record, "params": {**params, "new_flag": 3}},
        "newer task": {**record, "task": {**task, "depth": 3}},
        "older": {**record, "params": {k: v for k, v in params.items() if k != "latent_size"}},
    }
    write_generator(weights, tensors, records[fault])
    assert call(tmp_path / "set", "--model", str(weights)) == 2
    error = capsys.readouterr().err
    assert tells(error, f"--model {weights}", "generator.safetensors")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "changes", [{"settings": [1]}, {"images": [["x"]]}, {"params": 3}, {"classes": "ab"}]
)
def test_a_record_of_other_types_is_said_in_a_line(grey, tmp_path, capsys, changes):
    weights = tmp_path / WEIGHTS
    tensors, record = read_generator(grey / WEIGHTS)
    write_generator(weights, tensors, {**record, **changes})
    assert call(tmp_path / "set", "--model", str(weights)) == 2
    assert tells(capsys.readouterr().err, weights, "record")


def test_ctrl_c_leaves_nothing(grey, tmp_path, monkeypatch, capsys):
    drawn = iter([synthetic_set.draw] * 3)

    def draw(*args):
        try:
            return next(drawn)(*args)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(synthetic_set, "draw", draw)
    assert call(tmp_path / "set", "--model", str(grey / WEIGHTS)) == 130
    assert tells(capsys.readouterr().err, "stopped; nothing")
    assert list(tmp_path.iterdir()) == []


def renamed(grey: Path, folder: Path, *classes: str) -> Path:
    """The same generator, whose record calls its classes as somebody chose."""
    tensors, record = read_generator(grey / WEIGHTS)
    path = folder / "renamed.safetensors"
    write_generator(path, tensors, {**record, "classes": list(classes)})
    return path


def everything(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("../../x", "hidden"),
        ("..", "another folder"),
        ("..\\x", "hidden"),
        ("a\0b", "another folder"),
        (".", "hidden"),
        (".ssh", "hidden"),
        ("", "empty"),
        ("é" * 128, "too long"),
        ("caf\udce9", "text"),
        ("Manifest.csv", "file"),
        ("generated.json", "file"),
        ("good", "two classes"),
    ],
)
def test_a_class_that_names_no_folder_of_the_set_is_refused(grey, tmp_path, capsys, name, fault):
    """The weights file may be anyone's: nothing is written beside --out, or at all."""
    model = renamed(grey, tmp_path, "good", name)
    before = everything(tmp_path)
    assert call(tmp_path / "in" / "set", "--model", str(model)) == 2
    error = capsys.readouterr().err
    assert re.search(rf"{model}: .*, which .*{fault}[ ;]", error)
    assert error.count("\n") == 1
    assert everything(tmp_path) == before


def test_classes_may_be_called_as_folders_can_be(grey, tmp_path, capsys):
    names = ("COVID+ [a] (1) $x$ 'b' :x:", "肺炎")
    out = tmp_path / "set"
    assert call(out, "--model", str(renamed(grey, tmp_path, *names))) == 0
    assert sorted(p.name for p in out.iterdir() if p.is_dir()) == sorted(names)
    assert {row["class"] for row in manifest(out)} == set(names)


def test_a_class_of_a_table_may_have_a_slash_and_its_folder_has_none(grey, tmp_path, capsys):
    names = ("N/A", "benign\\normal")
    out = tmp_path / "set"
    assert call(out, "--model", str(renamed(grey, tmp_path, *names))) == 0
    assert sorted(p.name for p in out.iterdir() if p.is_dir()) == ["N_A", "benign_normal"]
    assert {row["class"] for row in manifest(out)} == set(names)
    assert all((out / row["file"]).is_file() for row in manifest(out))
    assert call(tmp_path / "two", "--model", str(renamed(grey, tmp_path, "N/A", "N_A"))) == 2
    assert tells(capsys.readouterr().err, "two classes")


def test_classes_that_differ_in_case_alone_are_two_where_the_disk_can_tell(
    grey, tmp_path, monkeypatch, capsys
):
    model = renamed(grey, tmp_path, "normal", "Normal")
    assert call(tmp_path / "two", "--model", str(model)) == 0
    assert len(list((tmp_path / "two" / "normal").iterdir())) == 10
    mkdir = Path.mkdir

    def fold(path: Path, *args, **kwargs) -> None:
        mkdir(path.with_name(path.name.lower()), *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", fold)
    assert call(tmp_path / "one", "--model", str(model)) == 2
    assert tells(capsys.readouterr().err, model, "class 'Normal'", "disk")
    assert not (tmp_path / "one").exists()


@pytest.mark.parametrize(
    "change",
    [{"settings": []}, {"settings": {"data": 5}}, {"classes": [["a"], {}]}, {"images": [1]},
     {"task": {"image_size": 2**40, "channels": 1, "images": 9}},
     {"task": {"image_size": -32, "channels": 1, "images": 9}},
     {"task": {"image_size": "32", "channels": 1, "images": 9}},
     {"classes": [str(k) for k in range(10**6)]}],
)  # fmt: skip
def test_a_record_that_claims_anything_is_refused_before_it_takes_memory(
    grey, tmp_path, capsys, change
):
    weights, about = read_generator(grey / WEIGHTS)
    write_generator(tmp_path / "g.safetensors", weights, {**about, **change})
    flags = ["--per-class", "1", "--out", str(tmp_path / "out")]
    assert generate.main(["--model", str(tmp_path / "g.safetensors"), *flags]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "out").exists()


def test_a_record_too_deep_to_be_read_is_said(grey, tmp_path, monkeypatch, capsys):
    weights, _ = read_generator(grey / WEIGHTS)
    monkeypatch.setattr("trainable.generators.weights_file.json.dumps", lambda record: "[" * 10**5)
    write_generator(tmp_path / "g.safetensors", weights, {})
    flags = ["--per-class", "1", "--out", str(tmp_path / "out")]
    assert generate.main(["--model", str(tmp_path / "g.safetensors"), *flags]) == 2
    assert tells(capsys.readouterr().err, tmp_path / "g.safetensors", "JSON")


def test_what_others_left_beside_the_set_stays(grey, tmp_path):
    """The scratch folder is ours alone, however a user's own are called."""
    mine = tmp_path / "set.part" / "thesis.txt"
    mine.parent.mkdir()
    mine.write_text("years of work")
    assert call(tmp_path / "set", "--model", str(grey / WEIGHTS)) == 0
    assert mine.read_text() == "years of work"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set", "set.part"]


def test_of_two_at_once_into_one_folder_the_first_stays_whole(grey, tmp_path, monkeypatch, capsys):
    out = tmp_path / "set"
    model = ("--model", str(grey / WEIGHTS))
    describe = synthetic_set._describe

    def meanwhile(*args) -> None:
        monkeypatch.setattr(synthetic_set, "_describe", describe)
        assert call(out, *model, "--seed", "7") == 0
        describe(*args)

    monkeypatch.setattr(synthetic_set, "_describe", meanwhile)
    assert call(out, *model) == 2
    assert tells(capsys.readouterr().err, f"--out {out}", "exists")
    assert json.loads((out / "generated.json").read_text())["seed"] == 7
    assert len(list(out.rglob("*.png"))) == 20
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_a_link_to_an_empty_folder_is_filled(grey, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "set").symlink_to(tmp_path / "disk")
    assert call(tmp_path / "set", "--model", str(grey / WEIGHTS)) == 0
    assert len(list((tmp_path / "disk").rglob("*.png"))) == 20


def test_a_full_disk_is_said_and_leaves_nothing(grey, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Image.Image, "save", full)
    assert call(tmp_path / "set", "--model", str(grey / WEIGHTS)) == 2
    assert tells(capsys.readouterr().err, f"--out {tmp_path / 'set'}", "No space left on device")
    assert list(tmp_path.iterdir()) == []
