"""The training step against a plain DCGAN loop, paired on one core: ``make bench-train``.

The peer is the loop of PyTorch's DCGAN example, made class-conditional as the study did (one-hot
class at both inputs), with the example's own habits: a DataLoader, contiguous tensors, default
optimizers, gradients of D computed in G's step, losses read every step. Against it stand

- the preset ``study2023``, which has the same layers, widths, loss and batch: what the step itself
  gains;
- the preset ``default``, without and with its backbone: what a user gains in images a second.

Blocks of each take turns, so that what else the machine does falls on all alike; time is the
process's CPU time. The profile says which share of it is spent in convolutions: no step can be
faster than those.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.utils.data import DataLoader, TensorDataset

from spaces.presets import default, study2023
from trainable.backbones import load_backbone
from trainable.config import TrialConfig
from trainable.data import Dataset, load
from trainable.training import Run

WARM_UP = 5  # steps
BACKBONE = "efficientnet-lite1"


def dcgan(data: Dataset, width: int, latent: int, batch: int) -> Iterator[int]:
    """The example's loop; each step yields the images that it showed to D."""
    channels, size = data.images.shape[1:3]
    classes = len(data.classes)
    depth = size.bit_length() - 3
    G = _generator(latent + classes, channels, width, depth)
    D = _discriminator(channels + classes, width, depth)
    for net in (G, D):
        net.apply(_weights)
    adam = {"lr": 2e-4, "betas": (0.5, 0.999)}
    g_opt, d_opt = (torch.optim.Adam(net.parameters(), **adam) for net in (G, D))
    criterion = nn.BCEWithLogitsLoss()
    images = torch.tensor(data.images).float() / 127.5 - 1
    loader = DataLoader(
        TensorDataset(images, torch.tensor(data.labels)), batch, shuffle=True, drop_last=True
    )

    def judged(x: Tensor, y: Tensor) -> Tensor:
        planes = y[:, :, None, None].expand(-1, -1, size, size)
        return D(torch.cat([x, planes], 1)).flatten()

    while True:
        for real, labels in loader:
            y = one_hot(labels, classes).float()
            ones, zeros = torch.ones(len(y)), torch.zeros(len(y))
            D.zero_grad()
            of_real = criterion(judged(real, y), ones)
            of_real.backward()
            z = torch.cat([torch.randn(len(y), latent), y], 1)[:, :, None, None]
            fake = G(z)
            of_fake = criterion(judged(fake.detach(), y), zeros)
            of_fake.backward()
            d_opt.step()
            G.zero_grad()
            of_g = criterion(judged(fake, y), ones)
            of_g.backward()
            g_opt.step()
            _ = of_real.item() + of_fake.item(), of_g.item()
            yield len(y)


def _generator(inputs: int, channels: int, width: int, depth: int) -> nn.Sequential:
    wide = [width * min(2**i, 8) for i in range(depth)][::-1]
    layers: list[nn.Module] = [nn.ConvTranspose2d(inputs, wide[0], 4, 1, 0, bias=False)]
    for now, after in zip(wide, [*wide[1:], channels], strict=True):
        layers += [nn.BatchNorm2d(now), nn.LeakyReLU(0.2, inplace=True)]
        layers.append(nn.ConvTranspose2d(now, after, 4, 2, 1, bias=False))
    return nn.Sequential(*layers, nn.Tanh())


def _discriminator(channels: int, width: int, depth: int) -> nn.Sequential:
    wide = [width * min(2**i, 8) for i in range(depth)]
    layers: list[nn.Module] = []
    for i, (now, after) in enumerate(zip([channels, *wide], wide, strict=False)):
        layers.append(nn.Conv2d(now, after, 4, 2, 1, bias=False))
        layers += [nn.BatchNorm2d(after)] if i else []
        layers.append(nn.LeakyReLU(0.2, inplace=True))
    return nn.Sequential(*layers, nn.Conv2d(wide[-1], 1, 4, 1, 0, bias=False))


def _weights(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


def ours(run: Run) -> Iterator[int]:
    """This project's steps."""
    seen = run.images_seen
    while True:
        run.train_step()
        yield run.images_seen - seen
        seen = run.images_seen


@dataclass
class Contestant:
    """A loop under the clock.

    Attributes:
        name: as the table calls it.
        steps: yields images a step.
        rates: images a CPU second, a figure for each block.
    """

    name: str
    steps: Iterator[int]
    rates: list[float]

    def block(self, seconds: float) -> None:
        """Run for some seconds, and note the rate."""
        images, began = 0, time.process_time()
        while (spent := time.process_time() - began) < seconds:
            images += next(self.steps)
        self.rates.append(images / spent)


def contest(data: Dataset, blocks: int, seconds: float) -> list[Contestant]:
    """All loops, block by block in turn."""
    backbone = load_backbone(BACKBONE)
    backed = replace(data.task, backbone=BACKBONE)
    plain = study2023(data.task)

    def run(params: dict) -> Iterator[int]:
        return ours(Run(TrialConfig.from_params(params), data, seed=0, backbone=backbone))

    peer = dcgan(data, plain["g_width"], plain["latent_size"], plain["batch_size"])
    found = [
        Contestant("DCGAN example's loop", peer, []),
        Contestant("study2023, the same layers", run(plain), []),
        Contestant("default", run(default(data.task)), []),
        Contestant(f"default with {BACKBONE}", run(default(backed)), []),
    ]
    for contestant in found:
        for _ in range(WARM_UP):
            next(contestant.steps)
    for _ in range(blocks):
        for contestant in found:
            contestant.block(seconds)
    return found


def ratio(rates: list[float], base: list[float]) -> tuple[float, float, float]:
    """Median of the paired ratios, with the second least and second largest."""
    ratios = sorted(a / b for a, b in zip(rates, base, strict=True))
    inner = ratios[1:-1] if len(ratios) > 4 else ratios
    return statistics.median(ratios), inner[0], inner[-1]


def shares(step: Callable[[], object], steps: int) -> dict[str, float]:
    """The share of CPU time by kind of operation."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        for _ in range(steps):
            step()
    kinds = {
        "convolution": ("conv", "mkldnn"), "batch norm": ("batch_norm",),
        "optimizer, mean": ("adam", "lerp"), "copies": ("copy", "cat", "index"),
    }  # fmt: skip
    spent: dict[str, float] = dict.fromkeys([*kinds, "other"], 0.0)
    for event in profile.key_averages():
        kind = next((k for k, ws in kinds.items() if any(w in event.key for w in ws)), "other")
        spent[kind] += event.self_cpu_time_total
    return {kind: value / sum(spent.values()) for kind, value in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default="phantom")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=4.0, help="CPU time of a block")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    data = load(options.data, options.image_size)
    console = Console(width=100)
    found = contest(data, options.blocks, options.seconds)
    table = Table("", "images / CPU s", "x the example's loop", box=None)
    for contestant in found:
        middle, low, high = ratio(contestant.rates, found[0].rates)
        rate = statistics.median(contestant.rates)
        table.add_row(contestant.name, f"{rate:.0f}", f"{middle:.2f} ({low:.2f} to {high:.2f})")
    console.print(f"{data.name}, {options.image_size} pixels, one thread")
    console.print(table)
    for contestant in found:
        parts = shares(lambda c=contestant: next(c.steps), 40)
        text = ", ".join(f"{kind} {share:.0%}" for kind, share in parts.items())
        console.print(f"{contestant.name}: {text}", soft_wrap=True)


if __name__ == "__main__":
    main()
