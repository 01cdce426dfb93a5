"""Other packages in the replay of `benchmarks.pays`: SMAC, NePS and Syne Tune, where installed.

The project does not depend on them, and each is used as its authors mean it, with the default
configuration where it takes one. All get the same rungs, workers and scores.
SMAC and NePS train a configuration to a rung and may ask for it again, for longer: it then goes on
where it stopped, so they pay for an epoch once, as the others do.

No curve of the table breaks down, so no trial here fails.
"""

from __future__ import annotations

import importlib.util
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.curves import Curves
from benchmarks.curves_space import TASK, tabulated
from benchmarks.replay import ETA, GRACE, MARKS, Values, Way
from spaces.describe import describe
from spaces.recorder import Choice, Distribution, Recorder

INSTALL = "python -m pip install --no-deps --target build/peers -r benchmarks/peers.txt"
"""Exact versions, beside the project's own, which ``PYTHONPATH=build/peers`` then adds."""

CONDITIONS = {
    "leaky_slope": ("activation", ("leaky_relu",)),
    "beta1": ("optimizer", ("adam", "adamw")),
    "momentum": ("optimizer", ("rmsprop", "sgd")),
    "beta2": ("optimizer", ("adam", "adamw", "rmsprop")),
    "instance_noise_halflife_kimg": ("instance_noise", (0.05, 0.1, 0.2)),
}
"""When a value is asked for: for SMAC, which knows conditions.

NePS (its PriorBand takes flat spaces alone) and Syne Tune get every value as if it always counted;
what is not asked for is dropped.
"""


@dataclass(frozen=True)
class Plain:
    """A parameter as plain numbers: an option is its place, a stepped number counts its steps."""

    found: Distribution
    kind: str  # choice, int or float
    low: float
    high: float
    log: bool

    @classmethod
    def of(cls, found: Distribution) -> Plain:
        if isinstance(found, Choice):
            return cls(found, "choice", 0, len(found.options) - 1, False)
        if found.step:
            return cls(found, "int", 0, round((found.high - found.low) / found.step), False)
        low, high = (int(found.low), int(found.high)) if found.whole else (found.low, found.high)
        return cls(found, "int" if found.whole else "float", low, high, found.log)

    def code(self, value: Any) -> Any:
        if isinstance(self.found, Choice):
            return self.found.options.index(value)
        return round((value - self.found.low) / self.found.step) if self.found.step else value

    def value(self, code: Any) -> Any:
        if isinstance(self.found, Choice):
            return self.found.options[int(code)]
        value = self.found.low + self.found.step * int(code) if self.found.step else code
        return int(value) if self.found.whole else float(value)

    def centre(self) -> Any:
        """Where the default has no value."""
        if self.kind == "choice":
            return 0
        return math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2


SPACE = {p.name: Plain.of(p.distribution) for p in describe(tabulated, TASK)}


def coded(values: Values) -> Values:
    return {n: p.code(values[n]) if n in values else p.centre() for n, p in SPACE.items()}


def decoded(codes: Values) -> Values:
    """The searched values, those alone that the space asks for."""
    asked = Recorder(lambda name, _: SPACE[name].value(codes[name]))
    tabulated(asked, TASK)  # pyright: ignore[reportArgumentType]
    return asked.params


@dataclass
class Asked:
    """A trial that is trained until the evaluation at place `until`, where `handle` is told."""

    until: int
    handle: Any


class AskTell:
    """A search that asks for a configuration up to a rung, and later again up to a higher one."""

    def __init__(
        self,
        ask: Callable[[], tuple[Any, Values, int, Any]],
        tell: Callable[[Any, float], None],
        curves: Curves,
    ):
        """`ask`: a configuration's key, its values, until which epoch, and what is told of it."""
        self._ask, self._tell = ask, tell
        self._places = {epoch: place for place, epoch in enumerate(curves.evaluations)}
        self._trials: dict[Any, Asked] = {}

    def begin(self) -> tuple[Asked, Values]:
        key, values, epoch, handle = self._ask()
        trial = self._trials.setdefault(key, Asked(0, None))
        trial.until, trial.handle = self._places[epoch], handle
        return trial, values

    def goes_on(self, trial: Asked, place: int, fid: float, last: bool) -> bool:
        if place < trial.until:
            return True
        self._tell(trial.handle, fid)
        return False


def smac(curves: Curves, seed: int) -> Way:
    """SMAC's multi-fidelity facade: Hyperband, a random forest, expected improvement."""
    import ConfigSpace as cs  # noqa: N813
    from smac import MultiFidelityFacade, Scenario
    from smac.runhistory.dataclasses import TrialValue

    space, default = cs.ConfigurationSpace(seed=seed), coded(curves.searched[0])
    for name, p in SPACE.items():
        usual = default[name]
        if p.kind == "choice":
            options = range(int(p.high) + 1)
            space.add(cs.CategoricalHyperparameter(name, options, default_value=usual))
        else:
            whole = p.kind == "int"
            kind = cs.UniformIntegerHyperparameter if whole else cs.UniformFloatHyperparameter
            space.add(kind(name, p.low, p.high, default_value=usual, log=p.log))
    for name, (other, options) in CONDITIONS.items():
        codes = [SPACE[other].code(option) for option in options]
        space.add(cs.InCondition(space[name], space[other], codes))
    with tempfile.TemporaryDirectory() as folder:  # needed at the start alone
        scenario = Scenario(
            space, deterministic=True, n_trials=3 * MARKS[-1], min_budget=GRACE,
            max_budget=curves.evaluations[-1], seed=seed, output_directory=Path(folder),
        )  # fmt: skip
        # Hyperband's first nine: the default and eight at random. SMAC's own 30 at random, and
        # the default after them, would be spent before its model is asked.
        design = MultiFidelityFacade.get_initial_design(
            scenario, n_configs=8, additional_configs=[space.get_default_configuration()]
        )
        facade = MultiFidelityFacade(
            scenario, lambda config, seed, budget: 0.0, initial_design=design,
            intensifier=MultiFidelityFacade.get_intensifier(scenario, eta=ETA),
        )  # fmt: skip

    def ask() -> tuple[Any, Values, int, Any]:
        info = facade.ask()
        return info.config, decoded(dict(info.config)), round(info.budget), info

    def tell(info: Any, fid: float) -> None:
        facade.tell(info, TrialValue(cost=fid), save=False)

    return AskTell(ask, tell, curves)


def neps(curves: Curves, seed: int) -> Way:
    """What `neps.run` takes for a space with a prior and a fidelity: PriorBand on Hyperband."""
    import neps
    import torch

    np.random.seed(seed)  # its samplers draw from the global generators
    torch.manual_seed(seed)
    last = curves.evaluations[-1]
    space: dict[str, Any] = {"epoch": neps.HPOInteger(GRACE, last, is_fidelity=True)}
    default = coded(curves.searched[0])
    for name, p in SPACE.items():
        # No prior where the default has no value.
        usual = default[name] if name in curves.searched[0] else None
        prior: Any = {"prior": usual, "prior_confidence": "medium"}
        if p.kind == "choice":
            space[name] = neps.HPOCategorical(list(range(int(p.high) + 1)), **prior)
        else:
            kind = neps.HPOInteger if p.kind == "int" else neps.HPOFloat
            space[name] = kind(p.low, p.high, log=p.log, **prior)
    optimizer = neps.algorithms.priorband(
        neps.SearchSpace(space), eta=ETA, sample_prior_first="highest_fidelity"
    )
    asking = neps.AskAndTell(optimizer)

    def ask() -> tuple[Any, Values, int, Any]:
        trial = asking.ask()
        key = trial.metadata.id
        return key.partition("_")[0], decoded(trial.config), trial.config["epoch"], key

    return AskTell(ask, asking.tell, curves)


class SyneTune:
    """Syne Tune's scheduler, called as its Tuner does; it stops trials at rungs itself."""

    def __init__(self, scheduler: Any):
        self._scheduler, self._begun = scheduler, 0

    def begin(self) -> tuple[Any, Values]:
        from syne_tune.backend.trial_status import Trial

        config = self._scheduler.suggest().config
        trial = Trial(self._begun, config, datetime.now())
        self._begun += 1
        self._scheduler.on_trial_add(trial)
        return trial, decoded(config)

    def goes_on(self, trial: Any, place: int, fid: float, last: bool) -> bool:
        decision = self._scheduler.on_trial_result(trial, {"fid": fid, "place": place + 1})
        if decision == "CONTINUE":
            return True
        self._scheduler.on_trial_remove(trial)
        return False


def syne_tune(curves: Curves, seed: int, *, name: str) -> Way:
    """ASHA with a model: `name` is a class of Syne Tune's baselines."""
    from syne_tune import config_space as cs
    from syne_tune.optimizer import baselines

    np.random.seed(seed)  # for what it draws past its own generator
    kinds = {"int": (cs.randint, cs.lograndint), "float": (cs.uniform, cs.loguniform)}
    space = {
        key: cs.choice(list(range(int(p.high) + 1)))
        if p.kind == "choice"
        else kinds[p.kind][p.log](p.low, p.high)
        for key, p in SPACE.items()
    }
    scheduler = getattr(baselines, name)(
        space, metric="fid", time_attr="place", max_t=len(curves.evaluations), grace_period=1,
        reduction_factor=ETA, points_to_evaluate=[coded(curves.searched[0])], random_seed=seed,
    )  # fmt: skip
    return SyneTune(scheduler)


PEERS: dict[str, Callable[[Curves, int], Way]] = {
    "smac": smac,
    "neps": neps,
    "syne-tune bohb": partial(syne_tune, name="BOHB"),  # kernel densities (Falkner et al. 2018)
    "syne-tune cqr": partial(syne_tune, name="ASHACQR"),  # quantiles (Salinas et al. 2023)
}


def missing() -> list[str]:
    """The ways above whose package is not installed."""
    modules = {way: way.partition(" ")[0].replace("-", "_") for way in PEERS}
    return [way for way, module in modules.items() if importlib.util.find_spec(module) is None]
