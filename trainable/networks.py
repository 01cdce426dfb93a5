"""The conditional generator and discriminator, built from a `TrialConfig` for a `Task`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from spaces.task import Task
from trainable.config import TrialConfig


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


class Generator(nn.Module):
    """G(z, y): latent and one-hot class to images.

    A linear layer on [z, y] makes the first grid of size / 2^depth; each further level doubles it;
    batch norm and the activation follow every layer but the last.
    """

    def __init__(self, config: TrialConfig, task: Task):
        super().__init__()
        self.latent_size = config.latent_size
        self.first_grid = task.image_size >> config.depth
        top = _channels(config.g_width, config.depth)
        self.project = nn.Linear(
            config.latent_size + task.classes, top * self.first_grid**2, bias=False
        )
        self.first = nn.Sequential(nn.BatchNorm2d(top), _activation(config))
        blocks: list[nn.Module] = []
        for level in range(config.depth, 0, -1):
            last = level == 1
            wide = _channels(config.g_width, level)
            narrow = task.channels if last else _channels(config.g_width, level - 1)
            if config.upsampling == "nearest":
                blocks.append(nn.Upsample(scale_factor=2, mode="nearest"))
                blocks.append(nn.Conv2d(wide, narrow, 3, padding=1, bias=last))
            else:
                blocks.append(nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=last))
            if not last:
                blocks += [nn.BatchNorm2d(narrow), _activation(config)]
        self.blocks = nn.Sequential(*blocks)
        self.output = nn.Tanh() if config.output_activation == "tanh" else nn.Sigmoid()
        _initialise(self, config)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Images [B, C, S, S] in the output activation's range, for z [B, latent] and y [B, K]."""
        x = self.project(torch.cat([z, y], dim=1))
        x = x.unflatten(1, (-1, self.first_grid, self.first_grid))
        x = x.to(memory_format=torch.channels_last)
        return self.output(self.blocks(self.first(x)))


class Discriminator(nn.Module):
    """D(x, y): images and one-hot class to logits; no normalisation but spectral, if asked for.

    The class enters as K constant input planes (``concat``, Mirza and Osindero 2014) or as an inner
    product of its embedding with the last features (``projection``, Miyato and Koyama 2018).
    """

    def __init__(self, config: TrialConfig, task: Task):
        super().__init__()
        self.concat = config.conditioning == "concat"
        wrap = spectral_norm if config.spectral_norm else nn.Identity()
        channels = task.channels + (task.classes if self.concat else 0)
        blocks: list[nn.Module] = []
        for level in range(1, config.depth + 1):
            wide = _channels(config.d_width, level)
            blocks += [nn.Conv2d(channels, wide, 4, 2, 1), _activation(config)]
            channels = wide
        features = channels * (task.image_size >> config.depth) ** 2
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(features, 1)
        self.embed = None if self.concat else nn.Linear(task.classes, features, bias=False)
        _initialise(self, config)
        for module in list(self.modules()):
            if isinstance(module, nn.Conv2d | nn.Linear):
                wrap(module)

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
    """Set the initial weights: He et al. 2015 (fan-in), or N(0, 0.02) as Radford et al. 2016."""
    slope = config.leaky_slope or 0.0
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            if config.init == "normal":
                nn.init.normal_(module.weight, 0.0, 0.02)
            else:
                nn.init.kaiming_normal_(module.weight, a=slope)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
