"""The networks: shapes for every choice, and that each choice does what it is called."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spaces.task import Task
from tests.helpers.toys import make_data, small_config
from trainable.gan.config import ACTIVATIONS, TrialConfig
from trainable.gan.networks import ClassBatchNorm2d, Discriminator, Generator, NearestConv2d
from trainable.generators.image_generator import ImageGenerator

UPSAMPLINGS = ("nearest", "bilinear", "transposed", "pixel_shuffle")
G_NORMS = ("batch", "class_batch", "none")
D_NORMS = ("none", "spectral", "batch")
DATA = make_data()


def task(size: int = 32, channels: int = 1, classes: int = 2) -> Task:
    return Task(size, channels, classes, 40)


def config(**changes: Any) -> TrialConfig:
    return small_config(DATA, **{"g_depth": 3, "d_depth": 3, **changes})


def seeded(network: type, *args: Any) -> Any:
    torch.manual_seed(0)
    return network(*args)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def classes(n: int, k: int = 2) -> Tensor:
    return torch.eye(k)[torch.arange(n) % k]


# The doubling convolution


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (3, 5), (7, 2), (16, 1)])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("side", [1, 2, 5])
def test_nearest_convolution_is_enlarging_and_convolving(inputs, outputs, bias, side):
    """Value and gradients, at the borders too; in double precision to its rounding."""
    layer = seeded(NearestConv2d, inputs, outputs, bias).double()
    x = randn(3, inputs, side, side).double().requires_grad_()
    weight = layer.weight.detach().clone().requires_grad_()
    shift = layer.bias.detach().clone().requires_grad_() if bias else None
    expected = F.conv2d(F.interpolate(x, scale_factor=2), weight, shift, padding=1)
    found = layer(x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    pull = randn(*expected.shape, seed=1).double()
    wanted = torch.autograd.grad((expected * pull).sum(), [x, weight] + ([shift] if bias else []))
    ours = torch.autograd.grad((found * pull).sum(), [x, *layer.parameters()])
    for a, b in zip(ours, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


def test_nearest_convolution_in_single_precision_and_channels_last():
    layer = seeded(NearestConv2d, 6, 3, True).to(memory_format=torch.channels_last)
    x = randn(2, 6, 8, 8).contiguous(memory_format=torch.channels_last)
    expected = F.conv2d(F.interpolate(x, scale_factor=2), layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)


# Shapes

SHAPES = pytest.mark.parametrize(
    ("size", "depth", "residuals", "channels", "k"),
    [(32, 1, 0, 1, 2), (32, 4, 2, 3, 5), (64, 4, 1, 1, 1), (128, 5, 0, 3, 2)],
)


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
@pytest.mark.parametrize("g_norm", G_NORMS)
@SHAPES
def test_generators_give_images(upsampling, g_norm, size, depth, residuals, channels, k):
    chosen = config(upsampling=upsampling, g_norm=g_norm, g_depth=depth, g_residuals=residuals)
    G = seeded(Generator, chosen, task(size, channels, k))
    assert G.first_grid == size >> depth
    images = G(randn(3, 8), classes(3, k))
    assert images.shape == (3, channels, size, size)
    assert images.abs().max() <= 1
    images.sum().backward()
    wants = {n for n, w in G.named_parameters() if w.grad is None}
    assert wants == set()


@pytest.mark.parametrize("norm", D_NORMS)
@pytest.mark.parametrize("conditioning", ["concat", "projection"])
@SHAPES
def test_discriminators_give_logits(norm, conditioning, size, depth, residuals, channels, k):
    chosen = config(d_norm=norm, d_conditioning=conditioning, d_depth=depth, d_residuals=residuals)
    D = seeded(Discriminator, chosen, task(size, channels, k))
    x = randn(3, channels, size, size).requires_grad_()
    logits = D(x, classes(3, k))
    assert logits.shape == (3,)
    logits.sum().backward()
    assert x.grad is not None
    assert {n for n, w in D.named_parameters() if w.grad is None} == set()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_activations_in_place_cost_no_gradient(activation, norm):
    """Residual blocks keep what an activation would overwrite: against the same out of place."""
    slope = 0.2 if activation == "leaky_relu" else None
    kind = {"activation": activation, "leaky_slope": slope, "g_residuals": 2, "d_residuals": 2}
    chosen = config(g_norm=norm, d_norm=norm, **kind)
    for network, inputs in (
        (Generator, (randn(3, 8), classes(3))),
        (Discriminator, (randn(3, 1, 32, 32), classes(3))),
    ):
        gradients = []
        for in_place in (True, False):
            net = seeded(network, chosen, task())
            for module in net.modules():
                if hasattr(module, "inplace") and not in_place:
                    module.inplace = False
            net(*inputs).square().sum().backward()
            gradients.append([w.grad for w in net.parameters()])
        for a, b in zip(*gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)  # sums in another order


def test_the_generators_range_is_its_output_activations():
    for activation, low in (("tanh", -1.0), ("sigmoid", 0.0)):
        G = seeded(Generator, config(output_activation=activation, init="he"), task())
        images = G(randn(64, 8) * 20, classes(64))
        assert low <= images.min() < low + 0.2
        assert 0.8 < images.max() <= 1


@pytest.mark.parametrize("init", ["he", "normal", "orthogonal"])
def test_initial_weights(init):
    """Whatever the rule, a residual block's last convolution starts small."""
    wide = config(init=init, g_width=32, d_width=32, g_residuals=1, d_residuals=1)
    G, D = seeded(Generator, wide, task()), seeded(Discriminator, wide, task())
    lasts = [G.residuals[0].conv2, D.blocks[-1].conv2]
    for module in (*G.modules(), *D.modules()):
        if not isinstance(module, nn.Conv2d | nn.Linear) or module.weight.numel() < 1000:
            continue
        rows = module.weight.flatten(1)
        if any(module is last for last in lasts):
            assert rows.std().item() == pytest.approx(0.01, rel=0.1)
        elif init == "normal":
            assert rows.std().item() == pytest.approx(0.02, rel=0.2)
        elif init == "he":
            gain = 2 / (1 + 0.2**2)  # of leaky ReLU with this slope
            assert rows.var().item() * rows.shape[1] == pytest.approx(gain, rel=0.2)
        else:
            short = rows if rows.shape[0] <= rows.shape[1] else rows.T
            assert torch.allclose(short @ short.T, torch.eye(len(short)), atol=1e-4)
        assert module.bias is None or not module.bias.any()


# Norms and conditioning


@pytest.mark.parametrize("g_norm", G_NORMS)
def test_the_class_matters_to_the_generator(g_norm):
    G = seeded(Generator, config(g_norm=g_norm), task()).eval()
    z = randn(4, 8)
    assert not torch.allclose(G(z, classes(4)), G(z, classes(4).flip(1)))


@pytest.mark.parametrize("conditioning", ["concat", "projection"])
def test_the_class_matters_to_the_discriminator(conditioning):
    D = seeded(Discriminator, config(d_conditioning=conditioning), task())
    x = randn(4, 1, 32, 32)
    assert not torch.allclose(D(x, classes(4)), D(x, classes(4).flip(1)))


def test_class_batch_norm_is_batch_norm_with_a_row_for_each_class():
    norm, plain = ClassBatchNorm2d(3, 2), nn.BatchNorm2d(3, affine=False)
    x, y = randn(6, 3, 4, 4) * 3 + 1, classes(6)
    assert torch.allclose(norm(x, y), plain(x))  # at first the class makes no difference
    with torch.no_grad():
        norm.gain.copy_(torch.tensor([[1.0, 2, 3], [4, 5, 6]]))
        norm.shift.copy_(torch.tensor([[0.0, 1, 0], [7, 0, 0]]))
    found, expected = norm(x, y), plain(x)
    for i, label in enumerate(y.argmax(1)):
        gain, shift = norm.gain[label][:, None, None], norm.shift[label][:, None, None]
        assert torch.allclose(found[i], expected[i] * gain + shift, atol=1e-6)


def test_class_batch_norm_in_the_generator_depends_on_the_class():
    """With the class taken from the first layer, which sees it in any case."""
    G = seeded(Generator, config(g_norm="class_batch"), task()).eval()
    with torch.no_grad():
        G.project.weight[:, 8:] = 0
    z, y = randn(4, 8), classes(4)
    assert torch.allclose(G(z, y), G(z, y.flip(1)))
    with torch.no_grad():
        G.layers[1].norm.gain[1] *= 2
    assert not torch.allclose(G(z, y), G(z, y.flip(1)))


@pytest.mark.parametrize("norm", D_NORMS)
@pytest.mark.parametrize("conditioning", ["concat", "projection"])
def test_only_batch_norm_couples_the_images_of_a_batch(norm, conditioning):
    chosen = config(d_norm=norm, d_conditioning=conditioning, d_residuals=1)
    D = seeded(Discriminator, chosen, task())
    x = randn(4, 1, 32, 32).requires_grad_()
    (gradient,) = torch.autograd.grad(D(x, classes(4))[0], x)
    reached = gradient.flatten(1).abs().amax(1) > 0
    assert reached.tolist() == [True] + [norm == "batch"] * 3


def test_batch_norm_follows_all_but_the_first_convolution():
    D = seeded(Discriminator, config(d_norm="batch"), task())
    kinds = [type(m).__name__ for m in D.blocks]
    after = ["Conv2d", "BatchNorm2d", "LeakyReLU"]
    assert kinds == ["Conv2d", "LeakyReLU", *after, *after]
    assert [m.bias is None for m in D.blocks if isinstance(m, nn.Conv2d)] == [False, True, True]


@pytest.mark.parametrize("init", ["he", "normal"])
def test_spectral_norm_holds_every_weight_at_one(init):
    """Whatever its scale was: after some power iterations, with residual blocks and both heads."""
    D = seeded(Discriminator, config(d_norm="spectral", init=init, d_residuals=1), task())
    for seed in range(30):
        D(randn(2, 1, 32, 32, seed=seed), classes(2))
    layers = [m for m in D.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 3 + 2 + 2
    for layer in layers:
        largest = torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item()
        assert largest == pytest.approx(1, abs=0.05)


def test_a_residual_block_starts_near_the_identity_and_both_networks_have_as_many_as_asked():
    chosen = config(g_residuals=3, d_residuals=2)
    G, D = seeded(Generator, chosen, task()), seeded(Discriminator, chosen, task())
    names = [type(m).__name__ for m in (*G.residuals, *D.blocks)]
    assert names.count("_Residual") == 5
    block = G.residuals[0]
    x, y = randn(4, 16, 4, 4), classes(4)
    assert (block(x, y) - x).std() < 0.2 * x.std()
    assert (D.blocks[-1](x) - x).std() < 0.2 * x.std()
    with torch.no_grad():
        block.conv2.weight.zero_()
    before = x.clone()
    assert torch.equal(block(x, y), x)
    assert torch.equal(x, before)


# Export


@pytest.mark.parametrize(
    ("upsampling", "g_norm", "activation"),
    [
        *((u, n, "leaky_relu") for u in UPSAMPLINGS for n in ("class_batch", "none")),
        ("nearest", "batch", "gelu"),
        ("bilinear", "batch", "elu"),
    ],
)
def test_generators_can_be_exported_for_any_batch(upsampling, g_norm, activation):
    slope = 0.2 if activation == "leaky_relu" else None
    kind = {"activation": activation, "leaky_slope": slope, "g_residuals": 1}
    chosen = config(upsampling=upsampling, g_norm=g_norm, **kind)
    G = seeded(Generator, chosen, task()).to(memory_format=torch.channels_last)
    images = ImageGenerator(G, chosen).eval().requires_grad_(False)
    batch = torch.export.Dim("batch", min=1)
    example = (torch.zeros(2, 8), torch.zeros(2, 2))
    program = torch.export.export(images, example, dynamic_shapes=({0: batch}, {0: batch}))
    for n in (1, 5):
        z, y = randn(n, 8), classes(n)
        found = program.module()(z, y)
        assert found.dtype == torch.uint8
        assert (found.int() - images(z, y).int()).abs().max() <= 1
