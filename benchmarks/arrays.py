"""Whether several small GANs train faster as one: what an array could gain, before one is built.

HFTA (Wang et al. 2021, arXiv 2102.02344) trains the jobs of a search that have the same shapes as
one: their weights stacked, convolutions grouped, one optimizer. Here so many GANs with the layers
of PyTorch's DCGAN example, each with weights, images and latents of its own, take their steps
together (`torch.func.functional_call` under `torch.vmap`, which makes the grouped convolutions),
recorded on a GPU as our own steps are. Nothing is counted that would slow an array down: no rates
of its members, no augmentation, no evaluation.

    python -m benchmarks.arrays [--trials 1 2 4 8] [--device cuda]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state
from torch.nn.functional import one_hot, softplus

from benchmarks.train import (
    Contestant,
    a_discriminator,
    a_generator,
    clock_of,
    ratio,
    settle,
    take_turns,
)
from spaces.presets import study2023
from trainable.data.dataset import Dataset
from trainable.data.sources import load
from trainable.gan.cuda_graphs import Graphs


class Stacked:
    """Networks of one shape, called as one: [N, B, ...] to [N, B, ...], a network for each row."""

    def __init__(self, networks: list[nn.Module], device: str):
        self._base, self._alone = networks[0].to(device), len(networks) == 1
        weights, self._buffers = stack_module_state([net.to(device) for net in networks])
        self._weights = dict(self._base.named_parameters()) if self._alone else weights
        self.optimizer = torch.optim.Adam(
            self._weights.values(), 2e-4, (0.5, 0.999), fused=True, capturable=device == "cuda"
        )

    def __call__(self, x: Tensor) -> Tensor:
        if self._alone:
            return self._base(x[0])[None]
        return torch.vmap(self._one)(self._weights, self._buffers, x)

    def _one(self, weights: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(self._base, (weights, buffers), (x,))

    def learn(self, loss: Tensor) -> None:
        """One update by the sum of the networks' losses."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()


class Array:
    """So many GANs that take their steps together."""

    def __init__(self, data: Dataset, members: int, device: str):
        usual = study2023(data.task)
        width, self._latent = usual["g_width"], usual["latent_size"]
        channels, size = data.images.shape[1:3]
        classes, depth = len(data.classes), size.bit_length() - 3
        inputs = self._latent + classes
        made = range(members)
        self._G = Stacked([a_generator(inputs, channels, width, depth) for _ in made], device)
        wide = channels + classes
        self._D = Stacked([a_discriminator(wide, width, depth) for _ in made], device)
        self._images = torch.tensor(data.images, device=device).float() / 127.5 - 1
        self._classes = one_hot(torch.tensor(data.labels, device=device), classes).float()
        self._shape = members, usual["batch_size"]
        self._rng = torch.Generator(device).manual_seed(0)
        self._graphs = Graphs(self._rng) if device == "cuda" else None

    @property
    def images(self) -> int:
        """Of a step."""
        return self._shape[0] * self._shape[1]

    def step(self) -> Tensor:
        """One update of each D and each G; their losses, on the device."""
        return self._play() if self._graphs is None else self._graphs.play(0, self._play)

    def _play(self) -> Tensor:
        device, rng = self._images.device, self._rng
        drawn = torch.randint(len(self._images), self._shape, device=device, generator=rng)
        y = self._classes[drawn]
        z = torch.randn(*self._shape, self._latent, device=device, generator=rng)
        fake = self._G(torch.cat([z, y], 2)[..., None, None])
        of_real, of_fake = self._judged(self._images[drawn], y), self._judged(fake.detach(), y)
        d_loss = self._sum(softplus(-of_real)) + self._sum(softplus(of_fake))
        self._D.learn(d_loss)
        g_loss = self._sum(softplus(-self._judged(fake, y)))
        self._G.learn(g_loss)
        return torch.stack([d_loss, g_loss]).detach()

    def _judged(self, x: Tensor, y: Tensor) -> Tensor:
        planes = y[..., None, None].expand(*y.shape, *x.shape[3:])
        return self._D(torch.cat([x, planes], 2))

    def _sum(self, losses: Tensor) -> Tensor:
        return losses.mean() * self._shape[0]


def steps(array: Array) -> Iterator[int]:
    """Its steps, and the images of each."""
    while True:
        array.step()
        yield array.images


def contest(
    data: Dataset, sizes: list[int], seconds: float, blocks: int, device: str
) -> list[dict[str, float]]:
    """Arrays of these sizes, block by block in turn."""
    clock = clock_of(device)
    found = [Contestant(str(n), steps(Array(data, n, device)), clock) for n in sizes]
    take_turns(found, blocks, seconds)
    rows: list[dict[str, float]] = []
    for members, each in zip(sizes, found, strict=True):
        times, *_ = ratio(each.rates, found[0].rates)
        rate = statistics.median(each.rates)
        rows.append({"trials": members, "images / s": rate, "x the first": times})
    return rows


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", default="phantom", help="(default: %(default)s)")
    parser.add_argument("--image-size", type=int, default=64, help="(default: 64)")
    parser.add_argument("--trials", type=int, nargs="+", default=[1, 2, 4, 8], help="in an array")
    parser.add_argument("--seconds", type=float, default=4.0, help="of a block (default: 4)")
    parser.add_argument("--blocks", type=int, default=5, help="(default: 5)")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    options = parser.parse_args()
    settle()
    data = load(options.data, options.image_size)
    rows = contest(data, options.trials, options.seconds, options.blocks, options.device)
    table = Table(*rows[0], box=None)
    for row in rows:
        table.add_row(*(f"{x:.3g}" for x in row.values()))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
