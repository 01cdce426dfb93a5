"""Signs of life: what a worker says between two reports."""

from __future__ import annotations

import time
import weakref
from types import SimpleNamespace
from typing import Any

import pytest

from trainable.trial.signs import Sign, SignsOfLife, read_sign


class Held:
    """A trial that can be asked whether it is still there."""

    scoring = False

    def __init__(self, folder, run):
        self.folder, self.run = folder, run


@pytest.fixture
def trial(tmp_path):
    run = SimpleNamespace(epoch=0, images_seen=0)
    return SimpleNamespace(folder=tmp_path, run=run, scoring=False)


def wait_for(trial, wanted) -> Sign:
    while True:
        sign = read_sign(trial.folder)
        if sign is not None and wanted(sign):
            return sign
        time.sleep(0.005)


def test_signs_follow_the_trial_and_tell_its_speed(trial):
    at_work = [trial]
    signs = SignsOfLife(lambda: at_work[0], pause=0.005)
    try:
        assert wait_for(trial, lambda sign: True) == Sign(0, 0, 0.0, False)
        began = time.monotonic()
        trial.run.epoch, trial.run.images_seen = 3, 600
        sign = wait_for(trial, lambda sign: sign.epoch == 3 and sign.rate)
        assert sign.images_seen == 600
        assert sign.rate > 600 / (time.monotonic() - began + 60)
        trial.scoring = True
        wait_for(trial, lambda sign: sign.scoring)
        assert wait_for(trial, lambda sign: sign.scoring).rate == 0
        trial.scoring = False
        assert wait_for(trial, lambda sign: not sign.scoring).rate == 0  # since it was scored
        at_work[0] = None
    finally:
        signs.stop()
    trial.run.epoch = 9
    time.sleep(0.05)
    assert wait_for(trial, lambda sign: True).epoch == 3


def test_a_trial_is_not_held_between_signs(tmp_path):
    """Its memory on a GPU is the next trial's."""
    at_work: list[Any] = [Held(tmp_path, SimpleNamespace(epoch=0, images_seen=0))]
    gone = weakref.ref(at_work[0])
    signs = SignsOfLife(lambda: at_work[0], pause=0.2)
    try:
        wait_for(at_work[0], lambda sign: True)
        time.sleep(0.02)
        at_work[0] = None
        assert gone() is None
    finally:
        signs.stop()


def test_a_folder_that_cannot_be_written_to_stops_nothing(trial):
    there, trial.folder = trial.folder, trial.folder / "gone"
    signs = SignsOfLife(lambda: trial, pause=0.005)
    try:
        time.sleep(0.05)
        assert read_sign(trial.folder) is None
        trial.folder = there
        wait_for(trial, lambda sign: True)
    finally:
        signs.stop()


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"epoch": 1}', "\udcff"])
def test_what_is_no_sign_says_nothing(tmp_path, content):
    assert read_sign(tmp_path) is None
    (tmp_path / "sign.json").write_text(content, errors="surrogateescape")
    assert read_sign(tmp_path) is None
