"""What a resumed study must find as it was: images, space, extractor; and what may change."""

from __future__ import annotations

import importlib
import io
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from search.resolve import NewStudy, Prepared, ResumedStudy, prepare
from search.run import main
from search.study.config import StudyConfig
from search.study.database import create_study, load_study, open_storage
from search.study.flags import parser
from search.study.folder import IMAGES, StudyFolder
from search.study.locate import resume_placed
from tests.helpers.fake_tune import YARDSTICK
from tests.helpers.refusals import refused, tells
from tests.helpers.toys import make_data
from trainable.data.fingerprints import fingerprints, image_differences, write_images
from trainable.generators.weights_file import write_generator
from trainable.pretrained.weights import checksum
from trainable.trial.evaluation import GENERATED

SPACE = """
from spaces.presets import default

def line(trial, task):
    lr = trial.suggest_float("g_lr", {low}, 1e-2, log=True)
    return {{**default(task), "g_lr": lr, "lr_ratio": {scale}, "l2": {l2}}}
"""


def write_space(folder: Path, low: float = 1e-4, scale: float = 2.0, l2: float = 0.0) -> None:
    (folder / "resumed_space.py").write_text(SPACE.format(low=low, scale=scale, l2=l2))
    sys.modules.pop("resumed_space", None)
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    importlib.invalidate_caches()


def draw(path: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 40), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def prepared_from(output: Path, *flags: str) -> Prepared:
    args = parser().parse_args(["--output", str(output), *flags])
    return prepare(args, Console(file=io.StringIO()))


def new_from(output: Path, *flags: str) -> NewStudy:
    prepared = prepared_from(output, *flags)
    assert isinstance(prepared, NewStudy)
    return prepared


def resumed_from(output: Path, *flags: str) -> ResumedStudy:
    prepared = prepared_from(output, *flags)
    assert isinstance(prepared, ResumedStudy)
    return prepared


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """Pictures, a space, and under runs a study of both, begun."""
    for first, name in ((100, "cats"), (200, "dogs")):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(16):
            draw(tmp_path / "pictures" / name / f"{i:02d}.png", first + i)
    write_space(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    flags = ["--data", str(tmp_path / "pictures"), "--space", "resumed_space:line"]
    flags += ["--image-size", "32", "--features", "efficientnet-lite0", "--study", "s"]
    new = new_from(tmp_path / "runs", *flags, "--trials", "5", "--time-budget", "1h")
    folder = tmp_path / "runs" / "s"
    folder.mkdir(parents=True)
    storage = open_storage(StudyFolder(folder).database_url)
    create_study(storage, new.config, YARDSTICK, new.space_snapshot, [{"g_lr": 1e-3}])
    write_images(folder / IMAGES, new.inputs.data, new.inputs.validation)
    (folder / "study.json").write_text(json.dumps(new.config.to_json()))
    return tmp_path


def test_a_resumed_study_is_as_it_was(place):
    found = resumed_from(place / "runs", "--resume", "s")
    stored = found.opened.study.user_attrs["config"]
    assert found.config.to_json() == {**stored, "time_budget": None}  # a budget is for one life
    assert (found.inputs.start, found.queue) == (None, [])
    assert found.inputs.data.n == 32
    assert found.config.identity == found.inputs.identity


def test_trials_budget_and_queue_may_change(place):
    (place / "more.json").write_text('[{"g_lr": 0.002}]')
    flags = ["--trials", "9", "--time-budget", "10m", "--enqueue", str(place / "more.json")]
    found = prepared_from(place / "runs", "--resume", "s", *flags)
    same = replace(prepared_from(place / "runs", "--resume", "s").config, trials=9)
    assert found.config == replace(same, time_budget=600.0)
    assert found.queue == [{"g_lr": 0.002}]


def test_what_is_enqueued_and_could_never_be_tried_is_refused(place):
    (place / "more.json").write_text('[{"g_lr": 0.002}, {"g_lr": 0.003}]')
    study = resumed_from(place / "runs", "--resume", "s").opened.study
    for _ in range(5):
        study.ask()
    flags = ["--resume", "s", "--enqueue", str(place / "more.json")]
    with refused("--enqueue", "5 trials", "--trials 7"):
        prepared_from(place / "runs", *flags)
    assert len(resumed_from(place / "runs", *flags, "--trials", "7").queue) == 2
    begins = ["--study", "t", "--enqueue", str(place / "more.json"), "--trials"]
    with refused("--enqueue", "2 configurations", "--trials 3"):  # the default comes first
        new_from(place / "runs", *begins, "2")
    assert len(new_from(place / "runs", *begins, "3").queue) == 2


def test_a_sampler_that_learns_nothing_takes_no_warm_start(place):
    flags = ["--data", str(place / "pictures"), "--study", "t", "--warm-start", "s"]
    with refused("--warm-start s", "random"):
        new_from(place / "runs", *flags, "--sampler", "random")


def test_how_files_became_pixels_is_kept_and_read_alike_again(place):
    for number, path in enumerate(sorted((place / "pictures").rglob("*.png"))):
        values = np.random.default_rng(number).integers(0, 4000, (40, 40), dtype=np.uint16)
        values[0, 0] = 4095
        Image.fromarray(values).save(path)
    clear = Image.new("LA", (40, 40), (90, 0))
    clear.putpixel((0, 0), (80, 255))
    clear.save(place / "pictures" / "cats" / "clear.png")
    flags = ["--data", str(place / "pictures"), "--image-size", "32", "--hold-back", "0.5"]
    flags += ["--features", "efficientnet-lite0", "--background", "#FFFFFF"]
    found = prepared_from(place / "runs", *flags)
    assert (found.config.background, found.config.levels) == ("white", "16-bit 0 to 4095")
    again = StudyConfig.from_json(json.loads(json.dumps(found.config.to_json())))
    assert again.identity.reading == found.inputs.data.report.reading
    assert found.inputs.validation is not None
    assert found.inputs.validation.report.reading == again.identity.reading
    black = prepared_from(place / "runs", *flags[:-2])
    assert black.config.background == "black"
    digests = [(c.data_digest, c.validation_digest) for c in (black.config, found.config)]
    assert digests[0] != digests[1]


def test_a_table_of_labels_and_chosen_classes_are_kept_and_found_again(place):
    table = place / "labels.csv"
    rows = [f"{name}/{i:02}.png;{name}{i // 12}" for name in ("cats", "dogs") for i in range(16)]
    table.write_text("\n".join(["which;what", *rows]), encoding="utf-8-sig")
    flags = ["--data", str(place / "pictures"), "--image-size", "32", "--study", "t"]
    flags += ["--features", "efficientnet-lite0", "--space", "resumed_space:line"]
    flags += ["--labels", str(table), "--label-columns", "file=which,label=what"]
    flags += ["--classes", "dogs0,cats0"]
    new = new_from(place / "runs", *flags)
    assert new.inputs.data.counts == {"dogs0": 12, "cats0": 12}
    (place / "runs" / "t").mkdir()
    storage = open_storage(StudyFolder(place / "runs" / "t").database_url)
    create_study(storage, new.config, YARDSTICK, new.space_snapshot, [{"g_lr": 1e-3}])
    write_images(place / "runs" / "t" / IMAGES, new.inputs.data, new.inputs.validation)
    found = resumed_from(place / "runs", "--resume", "t")
    assert found.config.identity == new.config.identity == found.inputs.identity
    with refused("--resume", "--classes"):
        prepared_from(place / "runs", "--resume", "t", "--classes", "cats0,dogs0")
    moved = table.rename(place / "moved.csv")
    with refused("--resume t", table, "--labels"):
        prepared_from(place / "runs", "--resume", "t")
    again = resumed_from(place / "runs", "--resume", "t", "--labels", str(moved))
    assert again.config.labels == str(moved)
    assert again.config.data_digest == new.config.data_digest
    moved.write_text(moved.read_text(encoding="utf-8-sig").replace("cats1", "cats0"))
    with refused("--resume t", "4 new"):
        prepared_from(place / "runs", "--resume", "t", "--labels", str(moved))
    with refused("--resume s", "--labels"):
        prepared_from(place / "runs", "--resume", "s", "--labels", str(moved))


@pytest.mark.parametrize(
    "flags",
    [["--eta", "4"], ["--background", "white"], ["--resource", "seconds"],
     ["--max-trial-time", "1m"], ["--study", "t"], ["--warm-start", "t"], ["--train-time", "1m"],
     ["--seed", "1"]],
)  # fmt: skip
def test_what_defines_a_study_cannot_be_given_again(place, flags):
    can = ("--trials", "--time-budget", "--enqueue", "--top-k", "--winner-images")
    with refused("--resume", flags[0], *can):
        prepared_from(place / "runs", "--resume", "s", *flags)


def refusal(place: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command says when it refuses to go on; it has done nothing."""
    before = (place / "runs" / "s" / "study.db").read_bytes()
    assert main(["--resume", "s", "--output", str(place / "runs")]) == 2
    assert (place / "runs" / "s" / "study.db").read_bytes() == before
    said = capsys.readouterr().err
    assert said.startswith("error: --resume s: ")
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda cats: (cats / "03.png").unlink(), "1 gone (cats/03.png)"),
        (lambda cats: draw(cats / "99.png", 7), "1 new (cats/99.png)"),
        (lambda cats: draw(cats / "05.png", 7), "1 changed (cats/05.png)"),
        (
            lambda cats: [(cats / f"{i:02d}.png").unlink() for i in range(4)],
            "4 gone (cats/00.png, cats/01.png, cats/02.png, …)",
        ),
        (
            lambda cats: [draw(cats / "99.png", 7), (cats / "00.png").unlink()],
            "1 gone (cats/00.png), 1 new (cats/99.png)",
        ),
    ],
)
def test_changed_images_are_named(place, capsys, change, said):
    change(place / "pictures" / "cats")
    text = refusal(place, capsys)
    assert tells(text, place / "pictures", "images")
    assert said in text.replace(f"{place / 'pictures'}/", "")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"low": 1e-5}, "searched g_lr (0.0001 to 0.01, log, now 1e-05 to 0.01, log)"),
        ({"l2": 0.5}, "l2 (0, now 0.5)"),
        ({"scale": 3.0}, "lr_ratio ("),
    ],
)
def test_a_changed_space_is_named(place, capsys, change, said):
    write_space(place, **change)
    text = refusal(place, capsys)
    assert tells(text, "space resumed_space:line", "--enqueue", "best.json")
    assert said in text


def test_other_extractor_weights_are_refused(place, capsys):
    study = resumed_from(place / "runs", "--resume", "s").opened.study
    study.set_user_attr("config", {**study.user_attrs["config"], "weights_sha256": "f" * 64})
    text = refusal(place, capsys)
    assert tells(text, "weights", "ffffffffffff…", f"{study.user_attrs['config']['protocol']}")


def test_a_warm_start_from_a_study_of_other_images_is_refused(place, capsys):
    draw(place / "pictures" / "cats" / "99.png", 7)
    flags = ["--data", str(place / "pictures"), "--space", "resumed_space:line", "--study", "t"]
    flags += ["--image-size", "32", "--features", "efficientnet-lite0", "--warm-start", "s"]
    assert main([*flags, "--output", str(place / "runs")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --warm-start s: ")
    assert tells(error, "images")
    assert sorted(p.name for p in (place / "runs").iterdir()) == ["s"]


def test_a_warm_start_is_as_long_as_the_earlier_study_that_a_budget_had_shortened(place):
    """Two searches by one command with a budget would else never compare."""
    keep_setting(place, length=168, eval_every=21, grace=42)
    flags = ["--data", str(place / "pictures"), "--space", "resumed_space:line", "--study", "t"]
    flags += ["--image-size", "32", "--features", "efficientnet-lite0", "--warm-start", "s"]
    new = new_from(place / "runs", *flags, "--time-budget", "10m")
    found = new.config
    assert (found.length, found.eval_every, found.grace) == (168, 21, 42)
    assert new.left_open == {"winner_images", "replicates"}
    with refused("--warm-start s", "length", 168, 90):
        new_from(place / "runs", *flags, "--epochs", "90")


def test_the_default_is_not_queued_twice(place):
    """As where it is among the best of the study whose best.json is enqueued."""
    write_space(place, scale=1.0)
    (place / "best.json").write_text('[{"g_lr": 0.002}, {"g_lr": 0.003}]')
    flags = ["--data", str(place / "pictures"), "--space", "resumed_space:line", "--study", "t"]
    flags += ["--image-size", "32", "--features", "efficientnet-lite0"]
    found = new_from(place / "runs", *flags, "--enqueue", str(place / "best.json"))
    assert found.first == {"g_lr": 0.002}
    assert found.queue == [{"g_lr": 0.003}]


def test_image_differences_by_hand(tmp_path):
    data = make_data(n=6)
    path = tmp_path / IMAGES
    write_images(path, data)
    assert tells(image_differences(path, data), "order")
    assert path.read_text().splitlines()[0] == "source,class,sha256,held_back"
    assert len(path.read_text().splitlines()) == 7

    def having(**changes: Any) -> str:
        return image_differences(path, replace(data, **changes))

    pixels = data.images.copy()
    pixels[2, 0, 5, 5] ^= 1
    assert having(images=pixels) == "1 changed (made/2)"
    labels = data.labels.copy()
    labels[3] = 1 - labels[3]
    assert having(labels=labels) == "1 changed (made/3)"
    sources = (*data.sources[:5], 'a, "b"')
    assert having(sources=sources) == '1 gone (made/5), 1 new (a, "b")'
    write_images(path, replace(data, sources=sources))
    assert tells(having(sources=sources), "order")


@pytest.mark.parametrize("content", [None, "a,b\n1,2\n"])
def test_without_a_readable_list_the_difference_is_not_known(tmp_path, content):
    path = tmp_path / IMAGES
    if content is not None:
        path.write_text(content)
    said = image_differences(path, make_data(n=4))
    assert tells(said, path, "not known")


def test_images_held_back_must_stay_too(place):
    """And none of them is trained on, nor does such a study read a test split."""
    root = place / "divided"
    shutil.copytree(place / "pictures", root / "train")
    shutil.copytree(place / "pictures", root / "test")
    flags = ["--data", str(root), "--space", "resumed_space:line", "--image-size", "32"]
    flags += ["--features", "efficientnet-lite0", "--study", "h"]
    new = new_from(place / "runs", *flags, "--objective", "classifier", "--hold-back", "0.4")
    assert new.inputs.validation is not None
    assert new.inputs.validation.counts == {"cats": 6, "dogs": 6}
    assert new.inputs.data.counts == {"cats": 10, "dogs": 10}
    assert not set(new.inputs.validation.sources) & set(new.inputs.data.sources)
    assert new.inputs.held_out is new.inputs.validation
    folder = place / "runs" / "h"
    folder.mkdir()
    storage = open_storage(StudyFolder(folder).database_url)
    create_study(storage, new.config, YARDSTICK, new.space_snapshot, [])
    write_images(folder / IMAGES, new.inputs.data, new.inputs.validation)
    (folder / "study.json").write_text(json.dumps(new.config.to_json()))
    again = prepared_from(place / "runs", "--resume", "h")
    assert again.inputs.validation is not None
    assert again.inputs.validation.sources == new.inputs.validation.sources
    changed, messages = new.inputs.validation.sources[0], set()
    for seed in range(1000, 1006):  # other pixels may or may not be held back in their turn
        draw(root / changed, seed)
        with refused("--resume h", "images", "new study") as caught:
            prepared_from(place / "runs", "--resume", "h")
        messages.add(str(caught.value))
    one, other = sorted(messages, key=len)
    assert tells(one, "held back")
    assert tells(other, root, f"1 changed ({changed})")


def test_a_generator_that_saw_images_held_back_begins_no_study_and_goes_on_with_none(place):
    flags = ["--data", str(place / "pictures"), "--space", "resumed_space:line"]
    flags += ["--image-size", "32", "--features", "efficientnet-lite0", "--study", "h"]
    flags += ["--hold-back", "0.4"]
    new = new_from(place / "runs", *flags)
    assert new.inputs.validation is not None
    path = place / "generator.safetensors"
    folder = place / "runs" / "h"
    folder.mkdir()
    for seen, parts in (
        (new.inputs.validation.images[:2], ("2 of the 12", "held back")),
        (new.inputs.validation.images[:0], ("not say", "trained")),
    ):
        write_generator(path, {"a": torch.ones(1)}, {"images": fingerprints(seen)})
        with refused("--init-from", path, *parts):
            prepared_from(place / "runs", *flags, "--init-from", str(path))
    begun = replace(new.config, init_from=str(path), init_sha256=checksum(path, "--init-from"))
    create_study(
        open_storage(StudyFolder(folder).database_url), begun, YARDSTICK, new.space_snapshot, []
    )
    (folder / "study.json").write_text(json.dumps(begun.to_json()))
    with refused(path, "not say", "trained"):
        prepared_from(place / "runs", "--resume", "h")
    with refused("--init-from", path, "shape"):  # nothing held back
        prepared_from(place / "runs", *flags[:-4], "--study", "t", "--init-from", str(path))


def test_data_are_kept_by_their_whole_path_and_found_from_another_folder(place, monkeypatch):
    monkeypatch.chdir(place)
    flags = ["--data", "pictures", "--space", "resumed_space:line", "--image-size", "32"]
    flags += ["--features", "efficientnet-lite0", "--study", "t", "--held-out", "pictures/"]
    with refused("--held-out", "class 'cats'"):
        prepared_from(place / "runs", *flags)
    assert prepared_from(place / "runs", *flags[:-2]).config.data == str(place / "pictures")
    keep_setting(place, data="pictures")  # as studies began before
    assert prepared_from(Path("runs"), "--resume", "s").config.data == str(place / "pictures")
    monkeypatch.chdir("/")
    with refused("--resume s", "'pictures'", "--data"):
        prepared_from(place / "runs", "--resume", "s")


def keep_setting(place: Path, **changes: Any) -> None:
    """Let the study have other settings than it began with."""
    folder = place / "runs" / "s"
    values = {**json.loads((folder / "study.json").read_text()), **changes}
    study = load_study("s", open_storage(StudyFolder(folder).database_url))
    study.set_user_attr("config", values)
    (folder / "study.json").write_text(json.dumps(values))


def test_data_that_have_moved_are_named_and_proved_by_their_pixels(place):
    (place / "pictures").rename(place / "elsewhere")
    with refused("--resume s", place / "pictures", "moved", "--data"):
        prepared_from(place / "runs", "--resume", "s")
    found = prepared_from(place / "runs", "--resume", "s", "--data", str(place / "elsewhere"))
    assert found.config.data == str(place / "elsewhere")
    draw(place / "elsewhere" / "cats" / "05.png", 7)
    with refused(place / "elsewhere", "1 changed (cats/05.png)"):
        prepared_from(place / "runs", "--resume", "s", "--data", str(place / "elsewhere"))
    with refused("--resume s", "--held-out", "without"):
        prepared_from(place / "runs", "--resume", "s", "--held-out", str(place))


def test_what_no_trial_hangs_on_may_be_given_anew(place):
    found = prepared_from(place / "runs", "--resume", "s", "--top-k", "1", "--winner-images", "400")
    assert (found.config.top_k, found.config.winner_images) == (1, 400)
    assert "winner_images" in resumed_from(place / "runs", "--resume", "s").left_open
    keep_setting(place, winner_images=2000)  # which somebody asked for
    assert "winner_images" not in resumed_from(place / "runs", "--resume", "s").left_open
    with refused("--winner-images is 40", f"samples of {GENERATED}"):
        prepared_from(place / "runs", "--resume", "s", "--winner-images", "40")


@pytest.mark.parametrize(
    ("given", "output"),
    [("s", "runs"), ("s/", "runs"), ("runs/s", None), ("./runs/s//", None), ("{}/runs/s", None),
     ("{}/runs/s/", "runs"), ("../runs/s", None)],
)  # fmt: skip
def test_a_study_may_be_named_by_its_folder(place, monkeypatch, given, output):
    monkeypatch.chdir(place / "pictures" if given.startswith("..") else place)
    flags = ["--resume", given.format(place)] + (["--output", output] if output else [])
    args = parser().parse_args(flags)
    resume_placed(args)
    assert args.resume == "s"
    assert args.output.resolve() == place / "runs"


@pytest.mark.parametrize("given", ["", ".", "..", "/", "runs/.."])
def test_a_path_that_names_no_study_is_refused(place, monkeypatch, given):
    monkeypatch.chdir(place)
    with refused("--resume", repr(given), "name"):
        resume_placed(parser().parse_args(["--resume", given]))


def test_a_path_and_another_output_contradict_each_other(place, monkeypatch):
    monkeypatch.chdir(place)
    args = parser().parse_args(["--resume", "runs/s", "--output", "pictures"])
    with refused("--resume", "'runs/s'", "--output", "'pictures'"):
        resume_placed(args)
