"""The run: what a step does, that it is honest about divergence, and that it is reproducible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.helpers.refusals import refused
from tests.helpers.toys import make_data, small_config
from trainable.gan.adversaries import BackboneAdversary, PixelAdversary
from trainable.gan.config import ACTIVATIONS
from trainable.gan.networks import Discriminator
from trainable.gan.optimizers import lr_factor, optimizer
from trainable.gan.run import DivergedError, Run


def pixels(run: Run) -> torch.nn.Module:
    """D, the network on pixels."""
    assert isinstance(run.adversaries[0], PixelAdversary)
    return run.adversaries[0].network


# Passes, data and draws


def test_a_trial_does_not_disturb_the_global_generator(data):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    Run(small_config(data), data, seed=1).train_epoch()
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("batch", [1, 7, 8, 40])
def test_an_epoch_is_one_pass_worth_of_images_whatever_the_batch(data, batch):
    run = Run(small_config(data, batch_size=batch), data, seed=0)
    for epoch in range(1, 4):
        run.train_epoch()
        assert run.epoch == epoch
        assert epoch * 40 <= run.images_seen < epoch * 40 + batch


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_every_image_is_shown_once_a_pass_with_its_class_and_on_the_outputs_scale(data, activation):
    run = Run(small_config(data, batch_size=7, output_activation=activation), data, seed=0)
    batches: list[tuple[Tensor, Tensor]] = []
    run._play = lambda phases: torch.zeros(4)  # type: ignore[method-assign]
    for _ in range(40):  # 7 whole passes
        run.train_step()
        batches.append(run._batch(run._batches[0]))
    shown, classes = (torch.cat(parts) for parts in zip(*batches, strict=True))
    low, span = (-1, 2) if activation == "tanh" else (0, 1)
    indices = []
    grey = ((shown - low) / span * 255).round().to(torch.uint8)
    assert ((shown - low) / span * 255 - grey).abs().max() < 1e-3
    for image, one_hot in zip(grey, classes, strict=True):
        (index,) = (run._images == image).flatten(1).all(1).nonzero().flatten().tolist()
        assert one_hot.argmax() == data.labels[index]
        assert one_hot.sum() == 1
        indices.append(index)
    assert all(sorted(indices[p : p + 40]) == list(range(40)) for p in range(0, 280, 40))


def test_images_and_labels_wait_on_the_device_as_they_came(data):
    run = Run(small_config(data), data, seed=0)
    assert run._images.dtype == torch.uint8
    assert run._images.shape == (40, 1, 32, 32)
    assert run._images.device == run._classes.device == run.device
    assert torch.equal(run._images, torch.tensor(data.images))
    assert torch.equal(run._classes.argmax(1), torch.tensor(data.labels))


def test_training_learns_where_the_classes_differ(data):
    run = Run(small_config(data, g_width=8, d_width=8), data, seed=0)
    for _ in range(60):
        run.train_epoch()
    images = run.sample(torch.tensor([0] * 20 + [1] * 20), seed=0).float()[:, 0]
    zero, one = images[:20].mean(0), images[20:].mean(0)
    assert zero[4:12, 4:12].mean() > one[4:12, 4:12].mean() + 20
    assert one[12:18, 12:18].mean() > zero[12:18, 12:18].mean() + 20


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 5)])
def test_every_activation_grey_and_colour_any_classes(activation, channels, classes):
    data = make_data(channels=channels, classes=classes)
    slope = 0.2 if activation == "leaky_relu" else None
    changes = {"activation": activation, "leaky_slope": slope, "g_residuals": 1, "d_residuals": 1}
    run = Run(small_config(data, **changes), data, seed=0)
    run.train_epoch()
    images = run.sample(torch.arange(classes), seed=0)
    assert images.shape == (classes, channels, 32, 32)
    assert images.dtype == torch.uint8


def test_samples_depend_on_the_seed_and_not_on_the_batch_or_on_training_draws(data):
    run = Run(small_config(data), data, seed=0)
    labels = torch.arange(10) % 2
    first = run.sample(labels, seed=1)
    assert not torch.equal(first, run.sample(labels, seed=2))
    assert (first.int() - run.sample(labels, seed=1, batch=3).int()).abs().max() <= 1
    run._latents(50)
    assert torch.equal(first, run.sample(labels, seed=1))


# The step


@pytest.mark.parametrize("d_steps", [1, 3])
def test_a_step_is_so_many_updates_of_d_and_one_of_g(data, monkeypatch, d_steps):
    run = Run(small_config(data, d_steps=d_steps), data, seed=0)
    calls = []
    for name in ("update", "judge"):
        method = getattr(PixelAdversary, name)

        def spy(self: Any, *args: Any, _name: str = name, _method: Callable = method) -> Tensor:
            real, fake = args[:2]
            calls.append((_name, len(real), fake.requires_grad))
            return _method(self, *args)

        monkeypatch.setattr(PixelAdversary, name, spy)
    told = run.train_step()
    assert told.shape == (4,)
    # Only the last fakes keep their way back into G.
    updates = [("update", 8, k == d_steps - 1) for k in range(d_steps)]
    assert calls == [*updates, ("judge", 8, True)]
    assert (run.steps, run.images_seen) == (1, 8 * d_steps)


def test_g_follows_the_verdict_and_d_its_own_loss_alone(data):
    """G's move under plain SGD is its rate times the gradient of the adversary's verdict."""
    sgd = {"optimizer": "sgd", "momentum": 0.0, "beta1": None, "beta2": None, "warmup_kimg": 0.0}
    run = Run(small_config(data, g_lr=0.01, **sgd), data, seed=0)
    verdicts = []
    judge = run.adversaries[0].judge

    def spy(*args: Any) -> Tensor:
        loss = judge(*args)
        weights = list(run.G.parameters())
        verdicts.append(torch.autograd.grad(loss, weights, retain_graph=True))
        return loss

    run.adversaries[0].judge = spy  # type: ignore[method-assign]
    before = [w.clone() for w in run.G.parameters()]
    told = run.train_step()
    for old, new, gradient in zip(before, run.G.parameters(), *verdicts, strict=True):
        torch.testing.assert_close(new, old - 0.01 * gradient)
    assert told.isfinite().all()


def test_rates_warm_up_and_both_follow(data):
    run = Run(
        small_config(data, warmup_kimg=0.08, lr_halflife_kimg=0.0, g_lr=1e-3, lr_ratio=2.0),
        data,
        seed=0,
    )
    rates = []
    for _ in range(12):
        run.train_step()
        optimizers = (run._g_opt, run.adversaries[0].optimizer)
        rates.append([o.param_groups[0]["lr"] for o in optimizers])
    # The first step of 8 images takes a tenth; the tenth and all later ones the whole.
    assert rates[0] == pytest.approx([1e-4, 2e-4])
    assert rates[9:] == [[1e-3, 2e-3]] * 3


def test_rates_halve_in_every_halflife(data):
    config = small_config(data, warmup_kimg=1.0, lr_halflife_kimg=2.0)
    factors = [lr_factor(config, n) for n in (0, 500, 1000, 2000, 4000)]
    assert factors == pytest.approx([0, 0.5 * 0.5**0.25, 0.5**0.5, 0.5, 0.25])
    constant = small_config(data, warmup_kimg=0.0, lr_halflife_kimg=0.0)
    assert lr_factor(constant, 10**9) == 1


@pytest.mark.parametrize(("rampup", "kept"), [(1.0, 0.25), (2e-5, 0.0625)])
def test_ema_is_the_weighted_mean_it_claims_to_be(data, rampup, kept):
    """Eight images at a half-life of four, or of two where the ramp-up still holds it down."""
    run = Run(small_config(data, ema_halflife_kimg=0.004, ema_rampup=rampup), data, seed=0)
    run.images_seen = 100_000 - 8
    before = run.G_ema.project.weight.clone()
    run.train_step()
    expected = before * kept + run.G.project.weight * (1 - kept)
    assert torch.allclose(run.G_ema.project.weight, expected, atol=1e-6)
    assert not run.G_ema.training
    assert not any(w.requires_grad for w in run.G_ema.parameters())


def test_without_ema_the_generator_itself_is_scored(data):
    run = Run(small_config(data, ema_halflife_kimg=0.0, ema_rampup=None), data, seed=0)
    run.train_epoch()
    for name, value in run.G.state_dict().items():
        if value.is_floating_point():
            assert torch.equal(run.G_ema.state_dict()[name], value)


def test_weight_decay_shrinks_weights_that_get_no_gradient(data):
    config = small_config(data, optimizer="adamw", l2=0.1)
    D = Discriminator(config, data.task)
    adamw = optimizer(config, D, 0.01)
    before = D.head.weight.clone()
    (D.head.weight * 0).sum().backward()
    adamw.step()
    assert torch.allclose(D.head.weight, before * (1 - 0.01 * 0.1))


# Divergence


def test_a_loss_that_is_not_finite_is_divergence(data):
    run = Run(small_config(data), data, seed=0)
    with torch.no_grad():
        pixels(run).head.weight.fill_(float("nan"))  # type: ignore[union-attr]
    with pytest.raises(DivergedError, match=r"loss .*nan .*\b1$"):
        run.train_epoch()


@pytest.mark.parametrize("network", ["G", "G_ema", "D"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_one_weight_that_is_not_finite_is_divergence_though_all_losses_are_finite(
    data, monkeypatch, network, value
):
    """It breaks in the epoch's last step: no loss has seen it, and images show NaN as black."""
    run, step = Run(small_config(data), data, seed=0), Run.train_step

    def last(self: Run) -> Tensor:
        losses = step(self)
        if self.images_seen >= 2 * 40:
            broken = pixels(self) if network == "D" else getattr(self, network)
            with torch.no_grad():
                next(broken.parameters()).view(-1)[3] = float(value)
            if network == "G":
                self._average()  # as a step ends: G_ema takes G's weights
        assert losses.isfinite().all()
        return losses

    monkeypatch.setattr(Run, "train_step", last)
    run.train_epoch()
    with pytest.raises(DivergedError, match=r"weights .*(nan|inf) .*\b2$"):
        run.train_epoch()


def test_a_running_variance_that_is_not_finite_is_divergence(data, monkeypatch):
    """Buffers, too, are drawn with."""
    run, step = Run(small_config(data), data, seed=0), Run.train_step
    buffers = [b for b in run.G_ema.buffers() if b.is_floating_point()]
    assert buffers

    def last(self: Run) -> Tensor:
        losses = step(self)
        buffers[0].view(-1)[0] = float("inf")
        return losses

    monkeypatch.setattr(Run, "train_step", last)
    with pytest.raises(DivergedError, match=r"weights .*(nan|inf) .*\b1$"):
        run.train_epoch()


def test_a_score_that_is_not_finite_is_divergence(data, evaluator):
    run = Run(small_config(data), data, seed=0)
    evaluator.extractor.mix.fill_(float("nan"))
    with pytest.raises(DivergedError, match=r"features .*\b0$"):
        evaluator.scores(run, seed=0)


# What cannot be built, and what a run starts from


def test_networks_that_cannot_be_built_are_refused(data):
    with refused("g_depth", 5, "32-pixel"):
        Run(small_config(data, g_depth=5), data, seed=0)
    with refused("batch_size", 41, 40):
        Run(small_config(data, batch_size=41), data, seed=0)


def test_a_run_begins_with_an_earlier_generator_and_own_discriminators(data):
    config = small_config(data)
    earlier = Run(config, data, seed=1)
    earlier.train_epoch()
    weights = earlier.G_ema.state_dict()
    begun, fresh = Run(config, data, seed=2, initial=weights), Run(config, data, seed=2)
    for name, weight in weights.items():
        assert torch.equal(begun.G.state_dict()[name], weight)
        assert torch.equal(begun.G_ema.state_dict()[name], weight)
    for name, weight in pixels(fresh).state_dict().items():
        assert torch.equal(pixels(begun).state_dict()[name], weight)
    begun.train_epoch()


def test_only_the_discriminators_that_are_wanted_are_built(data):
    run = Run(small_config(data), data, seed=0)
    assert [type(a) for a in run.adversaries] == [PixelAdversary]
    assert BackboneAdversary not in {type(a) for a in run.adversaries}
    assert set(run._parts()) == {"G", "G_ema", "g_opt", "D", "D_opt"}
