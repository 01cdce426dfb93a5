"""The conditional generator and discriminator on pixels, built from a `TrialConfig`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from spaces.task import Task
from trainable.gan.config import TrialConfig


def _activation(config: TrialConfig) -> nn.Module:
    """A fresh module of the hidden activation; in place where autograd allows it."""
    match config.activation:
        case "relu":
            return nn.ReLU(inplace=True)
        case "leaky_relu":
            assert config.leaky_slope is not None  # from_params saw to it
            return nn.LeakyReLU(config.leaky_slope, inplace=True)
        case "elu":
            return nn.ELU(inplace=True)
        case "silu":
            return nn.SiLU()
        case "gelu":
            return nn.GELU()
        case "tanh":
            return nn.Tanh()
    raise ValueError(f"unknown activation {config.activation!r}")


def _channels(width: int, level: int) -> int:
    """Channels at `level` halvings below the image: `width` at level 1, doubling up to 8 times."""
    return width * min(2 ** (level - 1), 8)


class NearestConv2d(nn.Conv2d):
    """Nearest-neighbour doubling and a 3x3 convolution in one.

    Each output pixel's nine taps fall on four input pixels, so that the pair equals a transposed
    4x4 convolution whose kernel sums the 3x3 one's weights: 4 / 9 of the multiplications, and no
    enlarged tensor. On a CPU that is 1.7 to 1.8 times as fast on grids of 8 and 16 pixels, and 4
    times in the last layer; on 4 x 4 it gains nothing.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool):
        super().__init__(inputs, outputs, 3, padding=1, bias=bias)
        # Row t of `sums` adds up the taps that fall on input pixel t of the transposed kernel.
        sums = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])
        self.spread: Tensor
        self.register_buffer("spread", torch.kron(sums.T, sums.T).contiguous(), persistent=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002, the parent's name
        """[B, inputs, S, S] to [B, outputs, 2S, 2S]."""
        kernel = (self.weight.flatten(2) @ self.spread).unflatten(2, (4, 4))
        return F.conv_transpose2d(input, kernel.transpose(0, 1), self.bias, 2, 1)


class ClassBatchNorm2d(nn.Module):
    """Batch norm whose gain and shift depend on the class (de Vries et al. 2017)."""

    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = nn.Parameter(torch.ones(classes, channels))
        self.shift = nn.Parameter(torch.zeros(classes, channels))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """[B, channels, S, S], for one-hot classes y [B, K]."""
        gain, shift = (y @ table for table in (self.gain, self.shift))
        return self.norm(x) * gain[:, :, None, None] + shift[:, :, None, None]


def _doubling(config: TrialConfig, inputs: int, outputs: int, bias: bool) -> nn.Module:
    """The layer that doubles the generator's grid."""
    match config.upsampling:
        case "nearest":
            return NearestConv2d(inputs, outputs, bias)
        case "bilinear":
            larger = nn.Upsample(scale_factor=2, mode="bilinear")
            return nn.Sequential(larger, nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias))
        case "transposed":
            return nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=bias)
        case "pixel_shuffle":
            wide = nn.Conv2d(inputs, 4 * outputs, 3, padding=1, bias=bias)
            return nn.Sequential(wide, nn.PixelShuffle(2))
    raise ValueError(f"unknown upsampling {config.upsampling!r}")


class _Layer(nn.Module):
    """Normalisation and activation of one of the generator's grids."""

    def __init__(self, config: TrialConfig, channels: int, classes: int):
        super().__init__()
        kinds: dict[str, Callable[[], nn.Module]] = {
            "batch": lambda: nn.BatchNorm2d(channels),
            "class_batch": lambda: ClassBatchNorm2d(channels, classes),
            "none": nn.Identity,
        }
        self.norm = kinds[config.g_norm]()
        self.activation = _activation(config)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """[B, channels, S, S], for one-hot classes y [B, K]."""
        x = self.norm(x, y) if isinstance(self.norm, ClassBatchNorm2d) else self.norm(x)
        return self.activation(x)


class _Residual(nn.Module):
    """x + conv(act(norm(conv(act(norm(x)))))).

    The last convolution starts small, so that the block starts near the identity: without that, a
    block in D kept both networks from learning anything at a rate of 3e-3.
    """

    def __init__(self, channels: int, layer: Callable[[], nn.Module]):
        super().__init__()
        self.first, self.second = layer(), layer()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, *y: Tensor) -> Tensor:
        """[B, channels, S, S]; y goes to layers that want the class."""
        # What an activation in place would overwrite is still wanted.
        h = self.conv1(self.first(x.clone(), *y))
        return x + self.conv2(self.second(h, *y))


class Generator(nn.Module):
    """G(z, y): latent and one-hot class to images.

    A linear layer on [z, y] makes the first grid of size / 2^g_depth; each further level doubles
    it; normalisation and the activation follow every layer but the last.
    """

    def __init__(self, config: TrialConfig, task: Task):
        super().__init__()
        self.latent_size = config.latent_size
        self.first_grid = task.image_size >> config.g_depth
        top = _channels(config.g_width, config.g_depth)
        inputs = config.latent_size + task.classes
        self.project = nn.Linear(inputs, top * self.first_grid**2, bias=False)
        self.residuals = nn.ModuleList(
            _Residual(top, lambda: _Layer(config, top, task.classes))
            for _ in range(config.g_residuals)
        )
        self.layers, self.doublings = nn.ModuleList(), nn.ModuleList()
        for level in range(config.g_depth, 0, -1):
            last = level == 1
            wide = _channels(config.g_width, level)
            narrow = task.channels if last else _channels(config.g_width, level - 1)
            bias = last or config.g_norm == "none"
            self.layers.append(_Layer(config, wide, task.classes))
            self.doublings.append(_doubling(config, wide, narrow, bias))
        self.output = nn.Tanh() if config.output_activation == "tanh" else nn.Sigmoid()
        _initialise(self, config)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Images [B, C, S, S] in the output activation's range, for z [B, latent] and y [B, K]."""
        x = self.project(torch.cat([z, y], dim=1))
        x = x.unflatten(1, (-1, self.first_grid, self.first_grid))
        x = x.to(memory_format=torch.channels_last)
        for residual in self.residuals:
            x = residual(x, y)
        for layer, doubling in zip(self.layers, self.doublings, strict=True):
            x = doubling(layer(x, y))
        return self.output(x)


class Discriminator(nn.Module):
    """D(x, y): images and one-hot class to logits.

    The class enters as K constant input planes (``concat``, Mirza and Osindero 2014) or as an inner
    product of its embedding with the last features (``projection``, Miyato and Koyama 2018). Batch
    norm, where asked for, follows every convolution but the first, as in DCGAN.
    """

    def __init__(self, config: TrialConfig, task: Task):
        super().__init__()
        assert config.d_depth is not None
        assert config.d_width is not None
        assert config.d_residuals is not None
        self.concat = config.d_conditioning == "concat"
        batch_norm = config.d_norm == "batch"
        channels = task.channels + (task.classes if self.concat else 0)
        blocks: list[nn.Module] = []
        for level in range(1, config.d_depth + 1):
            wide = _channels(config.d_width, level)
            norm = [nn.BatchNorm2d(wide)] if batch_norm and level > 1 else []
            blocks += [nn.Conv2d(channels, wide, 4, 2, 1, bias=not norm), *norm]
            blocks.append(_activation(config))
            channels = wide
        blocks += [
            _Residual(channels, lambda: _activation(config)) for _ in range(config.d_residuals)
        ]
        features = channels * (task.image_size >> config.d_depth) ** 2
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(features, 1)
        self.embed = None if self.concat else nn.Linear(task.classes, features, bias=False)
        _initialise(self, config)
        if config.d_norm == "spectral":
            for module in list(self.modules()):
                if isinstance(module, nn.Conv2d | nn.Linear):
                    spectral_norm(module)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Logits [B], high for real, for images [B, C, S, S] and one-hot y [B, K]."""
        if self.concat:
            planes = y[:, :, None, None].expand(-1, -1, *x.shape[2:])
            x = torch.cat([x, planes], dim=1)
        h = self.blocks(x.contiguous(memory_format=torch.channels_last)).flatten(1)
        logits = self.head(h).squeeze(1)
        if self.embed is not None:
            # Divided by sqrt(features) so that the class term starts at the scale of the head's.
            logits = logits + (self.embed(y) * h).sum(1) * h.shape[1] ** -0.5
        return logits


def _initialise(network: nn.Module, config: TrialConfig) -> None:
    """Set the initial weights: He et al. 2015 (fan-in), N(0, 0.02) as Radford et al. 2016, or
    orthogonal (Saxe et al. 2014)."""
    slope = config.leaky_slope or 0.0
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            match config.init:
                case "normal":
                    nn.init.normal_(module.weight, 0.0, 0.02)
                case "orthogonal":
                    nn.init.orthogonal_(module.weight)
                case _:
                    nn.init.kaiming_normal_(module.weight, a=slope)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in network.modules():
        if isinstance(module, _Residual):
            nn.init.normal_(module.conv2.weight, 0.0, 0.01)
