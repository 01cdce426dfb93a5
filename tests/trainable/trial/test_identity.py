"""The record of what a run's scores hang on: read from any other, and compared."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace

import pytest

from trainable.data.labelling import AS_FOLDERS, Labelling
from trainable.trial.identity import RunIdentity

FOUND = RunIdentity(
    data="/films", data_digest="d", image_size=32, fit="pad", background="white",
    levels="16-bit 0 to 4095", held_out="/others", held_out_digest="h", hold_back=0.25,
    validation_digest="v", features="tiny", protocol="tiny/mean-8", weights_sha256="0" * 64,
    backbone="resnet18", backbone_sha256="1" * 64, init_from="models:/old@champion",
    init_sha256="2" * 64, seed=7, labels="/labels.csv", label_columns="file=a", classes="b,a",
)  # fmt: skip
# As single runs have kept them: a run.json of before is read by them.
NAMES = {
    "data_digest": "images",
    "held_out_digest": "held-out images",
    "validation_digest": "images held back",
    "protocol": "network of FID",
    "weights_sha256": "weights of that network",
    "backbone_sha256": "backbone",
    "init_sha256": "first generator",
    "seed": "seed",
}


@pytest.mark.parametrize("identity", [FOUND, RunIdentity()])
def test_it_comes_back_from_values_and_from_their_text(identity):
    """MLflow keeps text, ``None`` among it, and other settings beside."""
    settings = identity.settings
    assert RunIdentity.of({**settings, "trials": 64}) == identity
    assert RunIdentity.of({key: str(value) for key, value in settings.items()}) == identity


def test_what_a_record_lacks_is_as_it_was_before_there_was_a_choice():
    found = RunIdentity.of({"data": "/films", "seed": "3"})
    assert found == RunIdentity(data="/films", seed=3)
    assert (found.fit, found.background, found.hold_back) == ("crop", "black", 0.0)
    assert found.reading.settings == {"fit": "crop", "background": "black", "levels": None}
    assert found.labelling == AS_FOLDERS


def test_how_files_are_read_is_part_of_it():
    assert FOUND.reading.settings == {
        "fit": "pad", "background": "white", "levels": "16-bit 0 to 4095"
    }  # fmt: skip


def test_where_classes_are_from_is_part_of_it():
    assert FOUND.labelling == Labelling("/labels.csv", "file=a", "b,a")


def test_runs_are_told_apart_by_what_was_found_and_not_by_where():
    elsewhere = replace(
        FOUND, data="/moved", held_out="/moved", init_from="/moved", fit="crop", features="other"
    )
    assert FOUND.differences(elsewhere) == []
    facts = {f.name for f in fields(RunIdentity)}
    assert set(NAMES) <= facts
    for fact, name in NAMES.items():
        (found,) = FOUND.differences(replace(FOUND, **{fact: 9 if fact == "seed" else None}))
        assert (found.fact, found.name, found.was) == (fact, name, getattr(FOUND, fact))


def test_the_names_in_run_json_stay():
    assert FOUND.named == {name: getattr(FOUND, fact) for fact, name in NAMES.items()}


def test_a_difference_shows_both_values_and_of_long_ones_the_start():
    weights, images = FOUND.differences(replace(FOUND, weights_sha256=None, seed=8))
    assert str(weights) == f"weights of that network ({'0' * 40}, now None)"
    assert str(images) == "seed (7, now 8)"


@pytest.mark.parametrize("module", ["identity", "report", "objective"])
def test_flags_need_not_wait_for_pytorch(module):
    code = f"import sys, trainable.trial.{module}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
