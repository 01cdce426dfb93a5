"""Scores without a pretrained network: planted cases, closed forms, what must stay untouched."""

import math
import pickle

import numpy as np
import pytest
import torch

from trainable.data.phantom import phantom
from trainable.metrics import independent, quick_classifier
from trainable.metrics.independent import Witness


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Less training, which the phantom does not need."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quick_classifier, "STEPS", 40)
        yield


@pytest.fixture(scope="module")
def films():
    images, labels = phantom(32, per_class=60)[:2]
    return torch.tensor(images), torch.tensor(labels)


@pytest.fixture(scope="module")
def others():
    images, labels = phantom(32, per_class=40, seed=1)[:2]
    return torch.tensor(images), torch.tensor(labels)


@pytest.fixture(scope="module")
def witness(films, others):
    return Witness.of(films[0], films[1], 2, others)


def plain(*grey: int, side: int = 32, channels: int = 1) -> torch.Tensor:
    """Flat images of these grey levels."""
    values = torch.tensor(grey, dtype=torch.uint8)
    return values[:, None, None, None].expand(-1, channels, side, side).clone()


def test_fresh_phantoms_score_as_real_ones(witness, others):
    scores = witness.scores(*others)
    assert list(scores) == ["pixel_kid", "class_agreement", "pixel_diversity"]
    assert abs(scores["pixel_kid"]) < 0.3
    assert 0.85 < scores["pixel_diversity"] < 1.15
    assert witness.held_out
    assert witness.accuracy > 0.75


def test_the_accuracy_is_the_agreement_of_the_training_images(witness, films):
    assert witness.scores(*films)["class_agreement"] == pytest.approx(witness.accuracy)


def test_swapped_labels_are_the_complement(witness, films):
    images, labels = films
    swapped = witness.scores(images, 1 - labels)
    assert swapped["class_agreement"] == pytest.approx(1 - witness.accuracy)
    assert swapped["pixel_kid"] == witness.scores(images, labels)["pixel_kid"]


def test_noise_is_far_and_of_no_class(witness, films):
    images, labels = films
    rng = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, images.shape, generator=rng).byte()
    scores = witness.scores(noise, labels)
    assert scores["pixel_kid"] > 1
    assert abs(scores["class_agreement"] - 0.5) < 0.2


def test_one_image_a_class_has_no_diversity(witness, films):
    images, labels = films
    rows = torch.tensor([int((labels == c).nonzero()[0]) for c in (0, 1)])
    scores = witness.scores(images[rows.repeat(20)], labels[rows.repeat(20)])
    assert scores["pixel_diversity"] == 0
    assert scores["pixel_kid"] > witness.scores(images, labels)["pixel_kid"]


def test_the_images_themselves_have_diversity_one_and_a_kid_below_zero(witness, films):
    scores = witness.scores(*films)
    assert scores["pixel_diversity"] == pytest.approx(1)
    assert scores["pixel_kid"] < 0


def test_real_vectors_have_unit_mean_square_half_from_either_part(witness):
    vectors = independent._vectors(witness.seen, witness.seen)
    pixels = vectors[:, : 16 * 16]
    assert vectors.shape[1] == 16 * 16 + 2 * 16 * 15
    assert float(vectors.mean(0).abs().max()) < 1e-9
    assert float(vectors.square().mean()) == pytest.approx(1)
    assert float(pixels.square().sum() / vectors.square().sum()) == pytest.approx(0.5)


def test_kid_of_flat_images_in_closed_form(witness):
    # Flat grey a and b: pixels (a - 100) / 10 in units where reals 90 and 110 have deviation 10;
    # no steps, so x·y / D is half the product of two such numbers.
    real = Witness(plain(90, 110, side=16), torch.tensor([0, 1]), 2, witness.nets, True, 1.0)
    kernel = lambda x, y: (x * y / 2 + 1) ** 3  # noqa: E731
    across = np.mean([kernel(x, y) for x in (-1, 1) for y in (2, 3)])
    expected = kernel(-1, 1) + kernel(2, 3) - 2 * across
    found = real.scores(plain(120, 130), torch.tensor([0, 1]))["pixel_kid"]
    assert found == pytest.approx(expected)


def test_diversity_is_that_of_the_least_diverse_class(witness):
    labels = torch.tensor([0, 0, 1, 1])
    real = Witness(plain(90, 110, 90, 110, side=16), labels, 2, witness.nets, True, 1.0)
    found = real.scores(plain(0, 10, 0, 30), labels)["pixel_diversity"]
    assert found == pytest.approx(0.5)


def test_agreement_counts_classes_alike():
    guess, labels = torch.tensor([0, 0, 0, 0, 1]), torch.tensor([0, 0, 0, 1, 1])
    assert quick_classifier.share_right(guess, labels) == pytest.approx(0.75)


@pytest.mark.parametrize("held_out", ["none", "a class missing"])
def test_without_held_out_images_the_score_has_another_name(films, others, held_out):
    known = None if held_out == "none" else (others[0][:40], others[1][:40])
    if known is not None:
        assert known[1].unique().tolist() == [0]
    witness = Witness.of(films[0], films[1], 2, known)
    scores = witness.scores(*others)
    assert "class_agreement" not in scores
    assert 0.5 < witness.accuracy <= 1
    assert 0.5 < scores["class_agreement_train"] <= 1


def test_the_same_seed_gives_the_same_witness_on_any_threads(films, others, witness):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    again = Witness.of(films[0], films[1], 2, others)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(threads)
    for ours, theirs in zip(witness.nets, again.nets, strict=True):
        for key, value in ours.state_dict().items():
            assert torch.equal(value, theirs.state_dict()[key])


def test_torch_draws_as_if_nothing_had_been(films, others, monkeypatch):
    monkeypatch.setattr(quick_classifier, "STEPS", 4)
    before = torch.get_rng_state()
    witness = Witness.of(films[0], films[1], 2, None, seed=3)
    witness.scores(*others)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_witness_survives_pickling_and_is_small(witness, others):
    data = pickle.dumps(witness)
    assert len(data) < 1_000_000
    assert pickle.loads(data).scores(*others) == witness.scores(*others)


def test_colour_many_classes_arrays_and_other_sizes(monkeypatch):
    monkeypatch.setattr(independent, "MOST", 30)
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), [40, 40, 40, 2])
    colours = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200], [200, 200, 60]])
    noise = rng.integers(-50, 50, (len(labels), 3, 64, 64)) + rng.integers(-20, 20, (122, 3, 1, 1))
    images = (colours[labels][:, :, None, None] + noise).clip(0, 255).astype(np.uint8)
    images.flags.writeable = False  # as from shared memory
    witness = Witness.of(images, labels, 4, (images[::2, :, ::2, ::2], labels[::2]))
    assert witness.labels.bincount().tolist() == [10, 10, 10, 2]
    assert witness.accuracy > 0.9
    scores = witness.scores(torch.tensor(images), torch.tensor(labels))
    assert all(math.isfinite(score) for score in scores.values())


def test_a_class_of_one_image_has_no_diversity_but_the_rest(films, monkeypatch):
    monkeypatch.setattr(quick_classifier, "STEPS", 4)
    images, labels = films
    rows = torch.cat([(labels == 0).nonzero()[:9, 0], (labels == 1).nonzero()[:1, 0]])
    scores = Witness.of(images[rows], labels[rows], 2, None).scores(images, labels)
    assert math.isnan(scores.pop("pixel_diversity"))
    assert all(math.isfinite(score) for score in scores.values())


def test_a_class_whose_real_images_are_all_alike_has_no_diversity(films, others, monkeypatch):
    monkeypatch.setattr(quick_classifier, "STEPS", 4)
    images, labels = films
    same = images.where(labels[:, None, None, None] == 0, images[-1])
    scores = Witness.of(same, labels, 2, None).scores(others[0], others[1])
    assert math.isnan(scores.pop("pixel_diversity"))
    assert all(math.isfinite(score) for score in scores.values())


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (plain(1, 2).float(), torch.tensor([0, 1])),
        (plain(1, 2), torch.tensor([0])),
        (plain(1, 2), torch.tensor([0, 2])),
        (plain(1, 2)[:, 0], torch.tensor([0, 1])),
        (plain(1), torch.tensor([0])),
    ],
)
def test_what_does_not_fit_is_refused(witness, images, labels):
    with pytest.raises(ValueError, match=r"labels|images|n >= 2"):
        witness.scores(images, labels)
