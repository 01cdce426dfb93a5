"""Convolutions of frozen networks: what is quicker is the same, whatever the shapes."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from trainable.pretrained import convolve as rooms
from trainable.pretrained.convolve import convolve

ACTIVATIONS = {"none": lambda h: h, "relu": F.relu, "relu6": F.relu6}


def same_padded(x, kernel, stride):
    """As TensorFlow has it: so many zeros that the output has side / stride, rounded up."""
    side = x.shape[2]
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return F.pad(x, (total // 2, total - total // 2) * 2)


@pytest.fixture(params=[True, False], ids=["in one pass", "one after the other"])
def _fuses(request, monkeypatch):
    if request.param and not rooms._FUSES:
        pytest.skip("not had on this processor")
    monkeypatch.setattr(rooms, "_FUSES", request.param)


@pytest.mark.usefixtures("_fuses")
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (5, 1), (5, 2)])
def test_same_padding_is_that_of_a_padded_copy(kernel, stride, depthwise, activation):
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 6, kernel, stride, groups=6 if depthwise else 1).requires_grad_(False)
    for side in range(1, 20):
        x = (4 * torch.randn(2, 6, side, side)).contiguous(memory_format=torch.channels_last)
        before = x.clone()
        wanted = ACTIVATIONS[activation](conv(same_padded(x, kernel, stride)))
        found = convolve(x, conv, nn.Identity(), activation, same=True)
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
        assert found.shape[2] == -(-side // stride)
        assert torch.equal(x, before)  # also where the activation works in place


@pytest.mark.usefixtures("_fuses")
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_norm_its_own_padding_and_gradients_are_kept(activation):
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4).eval()
    norm.running_mean.normal_()  # pyright: ignore
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    wanted = ACTIVATIONS[activation](norm(conv(x)))
    found = convolve(x, conv, norm, activation)
    torch.testing.assert_close(found, wanted)
    mine, theirs = (torch.autograd.grad(h.sum(), x)[0] for h in (found, wanted))
    torch.testing.assert_close(mine, theirs)
    with torch.no_grad():
        torch.testing.assert_close(convolve(x.detach(), conv, norm, activation), wanted.detach())
    double = conv.double()
    torch.testing.assert_close(
        convolve(x.double(), double, nn.Identity(), activation),
        ACTIVATIONS[activation](double(x.double())),
    )


@pytest.mark.parametrize("side", [8, 9])
def test_gradients_pass_same_padding(side):
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 6, 5, 2, groups=6)
    x = torch.randn(2, 6, side, side, requires_grad=True)
    found = convolve(x, conv, nn.Identity(), "relu6", same=True)
    wanted = F.relu6(conv(same_padded(x, 5, 2)))
    mine, theirs = (torch.autograd.grad(h.square().sum(), x)[0] for h in (found, wanted))
    torch.testing.assert_close(mine, theirs)
