"""The discriminators as players: each updates itself on a batch, and gives the generator's loss."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from trainable.gan.backbone_discriminator import BackboneDiscriminator
from trainable.gan.config import TrialConfig
from trainable.gan.discriminator_input import DiscriminatorInput
from trainable.gan.losses import discriminator_loss, generator_loss, squared_gradient
from trainable.gan.networks import Discriminator
from trainable.gan.optimizers import heads_optimizer, optimizer


class Adversary(Protocol):
    """One discriminator in play.

    Attributes:
        name: under which its state is kept.
        network: the discriminator.
        optimizer: of its weights.
        lr: its learning rate after warm-up.
    """

    name: str
    network: nn.Module
    optimizer: torch.optim.Optimizer
    lr: float

    def phase(self, step: int) -> int | None:
        """What it does in the step of this number, or None if it takes no part.

        Steps of one phase run the same operations.
        """
        ...

    def update(self, real: Tensor, fake: Tensor, y: Tensor, phase: int) -> Tensor:
        """Learn from augmented reals and fakes [B, C, S, S] of the same one-hot classes y [B, K].

        Returns [loss, mean logit of reals, mean logit of fakes], on the device.
        """
        ...

    def judge(self, real: Tensor, fake: Tensor, y: Tensor) -> Tensor:
        """The generator's loss, weighted; its gradient flows to `fake` and to nothing else."""
        ...


class PixelAdversary:
    """A `Discriminator` on pixels."""

    name = "D"

    def __init__(self, config: TrialConfig, network: Discriminator, view: DiscriminatorInput):
        assert config.loss is not None
        assert config.lr_ratio is not None
        self.network, self.view = network, view
        self.loss = config.loss
        self.lr = config.g_lr * config.lr_ratio
        self.optimizer = optimizer(config, network, self.lr)
        self._batch_norm = config.d_norm == "batch"
        self._penalised = {"r1": 1, "r1+r2": 2}.get(config.penalty or "", 0)  # kinds of images
        self._interval = config.penalty_interval or 1
        # Gamma / 2, times the steps that one computation stands for.
        self._penalty_scale = (config.penalty_weight or 0.0) / 2 * self._interval

    def phase(self, step: int) -> int:
        """The kinds of images whose gradients are penalised: 0, reals, or reals and fakes."""
        return self._penalised if step % self._interval == 0 else 0

    def update(self, real: Tensor, fake: Tensor, y: Tensor, phase: int) -> Tensor:
        """See `Adversary`."""
        seen = self.view.noisy(torch.cat([real, fake.detach()]))
        parts = list(seen.split(len(y)))
        for part in parts[:phase]:
            part.requires_grad_()
        if phase or self._batch_norm:
            # Apart: batch statistics must not mix the two, and a penalty on one half would be
            # computed, as zeros, for the other.
            real_logits, fake_logits = (self.network(part, y) for part in parts)
        else:
            real_logits, fake_logits = self.network(seen, torch.cat([y, y])).split(len(y))
        loss = discriminator_loss(self.loss, real_logits, fake_logits)
        report = torch.stack([loss, real_logits.mean(), fake_logits.mean()]).detach()
        for logits, part in list(zip((real_logits, fake_logits), parts, strict=True))[:phase]:
            loss = loss + self._penalty_scale * squared_gradient(logits, part)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.view.follow(real_logits)
        return report

    def judge(self, real: Tensor, fake: Tensor, y: Tensor) -> Tensor:
        """See `Adversary`."""
        self.network.requires_grad_(False)  # these gradients would be thrown away
        real_logits = None
        if self.loss == "relativistic":
            with torch.no_grad():
                real_logits = self.network(self.view.noisy(real), y)
        fake_logits = self.network(self.view.noisy(fake), y)
        self.network.requires_grad_(True)
        return generator_loss(self.loss, fake_logits, real_logits)


class BackboneAdversary:
    """A `BackboneDiscriminator`, in every `backbone_interval`-th step."""

    name = "heads"

    def __init__(self, config: TrialConfig, network: BackboneDiscriminator):
        assert config.backbone_lr is not None
        self.network = network
        self.lr = config.backbone_lr
        self.optimizer = heads_optimizer(config, network)
        self._interval = config.backbone_interval or 1
        self._weight = config.backbone_weight or 1.0
        self._low, self._span = config.output_range

    def phase(self, step: int) -> int | None:
        """It plays in every `backbone_interval`-th step; the first one is."""
        return None if step % self._interval else 0

    def update(self, real: Tensor, fake: Tensor, y: Tensor, phase: int) -> Tensor:
        """See `Adversary`."""
        logits = self.network(self._seen(torch.cat([real, fake.detach()])), torch.cat([y, y]))
        of_real, of_fake = zip(*(scale.split(len(y)) for scale in logits), strict=True)
        loss = self.network.d_loss(of_real, of_fake)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        means = [torch.cat(side, dim=1).mean() for side in (of_real, of_fake)]
        return torch.stack([loss, *means]).detach()

    def judge(self, real: Tensor, fake: Tensor, y: Tensor) -> Tensor:
        """See `Adversary`."""
        weights = [w for w in self.network.parameters() if w.requires_grad]
        for weight in weights:
            weight.requires_grad_(False)
        loss = self.network.g_loss(self.network(self._seen(fake), y)) * self._weight
        for weight in weights:
            weight.requires_grad_(True)
        return loss

    def _seen(self, x: Tensor) -> Tensor:
        """On a scale of 0 to 1; without noise, as a backbone learned on clean images."""
        return (x - self._low) / self._span
