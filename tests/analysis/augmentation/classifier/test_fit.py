"""Training classifiers: the same cost for every fit, the best weights, the same bits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.optimizer import register_optimizer_step_post_hook

from analysis.augmentation.classifier import fit as fitting
from analysis.augmentation.classifier.fit import ClassifierRecipe, Fitted, fit, predict
from analysis.augmentation.classifier.networks import Classifier, load_weights
from tests.helpers.refusals import refused
from tests.helpers.toys import make_data
from trainable.gan.run import DivergedError

RECIPE = ClassifierRecipe("small_cnn", 24, 8, 3e-3, 1e-2, 0.1, 4, "plain")
LITE = "efficientnet-lite0"


def labelled(n: int, classes: int = 2, channels: int = 1) -> tuple[Tensor, Tensor]:
    data = make_data(n, channels=channels, classes=classes)
    return torch.tensor(data.images), torch.tensor(data.labels)


TRAIN, VALID = labelled(40), labelled(24)


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    torch.set_num_threads(1)
    return fit(replace(RECIPE, steps=40), TRAIN, VALID, 2, seed=0)


def test_classes_that_are_easy_to_tell_apart_are_told_apart(fitted):
    images, labels = labelled(30)
    assert (predict(fitted.network, images).argmax(1) == labels).double().mean() > 0.9
    assert fitted.history[-1]["loss"] < fitted.history[0]["loss"]
    assert fitted.seconds > 0


def test_three_classes_in_colour_are_learned_too():
    train = labelled(45, 3, 3)
    found = fit(replace(RECIPE, steps=60), train, labelled(30, 3, 3), 3, seed=0)
    assert (predict(found.network, train[0]).argmax(1) == train[1]).double().mean() > 0.9


def same(a: nn.Module, b: nn.Module) -> bool:
    theirs = b.state_dict()
    return all(value.equal(theirs[key]) for key, value in a.state_dict().items())


@pytest.mark.parametrize("taught", ["plain", "classical", "mixup"])
def test_a_fit_is_the_same_bits_for_its_seed_and_leaves_global_draws_alone(taught):
    recipe = replace(RECIPE, taught=taught, steps=8)
    before = torch.get_rng_state()
    first = fit(recipe, TRAIN, VALID, 2, seed=3)
    assert torch.get_rng_state().equal(before)
    torch.rand(5)
    again, other = (fit(recipe, TRAIN, VALID, 2, seed=seed) for seed in (3, 4))
    assert same(first.network, again.network)
    assert first.history == again.history
    assert not same(first.network, other.network)


@pytest.mark.parametrize("n", [4, 40])
def test_every_fit_takes_as_many_steps_as_asked_whatever_it_learns_from(n):
    taken = []
    handle = register_optimizer_step_post_hook(lambda *_: taken.append(1))
    try:
        found = fit(replace(RECIPE, steps=10), labelled(n), VALID, 2, seed=0)
    finally:
        handle.remove()
    assert len(taken) == 10
    assert [row["step"] for row in found.history] == [2, 5, 8, 10]


def test_the_weights_are_those_of_the_lowest_validation_loss():
    # Classes of 12 and 3 images, and a rate that lets the loss rise again.
    rows = (VALID[1] == 0) | (torch.arange(24) < 6)
    valid = (VALID[0][rows], VALID[1][rows])
    recipe = replace(RECIPE, lr=0.1, steps=30, evaluations=10)
    found = fit(recipe, TRAIN, valid, 2, seed=1)
    losses = [row["valid_loss"] for row in found.history]
    assert losses[-1] > min(losses)  # else the last weights would do as well
    assert found.history[losses.index(min(losses))]["step"] == found.best_step
    probabilities = predict(found.network, valid[0])
    own = -probabilities.gather(1, valid[1][:, None])[:, 0].log()
    expected = torch.stack([own[valid[1] == c].mean() for c in (0, 1)]).mean()
    assert min(losses) == pytest.approx(float(expected), rel=1e-6)
    accuracy = (probabilities.argmax(1) == valid[1]).double().mean()
    best = found.history[losses.index(min(losses))]
    assert best["valid_accuracy"] == pytest.approx(float(accuracy))
    assert not found.network.training


def test_classes_come_equally_often_and_images_of_a_class_too():
    labels = torch.tensor([1] * 90 + [0] * 2 + [2] * 8)
    torch.manual_seed(0)
    rows = fitting._rows(labels, 3, steps=200, batch=6)
    assert rows.shape == (200, 6)
    assert all(labels[batch].bincount().tolist() == [2, 2, 2] for batch in rows)
    counts = rows.flatten().bincount(minlength=100)
    assert abs(int(counts[90]) - 200) < 50
    assert int((counts > 0).sum()) > 95


def test_batches_are_augmented_only_if_asked_and_never_flipped(monkeypatch):
    asked = []

    def spy(x: Tensor, parts: tuple[str, ...], span: float, rng: torch.Generator) -> Tensor:
        assert 0 <= float(x.min()) <= float(x.max()) <= span == 1
        asked.append(parts)
        return x

    monkeypatch.setattr(fitting, "augment", spy)
    fit(RECIPE, TRAIN, VALID, 2, seed=0)
    assert asked == []
    fit(replace(RECIPE, taught="classical"), TRAIN, VALID, 2, seed=0)
    assert asked == [("translation", "zoom", "brightness", "contrast")] * RECIPE.steps


def test_mixup_mixes_images_and_their_classes_in_the_same_shares(monkeypatch):
    """Of black and white images: how bright one is tells what its target has to be."""
    images = torch.tensor([0, 255], dtype=torch.uint8).repeat(10).view(-1, 1, 1, 1)
    train = images.expand(-1, 1, 32, 32).contiguous(), torch.arange(20) % 2
    bright, targets = [], []
    forward, loss = Classifier.forward, functional.cross_entropy

    def seen(self: Classifier, x: Tensor) -> Tensor:
        if self.training:
            bright.append(x.mean((1, 2, 3)))
        return forward(self, x)

    def asked(logits: Tensor, target: Tensor, **more: Any) -> Tensor:
        if target.is_floating_point():
            targets.append(target[:, 1])
        return loss(logits, target, **more)

    monkeypatch.setattr(Classifier, "forward", seen)
    monkeypatch.setattr(functional, "cross_entropy", asked)
    fit(replace(RECIPE, taught="mixup"), train, train, 2, seed=0)
    assert len(targets) == RECIPE.steps
    torch.testing.assert_close(torch.cat(targets), torch.cat(bright))
    assert ((torch.cat(targets) > 0.1) & (torch.cat(targets) < 0.9)).any()


def test_pretrained_weights_are_where_a_fit_starts():
    weights, _ = load_weights(LITE, None)
    kept = {key: value.clone() for key, value in weights.items()}
    recipe = replace(RECIPE, network=LITE, steps=1, batch=2, evaluations=1, lr=1e-12)
    network = fit(recipe, TRAIN, VALID, 2, seed=0, weights=weights).network
    stem = network.state_dict()["network._conv_stem.weight"]
    torch.testing.assert_close(stem, weights["_conv_stem.weight"])
    assert all(value.equal(kept[key]) for key, value in weights.items())


def test_a_loss_that_is_no_number_ends_the_fit():
    with pytest.raises(DivergedError, match=r"loss .*small_cnn .*\b(nan|inf)\b.* step \d"):
        fit(replace(RECIPE, lr=1e30), TRAIN, VALID, 2, seed=0)


def test_predictions_are_probabilities_whatever_the_number_of_images(fitted):
    images = TRAIN[0].repeat(4, 1, 1, 1)  # more than go through at once
    found = predict(fitted.network, images)
    assert (found.dtype, found.shape) == (torch.float64, (160, 2))
    torch.testing.assert_close(found.sum(1), torch.ones(160).double())
    torch.testing.assert_close(found[:40], predict(fitted.network, TRAIN[0]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"network": "alexnet"}, ["--classifier", "'alexnet'", "small_cnn"]),
        ({"steps": 0, "evaluations": 0}, ["--steps", 0, 1]),
        ({"batch": 1}, ["--batch", 1, 2]),
        ({"lr": 0.0}, ["--lr", 0.0, 0]),
        ({"lr": float("nan")}, ["--lr", "nan"]),
        ({"weight_decay": -1.0}, ["weight_decay", -1.0]),
        ({"smoothing": 1.0}, ["smoothing", 1.0, 0, 1]),
        ({"evaluations": 25}, ["evaluations", 25, 1, 24, "steps"]),
    ],
)
def test_recipes_out_of_range_are_refused(change, parts):
    with refused(*parts):
        replace(RECIPE, **change)


@pytest.mark.parametrize(
    "train",
    [
        (TRAIN[0].float(), TRAIN[1]),
        (TRAIN[0][:5], TRAIN[1]),
        (TRAIN[0], TRAIN[1].float()),
        (TRAIN[0], TRAIN[1] + 1),
        (TRAIN[0], TRAIN[1] * 0),
    ],
    ids=["floats", "lengths", "labels", "range", "absent"],
)
def test_images_and_labels_that_do_not_fit_are_refused(train):
    with pytest.raises(ValueError, match=r"^train: "):
        fit(RECIPE, train, VALID, 2, seed=0)
    with pytest.raises(ValueError, match=r"^valid: "):
        fit(RECIPE, TRAIN, train, 2, seed=0)
