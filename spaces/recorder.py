"""A stand-in for `optuna.Trial` that writes down what a space asks for.

What it answers is up to the caller, so one class serves to describe a space, to drive it into its
corners, and to find the draw that reproduces a preset. It checks ranges as Optuna does.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from spaces.task import Params


@dataclass(frozen=True)
class Choice:
    """One of a few values, without an order."""

    options: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.options:
            raise ValueError("a choice needs at least one option")
        for option in self.options:
            if not isinstance(option, None | bool | int | float | str):
                kind = type(option).__name__
                raise ValueError(f"an option must be text, a number, a bool or None, not a {kind}")

    def __str__(self) -> str:
        return ", ".join(show(option) for option in self.options)

    def contains(self, value: Any) -> bool:
        """Whether `value` is an option; True is not taken for 1, nor False for 0."""
        return any(
            isinstance(option, bool) == isinstance(value, bool) and option == value
            for option in self.options
        )

    def ends(self) -> tuple[Any, Any]:
        """First and last option."""
        return self.options[0], self.options[-1]

    def draw(self, rng: random.Random) -> Any:
        """Any option, each as likely."""
        return rng.choice(self.options)


@dataclass(frozen=True)
class Interval:
    """Numbers from `low` to `high`, both included; whole ones if `whole`."""

    low: float
    high: float
    step: float | None = None
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        bounds = f"low {show(self.low)}, high {show(self.high)}"
        if not self.low <= self.high:
            raise ValueError(f"low must not exceed high, but got {bounds}")
        if self.log and self.low <= 0:
            raise ValueError(f"a log scale must start above 0, but got {bounds}")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"step must be above 0, but is {show(self.step)}")
        if self.log and self.step is not None:
            raise ValueError("a log scale takes no step")

    def __str__(self) -> str:
        step = f", step {show(self.step)}" if self.step is not None else ""
        return f"{show(self.low)} to {show(self.high)}{step}{', log' if self.log else ''}"

    def contains(self, value: Any) -> bool:
        """Whether Optuna could draw `value`: the right type, within the ends, on the step."""
        kinds = (int,) if self.whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds):
            return False
        near = abs(value - self._on_step(value)) <= 1e-8 * (self.step or 1)
        return self.low <= value <= self.high and near

    def ends(self) -> tuple[float, float]:
        """Smallest and largest number."""
        return self.low, self._on_step(self.high)

    def draw(self, rng: random.Random) -> float:
        """A number as Optuna's RandomSampler would draw it."""
        if not self.log and (step := self.step or (1 if self.whole else None)):
            return self._on_step(self.low + step * rng.randint(0, self._steps(step)))
        margin = 0.5 if self.whole else 0.0  # a whole number stands for its surroundings
        low, high = self.low - margin, self.high + margin
        number = math.exp(rng.uniform(math.log(low), math.log(high))) if self.log else None
        number = rng.uniform(low, high) if number is None else number
        number = min(max(number, self.low), self.high)
        return round(number) if self.whole else number

    def _steps(self, step: float) -> int:
        return math.floor((self.high - self.low) / step + 1e-8)

    def _on_step(self, value: float) -> float:
        if self.step is None:
            return value
        steps = min(round((value - self.low) / self.step), self._steps(self.step))
        return self.low + steps * self.step


Distribution = Choice | Interval


class Changed(Exception):  # noqa: N818 - told to the user as an InputError, never raised to them
    """One name was asked for with two distributions."""

    def __init__(self, name: str, first: Distribution, second: Distribution) -> None:
        super().__init__(name, first, second)
        self.name, self.first, self.second = name, first, second


class Recorder:
    """What a space sees in place of a trial.

    Attributes:
        number: the draw's number.
        params: value of each parameter, in the order in which the space asked.
        distributions: distribution of each parameter.
    """

    def __init__(self, answer: Callable[[str, Distribution], Any], number: int = 0) -> None:
        self._answer = answer
        self.number = number
        self.params: Params = {}
        self.distributions: dict[str, Distribution] = {}

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """As `optuna.Trial.suggest_float`."""
        return self._ask(name, Interval(float(low), float(high), step, log))

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """As `optuna.Trial.suggest_int`."""
        return self._ask(name, Interval(low, high, None if step == 1 else step, log, whole=True))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """As `optuna.Trial.suggest_categorical`."""
        return self._ask(name, Choice(tuple(choices)))

    def set_user_attr(self, key: str, value: Any) -> None:
        """Accepted and forgotten."""

    def _ask(self, name: str, distribution: Distribution) -> Any:
        first = self.distributions.setdefault(name, distribution)
        if first != distribution:
            raise Changed(name, first, distribution)
        if name not in self.params:
            self.params[name] = self._answer(name, distribution)
        return self.params[name]


def show(value: Any) -> str:
    """A value as a person would write it: 0.003 rather than 0.0030000000000000001."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
