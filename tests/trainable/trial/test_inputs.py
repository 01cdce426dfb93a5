"""What runs are made from is loaded in one place: what is found, told, checked and refused."""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from spaces.errors import InputError
from tests.helpers.refusals import refused
from tests.helpers.toys import TinyExtractor, make_data, small_params, write_pictures
from trainable.basics.terminal import make_console
from trainable.data.fingerprints import fingerprints
from trainable.generators.saved import SavedGenerator
from trainable.metrics import quick_classifier
from trainable.pretrained import load as networks
from trainable.trial import evaluation
from trainable.trial import inputs as module
from trainable.trial.evaluation import real_set
from trainable.trial.identity import RunIdentity
from trainable.trial.inputs import Images, Inputs, load_inputs
from trainable.trial.objective import Objective
from trainable.trial.workload import Workload

FLAGS = argparse.Namespace(features_weights=None, backbone_weights=None, unverified_weights=False)


@pytest.fixture(autouse=True)
def tiny(monkeypatch) -> None:
    monkeypatch.setattr(networks, "load_extractor", lambda *a, **k: (TinyExtractor(), "tiny"))
    monkeypatch.setattr(networks, "load_backbone", lambda *a, **k: None)
    monkeypatch.setattr(quick_classifier, "STEPS", 2)


@pytest.fixture
def wanted(tmp_path) -> RunIdentity:
    write_pictures(tmp_path / "pictures", make_data())
    return RunIdentity(data=str(tmp_path / "pictures"), image_size=32, seed=3)


def loaded(wanted: RunIdentity, start: SavedGenerator | None = None, **more: Any) -> Inputs:
    def fetch(source: str) -> SavedGenerator:
        assert start is not None
        assert source == wanted.init_from
        return start

    return load_inputs(wanted, FLAGS, fetch, make_console(file=io.StringIO()), shared=False, **more)


def generator(**known: Any) -> SavedGenerator:
    about: Any = known
    return SavedGenerator("old", "f" * 64, {"a": torch.ones(1)}, about)


def test_what_is_found_takes_the_place_of_what_was_wanted(wanted):
    found = loaded(replace(wanted, hold_back=0.4))
    assert found.validation is not None
    assert found.data.n + found.validation.n == 40
    assert found.held_out is found.validation
    assert found.identity == replace(
        wanted, hold_back=0.4, data_digest=found.data.digest,
        validation_digest=found.validation.digest, held_out_digest=found.validation.digest,
        features="tiny", protocol="tiny/mean-8", weights_sha256="0" * 64,
    )  # fmt: skip
    assert len(found.said) == 1
    assert loaded(found.identity).identity == found.identity  # as a replay or a resume loads it
    assert loaded(wanted).said == ()


def test_images_alone_are_those_that_a_run_is_trained_on(wanted):
    wanted = replace(wanted, hold_back=0.4)
    images = Images.read(wanted)
    found = loaded(wanted)
    assert images.whole.n == 40
    assert images.data.digest == found.identity.data_digest
    assert images.validation is not None
    assert images.validation.digest == found.identity.validation_digest


def test_each_step_is_checked_before_the_next_begins(wanted, monkeypatch):
    """So that other images are named as such, and not by what does not fit with them."""
    told: list[RunIdentity] = []
    loaded(wanted, check=lambda found, whole: told.append(found))
    assert [sum(v is not None for v in t.settings.values()) for t in told] == sorted(
        sum(v is not None for v in t.settings.values()) for t in told
    )
    assert told[0].data_digest is not None
    assert told[0].weights_sha256 is None
    assert told[-1].weights_sha256 == "0" * 64

    def check(found: RunIdentity, whole: object) -> None:
        if replace(wanted, data_digest="other").differences(found):
            raise InputError("other images")

    monkeypatch.setattr(module, "held_out", lambda *a, **k: pytest.fail("read too early"))
    with refused("other images"):
        loaded(wanted, check=check)


def test_what_is_read_says_which_setting_named_it(wanted, tmp_path):
    read: list[str] = []

    @contextmanager
    def reading(setting: str) -> Iterator[None]:
        read.append(setting)
        try:
            yield
        except InputError as error:
            raise InputError(f"while reading {setting}: {error}") from error

    loaded(wanted, reading=reading)
    assert read == ["data", "held_out", "init_from"]
    for setting in ("data", "held_out"):
        with refused("while reading", setting, tmp_path / "nowhere"):
            loaded(replace(wanted, **{setting: str(tmp_path / "nowhere")}), reading=reading)


def test_a_generator_is_loaded_unless_it_saw_what_is_held_back(wanted):
    begun = replace(wanted, init_from="old")
    found = loaded(begun, generator())
    assert found.start is not None
    assert found.identity.init_sha256 == "f" * 64
    with refused("old", "shape"):
        found.check(small_params(found.data))
    held = loaded(replace(wanted, hold_back=0.4)).validation
    assert held is not None
    seen = generator(images=fingerprints(held.images[:2]), settings={"fit": "crop"})
    with refused("old", f"2 of the {held.n}"):
        loaded(replace(begun, hold_back=0.4), seen)


def test_a_configuration_that_cannot_be_built_is_refused(wanted):
    found = loaded(wanted)
    found.check(small_params(found.data))
    with refused("batch_size", "41"):
        found.check(small_params(found.data, batch_size=41))


def test_more_classes_than_an_evaluation_has_pairs_for_are_refused(wanted, monkeypatch):
    monkeypatch.setattr(evaluation, "GENERATED", 3)
    with refused("2 classes", "at most 1", "--classes"):
        loaded(wanted)


def test_a_workload_has_all_that_was_loaded(wanted, tmp_path):
    found = loaded(replace(wanted, hold_back=0.4))
    workload = Workload.of(
        found, real_set(found.data, found.networks.extractor), objective=Objective.parse("fid"),
        evaluations=(1,), trials=Path(tmp_path), device="cpu", threads=1,
    )  # fmt: skip
    assert (workload.data, workload.extractor) == (found.data, found.networks.extractor)
    assert (workload.seed, workload.start, workload.backbone) == (3, None, None)
    assert workload.task == found.task
    assert workload.validation is not None
    assert workload.validation.labels.tolist() == found.validation.labels.tolist()  # pyright: ignore
