"""Convolutions of frozen networks: what is quicker is the same, whatever the shapes."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from trainable.pretrained import convolve as module
from trainable.pretrained.convolve import convolve

ACTIVATIONS = {"none": lambda h: h, "relu": F.relu, "relu6": F.relu6}


def same_padded(x, kernel, stride):
    """As TensorFlow has it: so many zeros that the output has side / stride, rounded up."""
    side = x.shape[2]
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return F.pad(x, (total // 2, total - total // 2) * 2)


@pytest.fixture(params=[True, False], ids=["in one pass", "one after the other"])
def _fuses(request, monkeypatch):
    if request.param and not module._FUSES:
        pytest.skip("not had on this processor")
    monkeypatch.setattr(module, "_FUSES", request.param)


@pytest.mark.usefixtures("_fuses")
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (5, 1), (5, 2)])
@torch.inference_mode()
def test_same_padding_is_that_of_a_padded_copy(kernel, stride, depthwise, activation):
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 6, kernel, stride, groups=6 if depthwise else 1)
    for side in range(1, 20):
        layout = [torch.contiguous_format, torch.channels_last][side % 2]
        x = (4 * torch.randn(2, 6, side, side)).contiguous(memory_format=layout)
        before = x.clone()
        wanted = ACTIVATIONS[activation](conv(same_padded(x, kernel, stride)))
        found = convolve(x, conv, nn.Identity(), activation, same=True)
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
        assert found.shape[2] == -(-side // stride)
        assert torch.equal(x, before)  # also where the activation works in place


@pytest.mark.usefixtures("_fuses")
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_norm_its_own_padding_and_gradients_are_kept(activation, dtype):
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 4, 3, 2, 1).to(dtype), nn.BatchNorm2d(4).eval().to(dtype)
    norm.running_mean.normal_()  # pyright: ignore
    x = torch.randn(2, 3, 8, 8, dtype=dtype, requires_grad=True)
    for after in (norm, nn.Identity()):
        wanted = ACTIVATIONS[activation](after(conv(x)))
        found = convolve(x, conv, after, activation)
        torch.testing.assert_close(found, wanted)
        inputs = (x, conv.weight)
        mine, theirs = (torch.autograd.grad(h.sum(), inputs) for h in (found, wanted))
        torch.testing.assert_close(mine, theirs)
        with torch.inference_mode():
            torch.testing.assert_close(convolve(x, conv, after, activation), wanted.detach())
        weight = torch.autograd.grad(
            convolve(x.detach(), conv, after, activation).sum(), conv.weight
        )
        torch.testing.assert_close(weight, theirs[1:])


def test_what_is_not_a_number_is_seen_in_training():
    conv = nn.Conv2d(1, 1, 1).requires_grad_(False)
    x = torch.full((1, 1, 2, 2), float("nan"))
    assert convolve(x, conv, nn.Identity(), "relu6").isnan().all()


@pytest.mark.parametrize("side", [8, 9])
def test_gradients_pass_same_padding(side):
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 6, 5, 2, groups=6)
    x = torch.randn(2, 6, side, side, requires_grad=True)
    found = convolve(x, conv, nn.Identity(), "relu6", same=True)
    wanted = F.relu6(conv(same_padded(x, 5, 2)))
    mine, theirs = (torch.autograd.grad(h.square().sum(), x)[0] for h in (found, wanted))
    torch.testing.assert_close(mine, theirs)
