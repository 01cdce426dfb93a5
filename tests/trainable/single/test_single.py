"""`python -m trainable`: a trial replayed, a run gone on with, and every mistake said in a line."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from spaces.presets import PRESETS
from tests.helpers import ROOT
from tests.helpers.fake_tune import config
from tests.helpers.films import frames_in
from tests.helpers.refusals import tells
from tests.helpers.toys import (
    TinyExtractor,
    export_trial,
    make_data,
    real_set,
    run_on,
    small_params,
    write_pictures,
)
from trainable import __main__ as command
from trainable.basics.lock import locked
from trainable.data.sources import load
from trainable.gan.run import DivergedError, Run
from trainable.generators.export import WEIGHTS
from trainable.generators.weights_file import read_generator, write_generator
from trainable.metrics import quick_classifier
from trainable.pretrained import load as networks
from trainable.single import run as single
from trainable.tracking import registry
from trainable.tracking.registry import Recorded
from trainable.trial import evaluation, trial
from trainable.trial.checkpoints import Attempt, newest
from trainable.trial.evaluation import witness_of
from trainable.trial.identity import RunIdentity
from trainable.trial.objective import Objective
from trainable.trial.trial import Trial
from trainable.trial.workload import Workload

TIMES = ("train_seconds", "eval_seconds")
SEED, NUMBER = 7, 3


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with pictures of two classes, and parameters of a narrow network."""
    root = tmp_path_factory.mktemp("place")
    data = make_data(n=24)
    write_pictures(root / "pictures", data)
    write_pictures(root / "others", replace(data, images=255 - data.images))
    (root / "small.json").write_text(json.dumps(small_params(data)))
    return root


@pytest.fixture(autouse=True)
def _cheap(monkeypatch, place):
    """A network of FID and a witness that cost nothing; the rest is the command itself."""
    monkeypatch.setattr(networks, "load_extractor", lambda *_, **__: (TinyExtractor(), "tiny"))
    monkeypatch.setattr(evaluation, "cached_features", lambda net, x, _, **__: net(torch.tensor(x)))
    monkeypatch.setattr(quick_classifier, "STEPS", 2)
    # PyTorch's own program of a generator takes a second; tests/search/tracking draws from one.
    monkeypatch.setattr(torch.export, "export", lambda *_, **__: None)
    monkeypatch.setattr(torch.export, "save", lambda program, file: file.write(b"a program"))
    monkeypatch.chdir(place)


def call(out: Path, *flags: str) -> int:
    """The command; what is not said in `flags` is as small as can be."""
    said = " ".join(flags)
    given = [] if "--trial" in said else ["--data", "pictures", "--image-size", "32"]
    given += [] if "--config" in said or "--trial" in said else ["--config", "small.json"]
    given += [] if "--epochs" in said or "--train-time" in said else ["--epochs", "4"]
    given += [] if "--device" in said else ["--device", "cpu"]
    return command.main([*given, "--out", str(out), *flags])


def settings(place: Path = Path(), **changes: Any) -> dict[str, Any]:
    """What a study of the pictures writes down of itself."""
    of_all = dict.fromkeys(RunIdentity().settings) | {
        "data": "pictures",
        "fit": "crop",
        "background": "black",
        "image_size": 32,
    }
    of_all["hold_back"] = 0.0
    of_net = {"features": "tiny", "protocol": "tiny/mean-8", "weights_sha256": "0" * 64}
    data_digest = load(str(place / "pictures"), 32).digest
    return {**of_all, **of_net, "data_digest": data_digest, "backbone": "none", **changes}


def scores(folder: Path, number: int = 0) -> list[dict[str, Any]]:
    """What the reports of a trial say, but for the clock."""
    reports = newest(folder / f"{number:05d}")["reports"]
    return [{k: v for k, v in r.items() if k not in TIMES} for r in reports]


@pytest.fixture(scope="module")
def study(place, tmp_path_factory) -> SimpleNamespace:
    """Trial 3 of a study with seed 7, as a search trains it, and exported as a winner."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quick_classifier, "STEPS", 2)
        torch.set_num_threads(1)
        folder = tmp_path_factory.mktemp("study")
        data, extractor = load(str(place / "pictures"), 32), TinyExtractor()
        params = small_params(data, g_lr=2.5e-3)
        workload = Workload(
            data, extractor, real_set(data, extractor), witness_of(data, None, seed=SEED),  # pyright: ignore
            Objective.parse("fid"), {}, (2, 3, 6), folder, SEED, "cpu", 1,
        )  # fmt: skip
        trial = Trial(workload, NUMBER, params)
        run_on(trial)
    export_trial(trial, folder / "winner", settings=settings(place, seed=SEED))
    return SimpleNamespace(scores=scores(folder, NUMBER), params=params, winner=folder / "winner")


def test_a_winners_config_replays_its_trial_bit_for_bit(study, tmp_path, capsys):
    file = str(study.winner / "config.json")
    out = tmp_path / "out"
    flags = ("--config", file, "--epochs", "6", "--evaluate-at", "2,3", "--device", "cpu")
    assert command.main([*flags, "--out", str(out)]) == 0  # with the study's images, seed and all
    assert "not a replay" not in capsys.readouterr().out
    assert scores(out, NUMBER) == study.scores
    assert [r["epoch"] for r in study.scores] == [2, 3, 6]
    weights = [read_generator(f / WEIGHTS)[0] for f in (out, study.winner)]
    assert all(torch.equal(weights[0][k], v) for k, v in weights[1].items())
    assert call(tmp_path / "b", *flags, "--seed", "8", "--held-out", "others") == 0
    assert re.search(r"^not a replay: .*: held-out images, seed$", capsys.readouterr().out, re.M)


def test_a_trial_out_of_mlflow_replays_too(study, tmp_path, monkeypatch):
    """With the study's own data, size, seed and number, unless others are named."""
    of_study = config(**settings(seed=SEED)).to_json()
    told = {k: str(v) for k, v in of_study.items() if v is not None}
    there = {("abc", "http://x"): Recorded(study.params, NUMBER, told)}
    monkeypatch.setattr(registry, "read_trial", lambda *asked: there[asked])
    flags = ["--trial", "abc", "--tracking-uri", "http://x"]
    flags += ["--epochs", "6", "--evaluate-at", "2,3"]
    assert call(tmp_path / "a", *flags) == 0
    assert scores(tmp_path / "a", NUMBER) == study.scores
    assert call(tmp_path / "b", *flags, "--seed", "8") == 0
    assert scores(tmp_path / "b", NUMBER)[0]["fid"] != study.scores[0]["fid"]


def test_what_it_writes_and_says(tmp_path, capsys):
    assert call(tmp_path, "--epochs", "2", "--seed", "5") == 0
    names = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert names >= {"generator.pt2", WEIGHTS, "config.json", "run.json"}
    assert names >= {f"00000/samples_00000{epoch}.png" for epoch in (0, 1, 2)}
    assert len(frames_in(tmp_path / "training.gif")) == 3
    about = json.loads((tmp_path / "config.json").read_text())
    found = about["settings"]
    assert found == settings(seed=5, data=str(Path("pictures").absolute()))  # known anywhere
    assert (about["trial"], about["classes"]) == (0, ["class0", "class1"])
    assert about["scores"]["fid"] == scores(tmp_path)[-1]["fid"]
    assert about["params"] == json.loads(Path("small.json").read_text())
    said, wrong = capsys.readouterr()
    assert wrong == ""
    assert tells(said, "pictures", "12 class0, 12 class1", "32 pixels", "FID by tiny/mean-8")
    assert tells(said, tmp_path / "generator.pt2")
    # Its own config.json replays it.
    assert call(tmp_path / "b", "--epochs", "2", "--config", str(tmp_path / "config.json")) == 0
    assert scores(tmp_path / "b") == scores(tmp_path)


def test_a_table_of_labels_is_told_once_and_replayed(place, tmp_path, capsys):
    files = sorted((place / "pictures").rglob("*.png"))
    rows = [f"{p.stem},{'odd' if i % 2 else 'even'}" for i, p in enumerate(files)]
    (tmp_path / "labels.csv").write_text("\n".join(["id,what", *rows]))
    flags = ["--labels", str(tmp_path / "labels.csv"), "--label-columns", "label=what"]
    flags += ["--classes", "odd,even"]
    assert call(tmp_path / "a", "--epochs", "2", *flags) == 0
    assert tells(capsys.readouterr().out, "12 odd, 12 even")
    again = ["--epochs", "2", "--config", str(tmp_path / "a" / "config.json")]
    assert call(tmp_path / "b", *again) == 0
    assert "not a replay" not in capsys.readouterr().out
    assert scores(tmp_path / "b") == scores(tmp_path / "a")
    # Another folder has another table: it is not asked for these files.
    assert call(tmp_path / "c", *again, "--data", "others") == 2
    assert tells(capsys.readouterr().err, "--classes", "'odd'", "'class0'")


def test_images_held_back_are_not_trained_on_and_a_replay_holds_back_the_same(tmp_path, capsys):
    assert call(tmp_path / "a", "--epochs", "2", "--hold-back", "0.4") == 0
    said = capsys.readouterr().out
    assert tells(said, "5 class0, 5 class1", "7 class0, 7 class1")
    head, _, rows = said.partition(" copies     CAS\n")
    assert re.search(r"; .*\bCAS\b.* \d+\.\d%", head)  # of the training images
    told = [f"{report['cas']:.1%}" for report in scores(tmp_path / "a")]
    assert [row.split()[-1] for row in rows.splitlines()[: len(told)]] == told
    file = tmp_path / "a" / "config.json"
    about = json.loads(file.read_text())
    assert len(about["images"]) == about["task"]["images"] == 14
    assert all(0 <= report["cas"] <= 1 for report in scores(tmp_path / "a"))
    assert call(tmp_path / "b", "--epochs", "2", "--config", str(file)) == 0
    assert "not a replay" not in capsys.readouterr().out
    assert scores(tmp_path / "b") == scores(tmp_path / "a")


def test_a_generator_that_saw_images_held_back_is_no_start(tmp_path, capsys):
    flags = ("--epochs", "1", "--hold-back", "0.4")
    assert call(tmp_path / "saw", "--epochs", "1") == 0
    assert call(tmp_path / "apart", *flags) == 0
    for name, code in (("saw", 2), ("apart", 0)):
        start = str(tmp_path / name / WEIGHTS)
        assert call(tmp_path / f"from-{name}", *flags, "--init-from", start) == code
    said = capsys.readouterr().err
    assert tells(said, f"--init-from {tmp_path / 'saw' / WEIGHTS}", "10 of the 10", "(class0/")

    tensors, about = read_generator(tmp_path / "apart" / WEIGHTS)
    for change, parts in (
        ({"images": []}, ("held back",)),
        ({"settings": {"fit": "pad"}}, ("--fit pad", "crop", "--hold-back")),
        ({"settings": {"background": "white"}}, ("--background white", "black", "--hold-back")),
    ):
        write_generator(tmp_path / WEIGHTS, tensors, about | change)
        assert call(tmp_path / "no", *flags, "--init-from", str(tmp_path / WEIGHTS)) == 2
        said = capsys.readouterr().err
        assert tells(said, f"--init-from {tmp_path / WEIGHTS}", *parts)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_names(tmp_path, name):
    assert call(tmp_path, "--config", name, "--epochs", "1", "--backbone", "none") == 0
    about = json.loads((tmp_path / "config.json").read_text())
    assert about["params"] == PRESETS[name](load("pictures", 32).task)


LENGTH = ("--epochs", "6", "--evaluate-at", "2,4")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("undisturbed")


@pytest.fixture
def whole(undisturbed) -> list[dict[str, Any]]:
    assert call(undisturbed, *LENGTH) == 0
    return scores(undisturbed)


def stop_in(monkeypatch, epoch: int, number: signal.Signals = signal.SIGINT) -> None:
    """Have the signal arrive while that epoch is trained."""
    train = Run.train_epoch

    def interrupted(self):
        if self.epoch + 1 == epoch:
            os.kill(os.getpid(), number)
        return train(self)

    monkeypatch.setattr(Run, "train_epoch", interrupted)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_after_a_stop_the_same_command_goes_on(whole, tmp_path, capsys, number):
    before = signal.getsignal(number)
    with pytest.MonkeyPatch.context() as patch:
        stop_in(patch, 3, number)
        assert call(tmp_path, *LENGTH) == 128 + number
    said = capsys.readouterr().out
    assert said.rstrip().splitlines()[-1].startswith("stopped; ")
    assert tells(said, "stopping", "Ctrl-C")
    assert "budget" not in said
    assert signal.getsignal(number) == before
    assert not (tmp_path / WEIGHTS).exists()
    with pytest.MonkeyPatch.context() as patch:
        stop_in(patch, 3, number)  # which has been: it is not trained again
        assert call(tmp_path, *LENGTH) == 0
    assert scores(tmp_path) == whole
    rows = capsys.readouterr().out
    assert all(f"\n{e:>7} " in rows for e in (2, 4, 6))  # of the former life too


def test_with_more_epochs_it_trains_on(whole, tmp_path):
    assert call(tmp_path, "--epochs", "4", "--evaluate-at", "2") == 0
    assert call(tmp_path, *LENGTH) == 0
    assert [r["fid"] for r in scores(tmp_path)] == [r["fid"] for r in whole]
    assert json.loads((tmp_path / "config.json").read_text())["scores"]["epoch"] == 6


no_more = Mock(side_effect=AssertionError("this has been done, or must wait"))


def test_a_finished_run_says_so_and_trains_nothing(whole, undisturbed, monkeypatch, capsys):
    monkeypatch.setattr(Run, "train_epoch", no_more)
    monkeypatch.setattr(single, "measure", no_more)
    for flags in (LENGTH, ("--epochs", "5")):
        assert call(undisturbed, *flags) == 0
        said = capsys.readouterr().out
        assert tells(said, "nothing", "FID by tiny/mean-8")
    assert scores(undisturbed) == whole


@pytest.mark.parametrize("epochs", ["2", "3"])
def test_a_run_that_was_to_be_longer_can_end_early(tmp_path, monkeypatch, epochs):
    """At an evaluation that it has had, or where it was stopped with none."""
    with pytest.MonkeyPatch.context() as patch:
        stop_in(patch, 3)
        assert call(tmp_path, *LENGTH) == 130
    monkeypatch.setattr(Run, "train_epoch", no_more)
    assert call(tmp_path, "--epochs", epochs, "--evaluate-at", epochs) == 0
    assert scores(tmp_path)[-1]["resource"] == int(epochs)
    record = json.loads((tmp_path / "config.json").read_text())
    assert record["images_seen"] == record["scores"]["images_seen"] == 24 * int(epochs)
    assert (tmp_path / "generator.pt2").exists()


def test_what_was_scored_and_is_gone_is_not_passed_off_by_what_is_there(
    tmp_path, monkeypatch, capsys
):
    with pytest.MonkeyPatch.context() as patch:
        stop_in(patch, 3)
        assert call(tmp_path, *LENGTH) == 130
    for path in tmp_path.rglob("*.pt"):
        if int(path.name.partition("-")[0]) < 3 * 24:
            path.unlink()
    capsys.readouterr()
    flags = ("--epochs", "2", "--evaluate-at", "2")
    assert tells(refusal(capsys, tmp_path, *flags), "--epochs", 2, "at least 3")
    assert not (tmp_path / WEIGHTS).exists()


def test_a_length_in_seconds(tmp_path, capsys):
    assert call(tmp_path, "--train-time", "1s") == 0
    (report,) = newest(tmp_path / "00000")["reports"]
    assert report["resource"] == 1
    assert report["train_seconds"] >= 1
    assert call(tmp_path, "--epochs", "4") == 2
    assert tells(capsys.readouterr().err, f"--out {tmp_path}", ": resource)")


def test_a_run_that_diverges_says_why(tmp_path, monkeypatch, capsys):
    nan = DivergedError("g_loss is nan in epoch 1")
    monkeypatch.setattr(Run, "train_epoch", Mock(side_effect=nan))
    assert call(tmp_path) == 1
    assert tells(capsys.readouterr().out, f"diverged: {nan}")
    assert not (tmp_path / WEIGHTS).exists()


def test_a_run_that_collapsed_is_not_trained_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(trial, "COLLAPSE", 9.0)
    monkeypatch.setattr(trial, "COLLAPSE_AFTER", 0.0)
    assert call(tmp_path, *LENGTH) == 1
    monkeypatch.setattr(Run, "train_epoch", no_more)
    assert call(tmp_path, *LENGTH) == 1
    said = capsys.readouterr().out
    assert len(re.findall("collapsed: .*class0", said)) == 2
    assert [r["epoch"] for r in scores(tmp_path)] == [2, 4]


def test_a_full_disk_is_no_wish_of_the_users(tmp_path, monkeypatch, capsys):
    full = OSError(errno.ENOSPC, "No space left on device", "x.pt")
    monkeypatch.setattr(Attempt, "save", Mock(side_effect=full))
    assert call(tmp_path) == 1
    said = capsys.readouterr().out
    assert tells(said, "interrupted: No space left on device: x.pt\nstopped; ")


def refusal(capsys, out: Path, *flags: str) -> str:
    """The line that the command refuses with."""
    assert call(out, *flags) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    return said


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        ("--config nowhere.json", ("--config", "'nowhere.json'", ", ".join(PRESETS))),
        ("--data nowhere", ("data 'nowhere'",)),
        ("--held-out nowhere", ("'nowhere'",)),
        ("--evaluate-at 0,5", ("--evaluate-at", "0,5", 1, "--epochs", 4)),
        ("--evaluate-at 2;3", ("--evaluate-at", "'2;3'", "100,360")),
        (f"--evaluate-at {'9' * 5000}", ("--evaluate-at", "100,360")),
        ("--evaluate-at ²", ("--evaluate-at", "'²'", "100,360")),
        ("--epochs 0", ("--epochs", 0, 1)),
        ("--train-time soon", ("--train-time", "'soon'", "90s")),
        ("--train-time 0s", ("--train-time", 0, 1)),
        ("--device cuda", ("--device", "cuda", "--device cpu")),
        ("--seed -1", ("--seed", "-1", 0)),
        (f"--seed {2**64}", ("--seed", 2**64, 2**63 - 1)),
        ("--threads 0", ("--threads", 0, 1)),
        ("--threads 1025", ("--threads", 1025, 1024)),
        (f"--epochs {10**30}", ("--epochs", 10**30, 10**9)),
        ("--train-time 99999d", ("--train-time", "'99999d'", "10000d")),
        ("--hold-back nan", ("--hold-back", "nan", 0, 0.5)),
        ("--hold-back 0.6", ("--hold-back", 0.6, 0, 0.5)),
        ("--config default --backbone xrv-densenet121", ("no-weights", "--backbone-weights")),
        ("--backbone vgg16", ("--backbone", "vgg16", "none")),
        ("--backbone-weights small.json", ("--backbone-weights", "small.json", "--backbone")),
        ("--init-from nowhere.pt", ("--init-from nowhere.pt", "No such file or directory")),
        ("--trial abc --tracking-uri sqlite:///nowhere.db", ("--tracking-uri", "nowhere.db")),
    ],
)
def test_flags_that_cannot_be_met(tmp_path, monkeypatch, capsys, flags, parts):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no-weights"))
    out = tmp_path / "out"
    assert tells(refusal(capsys, out, *flags.split()), *parts)
    assert not out.exists()
    assert not Path("nowhere.db").exists()


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("{", ("JSON", "Expecting")),
        ("[1]", ("list", "dict")),
        ({"g_lrr": 1e-3}, ("g_lrr", "g_lr?")),
        ({"batch_size": 64}, ("batch_size", 64, 24)),
        ({"g_lr": "fast"}, ("g_lr", "'fast'", "float")),
        ({"backbone": "xrv-densenet121"}, ("no-weights", "--backbone-weights")),
        ({"params": []}, ("params", "[]", "dict")),
        ({"params": {}, "settings": {"seed": "x"}}, ("seed", "'x'", "whole number")),
        ({"params": {}, "trial": -1}, ("trial", "-1", "whole number")),
        ({"params": {}, "settings": {"hold_back": "x"}}, ("hold_back", "'x'", "number")),
        ({"params": {}, "settings": {"hold_back": [1]}}, ("hold_back", "[1]", "number")),
        ({"params": {}, "settings": 3}, ("settings", 3, "dict")),
        ({"params": {}, "settings": {"image_size": None}}, ("image_size", None)),
    ],
)
def test_files_that_cannot_serve(tmp_path, monkeypatch, capsys, content, parts):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no-weights"))
    monkeypatch.setattr(evaluation, "cached_features", no_more)  # before any work
    path = tmp_path / "asked.json"
    if isinstance(content, dict) and "params" not in content:
        content = {**json.loads(Path("small.json").read_text()), **content}
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    assert tells(refusal(capsys, tmp_path / "out", "--config", str(path)), *parts)
    assert not (tmp_path / "out").exists()


def test_a_backbone_that_fid_is_computed_on(tmp_path, monkeypatch, capsys):
    """The study's, though this trial did without it."""
    fake = SimpleNamespace(name="tiny", sha256="1" * 64)
    monkeypatch.setattr(networks, "load_backbone", lambda *_, **__: fake)
    about = {"params": json.loads(Path("small.json").read_text()), "settings": {"backbone": "tiny"}}
    (tmp_path / "config.json").write_text(json.dumps(about))
    flags = ["--config", str(tmp_path / "config.json")]
    assert "--allow-shared-features" in refusal(capsys, tmp_path / "out", *flags)
    assert not (tmp_path / "out").exists()
    assert call(tmp_path / "out", "--epochs", "1", "--allow-shared-features", *flags) == 0
    assert tells(capsys.readouterr().out, "FID by tiny/mean-8+shared-with-backbone")


def test_a_start_of_another_shape(study, tmp_path, monkeypatch, capsys, place):
    monkeypatch.setattr(evaluation, "cached_features", no_more)
    wide = {**json.loads(Path("small.json").read_text()), "g_width": 6}
    (tmp_path / "wide.json").write_text(json.dumps(wide))
    flags = ["--config", str(tmp_path / "wide.json"), "--init-from", f"{study.winner}/{WEIGHTS}"]
    said = refusal(capsys, tmp_path / "out", *flags)
    assert re.search(rf"--init-from {study.winner}/{WEIGHTS} .*g_width .*4.* 6", said)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["another seed", "broken", "foreign", "file", "winner"])
def test_a_folder_that_is_not_this_runs(whole, undisturbed, tmp_path, monkeypatch, capsys, kind):
    monkeypatch.setattr(Run, "train_epoch", no_more)
    out, flags, fault = undisturbed, ["--seed", "1"], ": seed)"
    if kind != "another seed":
        out, flags, fault = tmp_path / "out", [], f"{tmp_path / 'out' / 'run.json'}"
        if kind == "file":
            out.touch()
            fault = "File exists"
        elif kind == "winner":
            out.mkdir()
            (out / "config.json").write_text("{}")
            fault = "generator"
        else:
            out.mkdir()
            (out / "run.json").write_text("{" if kind == "broken" else "[]")
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert tells(refusal(capsys, out, *flags), f"--out {out}", fault)
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


def test_two_at_once_in_one_folder_would_train_into_each_other(tmp_path, capsys):
    (tmp_path / "out").mkdir()
    with locked(tmp_path / "out", "run"):
        assert tells(refusal(capsys, tmp_path / "out"), "run out", f"process {os.getpid()}")


def test_the_command_itself(place, tmp_path):
    project = str(ROOT)
    done = subprocess.run(
        [sys.executable, "-m", "trainable", "--config", "nowhere.json", "--out", tmp_path / "out"],
        cwd=place, env={**os.environ, "PYTHONPATH": project}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --config ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
