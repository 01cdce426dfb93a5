"""What a configuration's training step needs of a device, computed without one.

The networks are built on torch's meta device, where tensors have shapes and no numbers, and run
forwards once. What autograd would keep of it is added up; how often a step repeats it is arithmetic
on how `trainable.gan.run` and `trainable.gan.adversaries` play. Libraries' workspaces, what an
allocator rounds up and the memory of recorded steps are not in it: `gpu_memory.Memory` learns those
from configurations that were measured.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from spaces.task import Task
from trainable.gan.augment import augment
from trainable.gan.config import TrialConfig
from trainable.gan.networks import Discriminator, Generator
from trainable.pretrained.catalog import BACKBONES
from trainable.pretrained.weights import fold

_FLOAT = 4  # bytes
_KINDS = {"r1": 1, "r1+r2": 2}  # of images whose gradients are penalised
_TWICE = {"elu": 1.8, "tanh": 1.8, "silu": 2.7}
"""What a penalty's way through D keeps beside the way forwards, in multiples of that: measured on
default networks. Where an activation's derivative is a step, it is 0.8 to 1.1."""


@dataclass(frozen=True)
class Footprint:
    """What training by a configuration needs; tests hold it to real runs: the state exactly, the
    rest within 12 and 8 %.

    Attributes:
        state_bytes: what stays between steps: weights, their gradients, the optimizers' moments,
            the averaged generator, and a backbone's weights.
        activation_bytes: the most that the backward passes of one step wait for at one time,
            penalty and backbone included; it grows in proportion to the batch size, but for copies
            of weights under spectral norm.
        multiply_adds: of one step at the batch size, convolutions and matrix products forwards
            and backwards; penalty and backbone count by the share of steps that they take part in.
    """

    state_bytes: int
    activation_bytes: int
    multiply_adds: int

    @property
    def total_bytes(self) -> int:
        """State and activations."""
        return self.state_bytes + self.activation_bytes


@dataclass(frozen=True)
class _Pass:
    """One way forwards: bytes that autograd keeps for the way back, and multiply-adds."""

    kept: int
    multiply_adds: int


def footprint(config: TrialConfig, task: Task) -> Footprint:
    """The needs of `config` on the images of `task`, in some 30 ms; 200 where a backbone is new.

    No device is touched, and torch's global draws stay as they were. The configuration must have
    passed `TrialConfig.check_task`.
    """
    moments = _moments(config)
    G, made, D, judged = _passes(config, task)
    weights = _weights(G)
    averaged = weights + sum(b.numel() for b in G.buffers() if b.is_floating_point())
    state = _FLOAT * (weights * (2 + moments) + averaged)
    adds = made.multiply_adds * (config.d_steps + 2)
    learning, judging = [], 0
    if D is not None:
        own = _FLOAT * _weights(D)
        state += own * (2 + moments)
        kinds = _KINDS.get(config.penalty or "", 0)
        # Each pass under spectral norm makes a copy of the weights, divided.
        copied = own if config.d_norm == "spectral" else 0
        ways = 2 + kinds * _TWICE.get(config.activation, 1.0)
        learning.append(round(ways * judged.kept) + copied * (2 if kinds else 1))
        judging += judged.kept + copied
        # Forwards and twice as much backwards, on reals and fakes, and as much for a penalty on
        # either; then forwards and back to the images for G.
        share = kinds / (config.penalty_interval or 1)
        adds += round(judged.multiply_adds * (config.d_steps * (6 + 3 * share) + 2))
    if config.backbone != "none":
        seen, heads, fixed, learned = _backed(config, task)
        state += _FLOAT * (fixed + 4 * learned)
        learning.append(2 * heads.kept)
        judging += heads.kept + seen.kept
        played = seen.multiply_adds * (2 * config.d_steps + 2)
        played += heads.multiply_adds * (6 * config.d_steps + 2)
        adds += played // (config.backbone_interval or 1)
    return Footprint(state, made.kept + max(*learning, judging), adds)


class _Kept:
    """Adds up what autograd keeps, each storage once, and none of what `networks` hold anyway."""

    def __init__(self, *networks: nn.Module):
        self._known = {_storage(t) for n in networks for t in (*n.parameters(), *n.buffers())}
        self.bytes = 0

    def hooks(self) -> saved_tensors_hooks:
        """Within these, what is kept counts."""
        return saved_tensors_hooks(self._add, lambda kept: kept)

    def _add(self, kept: Tensor) -> Tensor:
        if (place := _storage(kept)) not in self._known:
            self._known.add(place)
            self.bytes += kept.untyped_storage().nbytes()
        return kept  # which holds on to the storage, and so to its place


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _passes(
    config: TrialConfig, task: Task
) -> tuple[Generator, _Pass, Discriminator | None, _Pass]:
    """Both networks, and one way forwards of a batch through each, augmentation being G's."""
    # Initial weights, and norms of weights, take longer than all else, and change no shape.
    spectral = config.d_norm == "spectral"
    plain = replace(config, init="normal", d_norm="none" if spectral else config.d_norm)
    with torch.device("meta"), torch.enable_grad():
        G = Generator(plain, task)
        D = None if plain.d_depth is None else Discriminator(plain, task)
        z = torch.empty(config.batch_size, config.latent_size)
        y = torch.empty(config.batch_size, task.classes)
        p: Any = config.augment_probability or torch.empty(())
        kept = _Kept(G, *([] if D is None else [D]))
        with kept.hooks(), FlopCounterMode(display=False) as counted:
            rng = cast("Any", None)  # torch's own, of which a meta device has none
            fake = augment(G(z, y), config.augmentations, config.output_range[1], rng, p)
            made = _Pass(kept.bytes, counted.get_total_flops() // 2)
            if D is not None:
                logits = D(fake.detach(), y)
                del logits
        both = counted.get_total_flops() // 2
    return G, made, D, _Pass(kept.bytes - made.kept, both - made.multiply_adds)


def _weights(network: nn.Module) -> int:
    return sum(w.numel() for w in network.parameters())


def _moments(config: TrialConfig) -> int:
    """Numbers that the optimizer keeps for each weight."""
    return {
        "sgd": bool(config.momentum),
        "rmsprop": 1 + bool(config.momentum),
        "adam": 2,
        "adamw": 2,
    }[config.optimizer]


@dataclass(frozen=True)
class _Seen:
    """A frozen network: its weights, one way forwards of one image, and the grids tapped from it.

    `grids` gives, for each scale, channels and places.
    """

    weights: int
    on_image: _Pass
    grids: tuple[tuple[int, int], ...]


@functools.cache
def _backbone(name: str, size: int) -> _Seen:
    spec = BACKBONES[name]
    with torch.device("meta"), torch.enable_grad():
        whole, tapped = spec.build()
        whole.eval().requires_grad_(False)
        fold(whole)
        network = tapped()
        image = torch.empty(1, spec.channels, size, size, requires_grad=True)
        kept = _Kept(network)
        with kept.hooks(), FlopCounterMode(display=False) as counted:
            features = network.taps(image)
    grids = tuple((f.shape[1], f.shape[2] * f.shape[3]) for f in features)
    return _Seen(_weights(network), _Pass(kept.bytes, counted.get_total_flops() // 2), grids)


def _backed(config: TrialConfig, task: Task) -> tuple[_Pass, _Pass, int, int]:
    """A batch's way forwards through the backbone, and through the `BackboneDiscriminator` on it;
    weights of both together that stay, and that are learned."""
    assert config.backbone_size is not None
    assert config.backbone_channels is not None
    assert config.backbone_width is not None
    seen = _backbone(config.backbone, config.backbone_size)
    batch, mixed, width = config.batch_size, config.backbone_channels, config.backbone_width
    places = sum(places for _, places in seen.grids)
    adds = sum(places * channels * mixed for channels, places in seen.grids)
    adds += places * (9 * mixed * width + width)
    on_images = _Pass(batch * seen.on_image.kept, batch * seen.on_image.multiply_adds)
    on_features = _Pass(_FLOAT * batch * places * (mixed + 2 * width), batch * adds)
    mixes = sum(channels * mixed for channels, _ in seen.grids)
    scale = (9 * mixed + 1) * width + (width + 1) + task.classes * width
    fixed, learned = seen.weights, scale * len(seen.grids)
    if config.backbone_projection == "learned":
        return on_images, on_features, fixed, learned + mixes
    return on_images, on_features, fixed + mixes, learned
