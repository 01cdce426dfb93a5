"""A discriminator on a frozen backbone's features (Sauer et al. 2021, Projected GANs)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from spaces.task import Task
from trainable.gan.config import TrialConfig
from trainable.gan.losses import discriminator_loss, generator_loss
from trainable.pretrained.backbones import Backbone

_SLOPE = 0.2
_CALIBRATION = 64
"""Real images that set the scale of the features."""


class BackboneDiscriminator(nn.Module):
    """A small spectrally normalised network on each scale of a backbone's features.

    Each scale's channels are mixed by a 1x1 convolution, fixed at random or learned, and scaled so
    that real images have features of mean square 1. A 3x3 convolution and a 1x1 follow; the class
    enters as an inner product with the hidden features at every place. The state dict holds none
    of the backbone's weights.
    """

    def __init__(self, config: TrialConfig, task: Task, backbone: Backbone):
        super().__init__()
        assert config.backbone_size is not None
        assert config.backbone_channels is not None
        assert config.backbone_width is not None
        self.size, self.width = config.backbone_size, config.backbone_width
        self._backbone = [backbone]  # in a list, so that it is no part of this module
        mixed, learned = config.backbone_channels, config.backbone_projection == "learned"
        self.mixes, self.hidden, self.heads, self.embeds = (nn.ModuleList() for _ in range(4))
        for channels in backbone.tapped:
            mix = nn.Conv2d(channels, mixed, 1, bias=False)
            nn.init.normal_(mix.weight, 0.0, channels**-0.5)
            self.mixes.append(mix.requires_grad_(learned))
            self.hidden.append(spectral_norm(nn.Conv2d(mixed, self.width, 3, padding=1)))
            self.heads.append(spectral_norm(nn.Conv2d(self.width, 1, 1)))
            self.embeds.append(spectral_norm(nn.Linear(task.classes, self.width, bias=False)))

    @torch.no_grad()
    def calibrate(self, images: Tensor) -> None:
        """Scale the mixes so that their output for real images, uint8 [n, C, S, S], has mean
        square 1."""
        # Spread over all: a data set is in the order of its classes.
        shown = images[:: -(-len(images) // _CALIBRATION)].to(torch.float32) / 255
        features = self._backbone[0](shown, self.size)
        for mix, found in zip(self.mixes, features, strict=True):
            mix.weight /= mix(found).square().mean().sqrt().clamp(min=1e-6)  # pyright: ignore

    def forward(self, x: Tensor, y: Tensor) -> list[Tensor]:
        """Logits [B, h_i * w_i] of each scale, for images in [0, 1] and one-hot y [B, K]."""
        logits = []
        features = self._backbone[0](x, self.size)
        parts = (features, self.mixes, self.hidden, self.heads, self.embeds)
        for found, mix, hidden, head, embed in zip(*parts, strict=True):
            h = F.leaky_relu(hidden(mix(found)), _SLOPE)
            of_class = (embed(y)[:, :, None, None] * h).sum(1)
            logits.append((head(h).squeeze(1) + of_class).flatten(1))
        return logits

    def d_loss(self, real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
        """Hinge loss of the discriminator, summed over scales."""
        pairs = zip(real, fake, strict=True)
        return torch.stack([discriminator_loss("hinge", r, f) for r, f in pairs]).sum()

    def g_loss(self, fake: Sequence[Tensor]) -> Tensor:
        """Hinge loss of the generator, summed over scales."""
        return torch.stack([generator_loss("hinge", f) for f in fake]).sum()
