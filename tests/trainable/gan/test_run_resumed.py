"""A run's course: reproducible, resumable bit for bit at any step, and never waiting on the way."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.helpers.recipes import (
    BACKED,
    LITE,
    ONLY,
    RECIPES,
    run_of,
    saved,
)
from tests.helpers.refusals import refused
from tests.helpers.toys import small_config
from trainable.gan.adversaries import BackboneAdversary
from trainable.gan.run import DivergedError, Run
from trainable.pretrained.backbones import Backbone, load_backbone


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    found = load_backbone(LITE)
    assert found is not None
    return found


def tensors(value: Any) -> list[Any]:
    """All that a state holds, whatever it is nested in, but for the seconds."""
    if isinstance(value, dict):
        return [t for k, v in value.items() if k != "train_seconds" for t in tensors(v)]
    if isinstance(value, list | tuple):
        return [t for v in value for t in tensors(v)]
    return [value.clone() if isinstance(value, Tensor) else value]


def same(a: Run, b: Run) -> bool:
    pairs = zip(tensors(a.state()), tensors(b.state()), strict=True)
    return all(torch.equal(x, y) if isinstance(x, Tensor) else x == y for x, y in pairs)


@pytest.mark.parametrize("recipe", RECIPES)
def test_stopped_and_loaded_continues_bit_for_bit(data, recipe, backbone):
    """In the middle of an epoch, and of the intervals of penalty and backbone."""
    config = small_config(data, **RECIPES[recipe])
    whole, first, second = (run_of(config, data, backbone, seed) for seed in (3, 3, 99))
    for _ in range(6):
        first.train_step()
    second.load_state(saved(first))
    assert same(first, second)
    told = [torch.stack([run.train_step() for _ in range(n)]) for run, n in
            ((whole, 13), (second, 7))]  # fmt: skip
    assert torch.equal(told[0][6:], told[1])
    assert same(whole, second)
    for run in (whole, second):
        run.train_epoch()
    assert same(whole, second)
    assert (second.epoch, second.steps) == (whole.epoch, whole.steps)
    labels = torch.arange(6) % 2
    assert torch.equal(whole.sample(labels, seed=1), second.sample(labels, seed=1))


def test_the_adaptive_probability_is_kept(data, backbone):
    run = run_of(small_config(data, **RECIPES["adaptive"]), data, backbone, 0)
    for _ in range(4):
        run.train_step()
    probability = run.state()["probability"].item()
    assert probability > 0
    again = run_of(run.config, data, backbone, 1)
    again.load_state(saved(run))
    assert again._view.probability.item() == probability
    run.train_step()
    again.train_step()
    assert again._view.probability.item() == run._view.probability.item() != probability
    assert all(a.view is again._view for a in again.adversaries)  # type: ignore[attr-defined]


@pytest.mark.parametrize("recipe", ["default", "auxiliary"])
def test_same_seed_same_run_other_seed_other_run(data, recipe, backbone):
    config = small_config(data, **RECIPES[recipe])
    runs = [run_of(config, data, backbone, s) for s in (1, 1, 2)]
    torch.manual_seed(123)  # the global generator has no say
    losses = [run.train_epoch() for run in runs]
    assert losses[0] == losses[1] != losses[2]
    assert same(runs[0], runs[1])


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_step_never_makes_the_host_wait(data, recipe, backbone, monkeypatch):
    """On a GPU each of these would hold up the queue until all before it is done."""
    run = run_of(small_config(data, **RECIPES[recipe]), data, backbone, 0)
    run.train_step()  # optimizers set up their state
    asked: list[str] = []

    def watch(name: str) -> None:
        method = getattr(Tensor, name)

        def spy(self: Tensor, *args: Any, **kwargs: Any) -> Any:
            asked.append(name)
            return method(self, *args, **kwargs)

        monkeypatch.setattr(Tensor, name, spy)

    for name in ("item", "tolist", "numpy", "nonzero", "__bool__", "__float__", "__int__",
                 "__index__"):  # fmt: skip
        watch(name)
    for _ in range(8):  # past an interval, and over the end of a pass
        run.train_step()
    assert asked == []
    assert bool(torch.ones(()))  # the watch is on
    assert asked == ["__bool__"]


# With a backbone


def test_a_backbone_is_no_part_of_the_state_and_never_changes(data, backbone):
    run = run_of(small_config(data, **BACKED), data, backbone, 0)
    before = [t.clone() for t in backbone.state_dict().values()]
    run.train_epoch()
    assert all(map(torch.equal, before, backbone.state_dict().values()))
    assert all(w.grad is None for w in backbone.parameters())
    state = run.state()
    assert {"D", "D_opt", "heads", "heads_opt"} < set(state)
    largest = max(w.numel() for w in backbone.parameters())
    assert all(t.numel() < largest for t in tensors(state["heads"]))


def test_an_auxiliary_backbone_plays_in_its_steps_alone(data, backbone):
    run = run_of(small_config(data, **BACKED, d_steps=2), data, backbone, 0)
    D, heads = (a.network for a in run.adversaries)
    moved = []
    for _ in range(9):
        before = [[w.clone() for w in network.parameters()] for network in (D, heads)]
        run.train_step()
        moved.append(
            tuple(
                any(not torch.equal(a, b) for a, b in zip(was, net.parameters(), strict=True))
                for was, net in zip(before, (D, heads), strict=True)
            )
        )
    assert moved == [(True, step % 4 == 0) for step in range(9)]


def test_with_the_backbone_alone_there_is_no_discriminator_on_pixels(data, backbone):
    run = run_of(small_config(data, **ONLY), data, backbone, 0)
    assert [type(a) for a in run.adversaries] == [BackboneAdversary]
    assert "D" not in run.state()
    before = run.G.project.weight.clone()
    means = run.train_epoch()
    assert set(means) == {"g_loss", "d_loss", "real_logit", "fake_logit"}
    assert not torch.equal(before, run.G.project.weight)
    later = [run.train_epoch() for _ in range(7)][-1]
    assert later["real_logit"] > later["fake_logit"]


def test_both_adversaries_pull_at_the_generator(data, backbone, monkeypatch):
    run = run_of(small_config(data, **{**BACKED, "backbone_weight": 2.0}), data, backbone, 0)
    verdicts = []
    for adversary in run.adversaries:
        judge = adversary.judge

        def spy(*args: Any, _judge: Any = judge) -> Tensor:
            verdicts.append(_judge(*args))
            return verdicts[-1]

        monkeypatch.setattr(adversary, "judge", spy)
    g_losses = [run.train_step()[0] for _ in range(2)]
    assert len(verdicts) == 3  # both in the first step, one in the second
    assert g_losses[0].item() == pytest.approx(sum(v.item() for v in verdicts[:2]), rel=1e-5)
    assert g_losses[1].item() == verdicts[2].item()


@pytest.mark.parametrize("recipe", ["auxiliary", "only"])
def test_heads_that_are_not_finite_are_divergence(data, recipe, backbone):
    """By the norm of all weights if not by a loss: they sit out most steps."""
    run = run_of(small_config(data, **RECIPES[recipe]), data, backbone, 0)
    run.train_step()
    weights = dict(run.adversaries[-1].network.named_parameters())
    with torch.no_grad():
        weights["heads.3.bias"].fill_(float("nan"))
    with pytest.raises(DivergedError, match=r"nan .*\b1$"):
        run.train_epoch()


def test_a_backbone_that_is_not_at_hand_is_asked_for(data, backbone):
    config = small_config(data, **BACKED)
    with refused("backbone", LITE, "none", f"--backbone {LITE}"):
        Run(config, data, seed=0)
    plain = Run(small_config(data), data, seed=0, backbone=backbone)  # one that is not wanted
    assert len(plain.adversaries) == 1
