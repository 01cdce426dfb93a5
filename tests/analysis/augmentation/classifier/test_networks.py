"""Classifiers: what they see and give, and where their ImageNet weights come from."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from analysis.augmentation.classifier import networks
from analysis.augmentation.classifier.networks import CLASSIFIERS, build, load_weights
from tests.helpers.refusals import refused, tells
from trainable.pretrained.catalog import WEIGHTS

LITE = "efficientnet-lite0"


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch) -> Path:
    """The torch hub cache: a folder of this test's own, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


# Networks


@pytest.mark.parametrize("name", [n for n in CLASSIFIERS if n != "vgg11"])
@pytest.mark.parametrize(("channels", "side"), [(1, 32), (3, 64)])
def test_every_network_gives_finite_logits(name, channels, side):
    network = build(name, channels, 3)
    logits = network(torch.rand(2, channels, side, side))
    assert logits.shape == (2, 3)
    assert logits.isfinite().all()


@pytest.mark.parametrize(("channels", "side"), [(1, 32), (3, 64), (3, 256)])
def test_vgg11_gives_logits(channels, side):
    with torch.device("meta"):  # its 129 million weights take seconds to draw
        assert build("vgg11", channels, 5)(torch.rand(2, channels, side, side)).shape == (2, 5)


def test_the_small_network_is_small():
    assert 80_000 < sum(p.numel() for p in build("small_cnn", 1, 2).parameters()) < 120_000


@pytest.mark.parametrize("name", ["resnet18", LITE])
def test_a_grey_image_is_the_same_in_three_channels(name):
    network, x = build(name, 1, 2).eval(), torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(network(x), network(x.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize(
    ("name", "mean", "deviation"),
    [("resnet18", [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), (LITE, [0.5] * 3, [0.5] * 3)],
)
def test_input_is_scaled_as_the_published_weights_want_it(name, mean, deviation):
    network = build(name, 3, 2)
    seen: list[Tensor] = []
    network.network.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    x = torch.rand(2, 3, 32, 32)
    network(x)
    for channel in range(3):
        expected = (x[:, channel] - mean[channel]) / deviation[channel]
        torch.testing.assert_close(seen[0][:, channel], expected)


def test_an_unknown_name_is_refused_with_those_there_are():
    parts = ("--classifier", "'alexnet'", *networks._SPECS)
    with refused(*parts):
        build("alexnet", 1, 2)
    with refused(*parts):
        load_weights("alexnet", None)


# ImageNet weights


def drawn(name: str) -> dict[str, Tensor]:
    """A state dict of the whole ImageNet network, at random: quicker than its own first one."""
    with torch.device("meta"):
        state = networks._SPECS[name].build().state_dict()
    return {
        key: torch.rand(value.shape) if value.is_floating_point() else torch.tensor(7)
        for key, value in state.items()
    }


def saved(path: Path, state: dict[str, Tensor]) -> Path:
    torch.save(state, path)
    return path


def known(monkeypatch, name: str, path: Path, **changes: str) -> None:
    """Let the published weights of `name` be the file at `path`."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    monkeypatch.setitem(WEIGHTS, name, replace(WEIGHTS[name], sha256=sha256, **changes))


def assert_filled(name: str, weights: Any) -> None:
    """All layers but the last are those of `weights`, copied; the last has two outputs."""
    network = build(name, 1, 2, weights).network
    last = networks._SPECS[name].last
    for key, value in network.state_dict().items():
        if key.startswith(last + "."):
            assert len(value) == 2
        else:
            assert value.equal(weights[key])
            assert value.data_ptr() != weights[key].data_ptr()


def test_weights_are_found_in_the_hub_cache_and_fill_all_but_the_last_layer(monkeypatch, hub):
    state = drawn("resnet18")
    path = saved(hub / "resnet18-f37072fd.pth", state)
    known(monkeypatch, "resnet18", path)
    weights, line = load_weights("resnet18", None)
    assert tells(line, "resnet18", f"weights {path}")
    assert "unverified" not in line
    assert_filled("resnet18", weights)
    assert all(value.equal(weights[key]) for key, value in state.items())


def test_another_file_is_refused(hub):
    path = hub / "resnet18-f37072fd.pth"
    path.write_bytes(b"something else")
    here = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    parts = (path, f"{here}…", "resnet18", "f37072fd…", "--unverified-weights")
    for file, unverified in ((None, False), (path, False), (None, True)):
        with refused(*parts):  # what is not named is always verified
            load_weights("resnet18", file, unverified=unverified)


def test_another_file_is_taken_if_asked_for(tmp_path):
    path = saved(tmp_path / "mine.pth", drawn(LITE))
    weights, line = load_weights(LITE, path, unverified=True)
    assert tells(line, LITE, f"unverified weights {path}")
    assert_filled(LITE, weights)


def test_old_names_of_densenet_are_understood(tmp_path, monkeypatch):
    state = drawn("densenet121")
    old = {
        key.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."): value
        for key, value in state.items()
        if not key.endswith("num_batches_tracked")  # as in torchvision's file
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    path = saved(tmp_path / "dense.pth", old)
    known(monkeypatch, "densenet121", path)
    weights, line = load_weights("densenet121", path)
    assert tells(line, "densenet121", f"weights {path}")
    assert set(weights) == set(state)
    assert_filled("densenet121", weights)


def test_lites_weights_come_with_their_package():
    weights, line = load_weights(LITE, None)
    assert tells(line, LITE, "package")
    assert_filled(LITE, weights)


def test_weights_that_cannot_be_had_are_named_with_the_ways_out(tmp_path, monkeypatch, hub):
    empty = tmp_path / "empty"
    empty.touch()
    source = (tmp_path / "absent.pth").as_uri().replace("file", "http", 1)
    known(monkeypatch, "vgg11", empty, source=source)
    ways = (source, "--classifier-weights", f"--classifier {LITE}")
    with refused("--classifier", "vgg11", hub / "vgg11-8a719046.pth", *ways):
        load_weights("vgg11", None)
    assert list(hub.iterdir()) == []


def test_files_that_are_missing_or_of_another_network_are_refused(tmp_path):
    with refused("--classifier-weights", tmp_path / "absent.pth", "No such file"):
        load_weights("resnet18", tmp_path / "absent.pth", unverified=True)
    path = saved(tmp_path / "other.pth", nn.Linear(2, 2).state_dict())
    with refused(path, "resnet18", "Error"):
        load_weights("resnet18", path, unverified=True)


def test_the_small_network_has_no_published_weights(tmp_path):
    parts = ("--classifier", "small_cnn", "no published weights")
    for file in (None, tmp_path / "mine.pth"):
        with refused(*parts):
            load_weights("small_cnn", file)
    with refused(*parts):
        build("small_cnn", 1, 2, {})
