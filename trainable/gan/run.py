"""One cGAN run: networks, optimizers, data on the device, and the step that trains them.

Knows nothing of Ray, Optuna or MLflow. All randomness comes from one generator seeded at the
start, and `state` holds all that changes, so that a run stopped and loaded again continues as if
never stopped (bit for bit on a CPU with the same number of threads).
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from trainable.data.dataset import Dataset
from trainable.gan.adversaries import Adversary, BackboneAdversary, PixelAdversary
from trainable.gan.backbone_discriminator import BackboneDiscriminator
from trainable.gan.config import TrialConfig
from trainable.gan.cuda_graphs import Graphs
from trainable.gan.discriminator_input import DiscriminatorInput
from trainable.gan.networks import Discriminator, Generator
from trainable.gan.optimizers import load_optimizer, lr_factor, optimizer, set_rate
from trainable.pretrained.backbones import Backbone, backed_task

Network = TypeVar("Network", bound=nn.Module)


class DivergedError(RuntimeError):
    """A loss or score is no longer a finite number; the message says which and when."""


class Run:
    """A generator and a discriminator in training on a data set.

    Attributes:
        config: the hyperparameters.
        G, G_ema: generator, and the running mean of it that is scored.
        adversaries: the discriminators, on pixels, on a backbone's features, or both.
        steps: updates of G so far.
        images_seen: real images shown to D so far, repeats counted.
        train_seconds: wall-clock seconds spent in `train_epoch`.
    """

    def __init__(
        self,
        config: TrialConfig,
        data: Dataset,
        *,
        seed: int,
        device: str = "cpu",
        backbone: Backbone | None = None,
        initial: Mapping[str, Tensor] | None = None,
        graphs: bool = True,
    ):
        """Build everything on `device`; the initial weights depend on `seed` alone.

        `backbone` is the one that the configuration names, or None if it names none. `initial` are
        first weights of the generator, of the same shapes. Without `graphs`, a GPU is given each
        kernel by itself, which is slower and changes nothing else.

        Raises:
            InputError: the networks cannot be built for these images.
        """
        self.task = backed_task(data.task, backbone)
        config.check_task(self.task)
        self.config = config
        self.device = torch.device(device)
        # A copy: arrays out of Ray's object store are read-only.
        self._images = torch.tensor(data.images, device=self.device)
        self._classes = self._one_hot(torch.tensor(data.labels, device=self.device))
        # Images of a step, a row for each update of D. Filled in place, for recorded steps read it.
        self._batches = torch.zeros(
            config.d_steps, config.batch_size, dtype=torch.int64, device=self.device
        )
        self._low, self._span = config.output_range
        self._rng = torch.Generator(self.device).manual_seed(seed)
        self._view = DiscriminatorInput(config, self._rng)
        self._graphs = Graphs(self._rng) if graphs and self.device.type == "cuda" else None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.G = self._place(Generator(config, self.task))
            self.adversaries = self._adversaries(backbone)
        if initial is not None:
            self.G.load_state_dict(initial)
        self.G_ema = copy.deepcopy(self.G).eval().requires_grad_(False)
        self._g_opt = optimizer(config, self.G, config.g_lr)
        self._order = torch.randperm(self.task.images, device=self.device, generator=self._rng)
        self._position = 0
        self.steps = 0
        self.images_seen = 0
        self.train_seconds = 0.0

    def _adversaries(self, backbone: Backbone | None) -> list[Adversary]:
        """The discriminator on pixels, the one on the backbone, or both."""
        config, found = self.config, []
        if config.backbone_role != "only":
            D = self._place(Discriminator(config, self.task))
            found.append(PixelAdversary(config, D, self._view))
        if config.backbone != "none":
            assert backbone is not None  # check_task saw to it
            backbone.to(self.device)
            heads = self._place(BackboneDiscriminator(config, self.task, backbone))
            heads.calibrate(self._images)
            found.append(BackboneAdversary(config, heads))
        return found

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
        watched = [self.G_ema, *(a.network for a in self.adversaries)]
        norms = torch._foreach_norm([t for n in watched for t in _floats(n)])  # pyright: ignore
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
        """k updates of each discriminator, one of G.

        Returns [G's loss, loss, mean logit of reals, of fakes], the last three of the first
        discriminator; the next step may overwrite them.
        """
        factor = lr_factor(self.config, self.images_seen + self.config.batch_size)
        set_rate(self._g_opt, self.config.g_lr * factor)
        for adversary in self.adversaries:
            set_rate(adversary.optimizer, adversary.lr * factor)
        self._view.age(self.images_seen)
        self._draw_batches()
        phases = tuple(adversary.phase(self.steps) for adversary in self.adversaries)
        if self._graphs is None:
            told = self._play(phases)
        else:
            told = self._graphs.play(phases, lambda: self._play(phases))
        self.steps += 1
        self.images_seen += self._batches.numel()
        self._average()
        return told

    def _play(self, phases: tuple[int | None, ...]) -> Tensor:
        """What a step does on the device, with each adversary in its phase."""
        playing = [
            (a, phase) for a, phase in zip(self.adversaries, phases, strict=True)
            if phase is not None
        ]  # fmt: skip
        *apart, last = self._batches
        for batch in apart:
            self._challenge(batch, playing, shared=False)
        real, fake, y, told = self._challenge(last, playing, shared=True)
        g_loss = torch.stack([a.judge(real, fake, y) for a, _ in playing]).sum()
        self._g_opt.zero_grad(set_to_none=True)
        g_loss.backward()
        self._g_opt.step()
        return torch.cat([g_loss.detach()[None], told])

    def _challenge(
        self, batch: Tensor, playing: list[tuple[Adversary, int]], *, shared: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One update of each discriminator on the images numbered `batch`.

        Returns augmented reals and fakes, their classes, and what the first discriminator says of
        its update. With `shared`, the fakes keep their way back into G, so that its update can use
        them too.
        """
        real, y = self._batch(batch)
        with torch.set_grad_enabled(shared):
            # One draw of augmentations for all who look at these images, in this step.
            fake = self._view.augmented(self.G(self._latents(len(y)), y))
        real = self._view.augmented(real)
        told = [a.update(real, fake, y, phase) for a, phase in playing]
        return real, fake, y, told[0]

    def _batch(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """The images of these numbers, scaled, and their one-hot classes."""
        images = self._images[numbers].to(torch.float32, memory_format=torch.channels_last)
        return images.mul_(self._span / 255).add_(self._low), self._classes[numbers]

    def _draw_batches(self) -> None:
        """Number the next images of `_batches`: shuffled passes laid end to end."""
        for batch in self._batches:
            end = self._position + len(batch)
            index = self._order[self._position : end]
            if (missing := end - self.task.images) > 0:
                rng = self._rng
                self._order = torch.randperm(self.task.images, device=self.device, generator=rng)
                index = torch.cat([index, self._order[:missing]])
                end = missing
            self._position = end
            batch.copy_(index)

    def _one_hot(self, labels: Tensor) -> Tensor:
        return one_hot(labels, self.task.classes).to(torch.float32)

    def _latents(self, n: int) -> Tensor:
        return torch.randn(n, self.config.latent_size, device=self.device, generator=self._rng)

    @torch.no_grad()
    def _average(self) -> None:
        """Move G_ema towards G; batch-norm statistics are averaged with the weights."""
        halflife = self.config.ema_halflife_kimg * 1000
        if halflife:
            halflife = min(halflife, (self.config.ema_rampup or 1.0) * self.images_seen)
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
        return torch.cat([
            self._bytes(self.G_ema(z[i : i + batch], y[i : i + batch]))
            for i in range(0, len(labels), batch)
        ])  # fmt: skip

    def _bytes(self, images: Tensor) -> Tensor:
        """What the generator draws, as uint8; part by part, as floats take twelve times as much."""
        scaled = (images - self._low) * (255 / self._span)
        return scaled.round_().clamp_(0, 255).to(torch.uint8)

    def state(self) -> dict[str, Any]:
        """All that training changes: tensors and numbers only, safe for ``weights_only`` loading.

        The tensors are the run's own, not copies: save them before training goes on.
        """
        return {
            **{name: part.state_dict() for name, part in self._parts().items()},
            "rng": self._rng.get_state(),
            "order": self._order,
            "position": self._position,
            "probability": self._view.probability,
            "steps": self.steps,
            "images_seen": self.images_seen,
            "train_seconds": self.train_seconds,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned, for a run of the same configuration and data."""
        if self._graphs is not None:
            self._graphs.forget()
        for name, part in self._parts().items():
            if isinstance(part, torch.optim.Optimizer):
                load_optimizer(part, state[name])
            else:
                part.load_state_dict(state[name])
        self._rng.set_state(state["rng"].cpu())
        self._order = state["order"].to(self.device)
        self._position = state["position"]
        self._view.probability = state["probability"].to(self.device)
        self.steps = state["steps"]
        self.images_seen = state["images_seen"]
        self.train_seconds = state["train_seconds"]

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        """Networks and optimizers by their names in a state."""
        parts: dict[str, nn.Module | torch.optim.Optimizer] = {
            "G": self.G, "G_ema": self.G_ema, "g_opt": self._g_opt,
        }  # fmt: skip
        for adversary in self.adversaries:
            parts[adversary.name] = adversary.network
            parts[f"{adversary.name}_opt"] = adversary.optimizer
        return parts


def _floats(network: nn.Module) -> list[Tensor]:
    """Weights and floating-point buffers, in a fixed order."""
    return [t for t in (*network.parameters(), *network.buffers()) if t.is_floating_point()]
