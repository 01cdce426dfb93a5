"""One cGAN run: networks, optimizers, data on the device, and the step that trains them.

Knows nothing of Ray, Optuna or MLflow. All randomness comes from one generator seeded at the
start, and `state` holds all that changes, so that a run stopped and loaded again continues as if
never stopped (bit for bit on a CPU with the same number of threads).
"""

from __future__ import annotations

import copy
import math
import time
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from trainable.augment import augment
from trainable.config import TrialConfig
from trainable.data import Dataset
from trainable.losses import discriminator_loss, generator_loss
from trainable.networks import Discriminator, Generator

Network = TypeVar("Network", bound=nn.Module)


class DivergedError(RuntimeError):
    """A loss or score is no longer a finite number; the message says which and when."""


class Run:
    """A generator and a discriminator in training on a data set.

    Attributes:
        config: the hyperparameters.
        G, D, G_ema: generator, discriminator, and the running mean of G that is scored.
        images_seen: real images shown to D so far, repeats counted.
        train_seconds: wall-clock seconds spent in `train_epoch`.
    """

    def __init__(self, config: TrialConfig, data: Dataset, *, seed: int, device: str = "cpu"):
        """Build everything on `device`; the initial weights depend on `seed` alone.

        Raises:
            InputError: the networks cannot be built for these images.
        """
        config.check_task(data.task)
        self.config = config
        self.task = data.task
        self.device = torch.device(device)
        # A copy: arrays out of Ray's object store are read-only.
        self._images = torch.tensor(data.images, device=self.device)
        self._labels = torch.tensor(data.labels, device=self.device)
        self._rng = torch.Generator(self.device).manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.G = self._place(Generator(config, self.task))
            self.D = self._place(Discriminator(config, self.task))
        self.G_ema = copy.deepcopy(self.G).eval().requires_grad_(False)
        self._g_opt = _optimizer(config, self.G, config.g_lr)
        self._d_opt = _optimizer(config, self.D, config.d_lr)
        self._order = torch.randperm(self.task.images, device=self.device, generator=self._rng)
        self._position = 0
        self.images_seen = 0
        self.train_seconds = 0.0
        tanh = config.output_activation == "tanh"
        self._low, self._span = (-1.0, 2.0) if tanh else (0.0, 1.0)

    def _place(self, network: Network) -> Network:
        return network.to(self.device, memory_format=torch.channels_last)  # pyright: ignore

    @property
    def epoch(self) -> int:
        """Whole passes' worth of training images seen, whatever the batch size."""
        return self.images_seen // self.task.images

    def train_epoch(self) -> dict[str, float]:
        """Train until one more pass's worth of images is seen; return the mean losses and logits.

        The host waits for the device once, at the end.

        Raises:
            DivergedError: a mean is not finite.
        """
        started = time.perf_counter()
        target = (self.epoch + 1) * self.task.images
        sums = torch.zeros(4, device=self.device)
        steps = 0
        while self.images_seen < target:
            sums += self.train_step()
            steps += 1
        # Of G by way of G_ema, which never forgets a NaN. Its images could not tell: there a NaN is
        # a black pixel.
        norms = torch._foreach_norm(_floats(self.G_ema) + _floats(self.D))  # pyright: ignore
        values = torch.cat([sums / steps, torch.stack(norms).sum()[None]]).tolist()
        self.train_seconds += time.perf_counter() - started
        norm = "norm of all weights"
        names = ["g_loss", "d_loss", "real_logit", "fake_logit", norm]
        means = dict(zip(names, values, strict=True))
        for name, value in means.items():
            if not math.isfinite(value):
                raise DivergedError(f"{name} is {value} in epoch {self.epoch}")
        del means[norm]
        return means

    def train_step(self) -> Tensor:
        """k updates of D, one of G. Returns [G's loss, D's loss, mean real, mean fake logit]."""
        for optimizer, rate in ((self._g_opt, self.config.g_lr), (self._d_opt, self.config.d_lr)):
            for group in optimizer.param_groups:
                group["lr"] = rate * self._warmth()
        for _ in range(self.config.d_steps - 1):
            self._train_d(shared=False)
        fake, y, of_d = self._train_d(shared=True)
        self.D.requires_grad_(False)  # its weight gradients would be thrown away
        g_loss = generator_loss(self.config.loss, self.D(self._seen(fake), y))
        self._g_opt.zero_grad(set_to_none=True)
        g_loss.backward()
        self._g_opt.step()
        self.D.requires_grad_(True)
        self._average()
        return torch.cat([g_loss.detach()[None], of_d])

    def _train_d(self, *, shared: bool) -> tuple[Tensor, Tensor, Tensor]:
        """One update of D. Returns the fakes, their classes, and [loss, mean real, mean fake].

        With `shared`, the fakes keep their way back into G, so that its update can use them too.
        """
        real, y = self._next_batch()
        with torch.set_grad_enabled(shared):
            fake = self.G(self._latents(len(y)), y)
        real_logits = self.D(self._seen(real), y)
        fake_logits = self.D(self._seen(fake.detach()), y)
        loss = discriminator_loss(self.config.loss, real_logits, fake_logits)
        self._d_opt.zero_grad(set_to_none=True)
        loss.backward()
        self._d_opt.step()
        self.images_seen += len(y)
        return fake, y, torch.stack([loss, real_logits.mean(), fake_logits.mean()]).detach()

    def _warmth(self) -> float:
        """The share of the learning rate in force: rises from 0 to 1 over the warm-up."""
        warmup = self.config.warmup_kimg * 1000
        seen = self.images_seen + self.config.batch_size
        return min(1.0, seen / warmup) if warmup else 1.0

    def _next_batch(self) -> tuple[Tensor, Tensor]:
        """The next images, scaled, and their one-hot classes: shuffled passes laid end to end."""
        end = self._position + self.config.batch_size
        index = self._order[self._position : end]
        if (missing := end - self.task.images) > 0:
            self._order = torch.randperm(self.task.images, device=self.device, generator=self._rng)
            index = torch.cat([index, self._order[:missing]])
            end = missing
        self._position = end
        images = self._images[index].to(torch.float32, memory_format=torch.channels_last)
        images = images.mul_(self._span / 255).add_(self._low)
        return images, self._one_hot(self._labels[index])

    def _one_hot(self, labels: Tensor) -> Tensor:
        return one_hot(labels, self.task.classes).to(torch.float32)

    def _latents(self, n: int) -> Tensor:
        return torch.randn(n, self.config.latent_size, device=self.device, generator=self._rng)

    def _seen(self, x: Tensor) -> Tensor:
        """What D gets to see of images x: augmented, then with instance noise."""
        x = augment(x, self.config.augmentations, self._span, self._rng)
        if self.config.instance_noise:
            assert self.config.instance_noise_halflife_kimg is not None
            age = self.images_seen / (self.config.instance_noise_halflife_kimg * 1000)
            std = self.config.instance_noise * self._span / 2 * 0.5**age
            noise = torch.randn(x.shape, device=self.device, generator=self._rng)
            x = x + std * noise.to(memory_format=torch.channels_last)
        return x

    @torch.no_grad()
    def _average(self) -> None:
        """Move G_ema towards G; batch-norm statistics are averaged with the weights.

        The half-life starts at a tenth of the images seen, so that the first noise is forgotten.
        """
        halflife = min(self.config.ema_halflife_kimg * 1000, 0.1 * self.images_seen)
        images = self.config.batch_size * self.config.d_steps
        share = 1 - 0.5 ** (images / halflife) if halflife else 1.0
        torch._foreach_lerp_(_floats(self.G_ema), _floats(self.G), share)  # pyright: ignore

    @torch.inference_mode()
    def sample(self, labels: Tensor, *, seed: int, batch: int = 100) -> Tensor:
        """Images by G_ema for class indices `labels` [n]: uint8 [n, C, S, S] on the run's device.

        The latents depend on `seed` and the latent size alone, not on training so far.
        """
        rng = torch.Generator(self.device).manual_seed(seed)
        size = (len(labels), self.config.latent_size)
        z = torch.randn(size, device=self.device, generator=rng)
        y = self._one_hot(labels.to(self.device))
        parts = [
            self.G_ema(z[i : i + batch], y[i : i + batch]) for i in range(0, len(labels), batch)
        ]
        scaled = (torch.cat(parts) - self._low) * (255 / self._span)
        return scaled.round_().clamp_(0, 255).to(torch.uint8)

    def state(self) -> dict[str, Any]:
        """All that training changes: tensors and numbers only, safe for ``weights_only`` loading.

        The tensors are the run's own, not copies: save them before training goes on.
        """
        return {
            "G": self.G.state_dict(),
            "D": self.D.state_dict(),
            "G_ema": self.G_ema.state_dict(),
            "g_opt": self._g_opt.state_dict(),
            "d_opt": self._d_opt.state_dict(),
            "rng": self._rng.get_state(),
            "order": self._order,
            "position": self._position,
            "images_seen": self.images_seen,
            "train_seconds": self.train_seconds,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned, for a run of the same configuration and data."""
        self.G.load_state_dict(state["G"])
        self.D.load_state_dict(state["D"])
        self.G_ema.load_state_dict(state["G_ema"])
        self._g_opt.load_state_dict(state["g_opt"])
        self._d_opt.load_state_dict(state["d_opt"])
        self._rng.set_state(state["rng"].cpu())
        self._order = state["order"].to(self.device)
        self._position = state["position"]
        self.images_seen = state["images_seen"]
        self.train_seconds = state["train_seconds"]


def _floats(network: nn.Module) -> list[Tensor]:
    """Weights and floating-point buffers, in a fixed order."""
    return [t for t in (*network.parameters(), *network.buffers()) if t.is_floating_point()]


def _optimizer(config: TrialConfig, network: nn.Module, lr: float) -> torch.optim.Optimizer:
    """The configured optimizer over all weights of `network`, in its fastest form."""
    weights = list(network.parameters())
    decay = config.l2
    match config.optimizer:
        case "sgd":
            momentum = config.momentum or 0.0
            return torch.optim.SGD(weights, lr, momentum, weight_decay=decay, fused=True)
        case "rmsprop":
            assert config.beta2 is not None
            momentum = config.momentum or 0.0
            return torch.optim.RMSprop(
                weights, lr, config.beta2, weight_decay=decay, momentum=momentum, foreach=True
            )
        case "adam" | "adamw":
            assert config.beta1 is not None
            assert config.beta2 is not None
            kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
            betas = (config.beta1, config.beta2)
            return kind(weights, lr, betas, weight_decay=decay, fused=True)
    raise ValueError(f"unknown optimizer {config.optimizer!r}")
