"""What a configuration is said to need, held against what real runs keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from spaces.presets import default
from spaces.task import Task
from tests.helpers.recipes import LITE, RECIPES, UNPENALISED
from tests.helpers.toys import small_config
from trainable.data.dataset import Dataset
from trainable.gan import footprint as module
from trainable.gan.config import TrialConfig
from trainable.gan.footprint import footprint
from trainable.gan.run import Run
from trainable.pretrained import convolve
from trainable.pretrained.backbones import Backbone, backed_task, load_backbone

WIDER: dict[str, Any] = {"g_width": 12, "d_width": 12}
SILU = {"activation": "silu", "leaky_slope": None, "penalty": "r1+r2"}
CASES: dict[str, dict[str, Any]] = {
    **RECIPES,
    "silu": SILU,
    "gelu": {**SILU, "activation": "gelu"},
    "tanh": {**SILU, "activation": "tanh", "upsampling": "transposed"},
    "elu": {**SILU, "activation": "elu", "penalty": "r1", "d_norm": "spectral"},
    "large batch": {"batch_size": 32, "augment": "translation+zoom+brightness+contrast"},
    "wide": {"g_width": 24, "d_width": 32, "upsampling": "pixel_shuffle", "d_norm": "spectral"},
}
MB = 2**20


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    found = load_backbone(LITE)
    assert found is not None
    return found


class Kept:
    """The most bytes that autograd keeps at one time, but for those of the networks themselves."""

    def __init__(self, *networks: nn.Module):
        self._own = {self._at(t) for n in networks for t in (*n.parameters(), *n.buffers())}
        self._held: dict[int, int] = {}
        self._now = self.most = 0

    @staticmethod
    def _at(tensor: Tensor) -> int:
        return tensor.untyped_storage().data_ptr()

    def hooks(self) -> saved_tensors_hooks:
        kept = self

        class Held:
            def __init__(self, tensor: Tensor):
                self.tensor, self.at = tensor, kept._at(tensor)
                kept.take(self.at, tensor.untyped_storage().nbytes(), 1)

            def __del__(self):
                kept.take(self.at, self.tensor.untyped_storage().nbytes(), -1)

        return saved_tensors_hooks(Held, lambda held: held.tensor)

    def take(self, at: int, size: int, by: int) -> None:
        if at in self._own:
            return
        before = self._held.get(at, 0)
        self._held[at] = before + by
        self._now += size * (bool(before + by) - bool(before))
        self.most = max(self.most, self._now)


class Adds(TorchDispatchMode):
    """Counts the multiply-adds of what is run, forwards and backwards."""

    def __init__(self):
        super().__init__()
        self.found = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        formula: Callable[..., int] | None = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.found += formula(*args, **(kwargs or {}), out_val=out) // 2
        return out


def case(data: Dataset, name: str) -> TrialConfig:
    return small_config(data, **{**WIDER, **CASES[name]})


def run_of(config: TrialConfig, data: Dataset, backbone: Backbone) -> Run:
    return Run(config, data, seed=0, backbone=None if config.backbone == "none" else backbone)


def networks(run: Run, backbone: Backbone) -> list[nn.Module]:
    own = [run.G, run.G_ema, *(a.network for a in run.adversaries)]
    return own if run.config.backbone == "none" else [*own, backbone]


def numbers(run: Run, backbone: Backbone) -> int:
    """All that a run's state is made of, but for scalars and what only batch and spectral norm of
    the networks in training remember."""
    found = list(run.G_ema.buffers())
    for network in networks(run, backbone):
        found += [*network.parameters(), *(w.grad for w in network.parameters())]
    for player in (run._g_opt, *(a.optimizer for a in run.adversaries)):
        found += [t for kept in player.state.values() for t in kept.values()]
    tensors = [t for t in found if isinstance(t, Tensor) and t.dim() and t.is_floating_point()]
    return sum(t.numel() for t in tensors)


@pytest.mark.parametrize("name", CASES)
def test_state_activations_and_multiply_adds_are_those_of_a_real_run(
    data, backbone, name, monkeypatch
):
    """Weights, gradients, moments and mean; what autograd keeps; and what steps take on average."""
    monkeypatch.setattr(convolve, "_FUSES", False)  # PyTorch does not count those
    config = case(data, name)
    run = run_of(config, data, backbone)
    found = footprint(config, run.task)
    kept = Kept(*networks(run, backbone))
    with kept.hooks():
        run.train_step()  # the first one: penalty and backbone take part
    assert found.activation_bytes == pytest.approx(kept.most, rel=0.12)
    assert found.state_bytes == 4 * numbers(run, backbone)
    steps = 4  # in which penalty and backbone take part once, if at all
    assert {config.penalty_interval or 1, config.backbone_interval or 1} <= {1, steps}
    with Adds() as counted:
        for _ in range(steps):
            run.train_step()
    assert found.multiply_adds == pytest.approx(counted.found / steps, rel=0.08)


def test_those_bounds_would_tell_a_penalty_or_a_backbone_that_is_left_out(data, backbone):
    """Else the test above would hold of anything."""
    pairs = [
        (case(data, "silu"), small_config(data, **WIDER, **{**SILU, **UNPENALISED})),
        (case(data, "auxiliary"), case(data, "default")),
    ]
    for whole, part in pairs:
        task = backed_task(data.task, backbone)
        a, b = footprint(whole, task), footprint(part, task)
        assert a.activation_bytes > 1.3 * b.activation_bytes
        assert a.multiply_adds > 1.1 * b.multiply_adds


@pytest.mark.parametrize("name", ["default", "silu", "concat", "auxiliary", "only"])
def test_activations_grow_in_proportion_to_the_batch_and_the_state_does_not(data, backbone, name):
    task = backed_task(data.task, backbone)
    by_batch = [footprint(replace(case(data, name), batch_size=n), task) for n in (4, 8, 16)]
    few, twice, fourfold = (found.activation_bytes for found in by_batch)
    # What does not grow are kernels and normalised weights, made anew in each pass.
    assert fourfold - twice == pytest.approx(2 * (twice - few), rel=1e-6)
    assert 1.8 * few < twice <= 2 * few
    assert len({found.state_bytes for found in by_batch}) == 1
    assert by_batch[2].multiply_adds == pytest.approx(4 * by_batch[0].multiply_adds, rel=0.03)


@pytest.mark.parametrize("field", ["g_width", "d_width", "image size"])
def test_wider_networks_and_larger_images_need_more(data, field):
    found = []
    for n in (4, 8, 16, 32):
        task = data.task if field != "image size" else Task(8 * n, 1, 2, 100, "none")
        own = {} if field == "image size" else {"g_width": 4, "d_width": 4, field: n}
        found.append(footprint(TrialConfig.from_params({**default(task), **own}), task))
    for name in ("state_bytes", "activation_bytes", "multiply_adds"):
        needs = [getattr(one, name) for one in found]
        assert needs == sorted(needs)
        assert needs[-1] > 1.5 * needs[0]


@pytest.mark.parametrize("name", ["googlenet", "inception_v3", "vgg16", "xrv-densenet121"])
def test_every_kind_of_backbone_has_a_footprint(name):
    task = Task(96, 3, 2, 100, name)
    bare = replace(task, backbone="none")
    found, without = (footprint(TrialConfig.from_params(default(one)), one) for one in (task, bare))
    weights = 4 * module._backbone(name, 96 if name == "inception_v3" else 64).weights
    assert found.state_bytes > without.state_bytes + weights
    assert found.activation_bytes > 1.5 * without.activation_bytes


def test_a_footprint_draws_no_random_numbers_and_touches_no_default(data):
    before = torch.get_rng_state()
    footprint(small_config(data, d_norm="spectral", init="orthogonal"), data.task)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.empty(1).device.type == "cpu"
