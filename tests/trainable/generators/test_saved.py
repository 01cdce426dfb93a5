"""A pretrained start, from a file or MLflow, and a trial read back from there."""

from __future__ import annotations

import json
import pickle
import re
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

from search.study.database import create_study, open_storage
from search.study.folder import StudyFolder
from search.tracking import champion
from search.tracking.projection import Projection, connect
from spaces.errors import InputError
from spaces.task import Task
from tests.helpers.fake_tune import config
from tests.helpers.refusals import refused
from tests.helpers.toys import Evil, export_trial, make_data, small_config, small_params
from trainable.generators.export import CONFIG, WEIGHTS
from trainable.generators.image_generator import ImageGenerator
from trainable.generators.saved import SavedGenerator
from trainable.generators.weights_file import read_generator, write_generator
from trainable.tracking.names import EXPERIMENT
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
    champion.log_winner(uri, run_id, old.trial, old.out, champion.Verdict(1, {}))
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
    with refused(f"--init-from models:/{name}@champion", "SHA-256", "registered") as caught:
        load_generator(f"models:/{name}@champion", uri)
    assert len(set(re.findall(r"\b[0-9a-f]{12}…", str(caught.value)))) == 2


def test_equal_generators_are_equal_files(old, tmp_path):
    """Else a search that is resumed would register its old champion once more."""
    write_generator(tmp_path / WEIGHTS, *read_generator(old.out / WEIGHTS))
    assert (tmp_path / WEIGHTS).read_bytes() == (old.out / WEIGHTS).read_bytes()


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("models:/films", ("models:/NAME@ALIAS", "models:/NAME/VERSION", WEIGHTS)),
        ("models:/films@nobody", ("nobody not found", "--tracking-uri")),
        ("models:/strangers@champion", ("strangers not found", "--tracking-uri")),
        ("models:/films/7", ("version=7", "not found", "--tracking-uri")),
        ("models:/films/first", ("--tracking-uri",)),
    ],
)
def test_models_that_are_not_there(uri, registered, source, parts):
    with refused("--init-from", source, *parts) as caught:
        load_generator(source, uri)
    assert "\n" not in str(caught.value)


def test_a_study_without_a_winner_names_the_generator_that_there_is(uri, old):
    client = connect(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    for rank, gate in ((1, "coverage 0.00, at least 0.005"), (2, "copy rate 0.9")):
        tags = {"cgan.study": "beaten-0123456789ab", "cgan.trial": str(rank + 2)}
        run_id = client.create_run(experiment.experiment_id, tags=tags).info.run_id
        verdict = champion.Verdict(rank, {}, failed=(gate,))
        champion.log_winner(uri, run_id, old.trial, old.out, verdict)
    asked, fault = "--init-from models:/beaten@champion", "coverage 0.00, at least 0.005"
    with refused(asked, "study beaten", "no winner", "trial 3", fault) as caught:
        load_generator("models:/beaten@champion", uri)
    remedy = str(caught.value).rpartition("--init-from ")[2]
    assert load_generator(remedy, uri).sha256 == load_generator(str(old.out / WEIGHTS), uri).sha256


@pytest.mark.parametrize(
    ("changes", "task", "faults"),
    [
        ({"g_width": 8}, {}, "g_width .*4.* 8"),
        ({"latent_size": 5}, {}, "latent_size .*8.* 5"),
        ({}, {"classes": 3}, "classes .*2.* 3"),
        ({"g_depth": 4}, {"image_size": 64}, "g_depth .*3.* 4; image_size .*32.* 64"),
        ({}, {"channels": 3}, "channels .*1.* 3"),
    ],
)
def test_another_shape_is_refused_by_its_fields(old, changes, task, faults):
    wanted = Task(**{"image_size": 32, "channels": 1, "classes": 2, "images": 40, **task})
    start = SavedGenerator.read("old", old.out / WEIGHTS)
    with pytest.raises(InputError, match=rf"--init-from old .*shape: {faults}\."):
        start.check_fits(small_config(DATA, **changes), wanted)


def test_without_a_record_the_weights_themselves_are_named(old, tmp_path):
    alone = tmp_path / "alone.safetensors"
    save_file(read_generator(old.out / WEIGHTS)[0], alone, {"format": "pt"})  # as others write it
    start = SavedGenerator.read("alone", alone)
    start.check_fits(small_config(DATA), DATA.task)
    with pytest.raises(InputError, match=r" \[\d.*\].* \[\d.*\].*; .*\d+ more"):
        start.check_fits(small_config(DATA, g_width=8), DATA.task)
    with pytest.raises(InputError, match=r"doublings\.0\.\w+ [^;]*absent[^;]*\[\d+\]"):
        start.check_fits(small_config(DATA, g_norm="none"), DATA.task)


def test_a_trial_begins_with_it_or_is_refused(old, tmp_path):
    from tests.helpers.toys import make_workload

    start = SavedGenerator.read("old", old.out / WEIGHTS)
    workload = replace(make_workload(DATA, tmp_path), start=start)
    assert torch.equal(images(workload.build_run(small_config(DATA), 9)), images(old.run))
    with pytest.raises(InputError, match=r"g_width .*4.* 8"):
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
    words = {"missing": "No such file", "folder": "Is a directory", "nan": "finite"}
    with refused(path, words.get(kind, "as safetensors: ")) as caught:
        load_generator(str(path), NOWHERE)
    assert "\n" not in str(caught.value)


def test_no_code_in_a_pickle_is_run(tmp_path):
    path, trap = tmp_path / WEIGHTS, tmp_path / "trap"
    for write in (
        lambda: path.write_bytes(pickle.dumps(Evil(trap))),
        lambda: torch.save({"a": Evil(trap)}, path),
    ):
        write()
        with refused(path, "as safetensors: "):
            load_generator(str(path), NOWHERE)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "JSON"),
        *((text, "export") for text in ("[]", '{"params": []}', '{"task": 3}', '{"classes": {}}')),
    ],
)
def test_a_broken_record(tmp_path, monkeypatch, text, fault):
    monkeypatch.setattr(json, "dumps", lambda record: text)
    write_generator(tmp_path / WEIGHTS, {"a": torch.ones(1)}, {})
    with refused(tmp_path / WEIGHTS, "record", fault):
        load_generator(str(tmp_path / WEIGHTS), NOWHERE)


def test_without_safetensors_it_is_said(old, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with refused(old.out / WEIGHTS, "pip install safetensors"):
        load_generator(str(old.out / WEIGHTS), NOWHERE)
    with refused(tmp_path / WEIGHTS, "pip install safetensors", "same command"):
        write_generator(tmp_path / WEIGHTS, {}, {})
    assert not (tmp_path / WEIGHTS).exists()


@pytest.fixture(scope="module")
def study(uri, tmp_path_factory) -> tuple[dict[str, Any], Projection]:
    """A study of two trials in MLflow, and the parameters of trial 1."""
    folder = tmp_path_factory.mktemp("told") / "told"
    folder.mkdir()
    storage = open_storage(StudyFolder(folder).database_url)
    settings = config(name="told", seed=7, init_from="models:/x@champion", protocol="tiny/mean-8")
    unmeasured: Any = {}
    study = create_study(storage, settings, unmeasured, {}, [])
    params = small_params(DATA, g_lr=1.5e-05, penalty_interval=3, beta2=1 / 3, warmup_kimg=0.0)
    for changes in ({}, params):
        study.ask().set_user_attr("params", changes)
    projection = Projection(folder, storage.url, uri)
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
    remedy = ("cgan-search ui", "--tracking-uri") if which == "unknown" else ("trial-…",)
    with refused(f"--trial {run_id}", *remedy):
        read_trial(run_id, uri)


def test_a_store_that_is_not_there_is_not_made(tmp_path):
    path = tmp_path / "mlflow.db"
    for ask in (read_trial, load_generator):
        with refused("--tracking-uri", path):
            ask("models:/x@champion", f"sqlite:///{path}")
    assert not path.exists()


def test_a_server_that_is_not_there_is_said_without_the_password():
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    with refused("--tracking-uri", f"http://127.0.0.1:{port}") as caught:
        read_trial("0" * 32, f"http://me:secret@127.0.0.1:{port}")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_record_is_what_the_export_writes(old):
    """`SavedGenerator` compares with it: a renamed key would silence the comparison."""
    about = SavedGenerator.read("old", old.out / WEIGHTS).about
    assert {"params", "task", "classes"} <= about.keys()
    assert {"image_size", "channels"} <= about["task"].keys()
