"""What discriminators get to see of an image: augmented, and under instance noise."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from trainable.gan.augment import augment
from trainable.gan.config import TrialConfig

ADAPTATION_KIMG = 50
"""Images in which adaptive augmentation can go from never to always: a tenth of what its authors
take for sets of many thousands."""


class DiscriminatorInput:
    """Augmentation and noise as a configuration wants them.

    Attributes:
        probability: of each part of an adaptive augmentation, a scalar on the device; 0 at first.
        noise: standard deviation of the instance noise, in the images' range, such a scalar.
    """

    def __init__(self, config: TrialConfig, rng: Generator):
        self._config, self._rng = config, rng
        self._span = config.output_range[1]
        self.probability = torch.zeros((), device=rng.device)
        self.noise = torch.zeros((), device=rng.device)
        self._adaptive = config.augment_control == "adaptive"
        self.age(0)

    def augmented(self, x: Tensor) -> Tensor:
        """Images x [B, C, S, S] with the configured augmentations."""
        fixed = self._config.augment_probability or 1.0
        p = self.probability if self._adaptive else fixed
        return augment(x, self._config.augmentations, self._span, self._rng, p)

    def age(self, images_seen: int) -> None:
        """Leave the instance noise that is due after `images_seen` images."""
        if self._config.instance_noise:
            assert self._config.instance_noise_halflife_kimg is not None
            age = images_seen / (self._config.instance_noise_halflife_kimg * 1000)
            self.noise.fill_(self._config.instance_noise * self._span / 2 * 0.5**age)

    def noisy(self, x: Tensor) -> Tensor:
        """Images x under the instance noise of the last `age`."""
        if self._config.instance_noise:
            noise = torch.randn(x.shape, device=x.device, generator=self._rng)
            x = x + self.noise * noise.to(memory_format=torch.channels_last)
        return x

    def follow(self, real_logits: Tensor) -> None:
        """Augment more where D tells reals too well, else less (Karras et al. 2020, section 3.1).

        Without effect unless the augmentation is adaptive. The host waits for nothing.
        """
        if self._adaptive:
            overfitting = real_logits.detach().sign().mean() - (self._config.augment_target or 0.0)
            step = len(real_logits) / (ADAPTATION_KIMG * 1000)
            self.probability.add_(overfitting.sign() * step).clamp_(0, 1)
