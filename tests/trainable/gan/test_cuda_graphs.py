"""Recorded steps on a GPU do what steps do. Without one, there is nothing to record."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.helpers.recipes import LITE, RECIPES, run_of, saved
from tests.helpers.toys import small_config
from trainable.data.dataset import Dataset
from trainable.gan.cuda_graphs import WARM_UP
from trainable.gan.run import Run
from trainable.pretrained.backbones import Backbone, load_backbone

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
STEPS = 8 * (WARM_UP + 2)  # enough for a recording of each kind of step, and for its replays


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    found = load_backbone(LITE)
    assert found is not None
    return found


def on_gpu(data: Dataset, recipe: str, backbone: Backbone, **options: Any) -> Run:
    config = small_config(data, **RECIPES[recipe])
    given = None if config.backbone == "none" else backbone
    return Run(config, data, seed=3, device="cuda", backbone=given, **options)


def told(run: Run, steps: int) -> Tensor:
    return torch.stack([run.train_step().clone() for _ in range(steps)])


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums in one order, so that what differs is no rounding."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.usefixtures("exact")
def test_recorded_steps_train_as_steps_do(data, recipe, backbone):
    plain = on_gpu(data, recipe, backbone, graphs=False)
    recorded = on_gpu(data, recipe, backbone)
    expected, found = told(plain, STEPS), told(recorded, STEPS)
    assert recorded._graphs is not None
    assert recorded._graphs._recorded
    assert torch.isfinite(expected).all()
    # Later steps drift apart with the last digit of a sum; another draw would be apart at once.
    torch.testing.assert_close(found[:12], expected[:12], rtol=1e-3, atol=1e-3)
    assert (found - expected).abs().mean() < 0.1 * expected.std(0).mean()
    assert recorded._rng.get_offset() == plain._rng.get_offset()
    assert torch.equal(recorded._order, plain._order)


@pytest.mark.usefixtures("exact")
def test_recorded_steps_heed_what_changes_between_them(data, backbone):
    """Learning rates and noise are the host's; a recording must not have frozen them."""
    run = on_gpu(data, "noise", backbone)
    told(run, STEPS)
    before = [w.clone() for w in run.G.parameters()]
    run.config = small_config(data, **RECIPES["noise"], g_lr=1e-12)
    told(run, 1)
    assert all(torch.allclose(a, b, atol=1e-8) for a, b in zip(before, run.G.parameters()))  # noqa: B905
    assert run._view.noise.item() < 0.2


@pytest.mark.parametrize("recipe", ["default", "rmsprop", "auxiliary"])
def test_a_loaded_run_goes_on_be_it_from_a_cpu(data, recipe, backbone):
    config = small_config(data, **RECIPES[recipe])
    first = run_of(config, data, backbone.to("cpu"), 3)
    for _ in range(6):
        first.train_step()
    state = saved(first)
    state["rng"] = torch.Generator("cuda").manual_seed(0).get_state()  # of another kind there
    second = on_gpu(data, recipe, backbone)
    told(second, STEPS)
    second.load_state(state)
    assert second.steps == 6
    second.train_epoch()
    assert torch.isfinite(told(second, STEPS)).all()


def test_too_little_memory_is_said_as_such(data, backbone, monkeypatch):
    run = on_gpu(data, "default", backbone)
    told(run, 4 * WARM_UP)

    def greedy(phases: Any) -> Tensor:
        return torch.empty(2**48, dtype=torch.uint8, device="cuda")

    assert run._graphs is not None
    run._graphs.forget()
    run._graphs._met[(0,)] = WARM_UP
    monkeypatch.setattr(run, "_play", greedy)
    monkeypatch.setattr(run.adversaries[0], "phase", lambda step: 0)
    with pytest.raises(torch.OutOfMemoryError):
        run.train_step()
