"""The run: reproducible, resumable bit for bit, and honest about divergence."""

import io

import pytest
import torch

from spaces.errors import InputError
from tests.conftest import make_data, small_config
from trainable.augment import augment
from trainable.config import ACTIVATIONS
from trainable.networks import Discriminator
from trainable.training import DivergedError, Run, _optimizer


def weights(run: Run) -> list[torch.Tensor]:
    networks = (run.G, run.D, run.G_ema)
    return [t.clone() for network in networks for t in network.state_dict().values()]


def same(a: Run, b: Run) -> bool:
    return all(torch.equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))


RECIPES = {
    "default": {},
    "sgd": {"optimizer": "sgd", "momentum": 0.9, "beta1": None, "beta2": None},
    "rmsprop": {"optimizer": "rmsprop", "momentum": 0.0, "beta1": None, "g_lr": 1e-3},
    "adamw": {"optimizer": "adamw", "l2": 0.01, "loss": "hinge", "spectral_norm": True},
    "concat": {"conditioning": "concat", "upsampling": "transposed", "init": "normal"},
    "noise": {"instance_noise": 0.2, "instance_noise_halflife_kimg": 0.1, "d_steps": 2},
    "sigmoid": {"output_activation": "sigmoid", "augment": "translation+cutout", "loss": "minimax"},
    "raw": {"ema_halflife_kimg": 0.0, "warmup_kimg": 0.0, "augment": "none", "batch_size": 7},
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_stopped_and_loaded_continues_bit_for_bit(data, recipe):
    config = small_config(data, **RECIPES[recipe])
    whole, first = Run(config, data, seed=3), Run(config, data, seed=3)
    for _ in range(3):
        whole.train_epoch()
    first.train_epoch()
    file = io.BytesIO()
    torch.save(first.state(), file)
    file.seek(0)
    second = Run(config, data, seed=99)
    second.load_state(torch.load(file, weights_only=True))
    for _ in range(2):
        second.train_epoch()
    assert same(whole, second)
    assert (second.epoch, second.images_seen) == (whole.epoch, whole.images_seen)


def test_same_seed_same_run_other_seed_other_run(data):
    config = small_config(data)
    runs = [Run(config, data, seed=s) for s in (1, 1, 2)]
    torch.manual_seed(123)  # the global generator has no say
    losses = [run.train_epoch() for run in runs]
    assert losses[0] == losses[1] != losses[2]
    assert same(runs[0], runs[1])


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


def test_every_image_is_shown_once_a_pass(data):
    run = Run(small_config(data, batch_size=7), data, seed=0)
    shown = torch.cat([run._next_batch()[0] for _ in range(40)])  # 7 whole passes
    _, counts = shown.flatten(1).unique(dim=0, return_counts=True)
    assert len(counts) == 40
    assert (counts == 7).all()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 5)])
def test_every_activation_grey_and_colour_any_classes(activation, channels, classes):
    data = make_data(channels=channels, classes=classes)
    slope = 0.2 if activation == "leaky_relu" else None
    run = Run(small_config(data, activation=activation, leaky_slope=slope), data, seed=0)
    run.train_epoch()
    images = run.sample(torch.arange(classes), seed=0)
    assert images.shape == (classes, channels, 32, 32)
    assert images.dtype == torch.uint8


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_depth_sets_the_first_grid(data, depth):
    run = Run(small_config(data, depth=depth), data, seed=0)
    assert run.G.first_grid == 32 >> depth
    run.train_epoch()


def test_the_class_matters_to_both_networks(data):
    for conditioning in ("concat", "projection"):
        run = Run(small_config(data, conditioning=conditioning), data, seed=0)
        z = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
        one, two = torch.eye(2)[[0, 0]], torch.eye(2)[[1, 1]]
        assert not torch.equal(run.G(z, one), run.G(z, two))
        image = run.G(z, one)
        assert not torch.equal(run.D(image, one), run.D(image, two))


def test_spectral_norm_bounds_every_weight(data):
    config = small_config(data, spectral_norm=True)
    run = Run(config, data, seed=0)
    for _ in range(5):
        run.train_epoch()
    for module in run.D.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            largest = torch.linalg.matrix_norm(module.weight.flatten(1), 2).item()
            assert largest == pytest.approx(1, abs=0.15)


def test_training_learns_where_the_classes_differ(data):
    run = Run(small_config(data, g_width=8, d_width=8, augment="none"), data, seed=0)
    for _ in range(60):
        run.train_epoch()
    images = run.sample(torch.tensor([0] * 20 + [1] * 20), seed=0).float()[:, 0]
    zero, one = images[:20].mean(0), images[20:].mean(0)
    assert zero[4:12, 4:12].mean() > one[4:12, 4:12].mean() + 20
    assert one[12:18, 12:18].mean() > zero[12:18, 12:18].mean() + 20


def test_instance_noise_halves_over_its_halflife(data):
    config = small_config(
        data, instance_noise=0.5, instance_noise_halflife_kimg=1.0, augment="none"
    )
    run = Run(config, data, seed=0)
    flat = torch.zeros(64, 1, 32, 32)
    early = run._seen(flat).std().item()
    run.images_seen = 2000
    assert early == pytest.approx(0.5, rel=0.05)
    assert run._seen(flat).std().item() == pytest.approx(0.125, rel=0.05)


def test_learning_rate_warms_up(data):
    run = Run(small_config(data, warmup_kimg=0.08, g_lr=1e-3, d_lr=2e-3), data, seed=0)
    rates = []
    for _ in range(12):
        run.train_step()
        rates.append(run._d_opt.param_groups[0]["lr"])
    # The first step of 8 images takes a tenth of 2e-3; the tenth and all later ones the whole.
    assert rates[0] == pytest.approx(2e-4)
    assert rates[9:] == [2e-3] * 3


def test_ema_is_the_weighted_mean_it_claims_to_be(data):
    run = Run(small_config(data, ema_halflife_kimg=0.004), data, seed=0)
    run.images_seen = 100_000  # past the warm-up of the half-life
    before = run.G_ema.project.weight.clone()
    run.train_step()
    kept = 0.5 ** (8 / 4)  # eight images at a half-life of four
    expected = before * kept + run.G.project.weight * (1 - kept)
    assert torch.allclose(run.G_ema.project.weight, expected, atol=1e-6)


def test_weight_decay_shrinks_weights_that_get_no_gradient(data):
    config = small_config(data, optimizer="adamw", l2=0.1, d_lr=0.01, warmup_kimg=0.0)
    D = Discriminator(config, data.task)
    optimizer = _optimizer(config, D, config.d_lr)
    before = D.head.weight.clone()
    (D.head.weight * 0).sum().backward()
    optimizer.step()
    assert torch.allclose(D.head.weight, before * (1 - 0.01 * 0.1))


@pytest.mark.parametrize("part", ["translation", "brightness", "contrast", "cutout"])
def test_augmentations_change_images_each_its_own_way_and_pass_gradients(part):
    x = torch.rand(16, 3, 32, 32, requires_grad=True)
    rng = torch.Generator().manual_seed(0)
    out = augment(x, (part,), 1.0, rng)
    assert out.shape == x.shape
    moved = (out - x).flatten(1).abs().amax(1)
    assert (moved > 0).sum() >= 14
    assert len(moved.unique()) > 8  # a draw for each image, not one for the batch
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_translation_moves_content_by_whole_pixels_and_reflects():
    x = torch.zeros(64, 1, 32, 32)
    x[:, :, 16, 16] = 1.0
    out = augment(x, ("translation",), 1.0, torch.Generator().manual_seed(0))
    places = out.flatten(1).argmax(1)
    rows, columns = places // 32, places % 32
    assert (out.flatten(1).sum(1) == 1).all()
    for where in (rows, columns):
        assert (where.min().item(), where.max().item()) == (12, 20)  # an eighth each way


def test_a_loss_that_is_not_finite_is_divergence(data):
    run = Run(small_config(data), data, seed=0)
    with torch.no_grad():
        run.D.head.weight.fill_(float("nan"))
    with pytest.raises(DivergedError, match="loss is nan in epoch 1"):
        run.train_epoch()


@pytest.mark.parametrize("network", ["G", "G_ema", "D"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_one_weight_that_is_not_finite_is_divergence_though_all_losses_are_finite(
    data, monkeypatch, network, value
):
    """It breaks in the epoch's last step: no loss has seen it, and images show NaN as black."""
    run, step = Run(small_config(data), data, seed=0), Run.train_step

    def last(self: Run) -> torch.Tensor:
        losses = step(self)
        if self.images_seen >= 2 * 40:
            with torch.no_grad():
                next(getattr(self, network).parameters()).view(-1)[3] = float(value)
            if network == "G":
                self._average()  # as a step ends: G_ema takes G's weights
        assert losses.isfinite().all()
        return losses

    monkeypatch.setattr(Run, "train_step", last)
    run.train_epoch()
    with pytest.raises(DivergedError, match=r"norm of all weights is (nan|inf) in epoch 2"):
        run.train_epoch()


def test_a_running_variance_that_is_not_finite_is_divergence(data, monkeypatch):
    """Buffers, too, are drawn with."""
    run, step = Run(small_config(data), data, seed=0), Run.train_step
    buffers = [b for b in run.G_ema.buffers() if b.is_floating_point()]
    assert buffers

    def last(self: Run) -> torch.Tensor:
        losses = step(self)
        buffers[0].view(-1)[0] = float("inf")
        return losses

    monkeypatch.setattr(Run, "train_step", last)
    with pytest.raises(DivergedError, match="norm of all weights"):
        run.train_epoch()


def test_a_score_that_is_not_finite_is_divergence(data, evaluator):
    run = Run(small_config(data), data, seed=0)
    evaluator.extractor.mix.fill_(float("nan"))
    with pytest.raises(DivergedError, match="no finite features in epoch 0"):
        evaluator.scores(run, seed=0)


def test_networks_that_cannot_be_built_are_refused(data):
    with pytest.raises(InputError, match="depth is 5, but 32-pixel images"):
        Run(small_config(data, depth=5), data, seed=0)
    with pytest.raises(InputError, match="batch_size is 41, but there are 40"):
        Run(small_config(data, batch_size=41), data, seed=0)
