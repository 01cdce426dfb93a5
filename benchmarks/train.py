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

With ``--device cuda`` time is the clock's, the GPU waited for at the end of a block; each of ours
runs recorded (see `trainable.gan.cuda_graphs`) and not, and utilisation is what the driver says.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.utils.data import DataLoader, TensorDataset

from spaces.presets import default, study2023
from trainable.data.dataset import Dataset
from trainable.data.sources import load
from trainable.gan.config import TrialConfig
from trainable.gan.run import Run
from trainable.pretrained.backbones import load_backbone

WARM_UP = 20  # steps, in which a GPU's are recorded
STEPS = 4  # between two looks at the clock
BACKBONE = "efficientnet-lite1"


def dcgan(data: Dataset, width: int, latent: int, batch: int, device: str) -> Iterator[int]:
    """The example's loop; each step yields the images that it showed to D."""
    channels, size = data.images.shape[1:3]
    classes = len(data.classes)
    depth = size.bit_length() - 3
    G = a_generator(latent + classes, channels, width, depth)
    D = a_discriminator(channels + classes, width, depth)
    for net in (G, D):
        net.apply(_weights).to(device)
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
        for batch_of_images, labels in loader:
            real, y = batch_of_images.to(device), one_hot(labels.to(device), classes).float()
            ones, zeros = torch.ones(len(y), device=device), torch.zeros(len(y), device=device)
            D.zero_grad()
            of_real = criterion(judged(real, y), ones)
            of_real.backward()
            z = torch.randn(len(y), latent, device=device)
            z = torch.cat([z, y], 1)[:, :, None, None]
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


def a_generator(inputs: int, channels: int, width: int, depth: int) -> nn.Sequential:
    wide = [width * min(2**i, 8) for i in range(depth)][::-1]
    layers: list[nn.Module] = [nn.ConvTranspose2d(inputs, wide[0], 4, 1, 0, bias=False)]
    for now, after in zip(wide, [*wide[1:], channels], strict=True):
        layers += [nn.BatchNorm2d(now), nn.LeakyReLU(0.2, inplace=True)]
        layers.append(nn.ConvTranspose2d(now, after, 4, 2, 1, bias=False))
    return nn.Sequential(*layers, nn.Tanh())


def a_discriminator(channels: int, width: int, depth: int) -> nn.Sequential:
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
        clock: in seconds, once the device is done.
        rates: images a second, a figure for each block.
        busy: of a GPU, the share of time in which it ran something, in percent, likewise.
    """

    name: str
    steps: Iterator[int]
    clock: Callable[[], float]
    rates: list[float] = field(default_factory=list)
    busy: list[int] = field(default_factory=list)

    def block(self, seconds: float) -> None:
        """Run for some seconds, and note the rate."""
        images, spent, began = 0, 0.0, self.clock()
        while spent < seconds:
            for _ in range(STEPS):
                images += next(self.steps)
            spent = self.clock() - began
        self.rates.append(images / spent)
        if self.clock is gpu_clock:
            self.busy.append(torch.cuda.utilization())


def gpu_clock() -> float:
    """Wall-clock seconds, after all that the GPU was given."""
    torch.cuda.synchronize()
    return time.perf_counter()


def clock_of(device: str) -> Callable[[], float]:
    """What times a block: of a CPU the process's own time."""
    return gpu_clock if device == "cuda" else time.process_time


def contest(data: Dataset, blocks: int, seconds: float, device: str) -> list[Contestant]:
    """All loops, block by block in turn."""
    backbone = load_backbone(BACKBONE)
    backed = replace(data.task, backbone=BACKBONE)
    plain = study2023(data.task)

    def run(params: dict, graphs: bool) -> Iterator[int]:
        config = TrialConfig.from_params(params)
        return ours(Run(config, data, seed=0, device=device, backbone=backbone, graphs=graphs))

    gpu, clock = device == "cuda", clock_of(device)
    peer = dcgan(data, plain["g_width"], plain["latent_size"], plain["batch_size"], device)
    found = [Contestant("DCGAN example's loop", peer, clock)]
    configurations = {
        "study2023, the same layers": plain,
        "default": default(data.task),
        f"default with {BACKBONE}": default(backed),
    }
    for name, params in configurations.items():
        if gpu:
            found.append(Contestant(f"{name}, kernel by kernel", run(params, False), clock))
        found.append(Contestant(name, run(params, True), clock))
    take_turns(found, blocks, seconds)
    return found


def take_turns(found: list[Contestant], blocks: int, seconds: float) -> None:
    """Run all, block by block in turn, once they are warm."""
    for contestant in found:
        for _ in range(WARM_UP):
            next(contestant.steps)
    for _ in range(blocks):
        for contestant in found:
            contestant.block(seconds)


def settle() -> None:
    """What is measured on a CPU has one core, as a trial has, and begins alike each time."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)


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
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", default="phantom")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=4.0, help="time of a block")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    options = parser.parse_args()
    settle()
    data = load(options.data, options.image_size)
    console = Console(width=100)
    found = contest(data, options.blocks, options.seconds, options.device)
    gpu = options.device == "cuda"
    columns = ["images / s", "x the example's loop", "GPU busy"] if gpu else [
        "images / CPU s", "x the example's loop"
    ]  # fmt: skip
    table = Table("", *columns, box=None)
    for contestant in found:
        middle, low, high = ratio(contestant.rates, found[0].rates)
        rate = statistics.median(contestant.rates)
        row = [f"{rate:.0f}", f"{middle:.2f} ({low:.2f} to {high:.2f})"]
        if gpu:
            row.append(f"{statistics.median(contestant.busy):.0f} %")
        table.add_row(contestant.name, *row)
    where = torch.cuda.get_device_name() if gpu else "one thread"
    console.print(f"{data.name}, {options.image_size} pixels, {where}")
    console.print(table)
    if gpu:
        return
    for contestant in found:
        parts = shares(lambda c=contestant: next(c.steps), 40)
        text = ", ".join(f"{kind} {share:.0%}" for kind, share in parts.items())
        console.print(f"{contestant.name}: {text}", soft_wrap=True)


if __name__ == "__main__":
    main()
