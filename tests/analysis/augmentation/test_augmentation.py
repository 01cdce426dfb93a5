"""Do the images help? Planted truths, leaks refused, and a study that goes on where it stopped."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torch import nn

from analysis.augmentation.classifier.fit import ClassifierRecipe
from analysis.augmentation.design import materials
from analysis.augmentation.design.arms import (
    ADDED,
    ALONE,
    ARMS,
    BLURRED,
    BOTH,
    CLASSICAL,
    DUPLICATES,
    MIXUP,
    REAL,
    SELECTED,
    USUAL,
    parse_arms,
)
from analysis.augmentation.design.cells import (
    COMPLETE,
    DIVERGED,
    Cell,
    Trained,
    compose,
    duplicates,
    parse_ratios,
    parse_sizes,
    plan,
)
from analysis.augmentation.design.materials import Source, divide, load_real
from analysis.augmentation.design.retrain import Which
from analysis.augmentation.design.softness import blurred
from analysis.augmentation.findings import draw
from analysis.augmentation.findings.results import Findings
from analysis.augmentation.flags import parser
from analysis.augmentation.running import train_cell as train_cell_module
from analysis.augmentation.running.store import Store
from analysis.augmentation.running.train_cell import Materials, train_cell
from tests.helpers.pictures import class_folder
from tests.helpers.refusals import refused, tells
from tests.helpers.toys import make_data
from trainable.data import sources
from trainable.data.fingerprints import fingerprints
from trainable.data.labelling import Labelling
from trainable.data.sources import load
from trainable.gan.run import DivergedError
from trainable.generators.saved import SavedGenerator

QUICK = ClassifierRecipe("small_cnn", 60, 16, 3e-3, 1e-2, 0.05, 6, taught="plain")
BRIEF = replace(QUICK, steps=12, evaluations=2)
"""Where it does not matter how much is learned."""


class Noise(nn.Module):
    """Draws noise, whatever the class."""

    def forward(self, z, y):
        rng = torch.Generator().manual_seed(abs(int(1e6 * z[0, 0])))
        return torch.randint(0, 256, (len(z), 1, 32, 32), dtype=torch.uint8, generator=rng)


class Copies(nn.Module):
    """Draws the images of a data set: of fresh ones, it is perfect."""

    def __init__(self, images, labels):
        super().__init__()
        self.of = [torch.tensor(images[labels == k]) for k in range(labels.max() + 1)]

    def forward(self, z, y):
        rows = [(self.of[k], abs(int(1e6 * row[0]))) for row, k in zip(z, y.argmax(1), strict=True)]
        return torch.stack([images[n % len(images)] for images, n in rows])


def source_of(images, seen=("none",), classes=("normal", "pneumonia"), channels=1) -> Source:
    task = {"image_size": 32, "channels": channels}
    about: Any = {"task": task, "settings": {}, "images": list(seen)}
    start = SavedGenerator("made", "0" * 64, {}, about, "--model")
    return Source(start, images, classes, 1, frozenset(seen))


@pytest.fixture(scope="module")
def phantoms():
    """100 phantoms of each class to train on, and as many to test on."""
    return load("phantom", 32), load("phantom", 32, seed=77)


def study(phantoms, images, sizes, seen=("none",), repeats=3, recipe=QUICK) -> Materials:
    data, test = phantoms
    source = source_of(images, seen)
    real = divide(data, test, source, sizes, repeats, 0)
    return Materials(real, source, recipe, None, 1, 0)


def findings(given: Materials, planned: list[Cell]) -> Findings:
    results = {cell: train_cell(given, cell, "cpu", 1) for cell in planned}
    looks = [max(cell.repeat for cell in planned) + 1]
    return Findings(results, given.real.test.labels, given.positive, looks=looks)


def told(found: Findings) -> dict[str, int]:
    """What is claimed of each arm with controls, at the one size and ratio that there is."""
    return {claim.arm: claim.told for claim in found.claims}


def mean(found: Findings, size: int, ratio: float, arm: str) -> float:
    return found.estimate((size, ratio, arm), "accuracy").mean


def of(size: int, ratio: float, arms, repeats: int = 3) -> list[Cell]:
    return [
        Cell(size, ratio if ARMS[arm].added else 0.0, arm, r)
        for arm in arms for r in range(repeats)
    ]  # fmt: skip


def test_a_perfect_generator_helps_where_real_images_are_few(phantoms, monkeypatch):
    monkeypatch.setattr(sources, "PHANTOMS_PER_CLASS", 60)  # the arm with most draws 40 of each
    fresh = load("phantom", 32, seed=999)
    given = study(phantoms, Copies(fresh.images, fresh.labels), [10], repeats=5)
    found = findings(given, of(10, 8.0, (REAL, DUPLICATES, ADDED), repeats=5))
    assert told(found) == {ADDED: 1}
    assert mean(found, 10, 8.0, ADDED) > mean(found, 10, 8.0, DUPLICATES) + 0.1
    assert tells(found.sentences()[0], "help beyond their controls", ADDED, 10)


def test_a_generator_of_noise_harms(phantoms):
    found = findings(study(phantoms, Noise(), [40]), of(40, 8.0, (REAL, ADDED, ALONE)))
    assert told(found) == {ADDED: -1}
    (alone,) = [c for c in found.comparisons if c.second == ALONE]
    assert alone.difference.high < 0
    assert tells(found.sentences()[0], "harm", ADDED, 40)
    assert mean(found, 40, 8.0, ADDED) < mean(found, 40, 0.0, REAL) - 0.1


def test_a_generator_that_copies_is_worth_what_duplicates_are(phantoms):
    data, _ = phantoms
    given = study(phantoms, None, [40], seen=[*fingerprints(data.images)[:30], "more"])
    rows = given.real.rows[40, 0]
    for repeat in range(3):  # one subset for all, so that it copies what every cell learns from
        given.real.rows[40, repeat] = rows
    copies = Copies(data.images[rows], data.labels[rows])
    given = replace(given, source=source_of(copies))
    found = findings(given, of(40, 2.0, (ADDED, DUPLICATES)))
    assert told(found) == {ADDED: 0}
    (compared,) = found.comparisons
    assert abs(compared.difference.mean) < 0.1
    assert tells(found.sentences()[0], "not seen to help")


def test_a_generator_of_blurred_images_is_worth_what_a_blur_is(phantoms):
    data, _ = phantoms
    given = study(phantoms, None, [40], repeats=2, recipe=BRIEF)
    rows = given.real.rows[40, 0]
    given.real.rows[40, 1] = rows
    soft = blurred(data.images[rows], 1.5)
    given = replace(given, source=source_of(Copies(soft, data.labels[rows])))
    results = {cell: trained(given, cell) for cell in of(40, 1.0, (ADDED, BLURRED), repeats=2)}
    assert {cell.arm: result["sigma"] for cell, result in results.items()} == {
        ADDED: None, BLURRED: pytest.approx(1.5, abs=0.15)
    }  # fmt: skip


def test_selected_images_are_those_that_a_classifier_of_real_ones_agrees_with(phantoms):
    """The generator gives every other image the wrong class."""
    data, _ = phantoms
    given = study(phantoms, None, [40], repeats=1)
    mixed = np.arange(data.n) % 2
    given = replace(given, source=source_of(Copies(data.images, mixed)))
    cell = Cell(40, 1.0, SELECTED, 0)
    work = train_cell_module._Work(given, cell, "cpu")
    images, labels = work._select([20, 20])
    truth = {image.tobytes(): label for image, label in zip(data.images, data.labels, strict=True)}
    right = [truth[image.tobytes()] == label for image, label in zip(images, labels, strict=True)]
    assert np.bincount(labels).tolist() == [20, 20]
    assert np.mean(right) > 0.85
    assert trained(given, cell)["generator"] == "optimistic"


def test_films_of_one_patient_are_one_case(phantoms):
    data, test = phantoms
    test = test.at(np.arange(0, 200, 10).repeat(10))  # each film ten times
    given = study((data, test), Noise(), [40], recipe=BRIEF)
    assert given.real.tested.tolist() == np.arange(20).repeat(10).tolist()
    results = {cell: train_cell(given, cell, "cpu", 1) for cell in of(40, 8.0, (REAL, ADDED))}
    (apart,), (together,) = (
        Findings(results, test.labels, 1, clusters).comparisons
        for clusters in (None, given.real.tested)
    )
    assert apart.difference.mean == pytest.approx(together.difference.mean)
    assert apart.difference != together.difference


def trained(given: Materials, cell: Cell) -> Trained:
    result = train_cell(given, cell, "cpu", 1)
    assert result["status"] == COMPLETE
    return result


def test_cells_of_one_repeat_learn_alike_and_the_same_cell_the_same(phantoms):
    given = study(phantoms, Noise(), [20], repeats=2, recipe=BRIEF)
    real, again = (trained(given, Cell(20, 0.0, REAL, 0)) for _ in range(2))
    other = trained(given, Cell(20, 0.0, REAL, 1))
    again["seconds"] = real["seconds"]
    assert real == again
    assert real["probabilities"] != other["probabilities"]


def test_three_classes_in_colour(tmp_path):
    """Errors are then means of each class against the rest, and there is no threshold."""
    whole = make_data(n=150, channels=3, classes=3)
    data, test = whole.at(np.arange(90)), whole.at(np.arange(90, 150))
    copies = Copies(data.images, data.labels)
    source = source_of(copies, fingerprints(data.images[:60]), whole.classes, channels=3)
    real = divide(data, test, source, [12, 30], 2, 0)
    given = Materials(real, source, replace(QUICK, steps=30), None, None, 0)
    found = findings(given, plan([12, 30], [1.0], 2, (REAL, ADDED, DUPLICATES)))
    scores = next(iter(found.complete.values()))["scores"]
    assert {"accuracy", "type_1_error", "type_2_error", "auroc"} <= scores.keys()
    assert {result["threshold"] for result in found.complete.values()} == {None}
    assert mean(found, 30, 0.0, REAL) > 0.6
    assert len(found.sentences()) == 2
    for drawn in (
        draw.accuracy(found, 60),
        draw.benefit(found),
        draw.errors(found),
        draw.training(found),
    ):
        drawn.savefig(tmp_path / "figure.png")
    assert all(0 - 5 < y < 105 for ax in draw.errors(found).axes for y in ax.get_ylim())


def test_what_counts_as_right_is_what_the_accuracy_counts(phantoms):
    given = study(phantoms, Noise(), [20], recipe=BRIEF)
    found = findings(given, of(20, 1.0, (REAL, ADDED)))
    ours, theirs = found._decisions(REAL, (20, 1.0, ADDED))
    for decided, arm in ((ours, (20, 0.0, REAL)), (theirs, (20, 1.0, ADDED))):
        assert decided.mean(axis=1).tolist() == pytest.approx(found.values(arm, "accuracy"))


def test_all_arms_of_a_repeat_begin_with_the_same_weights(phantoms, monkeypatch):
    begun = []

    def fit(recipe, train, valid, classes, *, seed, device, weights):
        begun.append((seed, len(train[1])))
        raise DivergedError("enough")

    monkeypatch.setattr("analysis.augmentation.running.train_cell.fit", fit)
    given = study(phantoms, Noise(), [20], repeats=2)
    for repeat in (0, 1):
        for arm in (REAL, ADDED, DUPLICATES, CLASSICAL, ALONE):
            ratio = 0.0 if arm in (REAL, CLASSICAL) else 1.0
            train_cell(given, Cell(20, ratio, arm, repeat), "cpu", 1)
    assert len({seed for seed, _ in begun[:5]}) == len({seed for seed, _ in begun[5:]}) == 1
    assert begun[0][0] != begun[5][0]
    assert [n for _, n in begun[:5]] == [20, 40, 40, 20, 20]


def test_a_generator_of_its_own_draws_where_there_is_one(phantoms):
    data, _ = phantoms
    given = study(phantoms, Noise(), [20], repeats=2, recipe=BRIEF)
    own = replace(given, own={Which(20, 0): source_of(Copies(data.images, data.labels))})
    for repeat, generator in ((0, "own"), (1, "optimistic")):
        cell = Cell(20, 4.0, ALONE, repeat)
        shared, owned = (trained(given_, cell) for given_ in (given, own))
        assert (shared["generator"], owned["generator"]) == ("optimistic", generator)
        assert (shared["probabilities"] == owned["probabilities"]) == (repeat == 1)


def test_the_plan_has_every_control_once():
    cells_ = plan([10, 20], [1.0], 2, USUAL)
    assert len(set(cells_)) == len(cells_) == 2 * 2 * len(USUAL)
    assert {c.arm for c in cells_ if not c.ratio} == {REAL, CLASSICAL, MIXUP}
    assert {c.arm for c in cells_} == set(USUAL)
    assert [c.repeat for c in cells_] == sorted(c.repeat for c in cells_)
    assert len({c.key for c in cells_}) == len(cells_)


def test_what_each_arm_learns_from():
    data = make_data(n=10)
    real = data.images[:5], np.array([0, 0, 0, 1, 1])

    def draw(counts):
        assert counts == [4, 3]  # 1.5 for each, rounded to even
        return np.full((7, 1, 32, 32), 9, np.uint8), np.repeat([0, 1], counts)

    for arm in (ADDED, BOTH):
        images, labels = compose(Cell(5, 1.5, arm, 0), real, draw)
        np.testing.assert_array_equal(images[:5], real[0])
        assert (images[5:] == 9).all()
        assert labels.tolist() == [0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1]
    images, labels = compose(Cell(5, 1.5, ALONE, 0), real, draw)
    assert (images == 9).all()
    assert len(labels) == 7
    for arm in (REAL, CLASSICAL, MIXUP):
        assert compose(Cell(5, 0.0, arm, 0), real, draw) is real
    images, labels = duplicates(real, [4, 3], [0])
    assert np.bincount(labels).tolist() == [4, 3]
    times = [sum(x.tobytes() == one.tobytes() for x in images) for one in real[0]]
    assert sorted(times[:3]) == [1, 1, 2]  # each real image, one of them twice
    assert sorted(times[3:]) == [1, 2]


@pytest.mark.parametrize(
    ("text", "parts"), [("real,cats", ["--arms", "'cats'", "mixup"]), ("real,real", ["twice"])]
)
def test_arms_that_there_are_not_are_refused(text, parts):
    with refused(*parts):
        parse_arms(text)


def test_arms_by_name_with_or_without_spaces():
    assert parse_arms("real+synthetic, real + duplicates,real") == (REAL, ADDED, DUPLICATES)


def test_validation_is_of_what_the_generator_never_saw_and_subsets_of_what_it_saw(phantoms):
    data, test = phantoms
    marks = fingerprints(data.images)
    seen = marks[:60] + marks[100:160]  # of each class 60
    real = divide(data, test, source_of(None, seen), [20, 110, 130, None], 2, 0)
    at = np.isin(np.arange(200), [*range(60), *range(100, 160)])
    assert not at[real.valid].any()
    assert np.bincount(data.labels[real.valid]).tolist() == [20, 20]
    assert real.sizes == [20, 110, 130, 160]
    for (size, repeat), rows in real.rows.items():
        assert len(rows) == size
        assert not set(rows) & set(real.valid)
        assert at[rows].sum() == min(size, 120)
        if size < 160:
            assert np.bincount(data.labels[rows]).tolist() == [size // 2, size // 2]
            assert set(rows) <= set(real.rows[160, repeat])
    assert set(real.rows[20, 0]) != set(real.rows[20, 1])
    assert re.search(r"\b120 images .* 120\b", real.said[0])
    odd = replace(test, report=replace(test.report, files=210, left_out={".dcm files": 10}))
    said = divide(odd, odd, source_of(None, seen), [20], 1, 0).said
    for line in (said[0], said[2]):
        assert tells(line, "210 files", "10 .dcm files")


def test_too_few_unseen_images_are_refused(phantoms):
    data, test = phantoms
    seen = fingerprints(data.images)[:97]
    with refused("3 images", "class 'normal'", 5, "--hold-back"):
        divide(data, test, source_of(None, seen), [10], 1, 0)


def test_without_sizes_they_are_the_usual_ones_that_there_are_images_for(phantoms, monkeypatch):
    data, test = phantoms
    args = parser().parse_args(["--model", "x.safetensors", "--data", "phantom"])
    assert divide(data, test, source_of(None), args.sizes, 1, 0).sizes == [25, 50, 100]  # of 100
    monkeypatch.setattr(sources, "PHANTOMS_PER_CLASS", 40)
    few = load("phantom", 32)  # of each class half is validation
    assert divide(few, test, source_of(None), args.sizes, 1, 0).sizes == [25, 40]
    with refused("--sizes", 50, 40):
        divide(few, test, source_of(None), [25, 50, None], 1, 0)


@pytest.mark.parametrize("sizes", [[None], [10, None]])
def test_a_class_whose_patients_are_all_in_validation_is_refused(phantoms, sizes):
    data, test = phantoms
    patients = ("A",) * 99 + ("B",) + tuple(f"p{i}" for i in range(100))
    few = replace(data, patients=patients, report=replace(data.report, known=200))
    with refused("--data", "class 'normal'", 100, "2 in all", "validation", "other patients"):
        divide(few, test, source_of(None), sizes, 1, 0)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"classes": ("a", "b")}, ["normal, pneumonia", "a, b"]),
        ({"channels": 3}, ["grey", "colour"]),
        ({"seen": "test"}, ["3 of its images", "phantom/2000003/normal/0"]),
    ],
)
def test_what_does_not_fit_the_generator_is_refused(changes, parts, monkeypatch):
    monkeypatch.setattr(sources, "PHANTOMS_PER_CLASS", 10)
    if changes.get("seen") == "test":
        test = load("phantom", 32, seed=materials._TEST_SEED)
        changes = {"seen": fingerprints(test.images[:3])}
    with refused(*parts):
        load_real(
            source_of(None, **changes),  # pyright: ignore
            "phantom",
            None,
            lambda *_: None,
        )


def test_train_and_test_may_not_overlap(monkeypatch):
    monkeypatch.setattr(sources, "PHANTOMS_PER_CLASS", 10)
    with refused("phantom/0/normal/0", "the same pixels"):
        load_real(source_of(None), "phantom", "phantom", lambda *_: None)


def test_real_images_are_of_the_classes_that_the_generator_was_trained_on(tmp_path):
    for split, first in (("train", 0), ("test", 100)):
        for seed, name in enumerate(("bacteria", "normal", "virus")):
            class_folder(tmp_path / split / name, 10, first + seed)
    source = source_of(None, classes=("virus", "normal"))
    source.start.about["settings"]["classes"] = "virus,normal"  # pyright: ignore
    data, test = load_real(source, str(tmp_path), None, lambda *_: None)
    assert data.classes == test.classes == ("virus", "normal")
    other = Labelling(classes="bacteria,normal")
    with refused("--data", "bacteria, normal", "virus, normal"):
        load_real(source, str(tmp_path), None, lambda *_: None, other)


@pytest.mark.parametrize(("train", "test"), [("L", "RGB"), ("RGB", "L")])
def test_test_images_are_taken_as_grey_or_as_colour_as_the_generators(tmp_path, train, test):
    """As a search takes held-out images."""
    for split, mode, first in (("train", train, 0), ("test", test, 100)):
        for seed, name in enumerate(("normal", "pneumonia")):
            class_folder(tmp_path / split / name, 10, first + seed, mode)
    channels = len(train)
    _, apart = load_real(source_of(None, channels=channels), str(tmp_path), None, lambda *_: None)
    assert apart.images.shape[1] == channels


def test_a_generator_of_unknown_training_images_is_refused():
    about: Any = {}
    start = Mock(wraps=SavedGenerator("x", "0", {}, about, "--model"))
    start.image_generator.return_value = (Noise(), ["normal", "pneumonia"], 1)
    with refused("--model x", "not say", "test images"):
        Source.of(start)


@pytest.mark.parametrize(
    ("parse", "text", "parts"),
    [
        (parse_sizes, "10,x", ["--sizes", "'x'", "number"]),
        (parse_sizes, "1", ["--sizes", 1, "2 up"]),
        (parse_sizes, "10,all,10", ["--sizes", 10, "twice"]),
        (parse_ratios, "-1", ["--ratios", -1]),
        (parse_ratios, "1,nan", ["--ratios", "nan"]),
        (parse_ratios, "1,1.0", ["--ratios", 1, "twice"]),
    ],
)
def test_sizes_and_ratios_that_cannot_be(parse, text, parts):
    with refused(*parts):
        parse(text)


def test_sizes_and_ratios_in_order():
    assert parse_sizes("all, 100,25") == [25, 100, None]
    assert parse_ratios("4,0,0.5") == [0.5, 4.0]


def test_a_folder_holds_one_study_and_forgets_what_is_not_whole(tmp_path):
    store = Store(tmp_path)
    store.claim({"seed": 0})
    store.claim({"seed": 0})
    with refused(f"--name {tmp_path.name}", "seed", 0, 1):
        store.claim({"seed": 1})
    files = [f"person{n}_bacteria_1.jpeg" for n in range(300)]
    with refused("validation", "seed was 0") as caught:  # and not three hundred names
        store.claim({"seed": 1, "validation": files})
    assert len(str(caught.value)) < 300
    cell = Cell(10, 0.0, REAL, 0)
    assert store.read() == {}
    store.keep(cell, {"status": DIVERGED, "reason": "x"})
    assert store.read() == {cell: {"status": "diverged", "reason": "x"}}
    file = next((tmp_path / "cells").iterdir())
    file.write_text(file.read_text()[:-3])  # as a full disk leaves it
    assert store.read() == {}
    (tmp_path / "augmentation.json").write_text(json.dumps([1]))
    with refused(tmp_path / "augmentation.json"):
        store.claim({"seed": 0})
