"""What a configuration says to the task at hand, and to values that do not go together."""

import dataclasses

import pytest

from spaces import presets
from spaces.task import Task
from tests.helpers.configs import ADAM, BACKED, NOISY, ONLY, XRAYS, without
from tests.helpers.refusals import refused
from trainable.gan.config import BACKBONES, TrialConfig


@pytest.mark.parametrize("name", ["g_depth", "d_depth"])
@pytest.mark.parametrize(("size", "deepest"), [(4, 1), (32, 4), (64, 5), (128, 6)])
def test_depth_must_leave_a_grid_of_two(name, size, deepest):
    task = Task(size, 1, 2, 200)
    base = ADAM | {"g_depth": 1, "d_depth": 1}
    TrialConfig.from_params(base | {name: deepest}).check_task(task)
    with refused(name, deepest + 1, f"{size}-pixel", deepest, "--image-size"):
        TrialConfig.from_params(base | {name: deepest + 1}).check_task(task)


def test_a_discriminator_that_is_left_out_has_no_depth_to_check():
    task = Task(16, 1, 2, 200, backbone="googlenet")
    TrialConfig.from_params(ONLY | {"g_depth": 2}).check_task(task)


def test_a_batch_must_not_exceed_the_images():
    config = TrialConfig.from_params(ADAM)
    config.check_task(Task(64, 1, 2, 16))
    with refused("batch_size", 16, 15):
        config.check_task(Task(64, 1, 2, 15))


@pytest.mark.parametrize("there", ["none", "vgg16"])
@pytest.mark.parametrize("params", [BACKED, ONLY], ids=["auxiliary", "only"])
def test_a_backbone_must_be_at_hand(params, there):
    config = TrialConfig.from_params(params)
    config.check_task(dataclasses.replace(XRAYS, backbone="googlenet"))
    with refused("googlenet", there, "--backbone googlenet"):
        config.check_task(dataclasses.replace(XRAYS, backbone=there))


def test_a_backbone_at_hand_need_not_be_used():
    TrialConfig.from_params(ADAM).check_task(dataclasses.replace(XRAYS, backbone="vgg16"))


@pytest.mark.parametrize("preset", presets.PRESETS)
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("size", [4, 32, 128, 512])
def test_presets_fit_every_task(preset, backbone, size):
    task = Task(size, 3, 5, 12, backbone)
    config = TrialConfig.from_params(presets.PRESETS[preset](task))
    config.check_task(task)
    assert config.backbone == (backbone if preset == "default" else "none")


# Contradictions


def test_what_follows_a_discriminator_on_pixels_needs_one():
    only = TrialConfig.from_params(ONLY)
    assert (only.augment_control, only.instance_noise) == ("fixed", 0)
    adaptive = {"augment_control": "adaptive", "augment_target": 0.6}
    noise = {"instance_noise": 0.1, "instance_noise_halflife_kimg": 8.0}
    base = without(ONLY, "augment_probability")
    control = ("augment_control", "adaptive", "backbone_role only", "fixed")
    noisy = ("instance_noise", 0.1, "backbone_role only", 0)
    with refused(*control):
        TrialConfig.from_params(base | adaptive)
    with refused(*noisy):
        TrialConfig.from_params(ONLY | noise)
    with refused(*control, *noisy):
        TrialConfig.from_params(base | adaptive | noise)


def test_beside_a_discriminator_on_pixels_all_of_it_is_allowed():
    for params in (NOISY, BACKED | {"instance_noise": 0.1, "instance_noise_halflife_kimg": 8.0}):
        TrialConfig.from_params(params)
    changes = {"augment_control": "adaptive", "augment_target": 0.6}
    TrialConfig.from_params(without(BACKED, "augment_probability") | changes)
