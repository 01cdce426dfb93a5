"""A pretrained start, from a file or MLflow, and a trial read back from there."""

from __future__ import annotations

import json
import pickle
import socket
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from search.study.database import create_study, database_url, open_storage
from search.tracking import champion
from search.tracking.projection import EXPERIMENT, Projection, connect
from spaces.errors import InputError
from spaces.task import Task
from tests.helpers.fake_tune import config
from tests.helpers.toys import Evil, export_trial, make_data, small_config, small_params
from trainable.generators.export import CONFIG, WEIGHTS
from trainable.generators.image_generator import ImageGenerator
from trainable.generators.saved import SavedGenerator
from trainable.generators.weights_file import read_generator, write_generator
from trainable.tracking.registry import load_generator, read_trial
from trainable.trial.trial import Trial

DATA = make_data()
NOWHERE = "sqlite:///nowhere.db"


@pytest.fixture(scope="module")
def uri(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    connect(uri).create_experiment(EXPERIMENT, artifact_location=(folder / "artifacts").as_uri())
    return uri


@pytest.fixture(scope="module")
def old(finished, tmp_path_factory) -> SimpleNamespace:
    """A trained generator: its trial's folder, its export, its run."""
    from tests.helpers.toys import make_workload

    folder, _ = finished
    out = tmp_path_factory.mktemp("exported")
    trial = Trial(make_workload(DATA, folder), 4, small_params(DATA))
    export_trial(trial, out)
    return SimpleNamespace(trial=trial.folder, out=out, run=trial.run)


def register(uri: str, old: SimpleNamespace, name: str) -> str:
    """Hand the generator over as a search does; the id of its run."""
    client = connect(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    run_id = client.create_run(experiment.experiment_id).info.run_id
    champion.log_winner(uri, run_id, old.trial, old.out, 1, {})
    assert champion.register_champion(uri, run_id, old.out, name, "") == "1"
    return run_id


@pytest.fixture(scope="module")
def registered(uri, old) -> str:
    return register(uri, old, "films")


def images(run: Any) -> torch.Tensor:
    return run.sample(torch.arange(8) % 2, seed=5)


@pytest.mark.parametrize("source", ["file", "models:/films@champion", "models:/films/1"])
def test_a_run_begins_with_the_images_of_the_old_generator(uri, old, registered, source):
    from trainable.gan.run import Run

    source = str(old.out / WEIGHTS) if source == "file" else source
    start = load_generator(source, uri)
    assert start.source == source
    assert start.about["classes"] == ["class0", "class1"]
    run = Run(small_config(DATA), DATA, seed=9, initial=start.tensors)
    assert torch.equal(images(run), images(old.run))
    fresh = Run(small_config(DATA), DATA, seed=9)
    assert not torch.equal(images(fresh), images(old.run))
    for mine, theirs in zip(run.adversaries, fresh.adversaries, strict=True):
        for a, b in zip(mine.network.parameters(), theirs.network.parameters(), strict=True):
            assert torch.equal(a, b)  # a discriminator begins anew
    run.train_epoch()
    assert not torch.equal(images(run), images(old.run))


def test_file_and_model_are_told_by_their_weights(uri, old, registered):
    sources = (str(old.out / WEIGHTS), "models:/films@champion")
    assert len({load_generator(source, uri).sha256 for source in sources}) == 1


def test_a_file_needs_no_mlflow(old):
    assert load_generator(str(old.out / WEIGHTS), NOWHERE).tensors.keys()


@pytest.mark.parametrize("changed", ["weights", "record"])
def test_what_is_no_longer_what_was_registered_is_refused(uri, old, changed):
    name = f"changed-{changed}"
    run_id = register(uri, old, name)
    artifact = connect(uri).get_run(run_id).info.artifact_uri or ""
    file = Path(artifact.removeprefix("file://"), WEIGHTS)
    weights, record = read_generator(file)
    if changed == "record":
        record["classes"].reverse()
    else:
        weights = {k: v + 1 for k, v in weights.items()}
    write_generator(file, weights, record)
    said = r"SHA-256 [0-9a-f]{12}…, but [0-9a-f]{12}… were registered.*changed since"
    with pytest.raises(InputError, match=said):
        load_generator(f"models:/{name}@champion", uri)


def test_equal_generators_are_equal_files(old, tmp_path):
    """Else a search that is resumed would register its old champion once more."""
    write_generator(tmp_path / WEIGHTS, *read_generator(old.out / WEIGHTS))
    assert (tmp_path / WEIGHTS).read_bytes() == (old.out / WEIGHTS).read_bytes()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "models:/films",
            "must be models:/NAME@ALIAS, models:/NAME/VERSION, or a generator.safetensors",
        ),
        ("models:/films@nobody", "nobody not found"),
        ("models:/strangers@champion", "strangers not found"),
        ("models:/films/7", "version=7.* not found"),
        ("models:/films/first", "models:/films/first cannot be had"),
    ],
)
def test_models_that_are_not_there(uri, registered, source, said):
    with pytest.raises(InputError, match=said) as caught:
        load_generator(source, uri)
    assert "\n" not in str(caught.value)


def test_a_study_without_a_winner_names_the_generator_that_there_is(uri, old):
    client = connect(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    for number, failed in (("3", ["coverage 0.00, at least 0.005"]), ("4", ["copy rate 0.9"])):
        tags = {"cgan.study": "beaten-0123456789ab", "cgan.trial": number}
        run_id = client.create_run(experiment.experiment_id, tags=tags).info.run_id
        champion.log_winner(uri, run_id, old.trial, old.out, int(number) - 2, {}, failed)
    said = (
        "--init-from models:/beaten@champion: no trial of study beaten passed the gates, so there "
        "is no winner; the best on fresh images, trial 3, fails: coverage 0.00, at least 0.005. "
        "Its generator is --init-from "
    )
    with pytest.raises(InputError) as caught:
        load_generator("models:/beaten@champion", uri)
    text = str(caught.value)
    assert text.startswith(said)
    assert load_generator(text.removeprefix(said), uri).sha256 == load_generator(
        str(old.out / WEIGHTS), uri
    ).sha256  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "task", "said"),
    [
        ({"g_width": 8}, {}, ["g_width is 4, but here 8"]),
        ({"latent_size": 5}, {}, ["latent_size is 8, but here 5"]),
        ({}, {"classes": 3}, ["classes is 2, but here 3"]),
        ({"g_depth": 4}, {"image_size": 64}, ["image_size is 32, but here 64", "g_depth is 3"]),
        ({}, {"channels": 3}, ["channels is 1, but here 3"]),
    ],
)
def test_another_shape_is_refused_by_its_fields(old, changes, task, said):
    wanted = Task(**{"image_size": 32, "channels": 1, "classes": 2, "images": 40, **task})
    start = SavedGenerator.read("old", old.out / WEIGHTS)
    with pytest.raises(InputError, match="old is a generator of another shape") as caught:
        start.check_fits(small_config(DATA, **changes), wanted)
    for part in said:
        assert part in str(caught.value)
    assert str(caught.value).endswith(
        "Give the configuration, or the space, the same values of these"
    )


def test_without_a_record_the_weights_themselves_are_named(old, tmp_path):
    alone = tmp_path / "alone.safetensors"
    save_file(read_generator(old.out / WEIGHTS)[0], alone, {"format": "pt"})  # as others write it
    start = SavedGenerator.read("alone", alone)
    start.check_fits(small_config(DATA), DATA.task)
    with pytest.raises(InputError, match=r"is \[\d.*\], but here \[\d.*\].*; and \d+ more"):
        start.check_fits(small_config(DATA, g_width=8), DATA.task)
    with pytest.raises(InputError, match=r"doublings\.0\.\w+ is absent, but here \[\d+\]"):
        start.check_fits(small_config(DATA, g_norm="none"), DATA.task)


def test_a_trial_begins_with_it_or_is_refused(old, tmp_path):
    from tests.helpers.toys import make_workload

    start = SavedGenerator.read("old", old.out / WEIGHTS)
    workload = replace(make_workload(DATA, tmp_path), start=start)
    assert torch.equal(images(workload.build_run(small_config(DATA), 9)), images(old.run))
    with pytest.raises(InputError, match="g_width is 4, but here 8"):
        workload.build_run(small_config(DATA, g_width=8), 9)


def test_one_file_stands_alone(old, tmp_path):
    """Without config.json beside it, and whatever lies there instead."""
    alone = tmp_path / WEIGHTS
    alone.write_bytes((old.out / WEIGHTS).read_bytes())
    (tmp_path / CONFIG).write_text('{"classes": ["other"]}')
    G, classes, latent = load_generator(str(alone), NOWHERE).image_generator()
    assert (classes, latent) == (["class0", "class1"], 8)
    z, y = torch.randn(4, 8), torch.eye(2)[[0, 1, 0, 1]]
    with torch.no_grad():
        drawn = ImageGenerator(old.run.G_ema.eval(), old.run.config)(z, y)
        assert torch.equal(G(z, y), drawn)


def header(path: Path) -> int:
    """Bytes of a safetensors file before its tensors."""
    return 8 + int.from_bytes(path.read_bytes()[:8], "little")


@pytest.mark.parametrize(
    "kind", ["missing", "folder", "empty", "header", "tensors", "png", "torch", "nan", "float8"]
)
def test_files_that_hold_no_generator(old, tmp_path, kind):
    path, whole = tmp_path / WEIGHTS, (old.out / WEIGHTS).read_bytes()
    cut = {"empty": 0, "header": header(old.out / WEIGHTS) - 1, "tensors": len(whole) - 1}
    strange = {"nan": torch.tensor([float("nan")]), "float8": torch.ones(1).to(torch.float8_e4m3fn)}
    if kind == "folder":
        path.mkdir()
    elif kind in cut:
        path.write_bytes(whole[: cut[kind]])
    elif kind == "png":
        Image.new("L", (64, 64)).save(path, format="png")
    elif kind == "torch":
        torch.save({"a": torch.ones(1)}, path)
    elif kind in strange:
        save_file({"a": strange[kind]}, path)
    said = {"missing": "cannot be read: No such file", "folder": "cannot be read: Is a directory"}
    said |= {"nan": "does not hold a generator: some weights are not finite"}
    default = "does not hold a generator as safetensors: "
    with pytest.raises(InputError, match=said.get(kind, default)) as caught:
        load_generator(str(path), NOWHERE)
    assert WEIGHTS in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_code_in_a_pickle_is_run(tmp_path):
    path, trap = tmp_path / WEIGHTS, tmp_path / "trap"
    for write in (
        lambda: path.write_bytes(pickle.dumps(Evil(trap))),
        lambda: torch.save({"a": Evil(trap)}, path),
    ):
        write()
        with pytest.raises(InputError, match="does not hold a generator as safetensors"):
            load_generator(str(path), NOWHERE)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "its record is not valid JSON"),
        *((text, "its record is not what an export writes") for text in (
            "[]", '{"params": []}', '{"task": 3}', '{"classes": {}}',
        )),
    ],
)  # fmt: skip
def test_a_broken_record(tmp_path, monkeypatch, text, said):
    monkeypatch.setattr(json, "dumps", lambda record: text)
    write_generator(tmp_path / WEIGHTS, {"a": torch.ones(1)}, {})
    with pytest.raises(InputError, match=said):
        load_generator(str(tmp_path / WEIGHTS), NOWHERE)


def test_without_safetensors_it_is_said(old, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(InputError, match="needs the package safetensors: pip install safetensors"):
        load_generator(str(old.out / WEIGHTS), NOWHERE)
    with pytest.raises(InputError, match="the same command then goes on from what is trained"):
        write_generator(tmp_path / WEIGHTS, {}, {})
    assert not (tmp_path / WEIGHTS).exists()


@pytest.fixture(scope="module")
def study(uri, tmp_path_factory) -> tuple[dict[str, Any], Projection]:
    """A study of two trials in MLflow, and the parameters of trial 1."""
    folder = tmp_path_factory.mktemp("told") / "told"
    folder.mkdir()
    storage = open_storage(database_url(folder))
    settings = config(name="told", seed=7, init_from="models:/x@champion", protocol="tiny/mean-8")
    study = create_study(storage, settings, {}, {}, [])
    params = small_params(DATA, g_lr=1.5e-05, penalty_interval=3, beta2=1 / 3, warmup_kimg=0.0)
    for changes in ({}, params):
        study.ask().set_user_attr("params", changes)
    projection = Projection(folder, storage, uri)
    projection.sync()
    return params, projection


def test_a_trial_comes_back_with_its_types(uri, study):
    params, projection = study
    found = read_trial(projection.run_id(1) or "", uri)
    assert found.params == params
    assert {k: type(v) for k, v in found.params.items()} == {k: type(v) for k, v in params.items()}
    assert {type(v) for v in found.params.values()} == {int, float, str}
    assert found.number == 1
    assert found.study.items() >= {
        "seed": "7", "data": "phantom", "image_size": "32", "fit": "crop", "backbone": "none",
        "protocol": "tiny/mean-8", "init_from": "models:/x@champion",
    }.items()  # fmt: skip
    assert "held_out" not in found.study


@pytest.mark.parametrize("which", ["parent", "winner", "unknown"])
def test_runs_that_are_no_trial(uri, study, registered, which):
    run_id = {"parent": study[1].run_id(), "winner": registered, "unknown": "0" * 32}[which]
    said = "cannot be had from" if which == "unknown" else "is no trial of a search"
    with pytest.raises(InputError, match=f"--trial {run_id} {said}") as caught:
        read_trial(run_id, uri)
    remedy = "run named trial-…" if which != "unknown" else "copy a run's id from mlflow ui"
    assert remedy in str(caught.value)


def test_a_store_that_is_not_there_is_not_made(tmp_path):
    path = tmp_path / "mlflow.db"
    for ask in (read_trial, load_generator):
        with pytest.raises(InputError, match=r"there is no file .*mlflow.db; run a search first"):
            ask("models:/x@champion", f"sqlite:///{path}")
    assert not path.exists()


def test_a_server_that_is_not_there_is_said_without_the_password():
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    with pytest.raises(InputError, match=f"cannot be had from http://127.0.0.1:{port}") as caught:
        read_trial("0" * 32, f"http://me:secret@127.0.0.1:{port}")
    assert "secret" not in str(caught.value)
    assert "--tracking-uri" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_record_is_what_the_export_writes(old):
    """`SavedGenerator` compares with it: a renamed key would silence the comparison."""
    about = SavedGenerator.read("old", old.out / WEIGHTS).about
    assert {"params", "task", "classes"} <= about.keys()
    assert {"image_size", "channels"} <= about["task"].keys()
